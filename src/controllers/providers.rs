//! `GET /api/health/providers`: how our accounts at providers are, for operators.

use axum::{Json, extract::State};
use loco_rs::prelude::*;

use crate::{
    generation::{health::report, pipeline::Pipeline},
    http::{ApiResult, Operator},
    views::{
        providers::{FaultView, ProviderView, ProvidersView},
        timestamp,
    },
};

async fn show(
    _operator: Operator,
    State(ctx): State<AppContext>,
) -> ApiResult<Json<ProvidersView>> {
    let pipeline = Pipeline::of(&ctx)?;
    let reports = report(&ctx.db, &pipeline.settings, &pipeline.registry).await?;
    let providers = reports
        .into_iter()
        .map(|report| ProviderView {
            provider: report.provider,
            account: report.account,
            status: report.status,
            configured: report.is_configured,
            key_variable: report.key_variable,
            kinds: report.kinds.iter().map(|kind| kind.name()).collect(),
            suspended_ms: report.suspended_ms,
            last_fault: report.fault.map(|fault| FaultView {
                since: timestamp(&fault.since),
                last_at: timestamp(&fault.last_at),
                over_at: fault.over_at.as_ref().map(timestamp),
                kind: fault.kind,
                detail: fault.detail,
            }),
        })
        .collect();
    Ok(Json(ProvidersView { providers }))
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().add("/api/health/providers", get(show))
}
