//! A reader of server-sent events, bounded in time.

use std::time::Duration;

use serde_json::Value;

use super::TestApp;

const LIMIT: Duration = Duration::from_secs(120);

/// An open stream.
pub struct Stream {
    response: reqwest::Response,
    text: String,
    /// The id that a resume would send.
    pub last_id: Option<i64>,
}

/// What stands between two empty lines.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Block {
    pub event: Option<String>,
    pub id: Option<i64>,
    pub data: Option<Value>,
    pub retry: Option<u64>,
    pub comment: Option<String>,
}

impl Stream {
    /// Opens a stream of an app, after an event or from now.
    pub async fn open(app: &TestApp, path: &str, token: &str, after: Option<i64>) -> Self {
        Self::open_at(&app.base, path, token, after).await
    }

    pub async fn open_at(base: &str, path: &str, token: &str, after: Option<i64>) -> Self {
        let mut request = reqwest::Client::new()
            .get(format!("{base}{path}"))
            .bearer_auth(token);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        assert!(response.headers().get("content-encoding").is_none());
        Self {
            response,
            text: String::new(),
            last_id: after,
        }
    }

    /// The next block; `None` at the end of the stream, however it came.
    pub async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = read(block);
                self.text = rest.to_owned();
                self.last_id = block.id.or(self.last_id);
                return Some(block);
            }
            let chunk = tokio::time::timeout(LIMIT, self.response.chunk())
                .await
                .expect("the stream goes on");
            let chunk = chunk.ok().flatten()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event that carries data. Comments do not make the wait any longer.
    pub async fn update(&mut self) -> Option<Value> {
        tokio::time::timeout(LIMIT, self.read_update())
            .await
            .expect("an event comes")
    }

    async fn read_update(&mut self) -> Option<Value> {
        loop {
            let block = self.block().await?;
            if let Some(data) = block.data {
                assert_eq!(block.event.as_deref(), Some("job-update"));
                assert_eq!(block.id, data["seq"].as_i64());
                return Some(data);
            }
        }
    }
}

fn read(text: &str) -> Block {
    let mut block = Block::default();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap();
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => block.comment = Some(value.to_owned()),
            "event" => block.event = Some(value.to_owned()),
            "id" => block.id = Some(value.parse().unwrap()),
            "retry" => block.retry = Some(value.parse().unwrap()),
            "data" => block.data = Some(serde_json::from_str(value).unwrap()),
            other => panic!("{other} is no field of an event"),
        }
    }
    block
}
