//! `/api/r2files`: the caller's gallery (platform contract 8).

use axum::{
    Json,
    extract::{Path, State},
};
use chrono::DateTime;
use loco_rs::prelude::*;
use sea_orm::prelude::Uuid;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, ApiResult, Caller, ErrorCode, query::QueryParams},
    models::{
        begin, object_deletions,
        r2_files::{self, FileCursor},
    },
    settings::Settings,
    storage::Storage,
    views::r2_files::FilePageView,
};

const DEFAULT_PAGE: u64 = 50;
const MAX_PAGE: u64 = 100;
const DAY_MS: i64 = 86_400_000;

/// The caller's live files, newest first.
async fn index(
    State(ctx): State<AppContext>,
    query: QueryParams,
    caller: Caller,
) -> ApiResult<Json<FilePageView>> {
    let limit = query.limit(DEFAULT_PAGE, MAX_PAGE)?;
    let cursor = query.text("cursor").map(parse_cursor).transpose()?;
    let page = r2_files::Entity::page_for_user(&ctx.db, caller.profile.id, cursor, limit).await?;
    let storage = Storage::of(&ctx)?;
    Ok(Json(FilePageView::new(page, |key| storage.public_url(key))))
}

/// `<time>_<id>` as we give it, or a plain time.
fn parse_cursor(text: &str) -> ApiResult<FileCursor> {
    let refuse = || {
        ApiError::bad_request(
            ErrorCode::ValidationFailed,
            "cursor must be one that was given",
        )
    };
    let (time, id) = match text.split_once('_') {
        None => (text, None),
        Some((time, id)) => (time, Some(Uuid::parse_str(id).map_err(|_| refuse())?)),
    };
    let created_at = DateTime::parse_from_rfc3339(time).map_err(|_| refuse())?;
    Ok(FileCursor { created_at, id })
}

/// Takes a file out of the gallery; its object goes some days later.
async fn remove(
    State(ctx): State<AppContext>,
    Path(id): Path<String>,
    caller: Caller,
) -> ApiResult<Json<Value>> {
    let missing = || ApiError::not_found("File not found");
    let id = Uuid::parse_str(&id).map_err(|_| missing())?;
    let days = i64::from(Settings::of(&ctx)?.storage.deleted_retention_days);
    let txn = begin(&ctx.db).await?;
    let key = r2_files::Entity::soft_delete(&txn, id, caller.profile.id)
        .await?
        .ok_or_else(missing)?;
    let delay_ms = days.saturating_mul(DAY_MS);
    object_deletions::Entity::schedule(&txn, &key, false, delay_ms).await?;
    txn.commit().await?;
    Ok(Json(json!({ "success": true })))
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/r2files")
        .add("/", get(index))
        .add("/{id}", delete(remove))
}
