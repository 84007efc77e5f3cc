//! What goes by mail: sign-in links, forgotten passwords.

use axum::{Json, extract::State, http::StatusCode};
use loco_rs::prelude::*;

use crate::{
    auth::{AuthError, identity},
    dtos::auth::{Address, PasswordReset, TOKEN_MAX},
    http::{ApiResult, JsonBody, Limited},
    views::auth::MessageView,
};

fn sentence(message: &'static str) -> (StatusCode, Json<MessageView>) {
    (StatusCode::CREATED, Json(MessageView { message }))
}

/// Mails a link to choose a new password. The answer tells nothing about the address.
pub(super) async fn forgot_password(
    State(ctx): State<AppContext>,
    limited: Limited,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<MessageView>)> {
    let dto = Address::parse(body)?;
    limited.mail(&dto.email).await?;
    identity::of(&ctx)?.send_recovery(&dto.email).await?;
    Ok(sentence(
        "If an account with that email exists, we have sent a password reset link.",
    ))
}

/// Sets a new password for the holder of a recovery token, and for nobody else.
pub(super) async fn reset_password(
    State(ctx): State<AppContext>,
    limited: Limited,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<MessageView>)> {
    let dto = PasswordReset::parse(body)?;
    limited.verify(None).await?;
    if dto.token.len() > TOKEN_MAX {
        return Err(AuthError::ResetTokenInvalid.into());
    }
    identity::of(&ctx)?
        .reset_password(dto.token.trim(), &dto.new_password)
        .await?;
    Ok(sentence("Password has been successfully reset."))
}

/// Mails a link that signs in, for a new account too.
pub(super) async fn magic_link(
    State(ctx): State<AppContext>,
    limited: Limited,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<MessageView>)> {
    let dto = Address::parse(body)?;
    limited.mail(&dto.email).await?;
    identity::of(&ctx)?
        .send_magic_link(&dto.email, None)
        .await?;
    Ok(sentence("Check your email for the magic link to sign in."))
}
