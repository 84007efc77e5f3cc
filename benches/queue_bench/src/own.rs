//! The service's queue: jobs are admitted with their hold, claimed under a lease, and completed with
//! capture, usage event and job event, on the provider and the settings that it runs with. Only the
//! step between claim and completion is left out.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use daygen::{
    app::App,
    auth::{first_sight, identity::Keeper},
    jobs::{
        admission,
        leases::Leases,
        route,
        settle::{Completion, Settler},
    },
    models::{
        begin,
        jobs::{JobType, NewJob},
        users::NewUser,
    },
    queue::{self, Carrier},
    realtime::Announcer,
    settings::Settings,
    workers::step::JobArgs,
};
use loco_rs::{
    app::{AppContext, Hooks},
    bgworker::{BackgroundWorker, Queue},
    boot::StartMode,
    config::Config,
    environment::Environment,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    Failure,
    measure::{Progress, drained, enqueue_all, sample},
};

const TYPE: JobType = JobType::ImageGeneration;
const CREDITS: i64 = 1_000_000;
const COST: i64 = 1;
const PROVIDER: &str = "bench";

/// Stands where the worker of image jobs stands: claims, does nothing, completes.
struct EmptyWorker {
    ctx: AppContext,
    progress: Progress,
}

#[async_trait]
impl BackgroundWorker<JobArgs> for EmptyWorker {
    fn queue() -> Option<String> {
        Some(route(&TYPE).queue.to_owned())
    }

    fn class_name() -> String {
        route(&TYPE).worker.to_owned()
    }

    fn build(ctx: &AppContext) -> Self {
        let (progress, _) = Progress::new(usize::MAX);
        let ctx = ctx.clone();
        Self { ctx, progress }
    }

    async fn perform(&self, _args: JobArgs) -> loco_rs::Result<()> {
        self.progress.entered();
        let leases = Leases::of(&self.ctx)?;
        let Some(lease) = leases.claim(route(&TYPE).queue).await? else {
            return Ok(());
        };
        let span = tracing::info_span!("job", job.id = %lease.job.id, claim = lease.job.claim_no);
        let settings = Settings::of(&self.ctx)?;
        let carrier = queue::carrier(&self.ctx)?;
        let announcer = announcer(&self.ctx)?;
        let settler = Settler {
            db: &self.ctx.db,
            announcer: &announcer,
            carrier: &*carrier,
            jobs: &settings.jobs,
        };
        settler
            .complete(&lease.job, &nothing_made())
            .instrument(span)
            .await
            .map_err(loco_rs::Error::wrap)?;
        self.progress.handled();
        Ok(())
    }
}

fn announcer(ctx: &AppContext) -> loco_rs::Result<Announcer> {
    ctx.shared_store
        .get::<Announcer>()
        .ok_or_else(|| loco_rs::Error::string("the announcer is missing from the context"))
}

/// The completion of a job without files; it is paid like any other.
fn nothing_made() -> Completion {
    Completion {
        files: Vec::new(),
        result: json!({ "keys": [] }),
        result_key: "bench".to_owned(),
        warnings: None,
        captured: COST,
        upstream_model: "bench".to_owned(),
        usage_metadata: json!({}),
    }
}

/// The booted service with the empty worker in place.
struct Service {
    ctx: AppContext,
    queue: Arc<Queue>,
    settings: Arc<Settings>,
    carrier: Arc<dyn Carrier>,
    users: Arc<Vec<Uuid>>,
}

impl Service {
    async fn boot(
        environment: &Environment,
        mut config: Config,
        slots: usize,
        progress: Progress,
    ) -> Result<Self, Failure> {
        *config
            .settings
            .as_mut()
            .and_then(|settings| settings.pointer_mut("/queue/concurrency"))
            .and_then(|queues| queues.get_mut(route(&TYPE).queue))
            .ok_or("the image queue has no concurrency in the settings")? = slots.into();
        let mode = StartMode::WorkerOnly { tags: Vec::new() };
        let ctx = App::boot(mode, environment, config).await?.app_context;
        App::init_logger(&ctx)?;
        let queue = ctx.queue_provider.clone().ok_or("there is no queue")?;
        let worker = EmptyWorker {
            ctx: ctx.clone(),
            progress,
        };
        queue.register(worker).await?;
        let users: Vec<Uuid> = sqlx::query_scalar("select id from users order by id")
            .fetch_all(pool(&ctx))
            .await?;
        Ok(Self {
            settings: Settings::of(&ctx)?,
            carrier: queue::carrier(&ctx)?,
            users: Arc::new(users),
            queue,
            ctx,
        })
    }

