//! What `cargo loco doctor` says of each part outside this process: configured, replaced by a stand-in,
//! not in use, or unreachable. A part is one entry of [`parts`]: its name, and what looks at it.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};
use loco_rs::{
    Result,
    app::{AppContext, Initializer},
    doctor::{Check, CheckStatus},
};

use super::components::Relaying;
use crate::{embedded::s3, settings::Settings, storage::Storage};

/// Time one look may take.
const LIMIT: Duration = Duration::from_secs(20);

/// How a part stands, with a few words for the operator; never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is set up, and answers where asking costs nothing.
    Configured(String),
    /// Something of ours takes its place, in development.
    StandIn(String),
    /// The settings leave it out.
    Unused(String),
    /// It is set up and does not answer, or refuses us.
    Unreachable(String),
}

type Look = fn(AppContext) -> BoxFuture<'static, Result<Standing>>;

/// A part outside this process.
pub struct OutsidePart {
    name: &'static str,
    look: Look,
}

/// Every part that this service depends on.
#[must_use]
pub fn parts() -> Vec<OutsidePart> {
    let part = |name, look| OutsidePart { name, look };
    vec![
        part("database", |ctx| database(ctx).boxed()),
        part("queue", |ctx| queue(ctx).boxed()),
        part("cloud tasks", |ctx| cloud_tasks(ctx).boxed()),
        part("storage", |ctx| storage(ctx).boxed()),
        part("provider flux", |ctx| async move { flux(&ctx) }.boxed()),
    ]
}

#[async_trait]
impl Initializer for OutsidePart {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    async fn check(&self, ctx: &AppContext) -> Result<Option<Check>> {
        let standing = match tokio::time::timeout(LIMIT, (self.look)(ctx.clone())).await {
            Ok(Ok(standing)) => standing,
            Ok(Err(error)) => Standing::Unreachable(error.to_string()),
            Err(_) => Standing::Unreachable("no answer in time".to_owned()),
        };
        let (status, message) = match standing {
            Standing::Configured(what) => (CheckStatus::Ok, format!("configured ({what})")),
            Standing::StandIn(what) => (CheckStatus::Ok, format!("stand-in ({what})")),
            Standing::Unused(why) => (CheckStatus::NotConfigure, format!("not in use ({why})")),
            Standing::Unreachable(why) => (CheckStatus::NotOk, format!("unreachable ({why})")),
        };
        Ok(Some(Check {
            status,
            message,
            description: None,
        }))
    }
}

async fn database(ctx: AppContext) -> Result<Standing> {
    ctx.db.ping().await?;
    let place = place(&ctx.config.database.uri);
    Ok(if Settings::of(&ctx)?.database.is_embedded {
        Standing::StandIn(format!("embedded PostgreSQL at {place}"))
    } else {
        Standing::Configured(format!("PostgreSQL at {place}"))
    })
}

async fn queue(ctx: AppContext) -> Result<Standing> {
    let Some(queue) = &ctx.queue_provider else {
        return Ok(Standing::Unused("no queue in the context".to_owned()));
    };
    queue.ping().await?;
    Ok(Standing::Configured(queue.describe()))
}

async fn cloud_tasks(ctx: AppContext) -> Result<Standing> {
    let Some(Relaying { relay, .. }) = ctx.shared_store.get::<Relaying>() else {
        let why = "the queue in PostgreSQL carries generation jobs";
        return Ok(Standing::Unused(why.to_owned()));
    };
    let settings = Settings::of(&ctx)?;
    let place = place(&settings.queue.cloud_tasks.api_base);
    Ok(match relay.reach().await {
        Err(error) => Standing::Unreachable(format!("{place}: {error}")),
        Ok(()) if settings.queue.cloud_tasks.is_local() => Standing::StandIn(place),
        Ok(()) => Standing::Configured(place),
    })
}

async fn storage(ctx: AppContext) -> Result<Standing> {
    let settings = Settings::of(&ctx)?;
    let settings = &settings.storage;
    let what = match &settings.endpoint {
        Some(endpoint) => format!("bucket {} at {}", settings.bucket, place(endpoint)),
        None => format!("bucket {} of R2", settings.bucket),
    };
    Ok(match Storage::of(&ctx)?.list("doctor/").await {
        Err(error) => Standing::Unreachable(format!("{what}: {error}")),
        Ok(_) if settings.access_key_id.as_deref() == Some(s3::ACCESS_KEY_ID) => {
            Standing::StandIn(format!("embedded S3, {what}"))
        }
        Ok(_) => Standing::Configured(what),
    })
}

/// Not called: each answer of it costs money or says little.
fn flux(ctx: &AppContext) -> Result<Standing> {
    let settings = Settings::of(ctx)?;
    let flux = &settings.providers.flux;
    Ok(if flux.api_key.is_some() {
        Standing::Configured(place(&flux.base_url))
    } else if settings.generation.demo {
        Standing::StandIn("pictures of the demo provider".to_owned())
    } else {
        Standing::Unused("BFL_API_KEY is not set; its route answers 503".to_owned())
    })
}

/// Host and port of an address, without what may be secret in it.
fn place(address: &str) -> String {
    let parsed = url::Url::parse(address).ok();
    let place = parsed.as_ref().and_then(|url| {
        let host = url.host_str()?;
        Some(
            url.port()
                .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
        )
    });
    place.unwrap_or_else(|| "an address that cannot be read".to_owned())
}
