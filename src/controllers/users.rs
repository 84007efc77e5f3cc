//! `/api/users/me` (platform contract 5.1 to 5.3).

use axum::{Json, extract::State, http::StatusCode};
use loco_rs::prelude::*;

use crate::{
    dtos::users::{Change, Introduction, ProfileChange},
    http::{ApiError, ApiResult, Caller, ErrorCode, JsonBody},
    models::users::{self, Profile},
    storage::{Folder, ObjectKey, Storage},
    views::users::UserView,
};

/// The caller.
async fn show(State(ctx): State<AppContext>, caller: Caller) -> ApiResult<Json<UserView>> {
    view(&ctx, &caller.profile)
}

/// Makes sure that the caller exists here, with a name for who has none.
async fn introduce(
    State(ctx): State<AppContext>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<UserView>)> {
    let dto = Introduction::parse(body)?;
    if let Some(name) = dto.display_name {
        users::Entity::name_if_unnamed(&ctx.db, caller.profile.id, &name).await?;
    }
    Ok((StatusCode::CREATED, reload(&ctx, &caller).await?))
}

/// Changes name or picture; what is not sent stays.
async fn change(
    State(ctx): State<AppContext>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> ApiResult<Json<UserView>> {
    let dto = ProfileChange::parse(body)?;
    let storage = Storage::of(&ctx)?;
    let image = match dto.profile_image {
        Change::Keep => None,
        Change::Clear => Some(None),
        Change::Set(url) => Some(Some(own_picture(&storage, &caller, &url)?)),
    };
    let name = match dto.display_name {
        Change::Keep => None,
        Change::Clear => Some(None),
        Change::Set(name) => Some(Some(name)),
    };
    users::Entity::change_profile(&ctx.db, caller.profile.id, name, image).await?;
    reload(&ctx, &caller).await
}

/// The key behind an address of one of the caller's own profile pictures.
fn own_picture(storage: &Storage, caller: &Caller, url: &str) -> ApiResult<String> {
    let refuse = || {
        ApiError::bad_request(
            ErrorCode::ValidationFailed,
            "profileImage must be one of your uploaded profile pictures",
        )
    };
    let base = storage.public_url("");
    let key = url.strip_prefix(&base).ok_or_else(refuse)?;
    let key = ObjectKey::parse(key).map_err(|_| refuse())?;
    if !key.belongs_to(Folder::ProfilePictures, caller.profile.id) {
        return Err(refuse());
    }
    Ok(key.as_str().to_owned())
}

async fn reload(ctx: &AppContext, caller: &Caller) -> ApiResult<Json<UserView>> {
    let profile = users::Entity::find_profile(&ctx.db, caller.profile.id)
        .await?
        .ok_or_else(ApiError::unauthorized)?;
    view(ctx, &profile)
}

fn view(ctx: &AppContext, profile: &Profile) -> ApiResult<Json<UserView>> {
    let storage = Storage::of(ctx)?;
    Ok(Json(UserView::new(profile, |key| storage.public_url(key))))
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/users")
        .add("/me", get(show).post(introduce).patch(change))
}
