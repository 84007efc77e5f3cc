//! The command line: `cargo loco <command>`.

use std::process::ExitCode;

use daygen::{app::App, initializers::home_commands};
use loco_rs::cli;
use migration::Migrator;

/// Hashing passwords and decoding pictures leave large blocks behind that the system's allocator
/// keeps; this one gives them back, and is faster under many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // One TLS provider for everything; a second call finds it installed.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match home_commands::run(&arguments).await {
        Some(outcome) => outcome,
        None => cli::main::<App, Migrator>().await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
