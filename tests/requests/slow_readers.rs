//! A client that asks for a stream and reads nothing of it is cut, and its seat is free again.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{TestApp, TestUser, test_app};

/// Sends a request head over a connection that can take little.
async fn ask(app: &TestApp, user: &TestUser, path: &str, headers: &str) -> TcpStream {
    let address = app.base.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n{headers}\r\n",
        user.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads until one of these comes, and gives that.
async fn read_until<'a>(stream: &mut TcpStream, wanted: &[&'a str]) -> &'a str {
    let mut seen = Vec::new();
    let mut byte = [0];
    let reading = async {
        loop {
            assert_eq!(
                stream.read(&mut byte).await.unwrap(),
                1,
                "the connection ended"
            );
            seen.push(byte[0]);
            if let Some(found) = wanted.iter().find(|text| seen.ends_with(text.as_bytes())) {
                return *found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading)
        .await
        .unwrap()
}

/// A stream of all events that was let in, or `None`.
async fn events(app: &TestApp, user: &TestUser) -> Option<TcpStream> {
    let mut stream = ask(app, user, "/api/events", "Last-Event-ID: 0\r\n").await;
    (read_until(&mut stream, &["HTTP/1.1 200", "HTTP/1.1 429"]).await == "HTTP/1.1 200")
        .then_some(stream)
}

#[tokio::test]
async fn who_never_reads_loses_the_seat() {
    test_app()
        .set("/http/write_timeout_ms", 3_000)
        .set("/realtime/streams_per_user", 1)
        .run(async |app| {
            let user = app.user().await;
            let job = app.generate(&user, json!({"prompt": "a fox"})).await;
            // More than what lies between the two can hold.
            app.execute(&format!(
                "insert into job_events (user_id, seq, job_id, payload)
                 select e.user_id, e.seq + n, e.job_id, e.payload || jsonb_build_object('stage', repeat('x', 60000))
                 from job_events e, generate_series(1, 400) n where e.job_id = '{job}'"
            ))
            .await;
            app.execute("update event_sequences set last_seq = last_seq + 400").await;
            let silent_stream = events(app, &user).await.expect("a seat is free");
            assert!(events(app, &user).await.is_none(), "the seat is taken");
            app.within(Duration::from_secs(60), "the seat of the stream", || async {
                events(app, &user).await.is_some().then_some(())
            })
            .await;
            drop(silent_stream);
        })
        .await;
}
