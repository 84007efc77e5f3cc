//! Socket.IO, with the real client from npm.

mod polling;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestUser, processes::Installation, snapshot::redact, socketio::Clients, sse::Stream,
    test_app, tokens,
};

fn with_token(token: &str) -> Value {
    json!({"auth": {"token": token}})
}

async fn generate_at(base: &str, user: &TestUser) -> String {
    let body = json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}});
    let request = reqwest::Client::new()
        .post(format!("{base}/api/image/flux"))
        .bearer_auth(&user.token)
        .json(&body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let answer: Value = answer.json().await.unwrap();
    answer["jobId"].as_str().unwrap().to_owned()
}

/// The log of a user as its events should have been told.
async fn logged(app: &TestApp, user: &TestUser, after: i64) -> Vec<(i64, String, String)> {
    sqlx::query_as(
        "select seq, payload->>'jobId', payload->>'status' from job_events
         where user_id = $1::uuid and seq > $2 order by seq",
    )
    .bind(&user.id)
    .bind(after)
    .fetch_all(app.ctx.db.get_postgres_connection_pool())
    .await
    .unwrap()
}

/// Follows a client until it was told the end of `jobs` jobs.
async fn follow(clients: &mut Clients, id: &str, jobs: usize) -> Vec<(i64, String, String)> {
    let mut told = Vec::new();
    let mut done = 0;
    while done < jobs {
        let update = clients.wait_for(id, "job-update").await;
        let text = |key: &str| update[key].as_str().unwrap().to_owned();
        done += usize::from(update["status"] == "COMPLETED");
        told.push((
            update["seq"].as_i64().unwrap(),
            text("jobId"),
            text("status"),
        ));
    }
    told
}

#[tokio::test]
async fn the_real_client_follows_its_own_jobs_across_processes() {
    let Some(mut clients) = Clients::start().await else {
        return;
    };
    test_app()
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: None,
            };
            // Sockets at A, work at B, admission at C.
            let (a, c) = tokio::join!(installation.api(), installation.api());
            let _b = installation.worker();
            let websocket = json!({
                "transports": ["websocket"],
                "extraHeaders": {"authorization": format!("Bearer {}", other.token)},
            });
            let polling = json!({"transports": ["polling"], "auth": {"token": user.token}});
            clients
                .connect("mine", &a.base, with_token(&user.token))
                .await;
            clients.connect("theirs", &a.base, websocket).await;
            clients.connect("polling", &a.base, polling).await;
            for id in ["mine", "theirs", "polling"] {
                clients.wait_for(id, "connect").await;
                clients.emit_bare(id, "subscribe-jobs").await;
                clients.wait_for(id, "subscribed").await;
            }
            for _ in 0..3 {
                generate_at(&c.base, &user).await;
            }
            let foreign = generate_at(&c.base, &other).await;
            let told = follow(&mut clients, "mine", 3).await;
            let log = logged(app, &user, 0).await;
            assert_eq!(told, log);
            assert_eq!(follow(&mut clients, "polling", 3).await, log);
            let theirs = follow(&mut clients, "theirs", 1).await;
            assert_eq!(theirs, logged(app, &other, 0).await);
            assert!(theirs.iter().all(|(_, job, _)| *job == foreign));

            // What happens between two connections is told to the second, from where the first ended.
            clients.disconnect("mine").await;
            let last = log.last().unwrap().0;
            for _ in 0..2 {
                let id = generate_at(&c.base, &user).await;
                app.final_job(&user, &id).await;
            }
            clients
                .connect("again", &a.base, with_token(&user.token))
                .await;
            clients.wait_for("again", "connect").await;
            let resume = json!({"userId": user.id, "lastSeq": last});
            clients.emit("again", "subscribe-jobs", resume).await;
            let answer = clients.wait_for("again", "subscribed").await;
            assert_eq!(answer, json!({"userId": user.id, "lastSeq": last}));
            let told = follow(&mut clients, "again", 2).await;
            assert_eq!(told, logged(app, &user, last).await);

            // Left and joined again: nothing in between, everything after.
            clients
                .emit("again", "unsubscribe-jobs", json!({"userId": user.id}))
                .await;
            let answer = clients.wait_for("again", "unsubscribed").await;
            assert_eq!(answer, json!({"userId": user.id}));
            let last = told.last().unwrap().0;
            let id = generate_at(&c.base, &user).await;
            app.final_job(&user, &id).await;
            clients
                .emit("again", "subscribe-jobs", json!({"lastSeq": last}))
                .await;
            clients.wait_for("again", "subscribed").await;
            let told = follow(&mut clients, "again", 1).await;
            assert_eq!(told, logged(app, &user, last).await);
            assert_eq!(clients.rest("again"), Vec::<&Value>::new());
        })
        .await;
}

