//! The one error type of the private cluster. No variant ever carries the password: command
//! lines and messages are built without it, and output tails are masked before they get here.

use std::path::{Path, PathBuf};

/// Why the private cluster could not be started, attached to, stopped or removed.
#[derive(thiserror::Error, Debug)]
pub enum PostgresError {
    /// No complete set of server programs is installed.
    #[error("no PostgreSQL server found: {hint}, or set DATABASE_URL to a running server")]
    NotInstalled {
        /// What to install on this system.
        hint: String,
    },
    /// The folder the caller named lacks a server program.
    #[error("{} does not hold initdb, pg_ctl and postgres; correct PG_BINDIR or unset it", .dir.display())]
    BadBinDir {
        /// The folder as given.
        dir: PathBuf,
    },
    /// Every installed PostgreSQL is older than supported.
    #[error("PostgreSQL {found} is too old, {oldest} or newer is needed")]
    TooOld {
        /// Major version found.
        found: u32,
        /// Oldest supported major version.
        oldest: u32,
    },
    /// The extension files of postgresql-contrib are missing.
    #[error("PostgreSQL extension {name} is missing (package postgresql-contrib): {hint}")]
    NoExtension {
        /// Name of the missing extension.
        name: &'static str,
        /// What to install on this system.
        hint: String,
    },
    /// The existing data folder was made by a major version that is not installed.
    #[error(
        "{} was made by PostgreSQL {data}, which is not installed: install PostgreSQL {data}, \
         or remove the data with `cargo loco task db_reset_cluster confirm:yes`", .dir.display()
    )]
    OtherMajor {
        /// The data folder.
        dir: PathBuf,
        /// Major version that made it.
        data: u32,
    },
    /// The process runs as root and there is no account to run the server as.
    #[error(
        "PostgreSQL refuses to run as root and there is neither a `postgres` nor a `nobody` user to run it as"
    )]
    NoServerUser,
    /// The user id of this process has no account name, which initdb insists on.
    #[error(
        "user id {uid} has no entry in the user database, which PostgreSQL needs: add one to /etc/passwd, or set DATABASE_URL"
    )]
    NamelessUser {
        /// The user id.
        uid: u32,
    },
    /// The path holds characters that `pg_ctl` cannot pass on safely.
    #[error(
        "the data folder path {0:?} must be UTF-8 without quotes, backslashes, `$`, backticks and line breaks"
    )]
    BadPath(PathBuf),
    /// No folder was found in which the server's user may keep its data.
    #[error("no folder in which the server's user could keep its data: tried {tried}")]
    NoPlace {
        /// The folders tried.
        tried: String,
    },
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An external program reported failure.
    #[error("{program} failed: {tail}")]
    Command {
        /// Name of the program.
        program: String,
        /// The last lines it printed.
        tail: String,
    },
    /// An external program did not end in time and was killed.
    #[error("{program} did not finish within {seconds} s")]
    Timeout {
        /// Name of the program.
        program: String,
        /// The time it was given.
        seconds: u64,
    },
    /// The server did not start or does not answer.
    #[error("PostgreSQL did not start, see {}: {tail}", .log.display())]
    NotStarted {
        /// The server log.
        log: PathBuf,
        /// The last lines of the log, or what was observed instead.
        tail: String,
    },
    /// The server ignored both a fast and an immediate shutdown.
    #[error("PostgreSQL (process {pid}) did not stop")]
    NotStopped {
        /// Process id of the server.
        pid: u32,
    },
    /// Another process held the start lock for too long.
    #[error("another process has been holding {} for {seconds} s", .path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// No loopback port could be bound.
    #[error("no free port on 127.0.0.1")]
    NoPort,
}

/// Names the action and path of an I/O error.
pub(super) fn io(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> PostgresError {
    let path = path.to_path_buf();
    move |source| PostgresError::Io {
        action,
        path,
        source,
    }
}
