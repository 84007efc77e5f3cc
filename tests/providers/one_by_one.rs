//! Several pictures from APIs that make one in a call.

use serde_json::json;

use super::{
    qwen, seedream,
    suite::{Spec, ask},
};
use crate::support::{
    TestApp, TestUser, test_app,
    upstream::{Reply, Script, Upstream},
};

const PROVIDERS: [&Spec; 2] = [&qwen::SPEC, &seedream::SPEC];

#[tokio::test]
async fn what_was_made_is_kept_and_paid_and_nothing_is_made_twice() {
    let upstreams = [
        Upstream::start(PROVIDERS[0].api).await,
        Upstream::start(PROVIDERS[1].api).await,
    ];
    test_app()
        .worker()
        .upstream(&upstreams[0])
        .upstream(&upstreams[1])
        .run(async |app| {
            let user = app.user().await;
            for (spec, upstream) in PROVIDERS.iter().zip(&upstreams) {
                each_end(app, &user, spec, upstream).await;
            }
        })
        .await;
}

async fn each_end(app: &TestApp, user: &TestUser, spec: &Spec, upstream: &Upstream) {
    let down = Reply::Status(500, Vec::new(), "{}".to_owned());
    let refused = Reply::Fixture("moderated_prompt".to_owned());
    // What upstream answers, how many pictures come of three, and with which code it ends.
    let cases = [
        (Script::default(), 3, ""),
        (Script::once([down]), 2, ""),
        (Script::once([refused.clone()]), 2, ""),
        (Script::always(refused), 0, "CONTENT_REFUSED"),
    ];
    for (number, (script, made, code)) in (1..).zip(cases) {
        upstream.script(number, "submit", script);
        let before = app.credits(user).await;
        let prompt = format!("a fox [case {number}]");
        let body =
            json!({"prompt": prompt, "providerOptions": {"num_images": 3, "seed": 2_147_483_646}});
        let id = ask(app, user, spec, body).await;
        let job = app.final_job(user, &id).await;
        let name = format!("{} {number}: {job}", spec.api.name);
        let sql = format!(
            "select count(*) from jobs where id = '{id}' and coalesce(error_code, '') = '{code}'"
        );
        assert_eq!(app.count(&sql).await, 1, "{name}");
        let files = app
            .count(&format!(
                "select count(*) from r2_files where job_id = '{id}'"
            ))
            .await;
        assert_eq!(files, made, "{name}");
        assert_eq!(before - app.credits(user).await, made, "{name}");
        let calls = upstream.calls(number, "submit");
        assert_eq!(calls.len(), 3, "{name}");
        let seed = |call: &crate::support::upstream::Call| {
            let body = call.json();
            let at_top = body["seed"].as_u64();
            at_top
                .or_else(|| body["parameters"]["seed"].as_u64())
                .unwrap()
        };
        let mut seeds: Vec<_> = calls.iter().map(seed).collect();
        seeds.sort_unstable();
        assert_eq!(seeds, [0, 2_147_483_646, 2_147_483_647], "{name}");
    }
}
