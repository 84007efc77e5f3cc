//! A private PostgreSQL cluster made from the programs installed on the machine, for development
//! and tests without a database to set up.
//!
//! Owns the folder `home/postgres`: the files `port`, `password`, `location`, `lock` and
//! `server.log` and, unless `location` names another place, the data folder. The server listens
//! on 127.0.0.1 only, asks for the random password and outlives the process that started it.
//! Any number of processes may call in at the same time, and any of them, or the server, may be
//! killed at any moment: the next call puts things right.

mod binaries;
mod create;
mod error;
mod exec;
mod place;
mod process;
mod server;
mod state;
mod user;

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use binaries::{Binaries, leading_number};
use place::Place;
use server::{Condition, NAME, Running};
use state::State;
use user::RunAs;

pub use error::PostgresError;

const PASSWORD: &str = "password";

/// A running private cluster.
#[derive(Clone)]
pub struct Cluster {
    /// `postgres://daygen:<password>@127.0.0.1:<port>/daygen`.
    pub uri: String,
    /// The data folder.
    pub data_dir: PathBuf,
    /// The folder of the programs that run it.
    pub bin_dir: PathBuf,
    /// The TCP port on 127.0.0.1.
    pub port: u16,
}

impl fmt::Debug for Cluster {
    /// Leaves out the URI, which holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("data_dir", &self.data_dir)
            .field("bin_dir", &self.bin_dir)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// What the cluster's data is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Data to keep: PostgreSQL's own safe defaults.
    Durable,
    /// Test data: nothing is forced to disk, a power failure may destroy the cluster.
    Throwaway,
}

/// Makes sure the cluster of `home` runs, and says how to reach it.
///
/// Attaches when it runs already, with whatever durability it was started; starts it otherwise;
/// creates it, and `home`, where missing. `bindir` names the folder of the PostgreSQL programs;
/// without it they are searched for.
///
/// # Errors
///
/// When no suitable PostgreSQL is installed, when no user is there to run it, when another
/// process holds the start lock for minutes, and when a file operation or program fails.
pub async fn ensure_running(
    home: &Path,
    durability: Durability,
    bindir: Option<&Path>,
) -> Result<Cluster, PostgresError> {
    if let Some(state) = State::open(home)
        && let Some(cluster) = attach(&state).await?
    {
        return Ok(cluster);
    }
    let (state, _lock) = loop {
        let state = State::create(home, RunAs::choose(None).await?)?;
        if let Some(lock) = state.lock().await? {
            break (state, lock);
        }
    };
    // Somebody else may have started it while the lock was waited for.
    if let Some(cluster) = attach(&state).await? {
        return Ok(cluster);
    }

    let mut place = Place::current(&state)?;
    place.sweep(&state).await;
    let mut data = place.data();
    let existing = state::read(&data.join("PG_VERSION"))?.and_then(|text| leading_number(&text));
    let user = RunAs::choose(existing.map(|_| data.as_path())).await?;
    let binaries = Binaries::find(bindir, existing.map(|major| (data.as_path(), major))).await?;
    binaries.check_extensions().await?;
    let mut password = state.read(PASSWORD)?;
    if existing.is_none() {
        place = Place::choose(&state, user).await?;
        data = place.data();
        check_path(&data)?;
        let password = match &password {
            Some(known) => known,
            None => {
                let new = create::new_password();
                // Kept before it is used, so that a crash cannot lose it.
                state.write(PASSWORD, &new)?;
                password.insert(new)
            }
        };
        tracing::info!(data = %data.display(), "creating a private PostgreSQL cluster");
        create::create(&place, &binaries, user, durability, password).await?;
    }
    check_path(&data)?;
    let password = match password {
        Some(known) => known,
        None => {
            server::stop(&data, true).await?;
            let new = create::new_password();
            // Kept after it is set: a crash in between only means setting another one.
            create::reset_password(&data, &binaries, user, &new).await?;
            state.write(PASSWORD, &new)?;
            new
        }
    };
    let running = server::start(&state, &place, &binaries, user, durability).await?;
    tracing::info!(
        pid = running.pid,
        port = running.port,
        "private PostgreSQL cluster is up"
    );
    Ok(cluster(data, running, &password))
}

