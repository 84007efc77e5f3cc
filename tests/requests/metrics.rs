//! `/metrics` and `/api/health/queues/metrics`: names, formats and who may read them.

use std::collections::BTreeSet;

use loco_rs::environment::Environment;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    operators::{FAILED, admin, finished, text, value},
    processes::free_port,
    snapshot::{redact, stable},
    test_app,
};

const METRICS: &str = "/api/health/queues/metrics";
const INTERNAL_KEY: &str = "internal-key-of-the-tests-0123456789abcdef";

#[tokio::test]
async fn the_metrics_have_the_names_of_the_contract_and_no_user() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
            let id = app.generate(&user, body).await;
            app.final_job(&user, &id).await;
            // Ended now: what is said to have ended before the last roll-up would not be counted any more.
            finished(app, &user, 3, FAILED, 0).await;
            for n in 0..3 {
                assert_eq!(app.get(&format!("/nowhere/{n}"), None).await.status, 404);
            }
            let odd = app.request(Method::from_bytes(b"BREW").unwrap(), "/nowhere");
            app.send(odd).await;
            let answer = app.get("/metrics", None).await;
            assert_eq!(
                answer.header("content-type"),
                Some("text/plain; version=0.0.4; charset=utf-8")
            );
            let text = text(&answer);
            let line = regex::Regex::new(
                r#"^(# (HELP|TYPE) .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (-?[0-9.e+-]+|\+Inf|NaN))$"#,
            )
            .unwrap();
            for found in text.lines() {
                assert!(line.is_match(found), "{found}");
            }
            let families: BTreeSet<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix("# TYPE "))
                .collect();
            insta::assert_snapshot!(
                "metric_families",
                families.iter().copied().collect::<Vec<_>>().join("\n")
            );
            for (series, expected) in [
                ("jobs_total{type=\"IMAGE_GENERATION\",status=\"COMPLETED\",provider=\"flux\"}", 1.0),
                ("jobs_total{type=\"IMAGE_GENERATION\",status=\"FAILED\",provider=\"flux\"}", 3.0),
                ("job_errors_total{type=\"IMAGE_GENERATION\",error_type=\"PROVIDER_FAULT\",provider=\"flux\"}", 3.0),
                ("credits_used_total{job_type=\"IMAGE_GENERATION\",provider=\"flux\"}", 1.0),
                ("job_duration_seconds_count{type=\"IMAGE_GENERATION\",status=\"FAILED\",provider=\"flux\"}", 3.0),
                ("job_duration_seconds_bucket{type=\"IMAGE_GENERATION\",status=\"FAILED\",provider=\"flux\",le=\"2\"}", 0.0),
                ("job_duration_seconds_bucket{type=\"IMAGE_GENERATION\",status=\"FAILED\",provider=\"flux\",le=\"5\"}", 3.0),
                ("queue_depth{queue_name=\"scene-generation-queue\"}", 0.0),
                ("active_jobs{type=\"IMAGE_GENERATION\"}", 0.0),
                ("job_figures_up", 1.0),
            ] {
                assert_eq!(value(&text, series), Some(expected), "{series}");
            }
            assert!(value(&text, "http_requests_total{method=\"GET\",route=\"/api/jobs/{job_id}\",status=\"2xx\"}").unwrap() >= 1.0);
            assert!(value(&text, "http_requests_total{method=\"GET\",route=\"unmatched\",status=\"4xx\"}").unwrap() >= 3.0);
            assert!(value(&text, "http_requests_total{method=\"other\",route=\"unmatched\",status=\"4xx\"}").unwrap() >= 1.0);
            assert!(value(&text, "provider_calls_total{call=\"submit\",outcome=\"ok\",provider=\"flux\"}").unwrap() >= 1.0);
            for secret in [user.id.as_str(), user.email.as_str(), id.as_str(), "nowhere"] {
                assert!(!text.contains(secret), "{secret}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_worker_shows_its_own_metrics_where_it_is_told_to() {
    let binding = format!("127.0.0.1:{}", free_port());
    test_app()
        .worker()
        .set("/http/worker_metrics_binding", binding.as_str())
        .set("/queue/internal_api_key", INTERNAL_KEY)
        .set("/http/metrics_access", "guarded")
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
            let id = app.generate(&user, body).await;
            app.final_job(&user, &id).await;
            let url = format!("http://{binding}/metrics");
            let ask = async |key: &str| {
                let request = reqwest::Client::new().get(&url).bearer_auth(key);
                request.send().await.unwrap()
            };
            assert_eq!(ask("another").await.status(), 401);
            let answer = ask(INTERNAL_KEY).await;
            assert_eq!(answer.status(), 200);
            let text = answer.text().await.unwrap();
            let submits = "provider_calls_total{call=\"submit\",outcome=\"ok\",provider=\"flux\"}";
            assert!(value(&text, submits).unwrap() >= 1.0, "{text}");
            assert!(value(&text, "db_pool_max_connections").is_some());
            assert!(!text.contains("jobs_total"), "{text}");
        })
        .await;
}

