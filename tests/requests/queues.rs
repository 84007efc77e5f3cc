//! `/api/health/queues`: the queues, their workers, and one job from inside.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    bfl::{self, Bfl},
    operators::{COMPLETED, FAILED, admin, finished, text, value},
    pictures,
    processes::Installation,
    snapshot::{redact, stable},
    test_app,
};

const QUEUES: &str = "/api/health/queues";

#[tokio::test]
async fn the_queues_show_real_figures() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            insta::assert_json_snapshot!("idle_queues", stable(&app.get(QUEUES, None).await, &[]));
            for _ in 0..2 {
                app.generate(&user, json!({"prompt": "a fox"})).await;
            }
            let waiting = app.generate(&user, json!({"prompt": "a fox"})).await;
            app.execute(&format!(
                "update jobs set status = 'PROCESSING', claim_no = 1, started_at = now(),
                        next_run_at = now() + interval '1 hour' where id = '{waiting}'"
            ))
            .await;
            app.execute("update jobs set next_run_at = now() - interval '90 seconds' where status = 'PENDING'")
                .await;
            finished(app, &user, 6, COMPLETED, 60).await;
            finished(app, &user, 2, FAILED, 60).await;
            // Beyond the window: in the totals, not in the rates.
            finished(app, &user, 5, COMPLETED, 60).await;
            app.execute(
                "update jobs set completed_at = completed_at - interval '1 hour', started_at = started_at - interval '1 hour'
                 where id in (select id from jobs where status = 'COMPLETED' limit 5)",
            )
            .await;
            let answer = app.get(QUEUES, None).await;
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let mut body = answer.json.clone();
            for age in ["/queues/image-generation-queue/oldestDueSeconds", "/processingStats/oldestDueSeconds"] {
                let age = body.pointer_mut(age).unwrap();
                assert!((90.0..150.0).contains(&age.as_f64().unwrap()), "{age}");
                *age = json!("[about 90]");
            }
            insta::assert_json_snapshot!("busy_queues", redact(&body, &[]));
        })
        .await;
}

#[tokio::test]
async fn workers_of_other_processes_are_seen_with_their_heartbeats() {
    test_app()
        .run(async |app| {
            assert_eq!(app.get(QUEUES, None).await.json["workers"], json!([]));
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: None,
            };
            let mut process = installation.worker();
            let queues = app
                .until("all workers to report", || async {
                    let json = app.get(QUEUES, None).await.json;
                    let images = &json["queues"]["image-generation-queue"]["workers"];
                    (*images == 1).then_some(json)
                })
                .await;
            for worker in queues["workers"].as_array().unwrap() {
                assert_eq!(worker["isAlive"], true, "{worker}");
                let name = worker["name"].as_str().unwrap();
                assert!(
                    name.starts_with(worker["queue"].as_str().unwrap()),
                    "{name}"
                );
                assert!(
                    redact(&worker["lastSeenAt"], &[]) == json!("[time]"),
                    "{worker}"
                );
            }
            let scraped = text(&app.get("/metrics", None).await);
            let workers = value(
                &scraped,
                "queue_workers{queue_name=\"image-generation-queue\"}",
            );
            assert_eq!(workers, Some(1.0));
            process.kill();
            // A dead process sends no heartbeats any more.
            app.execute("update apalis.workers set last_seen = now() - interval '7 seconds'")
                .await;
            let json = app.get(QUEUES, None).await.json;
            assert_eq!(json["queues"]["image-generation-queue"]["workers"], 0);
            assert!(
                json["workers"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|worker| worker["isAlive"] == false)
            );
        })
        .await;
}

#[tokio::test]
async fn without_a_database_health_and_metrics_still_answer() {
    test_app()
        .run(async |app| {
            let name = app.database.uri.rsplit('/').next().unwrap().to_owned();
            let admin = crate::support::cluster::admin().await;
            let run = async |sql: String| {
                sqlx::query(sqlx::AssertSqlSafe(sql))
                    .execute(&admin)
                    .await
                    .unwrap();
            };
            run(format!("alter database {name} allow_connections false")).await;
            run(format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
            ))
            .await;
            let away = app.get(QUEUES, None).await;
            insta::assert_json_snapshot!(
                "queues_without_database",
                stable(&away, &[])
                    .to_string()
                    .replace("cannot be asked", "is away")
                    .replace("does not answer in time", "is away")
            );
            let scraped = app.get("/metrics", None).await;
            assert_eq!(scraped.status, 200);
            let scraped = text(&scraped);
            assert_eq!(value(&scraped, "job_figures_up"), Some(0.0));
            assert_eq!(value(&scraped, "db_pool_max_connections"), Some(8.0));
            assert!(!scraped.contains("queue_depth"));
            run(format!("alter database {name} allow_connections true")).await;
            app.until("the database to be back", || async {
                (app.get(QUEUES, None).await.json["status"] == "healthy").then_some(())
            })
            .await;
        })
        .await;
}

