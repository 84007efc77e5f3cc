//! Figures about jobs and workers of all processes, for operators and scrapers. One look at the
//! database serves everybody who asks within a short time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use loco_rs::app::AppContext;
use sea_orm::DatabaseConnection;
use tokio::sync::Mutex;

use crate::{
    models::job_totals::{self, Figure},
    queue::{Carrier, WorkerBeat},
    settings,
};

/// How far back recent goes, seconds.
pub const WINDOW_S: i32 = 300;
/// Time a look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// What one look found.
#[derive(Debug)]
pub struct Figures {
    pub taken_at: DateTime<Utc>,
    pub lines: Vec<Figure>,
    pub workers: Vec<WorkerBeat>,
}

/// Why there are no figures; the sentence may be shown to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FiguresError {
    #[error("the database does not answer in time")]
    TooSlow,
    #[error("the database cannot be asked")]
    Failed,
}

type Look = Result<Arc<Figures>, FiguresError>;

/// Takes looks, one at a time.
pub struct FiguresDesk {
    db: DatabaseConnection,
    carrier: Arc<dyn Carrier>,
    keep: Duration,
    last: Mutex<Option<(Instant, Look)>>,
}

impl FiguresDesk {
    /// A desk that has not looked yet.
    #[must_use]
    pub fn new(db: DatabaseConnection, carrier: Arc<dyn Carrier>, jobs: &settings::Jobs) -> Self {
        Self {
            db,
            carrier,
            keep: Duration::from_millis(jobs.figures_cache_ms),
            last: Mutex::default(),
        }
    }

    /// The desk that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("the figures are missing from the context"))
    }

    /// The figures, at most `jobs.figures_cache_ms` old. Whoever asks while a look is under way waits
    /// for that one; a failure serves everybody too, so that nobody queues at a database that is away.
    ///
    /// # Errors
    /// See [`FiguresError`]; the reason is logged.
    pub async fn look(&self) -> Look {
        let mut last = self.last.lock().await;
        if let Some((at, look)) = &*last
            && at.elapsed() < self.keep
        {
            return look.clone();
        }
        let look = match tokio::time::timeout(LOOK_LIMIT, self.ask()).await {
            Ok(Ok(figures)) => Ok(Arc::new(figures)),
            Ok(Err(error)) => {
                tracing::error!(%error, "the job figures cannot be read");
                Err(FiguresError::Failed)
            }
            Err(_) => {
                tracing::error!("the job figures were not read in time");
                Err(FiguresError::TooSlow)
            }
        };
        *last = Some((Instant::now(), look.clone()));
        look
    }

    async fn ask(&self) -> Result<Figures, sea_orm::DbErr> {
        let (lines, workers) = tokio::try_join!(
            job_totals::Entity::figures(&self.db, WINDOW_S),
            self.carrier.workers()
        )?;
        Ok(Figures {
            taken_at: Utc::now(),
            lines,
            workers,
        })
    }
}
