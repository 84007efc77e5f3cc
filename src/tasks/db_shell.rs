//! `cargo loco task db_shell`: psql on the database in use.

use async_trait::async_trait;
use loco_rs::prelude::*;

use crate::{embedded::postgres, settings::Settings};

/// Opens psql.
pub struct DbShell;

#[async_trait]
impl Task for DbShell {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "db_shell".to_owned(),
            detail: "Open psql on the database in use".to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, _vars: &task::Vars) -> Result<()> {
        let settings = Settings::of(ctx)?;
        let mut psql = if settings.database.is_embedded {
            let bindir = settings.database.pg_bindir.as_deref();
            let cluster =
                postgres::ensure_running(&settings.home, postgres::Durability::Durable, bindir)
                    .await
                    .map_err(Error::wrap)?;
            postgres::psql(&cluster)
        } else {
            given(&ctx.config.database.uri)?
        };
        let status = psql
            .status()
            .map_err(|error| Error::string(&format!("psql could not be started: {error}")))?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::string("psql ended with an error"))
        }
    }
}

/// psql on a given database; its password goes by the environment, not by the argument list that
/// every user of the machine can read.
fn given(uri: &str) -> Result<std::process::Command> {
    let mut url = url::Url::parse(uri).map_err(|_| Error::string("DATABASE_URL is no address"))?;
    let mut psql = std::process::Command::new("psql");
    if let Some(password) = url.password() {
        psql.env(
            "PGPASSWORD",
            percent_encoding::percent_decode_str(password)
                .decode_utf8_lossy()
                .as_ref(),
        );
    }
    url.set_password(None)
        .map_err(|()| Error::string("DATABASE_URL is no address"))?;
    psql.arg(url.as_str());
    Ok(psql)
}
