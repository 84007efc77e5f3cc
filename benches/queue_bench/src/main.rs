//! One measurement of the queue in one process; the script `benches/queue` runs them in turn.
//!
//!     queue-bench <bare|own> <drain|latency> <count> <slots>
//!     queue-bench users <count>
//!
//! `bare` is apalis on Postgres as its documentation sets it up, with tasks that do nothing. `own` is
//! the service: jobs admitted, claimed and completed with all their rows, with steps that do nothing.
//! `slots` is both the concurrency and the prefetch. The result is one line of JSON.

mod bare;
mod measure;
mod own;

use std::process::ExitCode;

use daygen::app::App;
use loco_rs::{app::Hooks, config::Config, environment::Environment};

/// The service's own allocator, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What may go wrong; a measurement that fails just says so.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words).await {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(words: &[&str]) -> Result<serde_json::Value, Failure> {
    // The service's configuration, for both sides: it leads to the database of this installation.
    let environment = Environment::from(loco_rs::environment::resolve_from_env());
    let config: Config = App::load_config(&environment).await?;
    match *words {
        ["users", count] => own::make_users(&environment, config, count.parse()?).await,
        ["bare", "drain", count, slots] => {
            bare::drain(&config.database.uri, count.parse()?, slots.parse()?).await
        }
        ["bare", "latency", count, slots] => {
            bare::latency(&config.database.uri, count.parse()?, slots.parse()?).await
        }
        ["own", "drain", count, slots] => {
            own::drain(&environment, config, count.parse()?, slots.parse()?).await
        }
        ["own", "latency", count, slots] => {
            own::latency(&environment, config, count.parse()?, slots.parse()?).await
        }
        _ => Err("say what to measure: see the head of main.rs".into()),
    }
}
