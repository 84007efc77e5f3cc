//! The real binary as real processes, for faults that only a kill shows.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::Mutex,
    time::Duration,
};

use rand::Rng;

use super::{
    INTERNAL_KEY, bfl,
    cloud_tasks::{self, CloudTasks},
    s3::{self, TestBucket},
    tokens,
};

/// What several processes of one installation share.
pub struct Installation<'a> {
    pub database_uri: &'a str,
    pub bucket: &'a TestBucket,
    pub bfl: Option<&'a bfl::Bfl>,
}

/// The intervals that processes run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Scaled down, as in `config/test.yaml`. Leases are long, so that only a test that lets them lapse
    /// makes a job change hands.
    Scaled,
    /// The same with leases of three seconds, for tests of their lapse itself.
    ShortLeases,
    /// As installations have them.
    Real,
}

/// A process that is killed with this value. A test that fails shows what the process said.
pub struct Process {
    child: Child,
    /// What it wrote to its output.
    log: Option<PathBuf>,
}

/// How a process shares the work of an app whose jobs Cloud Tasks carries.
pub struct Pushed<'a> {
    pub tasks: &'a CloudTasks,
    /// Public address that tasks are made for.
    pub public_url: &'a str,
}

/// A port that is free now, below the range from which stand-ins of other tests get theirs. No port is
/// given twice in a run.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = rand::rng().random_range(10_000..20_000);
        let is_free = std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free && GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// An API process and where it listens.
pub struct Server {
    pub process: Process,
    pub base: String,
}

impl Installation<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daygen-cli"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("LOCO_ENV", "test")
            .env(
                "LOCO_CONFIG_FOLDER",
                concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
            )
            .env("DAYGEN_HOME", self.bucket.root.join("home"))
            .env("DATABASE_URL", self.database_uri)
            .env("JWT_SECRET", tokens::SECRET)
            .env("CLOUDFLARE_R2_ENDPOINT", &self.bucket.endpoint)
            .env("CLOUDFLARE_R2_ACCESS_KEY_ID", s3::KEY_ID)
            .env("CLOUDFLARE_R2_SECRET_ACCESS_KEY", s3::SECRET)
            .env("CLOUDFLARE_R2_BUCKET_NAME", s3::BUCKET)
            .env("LOG_LEVEL", "info")
            // Longer than any test lasts: a process ends when its work has ended.
            .env("DAYGEN_TEST_DRAIN_MS", "600000")
            .stdin(Stdio::null());
        if let Some(bfl) = self.bfl {
            command
                .env("BFL_API_KEY", bfl::KEY)
                .env("BFL_API_BASE", &bfl.base);
        }
        command
    }

    /// Starts a worker process.
    pub fn worker(&self) -> Process {
        self.worker_at(Pace::Scaled)
    }

    /// Starts an API process on a free port and waits until it answers.
    pub async fn api(&self) -> Server {
        let server = self.begin_api();
        let health = format!("{}/health", server.base);
        poll(Duration::from_millis(50), || {
            let health = &health;
            async move { reqwest::get(health).await.ok() }
        })
        .await
        .expect("the API process answers");
        server
    }

    /// Starts a worker process with scaled or real intervals.
    pub fn worker_at(&self, pace: Pace) -> Process {
        let mut command = self.command(&["start", "--worker", "--no-banner"]);
        match pace {
            Pace::Scaled => &mut command,
            Pace::ShortLeases => command.env("DAYGEN_TEST_HEARTBEAT_MS", "600"),
            Pace::Real => command.env("LOCO_ENV", "development"),
        };
        self.spawn(command)
    }

    /// Starts a worker process with short leases and further variables.
    pub fn worker_with(&self, variables: &[(&str, &str)]) -> Process {
        let mut command = self.command(&["start", "--worker", "--no-banner"]);
        command
            .env("DAYGEN_TEST_HEARTBEAT_MS", "600")
            .envs(variables.iter().copied());
        self.spawn(command)
    }

    /// Starts a process in any mode.
    pub fn start(&self, arguments: &[&str], port: u16, pushed: Option<&Pushed<'_>>) -> Process {
        let mut command = self.command(&[&["start", "--no-banner"], arguments].concat());
        command
            .env("PORT", port.to_string())
            .env("BINDING", "127.0.0.1");
        if let Some(pushed) = pushed {
            command
                .env("ENABLE_CLOUD_TASKS", "true")
                .env("GOOGLE_CLOUD_PROJECT", cloud_tasks::PROJECT)
                .env("GOOGLE_CLOUD_LOCATION", cloud_tasks::LOCATION)
                .env("CLOUD_TASKS_API_BASE", &pushed.tasks.base)
                .env("API_BASE_URL", pushed.public_url)
                .env("INTERNAL_API_KEY", INTERNAL_KEY);
        }
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Process {
        let log = self
            .bucket
            .root
            .join(format!("process-{}.log", uuid::Uuid::new_v4()));
        let file = std::fs::File::create(&log).unwrap();
        let child = command
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Process {
            child,
            log: Some(log),
        }
    }

    /// Starts an API process on a free port; it may not listen yet.
    pub fn begin_api(&self) -> Server {
        let port = free_port();
        Server {
            process: self.start(&[], port, None),
            base: format!("http://127.0.0.1:{port}"),
        }
    }

    /// Runs a command of the binary to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }
}

/// Asks again and again, bounded, until `probe` gives something.
pub async fn poll<T, F: Future<Output = Option<T>>>(
    pause: Duration,
    mut probe: impl FnMut() -> F,
) -> Option<T> {
    let asking = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(pause).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), asking)
        .await
        .ok()
}

/// A home of its own with nothing configured, as a newcomer has it.
pub struct Newcomer {
    home: PathBuf,
    port: u16,
}

impl Newcomer {
    pub fn new() -> Self {
        let home = std::env::temp_dir().join(format!("daygen-home-{}", uuid::Uuid::new_v4()));
        Self {
            home,
            port: free_port(),
        }
    }

    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daygen-cli"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env(
                "LOCO_CONFIG_FOLDER",
                concat!(env!("CARGO_MANIFEST_DIR"), "/config"),
            )
            .env("DAYGEN_HOME", &self.home)
            .env("PORT", self.port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// A command whose output is caught.
    pub fn capture(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn start(&self, arguments: &[&str]) -> Process {
        Process {
            child: self.command(arguments).spawn().unwrap(),
            log: None,
        }
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.command(&["task", "db_reset_cluster", "confirm:yes"])
            .status()
            .ok();
        std::fs::remove_dir_all(&self.home).ok();
    }
}

impl Process {
    /// SIGKILL: no clean-up of any kind.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
    }

    /// The most memory it ever had, MiB.
    pub fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib: u64 = line
            .and_then(|line| line.split_whitespace().nth(1))
            .and_then(|kib| kib.parse().ok())
            .unwrap();
        kib / 1024
    }

    /// SIGSTOP: it lives, but nothing of it runs.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// SIGTERM, then waits for the end; gives whether it ended by itself in time.
    pub async fn terminate(&mut self) -> bool {
        self.signal("-TERM");
        let child = &mut self.child;
        let ended = poll(Duration::from_millis(20), || {
            let status = child.try_wait().unwrap();
            async move { status }
        });
        ended.await.is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        self.child.kill().ok();
        self.child.wait().ok();
        if let Some(log) = &self.log
            && std::thread::panicking()
        {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            println!("a process, by itself ended with {ended:?}, said:\n{last}");
        }
    }
}
