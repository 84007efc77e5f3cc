//! `cargo loco task db_reset_cluster confirm:yes`: removes the embedded database with all its data.

use async_trait::async_trait;
use loco_rs::prelude::*;

use crate::{embedded::postgres, settings::Settings};

/// Removes the embedded cluster; the next start makes an empty one.
pub struct DbResetCluster;

#[async_trait]
impl Task for DbResetCluster {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "db_reset_cluster".to_owned(),
            detail: "Remove the embedded database with all its data: confirm:yes".to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        if !vars.cli_arg("confirm").is_ok_and(|text| text == "yes") {
            return Err(Error::string(
                "this deletes all data of this home; say confirm:yes",
            ));
        }
        postgres::remove(&Settings::of(ctx)?.home)
            .await
            .map_err(Error::wrap)?;
        println!("Removed.");
        Ok(())
    }
}
