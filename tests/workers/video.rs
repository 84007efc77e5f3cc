//! Video jobs: the worker carries them through a provider of videos.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use daygen::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        pipeline::Pipeline,
        provider::{Checked, Output, Pace, Provider, Status, Submission, Task, Work},
        registry::Registry,
        request::{Input, Kind},
    },
    net::{Hosts, Policy},
};
use serde_json::{Value, json};

use crate::support::{TestApp, TestUser, pictures, snapshot::redact, test_app};

/// The head of a video file.
const MP4: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x08mdat";

/// A provider whose tasks take one look more than the first step has.
struct Films {
    polls: AtomicUsize,
    result: &'static [u8],
    refuses: bool,
}

#[async_trait]
impl Provider for Films {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Video]
    }

    fn check(&self, input: &Input, references: usize) -> Result<Checked, RequestError> {
        assert_eq!((input.kind, references), (Kind::Video, 1));
        Ok(Checked {
            outputs: 1,
            warnings: Vec::new(),
        })
    }

    fn upstream_model(&self, _input: &Input) -> String {
        "ray-2".to_owned()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        assert_eq!(work.references.len(), 1);
        if self.refuses {
            return Err(ProviderError::new(FaultClass::Moderated, "refused"));
        }
        Ok(Submission::Accepted(Task {
            id: "film-1".to_owned(),
            state: json!({"reel": 1}),
        }))
    }

    async fn poll(&self, task: &Task) -> Result<Status, ProviderError> {
        assert_eq!(
            (task.id.as_str(), &task.state),
            ("film-1", &json!({"reel": 1}))
        );
        if self.polls.fetch_add(1, Ordering::SeqCst) < 4 {
            return Ok(Status::Pending);
        }
        Ok(Status::Done(vec![Output::Bytes(Bytes::from_static(
            self.result,
        ))]))
    }

    fn pace(&self, _kind: Kind) -> Pace {
        Pace {
            poll_interval: Duration::from_millis(20),
            budget: Duration::from_secs(30),
        }
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        Policy::new(
            Hosts::Suffixes(Vec::new()),
            max_bytes,
            Duration::from_secs(1),
        )
    }
}

/// Lets `films` answer for luma and for nobody else.
fn put_up(app: &TestApp, films: Films) {
    let old = Pipeline::of(&app.ctx).unwrap();
    let provider: Arc<dyn Provider> = Arc::new(films);
    let providers = BTreeMap::from([("luma", provider)]);
    app.ctx.shared_store.insert(Arc::new(Pipeline {
        registry: Arc::new(Registry::with(providers, &app.settings().providers)),
        ..(*old).clone()
    }));
}

/// A picture of the user's own, to begin the film with.
async fn still(app: &TestApp, user: &TestUser) -> Value {
    let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
    let id = app.generate(user, body).await;
    app.final_job(user, &id).await["resultUrl"].clone()
}

async fn film(app: &TestApp, user: &TestUser, still: Value) -> (String, Value) {
    let body = json!({
        "prompt": "a fox runs", "provider": "luma", "model": "luma-ray-2", "imageUrls": [still],
        "options": {"duration_seconds": 5},
    });
    let path = "/api/jobs/video-generation";
    let answer = app.post(path, Some(&user.token), body).await;
    assert_eq!(answer.status, 201, "{}", answer.json);
    let id = answer.json["jobId"].as_str().unwrap().to_owned();
    let job = app.final_job(user, &id).await;
    (id, job)
}

#[tokio::test]
async fn a_video_is_made_stored_shown_and_paid() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let still = still(app, &user).await;
            put_up(app, Films { polls: AtomicUsize::new(0), result: MP4, refuses: false });
            let (id, job) = film(app, &user, still).await;
            let file = job["metadata"]["r2FileId"].as_str().unwrap().to_owned();
            let known = [
                (app.base.as_str(), "base"),
                (user.id.as_str(), "user"),
                (id.as_str(), "job"),
                (file.as_str(), "file"),
            ];
            insta::assert_json_snapshot!("completed_video", redact(&job, &known));
            let path = job["resultUrl"].as_str().unwrap().strip_prefix(&app.base).unwrap();
            assert_eq!(app.get(path, None).await.bytes, MP4);
            assert_eq!(app.credits(&user).await, 20 - 1 - 5);
            let claims = "select count(*) from jobs where type = 'VIDEO_GENERATION' and claim_no > 1 and tries = 0";
            assert_eq!(app.count(claims).await, 1, "it waited without a slot");
        })
        .await;
}

#[tokio::test]
async fn a_video_that_is_none_or_is_refused_gives_all_credits_back() {
    for (result, refuses, code) in [
        (&b"<html></html>"[..], false, "NO_USABLE_RESULT"),
        (MP4, true, "CONTENT_REFUSED"),
    ] {
        test_app()
            .worker()
            .run(async |app| {
                let user = app.user().await;
                let still = still(app, &user).await;
                let polls = AtomicUsize::new(0);
                put_up(
                    app,
                    Films {
                        polls,
                        result,
                        refuses,
                    },
                );
                let (_, job) = film(app, &user, still).await;
                assert_eq!(job["status"], "FAILED", "{job}");
                let sql = format!("select count(*) from jobs where error_code = '{code}'");
                assert_eq!(app.count(&sql).await, 1);
                assert_eq!(app.credits(&user).await, 19);
                assert!(app.bucket.keys("videos").is_empty());
            })
            .await;
    }
}

#[tokio::test]
async fn a_provider_is_not_asked_for_what_it_cannot_do() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            put_up(
                app,
                Films {
                    polls: AtomicUsize::new(0),
                    result: MP4,
                    refuses: false,
                },
            );
            let body = json!({"prompt": "a fox", "references": [pictures::data_url(8, 8)]});
            let answer = app.post("/api/image/luma", Some(&user.token), body).await;
            assert_eq!(answer.status, 503, "{}", answer.json);
            assert_eq!(answer.json["code"], "PROVIDER_UNAVAILABLE");
            assert_eq!(app.count("select count(*) from jobs").await, 0);
        })
        .await;
}
