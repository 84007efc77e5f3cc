//! Log set-up. Lines hold a sentence and fields (`user.id`, `job.id`, `provider.name`,
//! `duration_ms`); never tokens, prompts, e-mail addresses or bytes.

pub mod exposition;
pub mod metrics;

use loco_rs::{config, logger::Format};
use tracing_subscriber::{EnvFilter, fmt};

/// Installs the process-wide subscriber; a second call changes nothing.
pub fn init_logging(logger: &config::Logger) {
    if !logger.enable {
        return;
    }
    let level = logger.level.to_string();
    // Foreign crates speak up from warnings on: some of them log values at lower levels.
    let directives = logger
        .override_filter
        .clone()
        .unwrap_or_else(|| format!("warn,daygen={level},daygen_cli={level}"));
    let filter = EnvFilter::new(directives);
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A failure means that one is installed already.
    match logger.format {
        Format::Json => builder.json().flatten_event(true).try_init().ok(),
        Format::Pretty => builder.pretty().try_init().ok(),
        Format::Compact => builder.compact().try_init().ok(),
    };
}
