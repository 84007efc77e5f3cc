//! `cargo loco task db_stop`: stops the embedded database of this home.

use async_trait::async_trait;
use loco_rs::prelude::*;

use crate::{embedded::postgres, settings::Settings};

/// Stops the embedded PostgreSQL; the next start brings it up again.
pub struct DbStop;

#[async_trait]
impl Task for DbStop {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "db_stop".to_owned(),
            detail: "Stop the embedded database of this home".to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, _vars: &task::Vars) -> Result<()> {
        let settings = Settings::of(ctx)?;
        let was_running = postgres::stop(&settings.home).await.map_err(Error::wrap)?;
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
}
