//! Operator commands: `cargo loco task <name> key:value ..`.

pub mod admin_grant;
pub mod credits_adjust;
pub mod db_reset_cluster;
pub mod db_shell;
pub mod db_stop;
pub mod jobs_nudge;
pub mod jobs_purge;
pub mod jobs_stuck;
pub mod ledger_check;

use loco_rs::{Error, Result, app::AppContext, task::Vars};

use crate::models::users::{self, Profile};

/// A number at or above 0 that the argument `name` gives, if it is there.
fn number_of(vars: &Vars, name: &str) -> Result<Option<i64>> {
    match vars.cli_arg(name) {
        Err(_) => Ok(None),
        Ok(text) => text
            .parse()
            .ok()
            .filter(|number| *number >= 0)
            .map(Some)
            .ok_or_else(|| Error::string(&format!("{name} must be a whole number, 0 or above"))),
    }
}

/// The user that the argument `user` names, by e-mail or id.
async fn user_of(ctx: &AppContext, vars: &Vars) -> Result<Profile> {
    let text = vars
        .cli_arg("user")
        .map_err(|_| Error::string("name the user: user:<e-mail or id>"))?;
    users::Entity::find_by_email_or_id(&ctx.db, text)
        .await?
        .ok_or_else(|| Error::string("there is no such user"))
}
