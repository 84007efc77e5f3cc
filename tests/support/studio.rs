//! A stand-in of Kling's API whose videos are as large as wanted and are never in memory as a whole.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

pub const KEY: &str = "key-of-the-studio";

/// Size of the pieces that a video comes in, bytes.
const PIECE: usize = 64 * 1024;

/// How one download goes.
#[derive(Debug, Clone, Copy)]
pub enum Take {
    /// The whole video, so many bytes long, its length announced or not.
    Whole { bytes: usize, is_announced: bool },
    /// So many bytes of it; then the connection breaks.
    Cut { bytes: usize },
}

#[derive(Default)]
struct Shared {
    base: Mutex<String>,
    takes: Mutex<VecDeque<Take>>,
    submissions: AtomicUsize,
    downloads: AtomicUsize,
}

/// The stand-in.
#[derive(Clone)]
pub struct Studio {
    pub base: String,
    shared: Arc<Shared>,
}

impl Studio {
    /// Starts it; downloads go like these, the last for ever.
    pub async fn start(takes: &[Take]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        shared.base.lock().unwrap().clone_from(&base);
        shared.takes.lock().unwrap().extend(takes);
        let app = Router::new()
            .route("/v1/videos/text2video", post(submit))
            .route("/v1/videos/text2video/{id}", get(poll))
            .route("/video", get(video))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, shared }
    }

    pub fn submissions(&self) -> usize {
        self.shared.submissions.load(Ordering::SeqCst)
    }

    pub fn downloads(&self) -> usize {
        self.shared.downloads.load(Ordering::SeqCst)
    }
}

/// Byte `n` of every video: the head of an MP4 file, then a pattern.
pub fn byte(n: usize) -> u8 {
    const HEAD: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x08mdat";
    HEAD.get(n)
        .copied()
        .unwrap_or_else(|| u8::try_from((n / 7 + n / 4099) % 251).unwrap())
}

fn answer(data: Value) -> Json<Value> {
    Json(json!({"code": 0, "message": "SUCCEED", "request_id": "r", "data": data}))
}

async fn submit(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let n = shared.submissions.fetch_add(1, Ordering::SeqCst) + 1;
    answer(json!({"task_id": format!("t-{n}"), "task_status": "submitted"}))
}

async fn poll(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let url = format!("{}/video?signature=secret", shared.base.lock().unwrap());
    answer(json!({
        "task_id": "t", "task_status": "succeed", "task_result": {"videos": [{"id": "v", "url": url, "duration": "5"}]},
    }))
}

async fn video(State(shared): State<Arc<Shared>>) -> Response {
    shared.downloads.fetch_add(1, Ordering::SeqCst);
    let take = {
        let mut takes = shared.takes.lock().unwrap();
        match takes.len() {
            1 => takes[0],
            _ => takes.pop_front().unwrap(),
        }
    };
    let (bytes, is_announced, is_cut) = match take {
        Take::Whole {
            bytes,
            is_announced,
        } => (bytes, is_announced, false),
        Take::Cut { bytes } => (bytes, false, true),
    };
    let pieces = (0..bytes.div_ceil(PIECE)).map(move |piece| {
        let end = ((piece + 1) * PIECE).min(bytes);
        Ok(Bytes::from_iter((piece * PIECE..end).map(byte)))
    });
    let end = is_cut.then(|| Err(std::io::Error::other("cut")));
    let body = Body::from_stream(stream::iter(pieces).chain(stream::iter(end)));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, "video/mp4".parse().unwrap());
    if is_announced {
        headers.insert(header::CONTENT_LENGTH, bytes.into());
    }
    response
}
