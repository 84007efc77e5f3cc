//! The bearer's own account.

use axum::{Json, extract::State, http::HeaderMap};
use loco_rs::app::AppContext;
use serde_json::Value;

use super::{accounts, back, bearer, change_error, gotrue_error};
use crate::{
    auth::local::Change,
    dtos::gotrue::ChangeUser,
    http::{ApiResult, JsonBody, Limited, query::QueryParams},
    views::gotrue,
};

/// The account of the bearer.
pub(super) async fn show(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
    let caller = bearer(&ctx, &headers).await?;
    let account = accounts(&ctx, &headers)?
        .account(&caller.claims)
        .await
        .map_err(gotrue_error)?;
    Ok(Json(gotrue::user(&account)))
}

/// Changes password, address or metadata of the bearer.
pub(super) async fn change(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    limited: Limited,
    query: QueryParams,
    JsonBody(body): JsonBody,
) -> ApiResult<Json<Value>> {
    let caller = bearer(&ctx, &headers).await?;
    let accounts = accounts(&ctx, &headers)?;
    let dto = ChangeUser::parse(body)?;
    if let Some(email) = &dto.email {
        limited.mail(email).await?;
    }
    let change = Change {
        password: dto.password,
        email: dto.email,
        metadata: dto.data,
        back: back(&query, &headers, dto.challenge),
    };
    let account = accounts
        .update(&caller.claims, change)
        .await
        .map_err(change_error)?;
    Ok(Json(gotrue::user(&account)))
}
