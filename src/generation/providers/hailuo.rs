//! Hailuo of MiniMax: a task that is polled; its file has an address of its own to be asked for.
//!
//! Wire facts: section 12.5 of the providers contract. Errors come with HTTP 200 and a code in
//! `base_resp`.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::video;
use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        kit::{Access, Api, KeyIn, Options, Reply, Verdict, data_url, encode},
        provider::{Checked, GivenPicture, Output, Pace, Provider, Status, Submission, Task, Work},
        request::{Input, Kind},
    },
    net::Policy,
    storage::ImageKind,
};

const PROMPT_MAX: usize = 2000;
/// A first and a last frame.
const FRAMES: usize = 2;

/// The Hailuo models.
pub struct Hailuo {
    api: Api,
}

/// What the code of an answer means; a task that ended so is lost.
fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    let code = reply.at("/base_resp/status_code");
    let verdict = match code.as_str() {
        "" | "0" => return None,
        // Too many requests, or too many of a kind.
        "1002" | "1039" | "1041" | "2045" => Verdict::RATE_LIMITED,
        "1004" | "2049" => Verdict::KEY_REJECTED,
        "1008" => Verdict::OUT_OF_CREDITS,
        "1026" | "1027" => Verdict::MODERATED,
        "2013" | "2044" => Verdict::BAD_INPUT,
        // Unknown, time-out and internal faults, and what is not known yet.
        _ if reply.is_success() => Verdict::TRANSIENT,
        _ => return None,
    };
    Some(if reply.at("/status") == "Fail" {
        verdict.losing_task()
    } else {
        verdict
    })
}

impl Hailuo {
    /// Hailuo with this account.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            api: access.api(KeyIn::Bearer, judge),
        }
    }

    fn body(
        &self,
        input: &Input,
        frames: usize,
    ) -> Result<(Map<String, Value>, Vec<String>), RequestError> {
        let mut options = Options::of(input)?;
        let mut body = Map::new();
        let model = self.api.upstream(Kind::Video, &input.model);
        body.insert("model".into(), model.into());
        body.insert("prompt".into(), video::prompt(input, PROMPT_MAX)?.into());
        let seconds = video::seconds(&mut options, &[6, 10])?.unwrap_or(6);
        let mut resolution = options
            .choice("resolution", &["512P", "768P", "1080P"])?
            .unwrap_or("768P");
        if resolution == "1080P" && seconds == 10 {
            options.warn("At 10 seconds the resolution is 768P.");
            resolution = "768P";
        } else if resolution == "512P" && frames != 1 {
            options.warn("512P needs a first frame and no last one; the resolution is 768P.");
            resolution = "768P";
        }
        body.insert("duration".into(), seconds.into());
        body.insert("resolution".into(), resolution.into());
        for (name, upstream) in [
            ("prompt_optimizer", "prompt_optimizer"),
            ("fast_pretreatment", "fast_pretreatment"),
            ("watermark", "aigc_watermark"),
        ] {
            if let Some(on) = options.flag(name)? {
                body.insert(upstream.into(), on.into());
            }
        }
        options.references(frames, FRAMES);
        Ok((body, options.finish()))
    }

    /// The address of a finished file.
    async fn file(&self, id: &str) -> Result<Status, ProviderError> {
        let call = self.api.get(&["v1", "files", "retrieve"]);
        let answer = call.query(&[("file_id", id)]).send().await?.json()?;
        let url = ["/file/download_url", "/file/backup_download_url"]
            .iter()
            .filter_map(|pointer| answer.pointer(pointer)?.as_str())
            .find(|url| !url.is_empty());
        match url {
            Some(url) => Ok(Status::Done(vec![Output::Url(url.to_owned())])),
            None => Err(Verdict::BAD_UPSTREAM
                .losing_task()
                .error("the file has no address")),
        }
    }
}

#[async_trait]
impl Provider for Hailuo {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Video]
    }

    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        let (_, warnings) = self.body(input, references)?;
        Ok(video::one(warnings))
    }

    fn check_given(&self, _input: &Input, given: &GivenPicture) -> Result<(), RequestError> {
        video::still(given, &[ImageKind::Png, ImageKind::Jpeg, ImageKind::Webp])
    }

    fn upstream_model(&self, input: &Input) -> String {
        self.api.upstream(Kind::Video, &input.model).to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let (mut body, _) = self.body(work.input, work.references.len())?;
        let frames = work.references.get(..FRAMES).unwrap_or(work.references);
        let encoded = encode(frames).await?;
        let names = ["first_frame_image", "last_frame_image"];
        for (name, (frame, text)) in names.into_iter().zip(frames.iter().zip(&encoded)) {
            body.insert(name.to_owned(), data_url(frame, text).into());
        }
        let call = self
            .api
            .post(&["v1", "video_generation"])
            .json(Value::Object(body));
        let answer = call.send().await?.json()?;
        let id = video::id(answer.get("task_id")).ok_or_else(|| {
            ProviderError::new(FaultClass::BadUpstream, "the answer names no task")
        })?;
        Ok(Submission::Accepted(Task {
            id,
            state: json!(null),
        }))
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        let call = self.api.get(&["v1", "query", "video_generation"]);
        let answer = call.query(&[("task_id", &task.id)]).send().await?.json()?;
        match answer.get("status").and_then(Value::as_str) {
            Some("Success") => match video::id(answer.get("file_id")) {
                Some(id) => self.file(&id).await,
                None => Err(Verdict::BAD_UPSTREAM
                    .losing_task()
                    .error("done, but without a file")),
            },
            Some("Fail") => Err(Verdict::TRANSIENT.losing_task().error("the task failed")),
            // Preparing, Queueing, Processing, and whatever comes later.
            _ => Ok(Status::Pending),
        }
    }

    fn pace(&self, kind: Kind) -> Pace {
        self.api.pace(kind)
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        video::policy(&self.api, max_bytes)
    }
}
