//! The server process: recognises it, starts it and stops it.

use std::{
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    Durability,
    binaries::Binaries,
    error::PostgresError,
    exec::{Run, tail},
    place::Place,
    process::{self, Owner},
    state::State,
    user::RunAs,
};

/// Name of the role and of the database.
pub(super) const NAME: &str = "daygen";

const PORT: &str = "port";
/// Below the ranges from which systems serve outgoing connections, which would otherwise
/// snatch the port of a stopped server sooner or later.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const LOG_LIMIT: u64 = 10 * 1024 * 1024;
/// Covers crash recovery and backends of a killed server that are slow to notice.
const START_WAIT: Duration = Duration::from_secs(60);
/// How long backends of a killed server may take to end by themselves.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(25);

/// A server that answers.
pub(super) struct Running {
    /// Process id.
    pub pid: u32,
    /// TCP port.
    pub port: u16,
    /// Folder of the program it runs.
    pub bin_dir: PathBuf,
}

/// What the data folder's pid file and the process it names tell.
pub(super) enum Condition {
    /// No server; a pid file of a process that is gone does not count.
    Stopped,
    /// The pid file, with this content, names a process that is not our server.
    Stale(String),
    /// The server is there but starts, recovers or shuts down.
    Busy(u32),
    /// The server answers.
    Ready(Running),
}

/// Looks at the server of a data folder.
pub(super) async fn inspect(data: &Path) -> Condition {
    let Ok(text) = std::fs::read_to_string(pid_file(data)) else {
        return Condition::Stopped;
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    // Single-user mode writes its process id as a negative number.
    let Some(pid) = lines
        .first()
        .and_then(|l| l.trim_start_matches('-').parse::<u32>().ok())
    else {
        return Condition::Stale(text);
    };
    let bin_dir = match process::owner(pid, data).await {
        Owner::Gone => return Condition::Stopped,
        Owner::Other => return Condition::Stale(text),
        Owner::Server { bin_dir } => bin_dir,
    };
    let port = lines.get(3).and_then(|line| line.parse::<u16>().ok());
    match (port, lines.get(7)) {
        (Some(port), Some(&"ready")) if answers(port).await => {
            Condition::Ready(Running { pid, port, bin_dir })
        }
        _ => Condition::Busy(pid),
    }
}

/// Whether something that speaks the PostgreSQL protocol answers on the port. The request for
/// encryption is the one message that a server answers before anything else and never logs.
async fn answers(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        stream
            .write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
            .await
            .ok()?;
        stream.read_u8().await.ok()
    };
    matches!(
        timeout(Duration::from_secs(2), ask).await,
        Ok(Some(b'N' | b'S'))
    )
}

/// Starts the server of a complete data folder, or waits for the one that is starting; to be
/// called with the lock held.
pub(super) async fn start(
    state: &State,
    place: &Place,
    binaries: &Binaries,
    user: RunAs,
    durability: Durability,
) -> Result<Running, PostgresError> {
    let data = place.data();
    let begin = Instant::now();
    let mut attempts = 0;
    let mut stale: Option<(String, Instant)> = None;
    let mut reason = "it does not answer".to_owned();
    let mut port = state.read(PORT)?.and_then(|text| text.parse::<u16>().ok());
    loop {
        match inspect(&data).await {
            Condition::Ready(running) => {
                if state.read(PORT)? != Some(running.port.to_string()) {
                    state.write(PORT, &running.port.to_string())?;
                }
                return Ok(running);
            }
            Condition::Busy(_) => {}
            Condition::Stale(text) => match &stale {
                // The server would refuse to start for as long as the process id is in use. A
                // moment of patience spares a file that is just being written.
                Some((seen, since)) if *seen == text => {
                    if since.elapsed() > Duration::from_millis(300) {
                        tracing::info!("removing the stale pid file of a dead PostgreSQL server");
                        let _ = std::fs::remove_file(pid_file(&data));
                        stale = None;
                    }
                }
                _ => stale = Some((text, Instant::now())),
            },
            Condition::Stopped => {
                let usable = free_port(port)?;
                if port != Some(usable) {
                    state.write(PORT, &usable.to_string())?;
                }
                port = Some(usable);
                match launch(place, binaries, user, durability, usable).await? {
                    None => continue,
                    Some(log) if log.contains("could not bind") => {
                        port = None;
                        attempts += 1;
                        reason = tail(&log);
                    }
                    // Backends of a killed server need a moment to notice, or until the end of
                    // a long computation, which nobody wants to wait for.
                    Some(log) if log.contains("shared memory") || log.contains("lock file") => {
                        reason = tail(&log);
                        if begin.elapsed() > ORPHAN_PATIENCE {
                            process::evict(&data, user).await?;
                        }
                        sleep(STEP * 4).await;
                    }
                    Some(log) => {
                        attempts += 1;
                        reason = tail(&log);
                    }
                }
            }
        }
        if attempts >= 4 || begin.elapsed() > START_WAIT {
            return Err(PostgresError::NotStarted {
                log: place.log(),
                tail: reason,
            });
        }
        sleep(STEP).await;
    }
}