#[tokio::test]
async fn strangers_and_foreign_users_are_refused() {
    let Some(mut clients) = Clients::start().await else {
        return;
    };
    test_app()
        .set("/realtime/sockets_per_user", 1)
        .run(async |app| {
            let (user, other) = (app.user().await, app.user().await);
            let mut refusals = serde_json::Map::new();
            let mut claims = tokens::claims(&user.id, &user.email);
            claims["role"] = json!("anon");
            let wrong_role = tokens::good(&claims);
            for (name, options) in [
                ("no token", json!({})),
                ("empty token", with_token("")),
                ("token that is no text", json!({"auth": {"token": 7}})),
                ("bad token", with_token("e30.e30.e30")),
                ("wrong role", with_token(&wrong_role)),
            ] {
                clients.connect(name, &app.base, options).await;
                let reason = clients.wait_for(name, "connect_error").await;
                refusals.insert(name.to_owned(), reason);
            }
            clients
                .connect("good", &app.base, with_token(&user.token))
                .await;
            clients.wait_for("good", "connect").await;
            for (name, payload) in [
                ("foreign user", json!({"userId": other.id})),
                ("no user id", json!({"userId": 7})),
                ("bad number", json!({"lastSeq": -1})),
                ("no object", json!("everything")),
            ] {
                clients.emit("good", "subscribe-jobs", payload).await;
                refusals.insert(name.to_owned(), clients.wait_for("good", "error").await);
            }
            clients
                .connect("second", &app.base, with_token(&user.token))
                .await;
            let reason = clients.wait_for("second", "connect_error").await;
            refusals.insert("too many of one user".to_owned(), reason);
            insta::assert_json_snapshot!("refused_sockets", redact(&refusals.into(), &[]));

            // Other people's jobs were never told.
            app.generate(&other, json!({"prompt": "not yours"})).await;
            clients
                .emit("good", "subscribe-jobs", json!({"userId": user.id}))
                .await;
            clients.wait_for("good", "subscribed").await;
            app.generate(&user, json!({"prompt": "yours"})).await;
            let update = clients.wait_for("good", "job-update").await;
            assert_eq!(
                (&update["seq"], &update["status"]),
                (&json!(1), &json!("PENDING"))
            );
            assert_eq!(clients.rest("good"), Vec::<&Value>::new());
        })
        .await;
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let Some(mut clients) = Clients::start().await else {
        return;
    };
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let mut claims = tokens::claims(&user.id, &user.email);
            claims["exp"] = json!(chrono::Utc::now().timestamp() + 8);
            clients
                .connect("short", &app.base, with_token(&tokens::good(&claims)))
                .await;
            clients.wait_for("short", "connect").await;
            clients.emit_bare("short", "subscribe-jobs").await;
            clients.wait_for("short", "subscribed").await;
            let error = clients.wait_for("short", "error").await;
            assert_eq!(error["code"], "TOKEN_EXPIRED");
            let reason = clients.wait_for("short", "disconnect").await;
            assert_eq!(reason, "io server disconnect");
        })
        .await;
}

#[tokio::test]
async fn a_process_with_open_connections_ends_at_once() {
    let Some(mut clients) = Clients::start().await else {
        return;
    };
    test_app()
        .run(async |app| {
            let user = app.user().await;
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            let installation = Installation {
                database_uri: &app.database.uri,
                bucket: &app.bucket,
                bfl: None,
            };
            let mut api = installation.api().await;
            for (id, transports) in [("ws", "websocket"), ("http", "polling")] {
                let options = json!({"transports": [transports], "auth": {"token": user.token}});
                clients.connect(id, &api.base, options).await;
                clients.wait_for(id, "connect").await;
                clients.emit_bare(id, "subscribe-jobs").await;
                clients.wait_for(id, "subscribed").await;
            }
            let path = format!("/api/jobs/{id}/events");
            let mut stream = Stream::open_at(&api.base, &path, &user.token, None).await;
            assert!(stream.update().await.is_some());
            let waiting = reqwest::Client::new()
                .get(format!("{}/api/jobs/{id}?wait=55", api.base))
                .bearer_auth(&user.token)
                .send();
            let waiting = tokio::spawn(waiting);
            // The wait is under way once the process has looked at the job. The text must not find itself.
            app.until("the wait", || async {
                let looks =
                    "select count(*) from pg_stat_activity where datname = current_database()
                    and query like '%from jobs where id = w.id ' || 'and user_id = w.user_id%'";
                (app.count(looks).await > 0).then_some(())
            })
            .await;
            let begun = Instant::now();
            assert!(api.process.terminate().await);
            // Less than the drain time of processes, and than the wait.
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(40), "{took:?}");
            assert_eq!(stream.block().await, None);
            let answer = waiting.await.unwrap().unwrap();
            assert_eq!(
                answer.status(),
                200,
                "a wait that is cut short tells the state"
            );
            // Not "io server disconnect", after which the library would not come back by itself.
            for id in ["ws", "http"] {
                let reason = clients.wait_for(id, "disconnect").await;
                assert_eq!(reason, "transport close", "{id}");
            }
        })
        .await;
}
