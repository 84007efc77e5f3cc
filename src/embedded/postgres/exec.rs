//! Runs the external programs: as the right user, with a clean environment, away from the
//! terminal's signals and never without a time limit.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncWriteExt, process::Command};

use super::{
    error::{PostgresError, io},
    user::RunAs,
};

/// Lines of program output or log that an error repeats.
const TAIL_LINES: usize = 8;

/// What a finished program left behind.
pub(super) struct Finished {
    /// Whether it exited with status 0.
    pub ok: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// One program to run.
pub(super) struct Run<'a> {
    program: &'a Path,
    command: Command,
    input: Option<String>,
    limit: Duration,
}

impl<'a> Run<'a> {
    /// Prepares `program`, to be run as `user` and given `seconds` to finish.
    pub fn new(program: &'a Path, user: RunAs, seconds: u64) -> Self {
        let mut command = Command::new(program);
        // PG* variables of the caller would redirect the tools to another server; LC_ALL keeps
        // messages recognisable and a fixed TZ spares initdb the search for the system's zone.
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        // The server's user may be unable to enter the caller's working directory. A process
        // group of its own keeps Ctrl-C in the terminal from hitting a half-done initdb.
        command.current_dir("/").process_group(0).kill_on_drop(true);
        if let RunAs::User { uid, gid } = user {
            // The standard library also drops the supplementary groups of root here.
            command.gid(gid).uid(uid);
        }
        Self {
            program,
            command,
            input: None,
            limit: Duration::from_secs(seconds),
        }
    }

    /// Appends one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Appends several arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Feeds `text` to standard input, which is empty otherwise.
    pub fn input(mut self, text: String) -> Self {
        self.input = Some(text);
        self
    }

    /// Runs to the end, whatever the exit status.
    pub async fn finish(mut self) -> Result<Finished, PostgresError> {
        self.command
            .stdin(if self.input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(io("run", self.program))?;
        let stdin = child.stdin.take();
        let input = self.input;
        let feed = async move {
            if let (Some(mut pipe), Some(text)) = (stdin, input) {
                // A program that ended early closes the pipe; its exit status tells the story.
                let _ = pipe.write_all(text.as_bytes()).await;
            }
        };
        let both = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = tokio::time::timeout(self.limit, both)
            .await
            .map_err(|_| PostgresError::Timeout {
                program: name(self.program),
                seconds: self.limit.as_secs(),
            })?
            .map_err(io("run", self.program))?;
        Ok(Finished {
            ok: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs to the end and treats any exit status but 0 as an error. Returns standard output.
    pub async fn success(self) -> Result<String, PostgresError> {
        let program = self.program;
        let done = self.finish().await?;
        if done.ok {
            Ok(done.stdout)
        } else {
            Err(failed(program, &done.stderr))
        }
    }
}

/// The error for a program that reported failure, with the end of what it printed.
pub(super) fn failed(program: &Path, output: &str) -> PostgresError {
    PostgresError::Command {
        program: name(program),
        tail: tail(output),
    }
}

/// The last lines of a text, joined into one.
pub(super) fn tail(text: &str) -> String {
    let mut lines: Vec<&str> = text
        .lines()
        .rev()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .take(TAIL_LINES)
        .collect();
    lines.reverse();
    if lines.is_empty() {
        "(no output)".to_owned()
    } else {
        lines.join(" | ")
    }
}

fn name(program: &Path) -> String {
    program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned()
}
