//! The health of providers, as operators see it.

use serde_json::{Value, json};

use crate::support::{
    snapshot::{redact, stable},
    test_app,
    upstream::{Reply, Script, Upstream},
};

const PATH: &str = "/api/health/providers";

#[tokio::test]
async fn operators_see_what_is_wrong_with_an_account_until_it_is_over() {
    let upstream = Upstream::start(crate::providers::openai::SPEC.api).await;
    for (case, fixture) in [
        (1, "account_key"),
        (2, "account_quota"),
        (3, "account_model"),
    ] {
        upstream.script(
            case,
            "submit",
            Script::always(Reply::Fixture(fixture.to_owned())),
        );
    }
    test_app()
        .worker()
        .upstream(&upstream)
        .run(async |app| {
            let user = app.user().await;
            let openai = async || {
                let all = app.get(PATH, None).await.json;
                let mut of = all["providers"].as_array().unwrap().iter();
                of.find(|one| one["provider"] == "openai").cloned().unwrap()
            };
            let picture = async |prompt: &str| {
                let path = "/api/image/chatgpt";
                let answer = app
                    .post(path, Some(&user.token), json!({"prompt": prompt}))
                    .await;
                let id = answer.json["jobId"].as_str().unwrap().to_owned();
                app.final_job(&user, &id).await["status"].clone()
            };
            insta::assert_json_snapshot!(
                "providers_before",
                stable(&app.get(PATH, None).await, &[])
            );
            let mut seen: Vec<Value> = Vec::new();
            for case in 1..=3 {
                assert_eq!(picture(&format!("a fox [case {case}]")).await, "FAILED");
                seen.push(redact(&openai().await, &[]));
            }
            assert_eq!(picture("a fox").await, "COMPLETED");
            seen.push(redact(&openai().await, &[]));
            insta::assert_json_snapshot!("provider_faults", seen);
            assert_eq!(app.credits(&user).await, 19);
        })
        .await;
}

#[tokio::test]
async fn the_health_of_providers_is_for_operators_only() {
    test_app()
        .set("/http/metrics_access", "guarded")
        .run(async |app| {
            let user = app.user().await;
            let admin = crate::support::operators::admin(app).await;
            assert_eq!(app.get(PATH, None).await.status, 401);
            assert_eq!(app.get(PATH, Some(&user.token)).await.status, 403);
            assert_eq!(app.get(PATH, Some(&admin.token)).await.status, 200);
        })
        .await;
}

#[tokio::test]
async fn a_model_that_is_gone_names_the_one_to_use() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let ask = async |model: &str| {
                let body = json!({"prompt": "a fox", "model": model});
                app.post("/api/image/chatgpt", Some(&user.token), body)
                    .await
            };
            let gone = ask("dall-e-2").await;
            insta::assert_json_snapshot!("retired_model", stable(&gone, &[]));
            assert_eq!(
                ask("dall-e-3").await.status,
                201,
                "an old id that is mapped"
            );
            assert_eq!(ask("gpt-image-2").await.status, 201, "an id of today");
            assert_eq!(
                ask("qwen-image").await.status,
                400,
                "an id of another provider"
            );
            assert_eq!(app.count("select count(*) from jobs").await, 2);
        })
        .await;
}
