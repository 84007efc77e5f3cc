//! Commands about the embedded database that must work while it cannot run: they are taken before
//! the framework connects to it.

use loco_rs::{Error, Result, environment::Environment};

use crate::{
    embedded::postgres,
    settings::{Settings, is_embedded},
};

/// Runs `task db_stop` or `task db_reset_cluster` when the arguments ask for it.
pub async fn run(arguments: &[String]) -> Option<Result<()>> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["task" | "t", "db_stop", ..] => Some(stop().await),
        ["task" | "t", "db_reset_cluster", rest @ ..] => {
            Some(reset(rest.contains(&"confirm:yes")).await)
        }
        _ => None,
    }
}

/// The settings, when this installation uses the embedded database.
fn settings() -> Result<Settings> {
    let environment = Environment::from(loco_rs::environment::resolve_from_env());
    let config = environment.load()?;
    if !is_embedded(&config.database.uri) {
        return Err(Error::string(
            "DATABASE_URL is set: this home's embedded database is not in use",
        ));
    }
    config.settings()
}

async fn stop() -> Result<()> {
    let was_running = postgres::stop(&settings()?.home)
        .await
        .map_err(|error| Error::string(&error.to_string()))?;
    println!(
        "{}",
        if was_running {
            "Stopped."
        } else {
            "It was not running."
        }
    );
    Ok(())
}

async fn reset(is_confirmed: bool) -> Result<()> {
    if !is_confirmed {
        return Err(Error::string(
            "this deletes all data of this home; say confirm:yes",
        ));
    }
    postgres::remove(&settings()?.home)
        .await
        .map_err(|error| Error::string(&error.to_string()))?;
    println!("Removed.");
    Ok(())
}
