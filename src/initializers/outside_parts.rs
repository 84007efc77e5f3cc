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
use crate::{
    embedded::s3,
    generation::{
        health,
        registry::{Registry, provider_names},
    },
    settings::Settings,
    storage::Storage,
};

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

type Look = Box<dyn Fn(AppContext) -> BoxFuture<'static, Result<Standing>> + Send + Sync>;

/// A part outside this process.
pub struct OutsidePart {
    name: String,
    look: Look,
}

/// Every part that this service depends on.
#[must_use]
pub fn parts() -> Vec<OutsidePart> {
    let part = |name: &str, look: Look| OutsidePart {
        name: name.to_owned(),
        look,
    };
    let mut parts = vec![
        part("database", Box::new(|ctx| database(ctx).boxed())),
        part("queue", Box::new(|ctx| queue(ctx).boxed())),
        part("cloud tasks", Box::new(|ctx| cloud_tasks(ctx).boxed())),
        part("storage", Box::new(|ctx| storage(ctx).boxed())),
    ];
    parts.extend(provider_names().into_iter().map(|name| {
        let look = Box::new(move |ctx| provider(ctx, name).boxed());
        part(&format!("provider {name}"), look)
    }));
    parts
}

#[async_trait]
impl Initializer for OutsidePart {
    fn name(&self) -> String {
        self.name.clone()
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

/// Not called: each answer of it costs money or says little. What its last calls said is known.
async fn provider(ctx: AppContext, name: &'static str) -> Result<Standing> {
    let settings = Settings::of(&ctx)?;
    let registry = Registry::of(&ctx)?;
    let reports = health::report(&ctx.db, &settings, &registry).await?;
    let Some(report) = reports.into_iter().find(|report| report.provider == name) else {
        return Ok(Standing::Unused("nothing is known of it".to_owned()));
    };
    Ok(match report.status.as_str() {
        "NOT_CONFIGURED" if settings.generation.demo => {
            Standing::StandIn("results of the demo provider".to_owned())
        }
        "NOT_CONFIGURED" => Standing::Unused(format!(
            "{} is not set; its routes answer 503",
            report.key_variable
        )),
        "OK" => {
            let account = settings.providers.get(report.account);
            let base = account.map(|account| account.base_url.as_str());
            Standing::Configured(place(base.unwrap_or_default()))
        }
        fault => Standing::Unreachable(fault.to_lowercase().replace('_', " ")),
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
