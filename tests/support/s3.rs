//! An in-process S3 over a temporary folder, with a gate in front of uploads for fault tests.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{Method, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::sync::{Notify, Semaphore};

pub const BUCKET: &str = "test-bucket";
pub const KEY_ID: &str = "test";
pub const SECRET: &str = "test-secret-of-the-bucket";

/// The bucket of a test.
pub struct TestBucket {
    pub endpoint: String,
    pub root: PathBuf,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_closed: AtomicBool,
    arrived: Notify,
    waiting: AtomicUsize,
    open: Notify,
}

impl TestBucket {
    pub async fn start() -> Self {
        let root = std::env::temp_dir().join(format!("daygen-objects-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(root.join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&root).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = builder.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let gate = Arc::new(Gate::default());
        let guard = Arc::clone(&gate);
        // Bounds open connections so that a test cannot run away.
        let slots = Arc::new(Semaphore::new(256));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let permit = Arc::clone(&slots).acquire_owned().await;
                let (service, gate) = (service.clone(), Arc::clone(&guard));
                tokio::spawn(async move {
                    let _permit = permit;
                    let guarded =
                        service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                            let (service, gate) = (service.clone(), Arc::clone(&gate));
                            async move {
                                if request.method() == Method::PUT {
                                    gate.pass().await;
                                }
                                hyper::service::Service::call(&service, request).await
                            }
                        });
                    let builder = Builder::new(TokioExecutor::new());
                    builder
                        .serve_connection(TokioIo::new(stream), guarded)
                        .await
                        .ok();
                });
            }
        });
        Self {
            endpoint,
            root,
            gate,
        }
    }

    /// Uploads that begin from now on wait until the gate opens.
    pub fn close_gate(&self) {
        self.gate.is_closed.store(true, Ordering::SeqCst);
    }

    /// Lets waiting uploads go on.
    pub fn open_gate(&self) {
        self.gate.is_closed.store(false, Ordering::SeqCst);
        self.gate.open.notify_waiters();
    }

    /// Resolves when an upload stands before the closed gate.
    pub async fn upload_waits(&self) {
        self.uploads_wait(1).await;
    }

    /// Resolves when `n` uploads stand before the closed gate.
    pub async fn uploads_wait(&self, n: usize) {
        let all = async {
            while self.gate.waiting.load(Ordering::SeqCst) < n {
                self.gate.arrived.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), all)
            .await
            .expect("uploads arrive at the gate");
    }

    /// Keys of all stored objects below a folder, sorted.
    pub fn keys(&self, folder: &str) -> Vec<String> {
        let base = self.root.join(BUCKET);
        let mut keys = Vec::new();
        let mut folders = vec![base.join(folder)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries.flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !entry.file_name().to_string_lossy().starts_with('.') {
                    keys.push(path.strip_prefix(&base).unwrap().display().to_string());
                }
            }
        }
        keys.sort();
        keys
    }
}

impl Gate {
    async fn pass(&self) {
        loop {
            let opened = self.open.notified();
            if !self.is_closed.load(Ordering::SeqCst) {
                break;
            }
            self.waiting.fetch_add(1, Ordering::SeqCst);
            self.arrived.notify_waiters();
            self.arrived.notify_one();
            opened.await;
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for TestBucket {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.root).ok();
    }
}