/// One attempt to start. Returns what the server logged if it failed.
async fn launch(
    place: &Place,
    binaries: &Binaries,
    user: RunAs,
    durability: Durability,
    port: u16,
) -> Result<Option<String>, PostgresError> {
    place.prepare_log(user, LOG_LIMIT)?;
    let log = place.log();
    let before = std::fs::metadata(&log).map_or(0, |meta| meta.len());
    let pg_ctl = binaries.program("pg_ctl");
    let done = Run::new(&pg_ctl, user, START_WAIT.as_secs() + 10)
        .args(["start", "-s", "-w", "-t"])
        .arg(START_WAIT.as_secs().to_string())
        .arg("-D")
        .arg(place.data())
        .arg("-l")
        .arg(&log)
        .arg("-o")
        .arg(options(durability, port))
        .finish()
        .await?;
    if done.ok {
        return Ok(None);
    }
    let mut logged = Vec::new();
    if let Ok(mut file) = std::fs::File::open(&log)
        && file.seek(SeekFrom::Start(before)).is_ok()
    {
        let _ = file.take(64 * 1024).read_to_end(&mut logged);
    }
    let logged = String::from_utf8_lossy(&logged).into_owned();
    Ok(Some(if logged.trim().is_empty() {
        done.stderr
    } else {
        logged
    }))
}

/// The server's command line. No Unix socket: its path would be limited to about 100 bytes.
/// Statements and row values stay out of the log because they may hold secrets.
fn options(durability: Durability, port: u16) -> String {
    let mut text = format!(
        "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' \
         -c max_connections=200 -c shared_buffers=128MB -c logging_collector=off \
         -c log_destination=stderr -c log_min_messages=warning -c log_statement=none \
         -c log_min_error_statement=panic -c log_error_verbosity=terse"
    );
    if durability == Durability::Throwaway {
        // Many small databases that come and go: cheap to make, and left alone by the autovacuum.
        text.push_str(
            " -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c wal_level=minimal \
             -c max_wal_senders=0 -c autovacuum=off -c shared_buffers=64MB -c max_connections=400",
        );
    }
    text
}

/// The preferred port if nobody listens on it, else another one.
fn free_port(preferred: Option<u16>) -> Result<u16, PostgresError> {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    preferred
        .into_iter()
        .chain((0..200).map(|_| rand::rng().random_range(PORTS)))
        .find(free)
        .ok_or(PostgresError::NoPort)
}

/// Stops the server of a data folder if there is one: politely first when `fast` is set, which
/// writes a checkpoint, else at once. Returns whether there was one.
pub(super) async fn stop(data: &Path, fast: bool) -> Result<bool, PostgresError> {
    let pid = match inspect(data).await {
        Condition::Stopped | Condition::Stale(_) => return Ok(false),
        Condition::Busy(pid) | Condition::Ready(Running { pid, .. }) => pid,
    };
    let signals: &[(&str, u64)] = if fast {
        &[("INT", 30), ("QUIT", 10)]
    } else {
        &[("QUIT", 10)]
    };
    for (signal, seconds) in signals {
        process::signal(pid, signal).await?;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(*seconds) {
            if !matches!(process::owner(pid, data).await, Owner::Server { .. }) {
                return Ok(true);
            }
            sleep(STEP).await;
        }
    }
    Err(PostgresError::NotStopped { pid })
}

fn pid_file(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}
