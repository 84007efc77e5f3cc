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
            let mut psql = std::process::Command::new("psql");
            psql.arg(&ctx.config.database.uri);
            psql
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
