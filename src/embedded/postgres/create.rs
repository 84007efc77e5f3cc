//! Makes a new data folder, and repairs the password of an existing one. Both work on a stopped
//! server, through single-user mode, so no moment exists in which a server without the right
//! password or database could be reached.

use std::path::Path;

use rand::{Rng, distr::Alphanumeric};

use super::{
    Durability,
    binaries::Binaries,
    error::{PostgresError, io},
    exec::{Run, failed},
    place::Place,
    server::NAME,
    state,
    user::RunAs,
};

const INITDB_SECONDS: u64 = 180;

/// A random password that needs no quoting in SQL or in a URI.
pub(super) fn new_password() -> String {
    rand::rng()
        .sample_iter(&Alphanumeric)
        .take(32)
        .map(char::from)
        .collect()
}

/// Creates the data folder with the role and the database. It gets its final name only when
/// complete, so a crash at any point leaves nothing to repair.
pub(super) async fn create(
    place: &Place,
    binaries: &Binaries,
    user: RunAs,
    durability: Durability,
    password: &str,
) -> Result<(), PostgresError> {
    let temporary = place.unfinished();
    let pwfile = place.unfinished();
    state::make_dir(&temporary, RunAs::Caller)?;
    user.give(&temporary)?;
    state::write_new(&pwfile, password)?;
    user.give(&pwfile)?;

    let made = fill(&temporary, &pwfile, binaries, user, durability).await;
    let _ = std::fs::remove_file(&pwfile);
    if let Err(error) = made {
        let _ = tokio::fs::remove_dir_all(&temporary).await;
        return Err(error);
    }
    let data = place.data();
    std::fs::rename(&temporary, &data).map_err(io("create", &data))?;
    if let (Durability::Durable, Some(parent)) = (durability, data.parent()) {
        std::fs::File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(io("write", parent))?;
    }
    Ok(())
}

async fn fill(
    dir: &Path,
    pwfile: &Path,
    binaries: &Binaries,
    user: RunAs,
    durability: Durability,
) -> Result<(), PostgresError> {
    let initdb = binaries.program("initdb");
    // Nothing is synced until all is in place: once at the end is much faster.
    let init = |locale: &str| {
        Run::new(&initdb, user, INITDB_SECONDS)
            .args(["-N", "-U", NAME, "-A", "scram-sha-256", "-E", "UTF8"])
            .arg(format!("--locale={locale}"))
            .arg("--pwfile")
            .arg(pwfile)
            .arg("-D")
            .arg(dir)
            .finish()
    };
    let mut done = init("C.UTF-8").await?;
    if !done.ok && done.stderr.contains("locale") {
        // Not every system has C.UTF-8; plain C differs only in case mapping beyond ASCII.
        done = init("C").await?;
    }
    if !done.ok {
        return Err(failed(&initdb, &done.stderr));
    }
    let statement = format!("CREATE DATABASE {NAME}");
    single_user(dir, &["-c", "fsync=off"], &statement, "", binaries, user).await?;
    if durability == Durability::Durable {
        Run::new(&initdb, user, INITDB_SECONDS)
            .args(["-S", "-D"])
            .arg(dir)
            .success()
            .await?;
    }
    Ok(())
}

/// Gives the role a new password; the server must be stopped.
pub(super) async fn reset_password(
    data: &Path,
    binaries: &Binaries,
    user: RunAs,
    password: &str,
) -> Result<(), PostgresError> {
    let statement = format!("ALTER ROLE {NAME} PASSWORD '{password}'");
    single_user(data, &[], &statement, password, binaries, user).await
}

/// Runs one statement in single-user mode. `secret` is masked in errors.
async fn single_user(
    data: &Path,
    options: &[&str],
    statement: &str,
    secret: &str,
    binaries: &Binaries,
    user: RunAs,
) -> Result<(), PostgresError> {
    let postgres = binaries.program("postgres");
    let done = Run::new(&postgres, user, INITDB_SECONDS)
        // Without exit_on_error a failed statement would still end in status 0.
        .args([
            "--single",
            "-c",
            "exit_on_error=on",
            "-c",
            "log_min_error_statement=panic",
        ])
        .args(options)
        .arg("-D")
        .arg(data)
        .arg("template1")
        .input(format!("{statement}\n"))
        .finish()
        .await?;
    if done.ok {
        return Ok(());
    }
    let text = if secret.is_empty() {
        done.stderr
    } else {
        done.stderr.replace(secret, "***")
    };
    Err(failed(&postgres, &text))
}
