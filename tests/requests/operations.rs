//! What operators see: queue health, metrics, one job from inside.

use std::collections::BTreeSet;

use daygen::models::job_totals;
use loco_rs::environment::Environment;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Answer, TestApp, TestUser, pictures,
    processes::Installation,
    snapshot::{redact, stable},
    test_app,
};

const QUEUES: &str = "/api/health/queues";
const METRICS: &str = "/api/health/queues/metrics";
const INTERNAL_KEY: &str = "internal-key-of-the-tests-0123456789abcdef";

/// Puts finished jobs there that cost nothing, so that the books do not mind.
async fn finished(
    app: &TestApp,
    user: &TestUser,
    n: i64,
    (columns, values): (&str, &str),
    seconds_ago: u32,
) {
    let end = format!("(now() - interval '{seconds_ago} seconds')");
    let values = values.replace("END", &end);
    app.execute(&format!(
        "insert into jobs (id, user_id, type, queue, provider, model, input, cost, deadline_at, next_run_at,
                           completed_at, {columns})
         select gen_random_uuid(), '{}', 'IMAGE_GENERATION', 'image-generation-queue', 'flux', 'm', '{{}}', 0, now(),
                null, {end}, {values}
         from generate_series(1, {n})",
        user.id
    ))
    .await;
}

const COMPLETED: (&str, &str) = (
    "status, progress, result_key, started_at",
    "'COMPLETED', 100, 'k', END - interval '4 seconds'",
);
const FAILED: (&str, &str) = (
    "status, error, error_code, started_at",
    "'FAILED', 'e', 'PROVIDER_FAULT', END - interval '2 seconds'",
);

async fn admin(app: &TestApp) -> TestUser {
    let user = app.user().await;
    app.execute(&format!(
        "update users set role = 'ADMIN' where id = '{}'",
        user.id
    ))
    .await;
    user
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes.clone()).unwrap()
}

/// The value of one series.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

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
                assert!((90.0..100.0).contains(&age.as_f64().unwrap()), "{age}");
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
                    let alive = json["queues"].as_object().unwrap().values();
                    (alive.filter(|queue| queue["workers"] == 1).count() >= 1
                        && json["workers"].as_array().unwrap().len() >= 3)
                        .then_some(json)
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

#[tokio::test]
async fn the_metrics_have_the_names_of_the_contract_and_no_user() {
    test_app()
        .worker()
        .run(async |app| {
            let user = app.user().await;
            let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
            let id = app.generate(&user, body).await;
            app.final_job(&user, &id).await;
            finished(app, &user, 3, FAILED, 60).await;
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
        .set("/http/internal_api_key", INTERNAL_KEY)
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
            assert_eq!(app.get(QUEUES, None).await.status, 200);
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
    assert_eq!(settings["http"]["internal_api_key"], "");
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
    let bfl = crate::support::bfl::Bfl::start().await;
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
            for secret in [crate::support::bfl::KEY, "get_result", &user.email] {
                assert!(!all.contains(secret), "{secret}: {all}");
            }
        })
        .await;
}

async fn counted(app: &TestApp) -> i64 {
    let lines = job_totals::Entity::figures(&app.ctx.db, 300).await.unwrap();
    let total = lines.iter().filter(|line| line.section == "total");
    total.map(|line| line.jobs).sum()
}

