//! When an identity is new and its address is not: who it belongs to (architecture 1.4).
//!
//! An address moves an account only when it is proven. Whoever registered it before without proof
//! keeps nothing: password, log-ins and access tokens of that time end.

use sea_orm::{DatabaseTransaction, prelude::Uuid};
use serde_json::json;

use super::{
    AuthError, first_sight,
    google::GoogleAccount,
    identity::{Keeper, Sighting},
};
use crate::models::{
    auth_flows,
    auth_sessions::{self, LogoutScope},
    identities,
    local_accounts::{self, NewAccount},
    one_time_tokens,
    users::NewUser,
};

/// Ties the subject of a token, whose id or address is taken, to the user it belongs to.
///
/// # Errors
/// [`AuthError::SessionInvalid`] when the address is somebody's and not proven to be the subject's.
pub(super) async fn attach(
    txn: &DatabaseTransaction,
    keeper: Keeper,
    seen: &Sighting,
    new: &NewUser<'_>,
    welcome: i64,
) -> Result<(), AuthError> {
    let (provider, subject) = (keeper.as_str(), seen.subject.to_string());
    let users = identities::Entity::lock_users(txn, seen.subject, new.email).await?;
    if identities::Entity::user_of(txn, provider, &subject)
        .await?
        .is_some()
    {
        return Ok(());
    }
    // The same subject, seen through another provider's setting.
    if users.iter().any(|user| user.id == seen.subject) {
        identities::Entity::tie(txn, seen.subject, provider, &subject).await?;
        return Ok(());
    }
    let owner = users.first().filter(|_| seen.is_proven);
    let owner = owner.ok_or(AuthError::SessionInvalid)?;
    if identities::Entity::is_tied(txn, owner.id, provider).await? {
        // One provider, two subjects, one address: it has passed on, and the account has not.
        let former = first_sight::placeholder(owner.id);
        identities::Entity::change_email(txn, owner.id, &former).await?;
        return if first_sight::create(txn, new, keeper, welcome).await? {
            Ok(())
        } else {
            Err(AuthError::SessionInvalid)
        };
    }
    identities::Entity::tie(txn, owner.id, provider, &subject).await?;
    prove_address(txn, owner.id).await?;
    tracing::info!(user.id = %owner.id, provider, "an identity was tied to a user by its proven address");
    Ok(())
}

/// The user of a Google account among our own accounts: the one it is tied to, the one with its
/// address, or a new one.
///
/// # Errors
/// When the database fails.
pub(super) async fn google_user(
    txn: &DatabaseTransaction,
    google: &GoogleAccount,
    welcome: i64,
) -> Result<Uuid, AuthError> {
    let provider = Keeper::Google.as_str();
    if let Some(id) = identities::Entity::user_of(txn, provider, &google.subject).await? {
        return Ok(id);
    }
    let new = NewUser {
        id: Uuid::new_v4(),
        email: &google.email,
        display_name: google
            .name
            .as_deref()
            .or_else(|| google.email.split_once('@').map(|(local, _)| local)),
        avatar_url: google.picture.as_deref(),
    };
    let id = if first_sight::create(txn, &new, Keeper::Local, welcome).await? {
        tracing::info!(user.id = %new.id, "an account was created for a Google account");
        new.id
    } else {
        let owners = identities::Entity::lock_users(txn, new.id, &google.email).await?;
        let owner = owners.first().ok_or(AuthError::SessionInvalid)?;
        // Two sign-ins of a new account at once: the other one was first.
        if let Some(id) = identities::Entity::user_of(txn, provider, &google.subject).await? {
            return Ok(id);
        }
        let local = Keeper::Local.as_str();
        identities::Entity::tie(txn, owner.id, local, &owner.id.to_string()).await?;
        tracing::info!(user.id = %owner.id, "a Google account was tied to a user by its address");
        owner.id
    };
    identities::Entity::tie(txn, id, provider, &google.subject).await?;
    let metadata = json!({
        "full_name": google.name,
        "avatar_url": google.picture,
        "email_verified": true,
    });
    let account = NewAccount {
        user_id: id,
        email: &google.email,
        password_hash: None,
        is_proven: true,
        user_metadata: metadata,
        app_metadata: json!({"provider": provider, "providers": [provider]}),
    };
    if local_accounts::Entity::insert_if_new(txn, &account).await? {
        // Nobody knows who had the log-ins of a user without an account here.
        if id != new.id {
            identities::Entity::end_tokens(txn, id).await?;
        }
    } else {
        prove_address(txn, id).await?;
        local_accounts::Entity::add_provider(txn, id, provider).await?;
    }
    identities::Entity::complete_profile(
        txn,
        id,
        google.name.as_deref(),
        google.picture.as_deref(),
    )
    .await?;
    Ok(id)
}

/// The address of an account was proven just now. If it was not before, whoever knows the password
/// or holds a log-in need not be its owner: both are dropped with everything under way, and access
/// tokens of that time end. Tells whether it was so.
///
/// # Errors
/// When the database fails.
pub(super) async fn prove_address(
    txn: &DatabaseTransaction,
    user_id: Uuid,
) -> Result<bool, AuthError> {
    let is_new = local_accounts::Entity::prove(txn, user_id).await?;
    if is_new {
        let reason = "the owner of the address came";
        auth_sessions::Entity::end(txn, user_id, None, LogoutScope::Global, reason).await?;
        identities::Entity::end_tokens(txn, user_id).await?;
        // A change of address that a stranger asked for must not be confirmed later.
        one_time_tokens::Entity::drop_of_user(txn, user_id).await?;
        auth_flows::Entity::drop_of(txn, user_id).await?;
        tracing::info!(user.id = %user_id, "an address was proven; what came before it was dropped");
    }
    Ok(is_new)
}
