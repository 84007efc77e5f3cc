//! The edge around every route.

use reqwest::Method;
use serde_json::json;

use crate::support::{snapshot::stable, test_app};

#[tokio::test]
async fn the_front_door_and_the_health_checks_answer() {
    test_app()
        .run(async |app| {
            let root = app.get("/", None).await;
            assert_eq!(
                (root.status, root.header("content-type")),
                (200, Some("text/html; charset=utf-8"))
            );
            assert_eq!(root.bytes, b"Hello World!");
            let health = app.get("/health", None).await;
            assert_eq!(
                health.header("cache-control"),
                Some("no-cache, no-store, must-revalidate")
            );
            insta::assert_json_snapshot!("health", stable(&health, &[]));
            for path in ["/_ping", "/_readiness"] {
                assert_eq!(
                    app.get(path, None).await.json,
                    json!({"ok": true}),
                    "{path}"
                );
            }
            assert_eq!(app.get("/api/health", None).await.status, 404);
        })
        .await;
}

#[tokio::test]
async fn health_tells_that_the_database_is_away_and_comes_back() {
    test_app()
        .run(async |app| {
            let name = app.database.uri.rsplit('/').next().unwrap().to_owned();
            let admin = crate::support::cluster::admin().await;
            let forbid = format!("alter database {name} allow_connections false");
            sqlx::query(sqlx::AssertSqlSafe(forbid))
                .execute(&admin)
                .await
                .unwrap();
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
            sqlx::query(cut).bind(&name).execute(&admin).await.unwrap();
            let away = app.get("/health", None).await;
            assert_eq!(away.status, 503);
            assert_eq!(away.json["status"], "error");
            assert_eq!(away.json["error"]["database"]["status"], "down");
            let allow = format!("alter database {name} allow_connections true");
            sqlx::query(sqlx::AssertSqlSafe(allow))
                .execute(&admin)
                .await
                .unwrap();
            app.until("the database to be back", || async {
                (app.get("/health", None).await.status == 200).then_some(())
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn what_no_handler_answers_comes_in_the_envelope() {
    test_app()
        .run(async |app| {
            let unknown = app.get("/api/nope?x=1", None).await;
            insta::assert_json_snapshot!("unknown_route", stable(&unknown, &[]));
            let wrong_method = app.call(Method::PUT, "/api/jobs", None, None).await;
            insta::assert_json_snapshot!("wrong_method", stable(&wrong_method, &[]));
            let gotrue = app.get("/auth/v1/nope", None).await;
            insta::assert_json_snapshot!("unknown_gotrue_route", stable(&gotrue, &[]));
        })
        .await;
}

#[tokio::test]
async fn ids_are_taken_returned_and_made() {
    test_app()
        .run(async |app| {
            let request = app
                .request(Method::GET, "/api/nope")
                .header("x-request-id", "req-1")
                .header("x-correlation-id", "corr-1");
            let answer = app.send(request).await;
            assert_eq!(answer.header("x-request-id"), Some("req-1"));
            assert_eq!(answer.header("x-correlation-id"), Some("corr-1"));
            assert_eq!(answer.json["requestId"], "req-1");
            let hostile = app
                .request(Method::GET, "/api/nope")
                .header("x-request-id", "a b\"<c>");
            let made = app.send(hostile).await;
            let id = made.header("x-request-id").unwrap();
            assert!(uuid::Uuid::parse_str(id).is_ok(), "{id}");
        })
        .await;
}

#[tokio::test]
async fn browsers_of_known_origins_may_call_and_errors_carry_cors_too() {
    test_app()
        .run(async |app| {
            let preflight = app
                .request(Method::OPTIONS, "/auth/v1/token")
                .header("origin", "http://localhost:5173")
                .header("access-control-request-method", "POST")
                .header(
                    "access-control-request-headers",
                    "apikey,authorization,content-type,x-client-info,x-supabase-api-version",
                );
            let answer = app.send(preflight).await;
            assert_eq!(answer.status, 204);
            assert_eq!(
                answer.header("access-control-allow-origin"),
                Some("http://localhost:5173")
            );
            let headers: Vec<_> = [
                "access-control-allow-methods",
                "access-control-allow-headers",
                "access-control-max-age",
                "access-control-allow-credentials",
            ]
            .map(|name| (name, answer.header(name)))
            .into();
            insta::assert_debug_snapshot!("preflight_headers", headers);
            for path in ["/api/nope", "/api/auth/me"] {
                let request = app
                    .request(Method::GET, path)
                    .header("origin", "http://localhost:5173");
                let refused = app.send(request).await;
                assert!(refused.status >= 400);
                assert_eq!(
                    refused.header("access-control-allow-origin"),
                    Some("http://localhost:5173")
                );
            }
            let foreign = app
                .request(Method::GET, "/health")
                .header("origin", "https://evil.example");
            let answer = app.send(foreign).await;
            assert_eq!(
                (answer.status, answer.header("access-control-allow-origin")),
                (200, None)
            );
        })
        .await;
}

#[tokio::test]
async fn a_panic_is_answered_in_the_envelope() {
    use axum::{Router, routing::get};
    use daygen::http::edge::Edge;
    use loco_rs::controller::middleware::MiddlewareLayer;
    use tower::ServiceExt;

    async fn boom() -> &'static str {
        panic!("this handler panics on purpose")
    }
    test_app()
        .run(async |app| {
            for (path, shape) in [("/api/boom", "statusCode"), ("/auth/v1/boom", "error_code")] {
                let router = Router::new().route(path, get(boom));
                let router = Edge(app.settings())
                    .apply(router)
                    .unwrap()
                    .with_state(app.ctx.clone());
                let request = axum::http::Request::get(path)
                    .body(axum::body::Body::empty())
                    .unwrap();
                let answer = router.oneshot(request).await.unwrap();
                assert_eq!(answer.status(), 500);
                let bytes = axum::body::to_bytes(answer.into_body(), 10_000)
                    .await
                    .unwrap();
                let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                assert!(json.get(shape).is_some(), "{json}");
                assert!(!json.to_string().contains("on purpose"));
            }
        })
        .await;
}