#[tokio::test]
async fn every_job_is_counted_once_whatever_is_rolled_up_meanwhile() {
    test_app()
        .run(async |app| {
            let user = app.user().await;
            finished(app, &user, 10, COMPLETED, 60).await;
            assert_eq!(counted(app).await, 10);
            let roll_up = async || job_totals::Entity::roll_up(&app.ctx.db, 100).await.unwrap();
            // A job that finishes in a transaction which is still open bears a time of the past.
            let pool = crate::support::cluster::pool(&app.database.uri).await;
            let mut open = pool.begin().await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "insert into jobs (id, user_id, type, queue, provider, model, input, cost, deadline_at, next_run_at,
                                   completed_at, status, progress, result_key)
                 values (gen_random_uuid(), '{}', 'IMAGE_GENERATION', 'q', 'flux', 'm', '{{}}', 0, now(), null,
                         clock_timestamp(), 'COMPLETED', 100, 'k')",
                user.id
            )))
            .execute(&mut *open)
            .await
            .unwrap();
            assert_eq!(roll_up().await, 10);
            assert_eq!((roll_up().await, counted(app).await), (0, 10));
            open.commit().await.unwrap();
            assert_eq!(counted(app).await, 11);
            app.until("the job to be older than the horizon", || async {
                (roll_up().await == 1).then_some(())
            })
            .await;
            assert_eq!((roll_up().await, counted(app).await), (0, 11));
            let (a, b) = tokio::join!(
                finished(app, &user, 500, FAILED, 0),
                futures_util::future::join_all((0..20).map(|_| roll_up()))
            );
            let () = a;
            drop::<Vec<i64>>(b);
            assert_eq!(counted(app).await, 511);
            // A batch ends between two times, never between two jobs of one time.
            for _ in 0..30 {
                finished(app, &user, 10, COMPLETED, 0).await;
            }
            assert_eq!(counted(app).await, 811);
            let rolled = async || job_totals::Entity::roll_up(&app.ctx.db, 25).await.unwrap();
            app.until("all to be in the totals", || async {
                let jobs = rolled().await;
                assert!(jobs <= 530, "{jobs}");
                assert_eq!(counted(app).await, 811);
                let sum = "select coalesce(sum(jobs), 0)::bigint from job_totals";
                (app.count(sum).await == 811).then_some(())
            })
            .await;
        })
        .await;
}

/// Figures over so many jobs that finished long ago, and five that just did; gives the plan.
async fn look_at_many(app: &TestApp, many: i64) -> String {
    use sea_orm::{ConnectionTrait, DbBackend, Statement};
    let user = app.user().await;
    finished(app, &user, many, COMPLETED, 86_400).await;
    assert_eq!(
        job_totals::Entity::roll_up(&app.ctx.db, many)
            .await
            .unwrap(),
        many
    );
    app.execute("analyze jobs").await;
    finished(app, &user, 5, COMPLETED, 0).await;
    assert_eq!(counted(app).await, many + 5);
    let explain = format!(
        "explain analyze {}",
        job_totals::figures_sql().replace("$1", "300")
    );
    let rows = app
        .ctx
        .db
        .query_all_raw(Statement::from_string(DbBackend::Postgres, explain))
        .await
        .unwrap();
    let plan: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect();
    plan.join("\n")
}

#[tokio::test]
async fn many_finished_jobs_are_not_read_again_and_again() {
    test_app()
        .run(async |app| {
            let plan = look_at_many(app, 30_000).await;
            assert!(!plan.contains("Seq Scan on jobs"), "{plan}");
            assert!(plan.contains("jobs_completed"), "{plan}");
        })
        .await;
}

#[tokio::test]
#[ignore = "makes a million jobs"]
async fn a_look_at_a_million_finished_jobs_takes_milliseconds() {
    test_app()
        .run(async |app| {
            let plan = look_at_many(app, 1_000_000).await;
            println!("{plan}");
            let started = std::time::Instant::now();
            for _ in 0..20 {
                counted(app).await;
            }
            let took = started.elapsed() / 20;
            println!("one look: {took:?}");
            assert!(took < std::time::Duration::from_millis(100), "{took:?}");
        })
        .await;
}

/// Every answer of these routes is JSON in the envelope or text; nothing else.
#[tokio::test]
async fn wrong_methods_come_in_the_envelope() {
    test_app()
        .run(async |app| {
            for path in ["/metrics", QUEUES, METRICS] {
                let answer = app.call(Method::POST, path, None, Some(Value::Null)).await;
                assert_eq!(
                    (answer.status, &answer.json["code"]),
                    (405, &json!("METHOD_NOT_ALLOWED"))
                );
            }
        })
        .await;
}
