//! Body of a pushed delivery.

use sea_orm::prelude::Uuid;
use serde_json::{Map, Value};

use super::fields::{Fields, Length};
use crate::http::ApiResult;

/// `POST /api/jobs/process`. Only the job's id counts: everything else comes from its row.
#[derive(Debug)]
pub struct PushBody {
    pub job_id: Uuid,
}

impl PushBody {
    /// # Errors
    /// 400 when `jobId` is missing or no job id.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let text = fields.required_text("jobId", Length::max(64));
        let job_id = Uuid::parse_str(&text);
        if job_id.is_err() && !text.is_empty() {
            fields.fault("jobId must be a job id");
        }
        fields.finish()?;
        Ok(Self {
            job_id: job_id.unwrap_or_default(),
        })
    }
}
