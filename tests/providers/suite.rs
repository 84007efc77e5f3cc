//! The suite: one app for a provider, all its cases at the same time, then what came of each.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cases::{self, Case, Outcome};
use crate::support::{
    Builder, TestApp, TestUser, test_app,
    upstream::{self, Api, Upstream},
};

/// A provider under test.
pub struct Spec {
    pub api: Api,
    /// The provider's name and the kind of work that are tested here.
    pub covers: (&'static str, &'static str),
    /// Where work is asked for.
    pub path: &'static str,
    /// A plain request of this prompt.
    pub request: fn(prompt: &str) -> Value,
    /// The requests whose way upstream is a snapshot; each model and option in one of them.
    pub requests: fn() -> Vec<Value>,
    /// Where the prompt of a request stands; `None`: there is none, so cases go one after the other.
    pub prompt_at: Option<&'static str>,
    /// What is added to a request for two results, for providers that make several at once.
    pub several: Option<fn() -> Value>,
    /// Credits of one result.
    pub price: i64,
}

/// What providers of pictures have in common.
pub const IMAGE: Spec = Spec {
    api: Api {
        name: "",
        account: "",
        base_path: "",
        key: upstream::KeyAt::Bearer,
        routes: &[],
        media: "png",
    },
    path: "",
    request: |prompt| json!({"prompt": prompt}),
    requests: Vec::new,
    prompt_at: Some("/prompt"),
    several: None,
    price: 1,
    covers: ("", "image"),
};

/// What upscalers have in common. They have no prompt, so their cases go one after the other; their
/// picture is the stand-in's.
pub const UPSCALE: Spec = Spec {
    path: "/api/jobs/image-upscale",
    prompt_at: None,
    price: 2,
    covers: ("", "upscale"),
    ..IMAGE
};

/// What providers of videos have in common.
pub const VIDEO: Spec = Spec {
    api: Api {
        media: "mp4",
        ..IMAGE.api
    },
    price: 5,
    covers: ("", "video"),
    ..IMAGE
};

/// Number of the first case that is a snapshot.
const SHOWN: usize = 1000;

/// Runs every case of a provider.
pub async fn run(spec: &Spec) {
    let upstream = Upstream::start(spec.api).await;
    let cases = cases::of(spec, &upstream);
    let account = spec.api.account;
    wide(test_app().worker())
        .upstream(&upstream)
        .set(
            &format!("/providers/{account}/limits"),
            json!({"max_running": null, "starts_per_minute": null}),
        )
        .run(async |app| {
            let user = app.user().await;
            app.leave_credits(&user, 10_000).await;
            let faults = all(app, &user, spec, &upstream, &cases).await;
            assert!(faults.is_empty(), "{}\n{:#?}", spec.api.name, faults);
            shown(app, &user, spec, &upstream).await;
            assert_eq!(upstream.faults(), Vec::<String>::new());
            balance(app, &user).await;
            app.until("inputs and lost results to go", async || {
                let files = app.count("select count(*) from r2_files").await;
                let kept = app.bucket.keys("").len();
                (i64::try_from(kept).ok() == Some(files)).then_some(())
            })
            .await;
        })
        .await;
}

/// An app where many jobs of one user and one provider run at the same time, however many fail.
fn wide(app: Builder) -> Builder {
    let slots = json!({
        "image-generation-queue": 64, "video-generation-queue": 64, "image-upscale-queue": 64,
        "batch-generation-queue": 4, "scene-generation-queue": 64, "default": 4, "mailer": 1,
    });
    app.set("/queue/concurrency", slots)
        .set("/generation/loopback_references", true)
        .set("/jobs/max_running_per_user", 1000)
        .set("/generation/breaker/failures", 100_000)
}

/// An API that accepts submissions and says nothing: each provider asks once more and gives up.
pub async fn silence(specs: &[&Spec]) {
    let case = Case::silent();
    let mut app = wide(test_app().worker());
    let mut upstreams = Vec::new();
    // An account has one address, and one client that waits.
    let mut accounts = BTreeSet::new();
    let specs: Vec<_> = specs
        .iter()
        .filter(|spec| accounts.insert(spec.api.account))
        .collect();
    for spec in &specs {
        let upstream = Upstream::start(spec.api).await;
        case.prepare(&upstream, 1);
        upstream.assume(1);
        let account = spec.api.account;
        app = app
            .upstream(&upstream)
            .set(&format!("/providers/{account}/call_timeout_ms"), 3000);
        upstreams.push(upstream);
    }
    app.run(async |app| {
        let user = app.user().await;
        app.leave_credits(&user, 10_000).await;
        let mut jobs = Vec::new();
        for (spec, upstream) in specs.iter().zip(&upstreams) {
            let body = upstream.placed(case.request(spec, 1));
            jobs.push(ask(app, &user, spec, body).await);
        }
        for ((spec, upstream), job) in specs.iter().zip(&upstreams).zip(jobs) {
            let outcome = outcome(app, &user, &job).await;
            let faults = case.faults(spec, upstream, 1, &outcome);
            assert!(faults.is_empty(), "{}\n{:#?}", spec.api.name, faults);
        }
    })
    .await;
}

