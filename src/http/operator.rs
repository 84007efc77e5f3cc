//! Who may look at the service's inside: admins, and the machinery that knows the internal key.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{header, request::Parts},
};
use loco_rs::app::AppContext;

use super::{caller::Caller, error::ApiError, internal_key};
use crate::{
    models::users::UserRole,
    settings::{MetricsAccess, Settings},
};

/// A signed-in caller with the admin role.
#[derive(Debug, Clone)]
pub struct Admin(pub Caller);

impl FromRequestParts<AppContext> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        ctx: &AppContext,
    ) -> Result<Self, Self::Rejection> {
        let caller = Caller::from_request_parts(parts, ctx).await?;
        match caller.profile.role {
            UserRole::Admin => Ok(Self(caller)),
            UserRole::User => Err(ApiError::admin_required()),
        }
    }
}

/// Somebody who may read the metrics: the internal key, an admin, or whom `http.metrics_access` lets in
/// without either.
#[derive(Debug, Clone, Copy)]
pub struct Operator;

impl FromRequestParts<AppContext> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        ctx: &AppContext,
    ) -> Result<Self, Self::Rejection> {
        let settings = Settings::of(ctx)?;
        let is_let_in = match settings.http.metrics_access {
            MetricsAccess::Open => true,
            MetricsAccess::Loopback => is_local(parts),
            MetricsAccess::Guarded => false,
        };
        if is_let_in
            || internal_key::matches(settings.queue.internal_api_key.as_ref(), &parts.headers)
        {
            return Ok(Self);
        }
        Admin::from_request_parts(parts, ctx).await.map(|_| Self)
    }
}

/// Whether the request began on this machine. What a proxy brings is from elsewhere, also when the
/// proxy runs here.
fn is_local(parts: &Parts) -> bool {
    let is_loopback = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    let is_forwarded = [header::FORWARDED.as_str(), "x-forwarded-for", "x-real-ip"]
        .iter()
        .any(|name| parts.headers.contains_key(*name));
    is_loopback && !is_forwarded
}
