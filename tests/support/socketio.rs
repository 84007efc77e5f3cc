//! The real Socket.IO client from npm, driven by Node. Where Node or npm are missing the tests that
//! need it say so and end, unless `DAYGEN_TEST_CLIENTS=required`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

const LIMIT: Duration = Duration::from_secs(120);

/// The folder with the installed client, or why there is none.
static CLIENT: LazyLock<Mutex<Option<Result<PathBuf, String>>>> = LazyLock::new(Mutex::default);

fn install() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/socketio");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("socketio-client");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = "package-lock.json";
    let is_new = std::fs::read(folder.join(lock)).ok() != std::fs::read(source.join(lock)).ok();
    for file in ["package.json", "client.mjs"] {
        std::fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    if is_new || !folder.join("node_modules").exists() {
        std::fs::copy(source.join(lock), folder.join(lock)).unwrap();
        let output = std::process::Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .output()
            .map_err(|error| format!("npm: {error}"))?;
        if !output.status.success() {
            std::fs::remove_file(folder.join(lock)).unwrap();
            return Err(format!("npm: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(folder)
}

/// Clients in one Node process. What they were told and nobody asked for yet is kept in order.
pub struct Clients {
    _node: Child,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    heard: Vec<Value>,
}

impl Clients {
    /// Starts Node; `None` where it cannot be had and need not be.
    pub async fn start() -> Option<Self> {
        let installed = tokio::task::spawn_blocking(|| {
            let mut client = CLIENT.lock().unwrap_or_else(PoisonError::into_inner);
            client.get_or_insert_with(install).clone()
        });
        let started = installed.await.unwrap().and_then(|folder| {
            Command::new("node")
                .arg("client.mjs")
                .current_dir(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| format!("node: {error}"))
        });
        match started {
            Ok(mut node) => Some(Self {
                commands: node.stdin.take().unwrap(),
                lines: BufReader::new(node.stdout.take().unwrap()).lines(),
                heard: Vec::new(),
                _node: node,
            }),
            Err(reason) => {
                let is_required =
                    std::env::var("DAYGEN_TEST_CLIENTS").is_ok_and(|value| value == "required");
                assert!(!is_required, "the Socket.IO client is required: {reason}");
                println!("skipped, there is no Socket.IO client: {reason}");
                None
            }
        }
    }

    async fn command(&mut self, command: &Value) {
        let line = format!("{command}\n");
        self.commands.write_all(line.as_bytes()).await.unwrap();
        self.commands.flush().await.unwrap();
    }

    /// Connects a client; `options` are those of the client library.
    pub async fn connect(&mut self, id: &str, url: &str, options: Value) {
        self.command(&json!({"do": "connect", "id": id, "url": url, "options": options}))
            .await;
    }

    pub async fn emit(&mut self, id: &str, event: &str, data: Value) {
        self.command(&json!({"do": "emit", "id": id, "event": event, "data": data}))
            .await;
    }

    /// An event without arguments.
    pub async fn emit_bare(&mut self, id: &str, event: &str) {
        self.command(&json!({"do": "emit", "id": id, "event": event}))
            .await;
    }

    pub async fn disconnect(&mut self, id: &str) {
        self.command(&json!({"do": "disconnect", "id": id})).await;
        self.wait_for(id, "disconnect").await;
    }

    /// The data of the next event of this name that this client was told.
    pub async fn wait_for(&mut self, id: &str, event: &str) -> Value {
        let is_wanted = |heard: &Value| heard["id"] == id && heard["event"] == event;
        loop {
            if let Some(found) = self.heard.iter().position(is_wanted) {
                return self.heard.remove(found)["data"].take();
            }
            let line = tokio::time::timeout(LIMIT, self.lines.next_line())
                .await
                .unwrap_or_else(|_| panic!("{id} was not told {event}: {:#?}", self.heard))
                .unwrap()
                .expect("the clients go on");
            self.heard.push(serde_json::from_str(&line).unwrap());
        }
    }

    /// What this client was told beyond what was waited for.
    pub fn rest(&self, id: &str) -> Vec<&Value> {
        self.heard
            .iter()
            .filter(|heard| heard["id"] == id && heard["event"] != "upgrade")
            .collect()
    }
}