async fn outcome(app: &TestApp, user: &TestUser, job: &str) -> Outcome {
    Outcome {
        job: app.final_job(user, job).await,
        code: text(app, "coalesce(error_code, '')", "jobs where id", job).await,
        captured: number_of(app, "captured_amount", job).await,
        held: number_of(app, "case when state = 'HELD' then amount else 0 end", job).await,
        detail: text(app, "coalesce(error_detail, '')", "jobs where id", job).await,
    }
}

/// Runs the cases; gives what is not as it has to be.
async fn all(
    app: &TestApp,
    user: &TestUser,
    spec: &Spec,
    upstream: &Upstream,
    cases: &[Case],
) -> Vec<String> {
    let mut jobs = Vec::new();
    for (number, case) in (1..).zip(cases) {
        case.prepare(upstream, number);
        if spec.prompt_at.is_none() {
            upstream.assume(number);
        }
        let body = upstream.placed(case.request(spec, number));
        let job = ask(app, user, spec, body).await;
        if spec.prompt_at.is_none() {
            app.final_job(user, &job).await;
        }
        jobs.push((number, case, job));
    }
    let mut faults = Vec::new();
    for (number, case, job) in jobs {
        let outcome = outcome(app, user, &job).await;
        faults.extend(case.faults(spec, upstream, number, &outcome));
    }
    faults
}

/// What goes out for each of the provider's requests, and what the job says to it.
async fn shown(app: &TestApp, user: &TestUser, spec: &Spec, upstream: &Upstream) {
    let mut lines = Vec::new();
    for (number, mut body) in (SHOWN..).zip((spec.requests)()) {
        upstream.assume(number);
        cases::mark(spec, &mut body, number);
        let body = upstream.placed(body);
        let id = ask(app, user, spec, body.clone()).await;
        let job = app.final_job(user, &id).await;
        assert_eq!(
            job["status"], "COMPLETED",
            "{}: {body} {job}",
            spec.api.name
        );
        let mut polls = 0;
        let calls: Vec<Value> = upstream
            .calls_of(number)
            .iter()
            .filter(|call| {
                polls += usize::from(call.role == "poll");
                call.role != "poll" || polls == 1
            })
            .map(|call| upstream::shown(call, upstream))
            .collect();
        let model = text(app, "coalesce(model, '')", "r2_files where job_id", &id).await;
        lines.push(json!({
            "calls": calls, "warnings": job["metadata"]["warnings"], "upstreamModel": model,
        }));
    }
    insta::with_settings!({prepend_module_to_snapshot => false}, {
        insta::assert_json_snapshot!(format!("{}_requests", spec.api.name), lines);
    });
}

pub async fn ask(app: &TestApp, user: &TestUser, spec: &Spec, body: Value) -> String {
    let answer = app.post(spec.path, Some(&user.token), body.clone()).await;
    assert_eq!(
        answer.status, 201,
        "{}: {body} {}",
        spec.api.name, answer.json
    );
    answer.json["jobId"].as_str().unwrap().to_owned()
}

/// What was captured is what is gone.
async fn balance(app: &TestApp, user: &TestUser) {
    let gone = app
        .count("select coalesce(sum(captured_amount), 0)::bigint from credit_reservations")
        .await;
    assert_eq!(app.credits(user).await, 10_000 - gone);
}

async fn number_of(app: &TestApp, what: &str, job: &str) -> i64 {
    let sql = format!(
        "select coalesce(sum({what}), 0)::bigint from credit_reservations where job_id = '{job}'"
    );
    app.count(&sql).await
}

async fn text(app: &TestApp, what: &str, from: &str, id: &str) -> String {
    let sql = format!("select {what} from {from} = '{id}' limit 1");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_optional(app.ctx.db.get_postgres_connection_pool())
        .await
        .unwrap()
        .unwrap_or_default()
}
