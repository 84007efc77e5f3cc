//! Socket.IO by hand, over HTTP: limits, origins, and a client that does not read.

use daygen::realtime::Announcer;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{log::append, snapshot::stable, sse::Stream, test_app};

#[tokio::test]
async fn a_full_process_takes_no_more_connections() {
    test_app()
        .set("/realtime/max_connections", 1)
        .set("/realtime/connect_timeout_ms", 5_000)
        .run(async |app| {
            let connect = async || {
                let path = "/socket.io/?EIO=4&transport=polling";
                app.send(app.request(Method::GET, path)).await
            };
            assert_eq!(connect().await.status, 200);
            let refused = connect().await;
            assert_eq!(refused.header("retry-after"), Some("5"));
            insta::assert_json_snapshot!("full_process", stable(&refused, &[]));
            // Whoever shows no token in time gives the place back.
            app.until("a free place", || async {
                (connect().await.status == 200).then_some(())
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    test_app()
        .run(async |app| {
            let path = "/socket.io/?EIO=4&transport=polling";
            let open = app.send(app.request(Method::GET, path)).await;
            let open: Value = serde_json::from_slice(&open.bytes[1..]).unwrap();
            assert_eq!(open["maxPayload"], 65_536);
            let path = format!("{path}&sid={}", open["sid"].as_str().unwrap());
            let body = format!("40{}", json!({"token": "x".repeat(70_000)}));
            let answer = app.send(app.request(Method::POST, &path).body(body)).await;
            assert_eq!(answer.status, 413);
        })
        .await;
}

#[tokio::test]
async fn browsers_of_known_origins_may_connect() {
    test_app()
        .run(async |app| {
            let ask = async |origin: &str| {
                let request = app
                    .request(Method::GET, "/socket.io/?EIO=4&transport=polling")
                    .header("origin", origin);
                app.send(request).await
            };
            let answer = ask("http://localhost:5173").await;
            assert_eq!(answer.status, 200);
            assert_eq!(
                answer.header("access-control-allow-origin"),
                Some("http://localhost:5173")
            );
            assert_eq!(
                answer.header("access-control-allow-credentials"),
                Some("true")
            );
            let answer = ask("https://elsewhere.example").await;
            assert_eq!(answer.header("access-control-allow-origin"), None);
        })
        .await;
}

/// What a polling client got in one answer, without pings.
fn packets(text: &str) -> Vec<Value> {
    let events = text
        .split('\u{1e}')
        .filter_map(|packet| packet.strip_prefix("42"));
    events
        .map(|event| serde_json::from_str(event).unwrap())
        .collect()
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_everything_once_it_does() {
    const EVENTS: usize = 300;
    test_app()
        .set("/realtime/buffer_events", 8)
        .set("/realtime/page_events", 20)
        .run(async |app| {
            let user = app.user().await;
            let job = app.generate(&user, json!({"prompt": "a fox"})).await;
            let path = "/socket.io/?EIO=4&transport=polling";
            let open = app.send(app.request(Method::GET, path)).await;
            let open: Value = serde_json::from_slice(&open.bytes[1..]).unwrap();
            let path = format!("{path}&sid={}", open["sid"].as_str().unwrap());
            let say = async |text: String| {
                let request = app.request(Method::POST, &path).body(text);
                assert_eq!(app.send(request).await.status, 200);
            };
            let poll = async || {
                let answer = app.send(app.request(Method::GET, &path)).await;
                String::from_utf8(answer.bytes).unwrap()
            };
            say(format!("40{}", json!({"token": user.token}))).await;
            // A ping may come first.
            while !poll().await.contains("40{") {}
            say(format!("42{}", json!(["subscribe-jobs", {"lastSeq": 0}]))).await;
            let mut stream = Stream::open(app, "/api/events", &user.token, Some(0)).await;
            let announcer = app.ctx.shared_store.get::<Announcer>().unwrap();
            append(app, &user, &job, EVENTS, "{}").await;
            announcer.announce(user.id.parse().unwrap());
            let last = i64::try_from(EVENTS).unwrap() + 1;
            for seq in 1..=last {
                assert_eq!(stream.update().await.unwrap()["seq"], seq);
            }
            let mut told = Vec::new();
            while told.len() <= EVENTS {
                for event in packets(&poll().await) {
                    match event[0].as_str().unwrap() {
                        "job-update" => told.push(event[1]["seq"].as_i64().unwrap()),
                        name => assert_eq!(name, "subscribed"),
                    }
                }
            }
            assert_eq!(told, (1..=last).collect::<Vec<_>>());
        })
        .await;
}
