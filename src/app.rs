//! Wiring only: context, routes, workers, tasks.

use std::path::Path;

use async_trait::async_trait;
use axum::Router as AxumRouter;
use loco_rs::{
    Result,
    app::{AppContext, Hooks, Initializer},
    bgworker::{BackgroundWorker, Queue},
    boot::{BootResult, ServeParams, StartMode, create_app},
    config::Config,
    controller::{AppRoutes, middleware::MiddlewareLayer},
    environment::Environment,
    task::Tasks,
};
use migration::Migrator;

use crate::{
    auth::identity::{self, Keeper},
    controllers,
    http::edge::Edge,
    initializers::{
        boot, components, dev_inbox, live_updates, outside_parts, serve, worker_duties,
    },
    settings::Settings,
    tasks, telemetry,
    workers::{
        batch_generation::BatchGenerationWorker, image_generation::ImageGenerationWorker,
        image_upscale::ImageUpscaleWorker, mail::MailWorker,
        scene_generation::SceneGenerationWorker, video_generation::VideoGenerationWorker,
    },
};

/// The application.
pub struct App;

#[async_trait]
impl Hooks for App {
    fn app_name() -> &'static str {
        env!("CARGO_CRATE_NAME")
    }

    fn app_version() -> String {
        format!(
            "{} ({})",
            env!("CARGO_PKG_VERSION"),
            option_env!("BUILD_SHA")
                .or(option_env!("GITHUB_SHA"))
                .unwrap_or("dev")
        )
    }

    async fn boot(
        mode: StartMode,
        environment: &Environment,
        config: Config,
    ) -> Result<BootResult> {
        create_app::<Self, Migrator>(mode, environment, config).await
    }

    async fn load_config(environment: &Environment) -> Result<Config> {
        boot::load(environment).await
    }

    async fn after_context(ctx: AppContext) -> Result<AppContext> {
        components::install(ctx).await
    }

    fn init_logger(ctx: &AppContext) -> Result<bool> {
        telemetry::init_logging(&ctx.config.logger);
        Ok(true)
    }

    async fn initializers(_ctx: &AppContext) -> Result<Vec<Box<dyn Initializer>>> {
        let mut list: Vec<Box<dyn Initializer>> = vec![Box::new(live_updates::LiveUpdates)];
        for part in outside_parts::parts() {
            list.push(Box::new(part));
        }
        Ok(list)
    }

    fn middlewares(ctx: &AppContext) -> Vec<Box<dyn MiddlewareLayer>> {
        // The framework's own layers answer in another envelope; ours replace all of them.
        Settings::of(ctx).map_or_else(
            |_| Vec::new(),
            |settings| vec![Box::new(Edge(settings)) as Box<dyn MiddlewareLayer>],
        )
    }

    async fn before_routes(ctx: &AppContext) -> Result<AxumRouter<AppContext>> {
        if worker_duties::are_needed_by_server(ctx)?
            && let Some(queue) = &ctx.queue_provider
        {
            Self::connect_workers(ctx, queue).await?;
        }
        Ok(live_updates::routes(ctx)?.merge(dev_inbox::routes(ctx)))
    }

    fn routes(ctx: &AppContext) -> AppRoutes {
        let routes = AppRoutes::with_default_routes() // controller routes below
            .add_route(controllers::health::routes())
            .add_route(controllers::operations::routes())
            .add_route(controllers::auth::routes())
            .add_route(controllers::users::routes())
            .add_route(controllers::image::routes())
            .add_route(controllers::video::routes())
            .add_route(controllers::jobs::routes())
            .add_route(controllers::process::routes())
            .add_route(controllers::events::routes())
            .add_route(controllers::r2files::routes())
            .add_route(controllers::files::routes())
            .add_route(controllers::scenes::routes())
            .add_route(controllers::providers::routes());
        // Where accounts are kept elsewhere, so is their identity API.
        match identity::of(ctx).map(|identity| identity.keeper()) {
            Ok(Keeper::Local) => routes.add_route(controllers::gotrue::routes()),
            _ => routes,
        }
    }

    async fn connect_workers(ctx: &AppContext, queue: &Queue) -> Result<()> {
        queue.register(ImageGenerationWorker::build(ctx)).await?;
        queue.register(VideoGenerationWorker::build(ctx)).await?;
        queue.register(ImageUpscaleWorker::build(ctx)).await?;
        queue.register(BatchGenerationWorker::build(ctx)).await?;
        queue.register(SceneGenerationWorker::build(ctx)).await?;
        queue.register(MailWorker::build(ctx)).await?;
        worker_duties::start(ctx).await
    }

    async fn serve(app: AxumRouter, ctx: &AppContext, params: &ServeParams) -> Result<()> {
        serve::run(app, ctx, params, || Self::on_shutdown(ctx)).await
    }

    async fn on_shutdown(ctx: &AppContext) {
        if let Some(queue) = &ctx.queue_provider {
            queue.shutdown().ok();
        }
        live_updates::stop(ctx).await;
    }

    fn register_tasks(tasks: &mut Tasks) {
        tasks.register(tasks::ledger_check::LedgerCheck);
        tasks.register(tasks::credits_adjust::CreditsAdjust);
        tasks.register(tasks::admin_grant::AdminGrant);
        tasks.register(tasks::db_shell::DbShell);
        tasks.register(tasks::db_stop::DbStop);
        tasks.register(tasks::db_reset_cluster::DbResetCluster);
        tasks.register(tasks::jobs_stuck::JobsStuck);
        tasks.register(tasks::jobs_nudge::JobsNudge);
        tasks.register(tasks::jobs_purge::JobsPurge);
        // tasks-inject (do not remove)
    }

    async fn truncate(_ctx: &AppContext) -> Result<()> {
        // Ledger tables are append-only, so a database is thrown away as a whole, never emptied.
        Err(loco_rs::Error::string(
            "the ledger is append-only; use `cargo loco task db_reset_cluster confirm:yes`",
        ))
    }

    async fn seed(_ctx: &AppContext, _base: &Path) -> Result<()> {
        Ok(())
    }
}