#[tokio::test]
async fn the_metrics_come_in_json_and_as_text() {
    test_app()
        .run(async |app| {
            let json = app.get(METRICS, None).await;
            assert_eq!(json.status, 200);
            let fields: Vec<&String> = json.json.as_object().unwrap().keys().collect();
            assert_eq!(fields, ["metrics", "timestamp"]);
            assert_eq!(redact(&json.json["timestamp"], &[]), json!("[time]"));
            assert!(
                json.json["metrics"]
                    .as_str()
                    .unwrap()
                    .contains("# TYPE queue_depth gauge")
            );
            let request = app
                .request(Method::GET, METRICS)
                .header("accept", "text/plain");
            let plain = app.send(request).await;
            assert_eq!(
                plain.header("content-type"),
                Some("text/plain; version=0.0.4; charset=utf-8")
            );
            assert!(text(&plain).contains("# TYPE queue_depth gauge"));
        })
        .await;
}

#[tokio::test]
async fn guarded_metrics_ask_for_an_admin_or_the_internal_key() {
    test_app()
        .set("/http/metrics_access", "guarded")
        .set("/queue/internal_api_key", INTERNAL_KEY)
        .run(async |app| {
            let (user, admin) = (app.user().await, admin(app).await);
            for path in ["/metrics", METRICS] {
                let none = app.get(path, None).await;
                assert_eq!(none.status, 401, "{path}");
                let wrong = format!("{}x", &INTERNAL_KEY[1..]);
                for key in [wrong.as_str(), &INTERNAL_KEY[..10], "internal-key"] {
                    assert_eq!(app.get(path, Some(key)).await.status, 401, "{key}");
                }
                let refused = app.get(path, Some(&user.token)).await;
                insta::assert_json_snapshot!("metrics_for_users", stable(&refused, &[]));
                for token in [admin.token.as_str(), INTERNAL_KEY] {
                    assert_eq!(app.get(path, Some(token)).await.status, 200, "{path}");
                }
            }
            // The public view stays public.
            assert_eq!(app.get("/api/health/queues", None).await.status, 200);
        })
        .await;
}

#[tokio::test]
async fn on_this_machine_metrics_are_open_but_not_through_a_proxy() {
    test_app()
        .run(async |app| {
            assert_eq!(app.get("/metrics", None).await.status, 200);
            for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
                let request = app
                    .request(Method::GET, "/metrics")
                    .header(header, "for=203.0.113.9");
                assert_eq!(app.send(request).await.status, 401, "{header}");
            }
            // Without a key set nobody has it.
            let request = app
                .request(Method::GET, "/metrics")
                .header("x-forwarded-for", "203.0.113.9")
                .bearer_auth("");
            assert_eq!(app.send(request).await.status, 401);
        })
        .await;
    test_app()
        .set("/http/metrics_access", "open")
        .run(async |app| {
            let request = app
                .request(Method::GET, "/metrics")
                .header("x-forwarded-for", "203.0.113.9");
            assert_eq!(app.send(request).await.status, 200);
        })
        .await;
}

#[test]
fn in_production_metrics_are_guarded_unless_said_otherwise() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let config = Environment::Production.load_from_folder(&folder).unwrap();
    let settings = config.settings.unwrap();
    assert_eq!(settings["http"]["metrics_access"], "guarded");
    assert_eq!(settings["queue"]["internal_api_key"], "");
}