/// Stops the cluster of `home`. Returns whether it was running.
///
/// # Errors
///
/// When the server does not stop, the lock is held for minutes, or a file cannot be read.
pub async fn stop(home: &Path) -> Result<bool, PostgresError> {
    let Some(state) = State::open(home) else {
        return Ok(false);
    };
    let Some(_lock) = state.lock().await? else {
        return Ok(false);
    };
    server::stop(&Place::current(&state)?.data(), true).await
}

/// Stops the cluster of `home` at once and deletes it with all its data. `home` itself stays.
///
/// # Errors
///
/// When the server does not stop, the lock is held for minutes, or a file cannot be deleted.
pub async fn remove(home: &Path) -> Result<(), PostgresError> {
    let Some(state) = State::open(home) else {
        return Ok(());
    };
    let Some(_lock) = state.lock().await? else {
        return Ok(());
    };
    let place = Place::current(&state)?;
    server::stop(&place.data(), false).await?;
    place.delete().await?;
    state.delete().await
}

/// A `psql` command connected to the cluster. The password travels in the environment, where
/// other users of the machine cannot see it, unlike on the command line.
#[must_use]
pub fn psql(cluster: &Cluster) -> Command {
    let own = cluster.bin_dir.join("psql");
    let mut command = if own.is_file() {
        Command::new(own)
    } else {
        Command::new("psql")
    };
    let (user, rest) = cluster.uri.split_once('@').unwrap_or_default();
    let password = user.rsplit(':').next().unwrap_or_default();
    command
        .arg(format!("postgres://{NAME}@{rest}"))
        .env("PGPASSWORD", password);
    command
}

/// The cluster, if its server runs and answers. Starts no program on Linux: this is what every
/// process start pays.
async fn attach(state: &State) -> Result<Option<Cluster>, PostgresError> {
    let Some(password) = state.read(PASSWORD)? else {
        return Ok(None);
    };
    let data = Place::current(state)?.data();
    Ok(match server::inspect(&data).await {
        Condition::Ready(running) => Some(cluster(data, running, &password)),
        _ => None,
    })
}

fn cluster(data_dir: PathBuf, running: Running, password: &str) -> Cluster {
    let Running { port, bin_dir, .. } = running;
    let uri = format!("postgres://{NAME}:{password}@127.0.0.1:{port}/{NAME}");
    Cluster {
        uri,
        data_dir,
        bin_dir,
        port,
    }
}

/// Refuses paths that the shell inside `pg_ctl` would interpret.
fn check_path(data: &Path) -> Result<(), PostgresError> {
    let odd = |text: &str| text.contains(['"', '\'', '\\', '$', '`', '\n', '\r']);
    match data.to_str() {
        Some(text) if !odd(text) => Ok(()),
        _ => Err(PostgresError::BadPath(data.to_path_buf())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_stays_out_of_debug_output_and_the_command_line() {
        let running = Running {
            pid: 1,
            port: 5,
            bin_dir: PathBuf::from("/nonexistent"),
        };
        let cluster = cluster(PathBuf::from("/data"), running, "s3cret");
        assert_eq!(cluster.uri, "postgres://daygen:s3cret@127.0.0.1:5/daygen");
        assert!(!format!("{cluster:?}").contains("s3cret"));
        let command = psql(&cluster);
        let args: Vec<_> = command.get_args().collect();
        assert_eq!(args, ["postgres://daygen@127.0.0.1:5/daygen"]);
    }

    #[test]
    fn paths_that_a_shell_would_interpret_are_refused() {
        assert!(check_path(Path::new("/home/me/my project/.daygen/data")).is_ok());
        assert!(check_path(Path::new("/home/$(me)/data")).is_err());
    }
}
