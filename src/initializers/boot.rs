//! From YAML to a configuration that can start: secrets of the home, embedded PostgreSQL and S3
//! where nothing else is named, and every fault reported at once. Runs once per process.

use std::time::{Duration, Instant};

use loco_rs::{
    Error, Result,
    config::{Config, QueueConfig},
    environment::Environment,
};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::{
    embedded::{home, postgres, s3},
    settings::{Settings, is_embedded, validate},
};

/// Pause between two attempts to reach the database.
const RETRY: Duration = Duration::from_millis(250);

/// Loads and completes the configuration of `environment`.
///
/// # Errors
/// One sentence that names everything that is wrong.
pub async fn load(environment: &Environment) -> Result<Config> {
    let mut config = environment.load()?;
    let is_production = *environment == Environment::Production;
    let mut settings: Settings = config.settings()?;
    let faults = validate(&settings, &config.database.uri, environment);
    if !faults.is_empty() {
        return Err(Error::string(&format!(
            "the settings are not complete or not right:\n  - {}",
            faults.join("\n  - ")
        )));
    }
    if !is_production {
        complete(&mut config, &settings).await?;
        settings = config.settings()?;
    }
    if let Some(direct) = &settings.database.direct_url {
        set_database(&mut config, direct.expose().to_owned());
    }
    wait_for_database(&config.database.uri, settings.database.start_wait_ms).await?;
    Ok(config)
}

/// Fills what development and tests need nobody to set.
async fn complete(config: &mut Config, settings: &Settings) -> Result<()> {
    std::fs::create_dir_all(&settings.home)?;
    if is_embedded(&config.database.uri) {
        let bindir = settings.database.pg_bindir.as_deref();
        let cluster =
            postgres::ensure_running(&settings.home, postgres::Durability::Durable, bindir)
                .await
                .map_err(|error| Error::string(&error.to_string()))?;
        set_database(config, cluster.uri);
        set(config, "/database/is_embedded", true.into());
    }
    let signs_tokens = settings.identity.supabase.url.is_none();
    if signs_tokens && settings.auth.hs256_secret().is_none() {
        let secret = home::secret(&settings.home, "jwt")?;
        set(config, "/auth/jwt_secret", secret.into());
    }
    if !settings.storage.is_external() {
        let secret = home::secret(&settings.home, "s3")?;
        let root = settings.home.join("objects");
        let address = s3::serve(&root, &settings.storage.bucket, &secret).await?;
        set(config, "/storage/access_key_id", s3::ACCESS_KEY_ID.into());
        set(config, "/storage/secret_access_key", secret.into());
        set(
            config,
            "/storage/endpoint",
            format!("http://{address}").into(),
        );
    }
    Ok(())
}

fn set(config: &mut Config, pointer: &str, value: Value) {
    let slot = config.settings.as_mut().and_then(|settings| {
        let (parent, key) = pointer.rsplit_once('/')?;
        let parent = settings.pointer_mut(parent)?.as_object_mut()?;
        Some(parent.entry(key).or_insert(Value::Null))
    });
    if let Some(slot) = slot {
        *slot = value;
    }
}

fn set_database(config: &mut Config, uri: String) {
    if let Some(QueueConfig::Postgres(queue)) = config.queue.as_mut() {
        queue.uri.clone_from(&uri);
    }
    config.database.uri = uri;
}

/// Waits a bounded time for the database: in a compose file or after a restart it may come later.
async fn wait_for_database(uri: &str, limit_ms: u64) -> Result<()> {
    let started = Instant::now();
    let limit = Duration::from_millis(limit_ms);
    loop {
        let reason = match tokio::time::timeout(limit, PgConnection::connect(uri)).await {
            Ok(Ok(connection)) => {
                connection.close().await.ok();
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if started.elapsed() >= limit {
            return Err(Error::string(&format!(
                "the database cannot be reached ({reason}); check DATABASE_URL"
            )));
        }
        tokio::time::sleep(RETRY).await;
    }
}
