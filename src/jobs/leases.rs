//! Leases of this process: claimed jobs are kept by a heartbeat until they are settled.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use loco_rs::app::AppContext;
use sea_orm::{DatabaseConnection, DbErr, prelude::Uuid};
use tokio_util::sync::CancellationToken;

use crate::{
    models::jobs::{Claim, ClaimLimits, Claimed, Entity, Fence},
    realtime::Announcer,
    settings,
};

/// Looks after a lost race before the work is left to the next delivery.
const RACES: usize = 8;

/// Claims jobs for this process and keeps their leases alive, also while the process drains.
pub struct Leases {
    db: DatabaseConnection,
    announcer: Announcer,
    owner: Uuid,
    heartbeat: Duration,
    limits: ClaimLimits,
    held: Mutex<HashMap<Uuid, Held>>,
    is_beating: Mutex<bool>,
    cut: CancellationToken,
}

#[derive(Debug, Clone)]
struct Held {
    claim_no: i32,
    lost: CancellationToken,
    unwanted: CancellationToken,
}

/// A claimed job whose lease is kept until this is dropped.
pub struct Lease {
    pub job: Claimed,
    /// Cancelled when another process took the job over or it was ended from outside.
    pub lost: CancellationToken,
    /// Cancelled when the owner wants the job cancelled.
    pub unwanted: CancellationToken,
    leases: Arc<Leases>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self
            .leases
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if held
            .get(&self.job.id)
            .is_some_and(|entry| entry.claim_no == self.job.claim_no)
        {
            held.remove(&self.job.id);
        }
    }
}

impl Leases {
    /// The leases of a new process.
    #[must_use]
    pub fn new(db: DatabaseConnection, jobs: &settings::Jobs, announcer: Announcer) -> Self {
        let to_i64 = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            db,
            announcer,
            owner: Uuid::new_v4(),
            heartbeat: Duration::from_millis(jobs.heartbeat_ms),
            limits: ClaimLimits {
                lease_ms: to_i64(jobs.lease()),
                max_running_per_user: jobs.max_running_per_user,
            },
            held: Mutex::default(),
            is_beating: Mutex::new(false),
            cut: CancellationToken::new(),
        }
    }

    /// The leases that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("leases are missing from the context"))
    }

    /// Claims the fairest due job of a queue, if there is one that no limit holds back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim(self: &Arc<Self>, queue: &str) -> Result<Option<Lease>, DbErr> {
        for _ in 0..RACES {
            match Entity::claim(&self.db, queue, self.owner, self.limits).await? {
                Claim::Job(job) => {
                    if job.was_pending {
                        self.announcer.announce(job.user_id);
                    }
                    return Ok(Some(self.hold(*job)));
                }
                Claim::Nothing => return Ok(None),
                Claim::Raced => {}
            }
        }
        Ok(None)
    }

    fn hold(self: &Arc<Self>, job: Claimed) -> Lease {
        let entry = Held {
            claim_no: job.claim_no,
            lost: CancellationToken::new(),
            unwanted: CancellationToken::new(),
        };
        let (lost, unwanted) = (entry.lost.clone(), entry.unwanted.clone());
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(job.id, entry);
        self.beat();
        Lease {
            job,
            lost,
            unwanted,
            leases: Arc::clone(self),
        }
    }

    /// Tells running steps to stop and give their jobs back: the process is about to end.
    pub fn cut_all(&self) {
        self.cut.cancel();
    }

    /// Resolves when running steps have to stop.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Starts the heartbeat unless it runs; it ends by itself when nothing is held.
    fn beat(self: &Arc<Self>) {
        let mut is_beating = self
            .is_beating
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *is_beating {
            return;
        }
        *is_beating = true;
        let leases = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(leases.heartbeat).await;
                if leases.rest_if_idle() {
                    return;
                }
                leases.renew().await;
            }
        });
    }

    fn rest_if_idle(&self) -> bool {
        let mut is_beating = self
            .is_beating
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_idle = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty();
        if is_idle {
            *is_beating = false;
        }
        is_idle
    }

    async fn renew(&self) {
        let before: HashMap<Uuid, Held> = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let jobs: Vec<Uuid> = before.keys().copied().collect();
        match Entity::heartbeat(&self.db, self.owner, jobs, self.limits.lease_ms).await {
            Ok(kept) => {
                for (job_id, entry) in before {
                    let claim_no = entry.claim_no;
                    let fence = Fence { job_id, claim_no };
                    match kept.iter().find(|kept| kept.fence == fence) {
                        Some(kept) if kept.is_cancel_requested => entry.unwanted.cancel(),
                        Some(_) => {}
                        None if self.still_holds(job_id, claim_no) => {
                            tracing::warn!(job.id = %job_id, "the lease of a running job was lost");
                            entry.lost.cancel();
                        }
                        None => {}
                    }
                }
            }
            // The lease outlives some missed beats; the next one may get through.
            Err(error) => tracing::warn!(%error, "a lease heartbeat failed"),
        }
    }

    fn still_holds(&self, job_id: Uuid, claim_no: i32) -> bool {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&job_id)
            .is_some_and(|entry| entry.claim_no == claim_no)
    }
}