    /// What admits the job with a number; the users take turns.
    fn admission(
        &self,
    ) -> impl Fn(usize) -> futures_util::future::BoxFuture<'static, Result<(), Failure>>
    + Clone
    + Send
    + 'static {
        let (ctx, users) = (self.ctx.clone(), Arc::clone(&self.users));
        let (settings, carrier) = (Arc::clone(&self.settings), Arc::clone(&self.carrier));
        move |number| {
            let (ctx, settings) = (ctx.clone(), Arc::clone(&settings));
            let (carrier, users) = (Arc::clone(&carrier), Arc::clone(&users));
            Box::pin(async move {
                let user = number
                    .checked_rem(users.len())
                    .and_then(|turn| users.get(turn))
                    .ok_or("there are no users")?;
                let job = new_job(*user, settings.jobs.deadline_ms.try_into()?);
                let announcer = announcer(&ctx)?;
                Ok(admission::admit(&ctx.db, &*carrier, &announcer, &settings, job, None).await?)
            })
        }
    }

    /// Works all queues, as a worker process does, until told to stop.
    fn work(&self) -> JoinHandle<loco_rs::Result<()>> {
        let queue = Arc::clone(&self.queue);
        tokio::spawn(async move { queue.run(Vec::new()).await })
    }
}

fn pool(ctx: &AppContext) -> &PgPool {
    ctx.db.get_postgres_connection_pool()
}

fn new_job(user_id: Uuid, deadline_ms: i64) -> NewJob {
    NewJob {
        id: Uuid::now_v7(),
        user_id,
        r#type: TYPE,
        queue: route(&TYPE).queue.to_owned(),
        provider: PROVIDER.to_owned(),
        model: "bench".to_owned(),
        prompt: Some("A lighthouse at dusk".to_owned()),
        prompts: Vec::new(),
        input: json!({ "prompt": "A lighthouse at dusk" }),
        metadata: json!({}),
        warnings: json!([]),
        cost: COST,
        deadline_ms,
        request_id: Some(Uuid::new_v4().to_string()),
        correlation_id: None,
    }
}

/// Makes users with credits.
pub async fn make_users(
    environment: &Environment,
    config: Config,
    count: usize,
) -> Result<Value, Failure> {
    let ctx = App::boot(StartMode::ServerOnly, environment, config)
        .await?
        .app_context;
    for number in 0..count {
        let email = format!("bench-{number}@example.com");
        let user = NewUser {
            id: Uuid::new_v4(),
            email: &email,
            display_name: None,
            avatar_url: None,
        };
        let txn = begin(&ctx.db).await?;
        first_sight::create(&txn, &user, Keeper::Local, CREDITS).await?;
        txn.commit().await?;
    }
    Ok(json!({ "users": count }))
}

/// Admits, then times the worker from its start until it has stopped.
pub async fn drain(
    environment: &Environment,
    config: Config,
    count: usize,
    slots: usize,
) -> Result<Value, Failure> {
    let (progress, _entries) = Progress::new(count);
    let service = Service::boot(environment, config, slots, progress.clone()).await?;
    let enqueue_s = enqueue_all(count, service.admission()).await?;
    let began = Instant::now();
    let worker = service.work();
    progress.wait().await?;
    service.queue.shutdown()?;
    worker.await??;
    let drain_s = began.elapsed().as_secs_f64();
    // The duty may have sent a delivery too many, which nobody took any more; one that was taken
    // has to be marked as done.
    let left = sqlx::query_scalar(
        "select (select count(*) from jobs where status <> 'COMPLETED')
              + (select count(*) from apalis.jobs where status in ('Queued', 'Running'))",
    )
    .fetch_one(pool(&service.ctx))
    .await?;
    drained(count, enqueue_s, drain_s, left)
}

/// Times single jobs on the idle queue.
pub async fn latency(
    environment: &Environment,
    config: Config,
    count: usize,
    slots: usize,
) -> Result<Value, Failure> {
    let (progress, mut entries) = Progress::new(usize::MAX);
    let service = Service::boot(environment, config, slots, progress).await?;
    let worker = service.work();
    let result = sample(count, &mut entries, service.admission()).await;
    service.queue.shutdown()?;
    worker.await??;
    result
}