fn debug_path(id: &str) -> String {
    format!("{QUEUES}/job/{id}/debug")
}

#[tokio::test]
async fn an_admin_sees_one_job_from_inside() {
    test_app()
        .run(async |app| {
            let (user, admin) = (app.user().await, admin(app).await);
            let picture = pictures::data_url(8, 8);
            let body = json!({"prompt": "a fox", "references": [picture]});
            let request = app
                .request(Method::POST, "/api/image/flux")
                .bearer_auth(&user.token)
                .header("x-request-id", "the-request")
                .header("x-correlation-id", "the-correlation")
                .json(&body);
            let id = app.send(request).await.json["jobId"]
                .as_str()
                .unwrap()
                .to_owned();
            let path = debug_path(&id);
            assert_eq!(app.get(&path, None).await.status, 401);
            let refused = app.get(&path, Some(&user.token)).await;
            insta::assert_json_snapshot!("debug_for_users", stable(&refused, &[]));
            let unknown = debug_path("01a20513-d927-7044-adaa-89f1b3adba47");
            let missing = app.get(&unknown, Some(&admin.token)).await;
            insta::assert_json_snapshot!("debug_of_no_job", stable(&missing, &[]));
            assert_eq!(
                app.get(&debug_path("x"), Some(&admin.token)).await.status,
                404
            );
            let answer = app.get(&path, Some(&admin.token)).await;
            let delivery = answer.json["deliveries"][0]["id"]
                .as_str()
                .unwrap()
                .to_owned();
            assert_eq!(delivery.len(), 26, "a ULID");
            let known = [
                (id.as_str(), "job"),
                (user.id.as_str(), "user"),
                (delivery.as_str(), "delivery"),
            ];
            insta::assert_json_snapshot!("debug_of_a_waiting_job", stable(&answer, &known));
            let all = text(&answer);
            assert!(!all.contains("base64") && !all.contains("inputs/"), "{all}");
        })
        .await;
}

#[tokio::test]
async fn a_finished_job_shows_how_it_went_and_no_secret() {
    let bfl = Bfl::start().await;
    test_app()
        .worker()
        .flux(&bfl)
        .run(async |app| {
            let (user, admin) = (app.user().await, admin(app).await);
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            assert_eq!(app.final_job(&user, &id).await["status"], "COMPLETED");
            let answer = app.get(&debug_path(&id), Some(&admin.token)).await;
            let run = &answer.json["run"];
            assert!(run["upstreamId"].is_string(), "{run}");
            assert!(
                run["startedAt"].is_string() && run["nextRunAt"].is_null(),
                "{run}"
            );
            assert_eq!(answer.json["hold"]["state"], "captured");
            assert_eq!(answer.json["hold"]["captured"], 1);
            let seqs: Vec<i64> = answer.json["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| event["seq"].as_i64().unwrap())
                .collect();
            assert!(seqs.len() > 3 && seqs.is_sorted(), "{seqs:?}");
            let all = text(&answer);
            for secret in [bfl::KEY, "get_result", &user.email] {
                assert!(!all.contains(secret), "{secret}: {all}");
            }
        })
        .await;
}

/// Every answer of these routes is JSON in the envelope or text; nothing else.
#[tokio::test]
async fn wrong_methods_come_in_the_envelope() {
    test_app()
        .run(async |app| {
            for path in ["/metrics", QUEUES, "/api/health/queues/metrics"] {
                let answer = app.call(Method::POST, path, None, Some(Value::Null)).await;
                assert_eq!(
                    (answer.status, &answer.json["code"]),
                    (405, &json!("METHOD_NOT_ALLOWED"))
                );
            }
        })
        .await;
}
