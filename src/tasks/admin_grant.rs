//! `cargo loco task admin_grant user:<e-mail or id> [revoke:yes]`: the only way to the admin role.

use async_trait::async_trait;
use loco_rs::prelude::*;

use super::user_of;
use crate::models::users::{self, UserRole};

/// Gives or takes the admin role.
pub struct AdminGrant;

#[async_trait]
impl Task for AdminGrant {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: "admin_grant".to_owned(),
            detail: "Give the admin role: user:<e-mail or id>, or take it: revoke:yes".to_owned(),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = user_of(ctx, vars).await?;
        let is_revoked = vars.cli_arg("revoke").is_ok_and(|text| text == "yes");
        let (role, text) = if is_revoked {
            (UserRole::User, "is an ordinary user now")
        } else {
            (UserRole::Admin, "is an admin now")
        };
        users::Entity::set_role(&ctx.db, user.id, role).await?;
        println!("{} {text}.", user.id);
        Ok(())
    }
}
