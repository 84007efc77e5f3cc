//! One step of a batch: everything of it that is due, as many items at a time as it may have.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{Mutex, OnceCell},
    time::Instant,
};

use super::{
    BatchInput,
    item::{Bench, Stand},
};
use crate::{
    generation::{
        error::{FaultClass, ProviderError},
        pipeline::{Pipeline, millis},
        request::Kind,
        retry::{Decision, decide},
    },
    jobs::JobError,
    models::{
        job_items::{Entity, Item, ItemStatus, Tally, outcome},
        jobs::{Change, Claimed},
    },
};

/// Pause of a batch whose turn is over. What runs goes before what waits, so without it the batch would
/// take the very slot that it gave back.
const PAUSE_AFTER_TURN: Duration = Duration::from_secs(1);

/// Where an item of this step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not begun, or tried again, from this moment on.
    Ready(Instant),
    /// Upstream; looked at from this moment on.
    Upstream(Instant),
    Working,
    Final,
}

/// The items of a step and where they are.
struct Board {
    items: Vec<(Item, Place)>,
    batch_size: usize,
}

impl Board {
    fn new(items: Vec<Item>, batch_size: u32) -> Self {
        let now = Instant::now();
        let items = items
            .into_iter()
            .map(|item| {
                let delay = u64::try_from(item.due_in_ms).unwrap_or_default();
                let due = now + Duration::from_millis(delay);
                let place = match item.status {
                    ItemStatus::Pending => Place::Ready(due),
                    ItemStatus::Submitted => Place::Upstream(due),
                    ItemStatus::Completed | ItemStatus::Failed => Place::Final,
                };
                (item, place)
            })
            .collect();
        Self {
            items,
            batch_size: usize::try_from(batch_size).unwrap_or(usize::MAX).max(1),
        }
    }

    /// Items that are upstream or being worked on.
    fn in_flight(&self) -> usize {
        self.items
            .iter()
            .filter(|(_, place)| matches!(place, Place::Upstream(_) | Place::Working))
            .count()
    }

    /// The next item to work on now, marked as such: those upstream first, then new ones as far as
    /// the batch may have more.
    fn take_due(&mut self, may_begin: bool) -> Option<Item> {
        let now = Instant::now();
        let has_room = may_begin && self.in_flight() < self.batch_size;
        let index = self
            .items
            .iter()
            .position(|(_, place)| matches!(place, Place::Upstream(due) if *due <= now))
            .or_else(|| {
                self.items.iter().position(
                    |(_, place)| matches!(place, Place::Ready(due) if has_room && *due <= now),
                )
            })?;
        let (item, place) = self.items.get_mut(index)?;
        *place = Place::Working;
        Some(item.clone())
    }

    /// Puts an item back that was worked on.
    fn put(&mut self, worked: Item, stand: Stand) {
        let now = Instant::now();
        if let Stand::Waiting {
            pause,
            for_all: true,
        } = stand
        {
            // Being told to wait is meant for us, not for one prompt.
            for (_, place) in &mut self.items {
                if let Place::Ready(due) = place {
                    *due = (*due).max(now + pause);
                }
            }
        }
        let place = match stand {
            Stand::Final => Place::Final,
            Stand::Upstream(pause) => Place::Upstream(now + pause),
            Stand::Waiting { pause, .. } => Place::Ready(now + pause),
        };
        let mut seats = self.items.iter_mut();
        if let Some(seat) = seats.find(|(item, _)| item.position == worked.position) {
            *seat = (worked, place);
        }
    }

    /// When something is to be done next; nothing when all items are final or worked on.
    fn next_due(&self, may_begin: bool) -> Option<Instant> {
        let has_room = may_begin && self.in_flight() < self.batch_size;
        self.items
            .iter()
            .filter_map(|(_, place)| match place {
                Place::Upstream(due) => Some(*due),
                Place::Ready(due) => has_room.then_some(*due),
                Place::Working | Place::Final => None,
            })
            .min()
    }

    /// Each open item with the milliseconds until it is due.
    fn schedule(&self) -> Vec<(i32, i64)> {
        let now = Instant::now();
        self.items
            .iter()
            .filter_map(|(item, place)| match place {
                Place::Upstream(due) | Place::Ready(due) => {
                    let pause = due.saturating_duration_since(now);
                    Some((item.position, millis(pause)))
                }
                Place::Working | Place::Final => None,
            })
            .collect()
    }
}

impl Pipeline {
    /// Works one step of a claimed batch and leaves it settled or waiting.
    pub(in crate::generation) async fn step_batch(&self, job: &Claimed) -> Result<(), JobError> {
        let stop = |class, detail: &str| ProviderError::new(class, detail.to_owned());
        if job.rescues > self.settings.jobs.max_rescues {
            let cause = stop(FaultClass::OutOfTime, "its worker died too often");
            return self.end_batch(job, Some(&cause)).await;
        }
        if job.is_past_deadline {
            let cause = stop(FaultClass::OutOfTime, "past its deadline");
            return self.end_batch(job, Some(&cause)).await;
        }
        let mut input: BatchInput = match serde_json::from_value(job.input.clone()) {
            Ok(input) => input,
            Err(error) => {
                let cause = stop(FaultClass::BadInput, &error.to_string());
                return self.end_batch(job, Some(&cause)).await;
            }
        };
        input.picture.kind = Kind::of(&job.job_type);
        let provider = match self.registry.provider(&job.provider, input.picture.kind) {
            Ok(provider) => provider,
            // A key taken away after admission: the batch waits for its return or its deadline.
            Err(error) => {
                let error = stop(FaultClass::RateLimited, &error.to_string());
                return self.wait_for_provider(job, &error).await;
            }
        };
        let items = Entity::of_job(&self.db, job.id).await?;
        if items
            .iter()
            .all(|item| item.status == ItemStatus::Pending && item.attempts == 0)
        {
            let progress = Tally::of(&items).progress();
            let change = Change::batch_progress(progress, outcome(&items));
            self.settler().note(job, &change).await?;
        }
        let width = width(&input, job);
        let mut picture = input.picture;
        let upstream_model = provider.upstream_model(&picture);
        picture.prompt.clear();
        let bench = Bench {
            pipeline: self,
            job,
            provider: provider.as_ref(),
            picture: &picture,
            upstream_model: &upstream_model,
            references: OnceCell::new(),
            pen: Mutex::new(()),
            probe: Mutex::new(()),
        };
        let turn = Duration::from_millis(self.settings.jobs.batch_turn_ms);
        let started = Instant::now();
        let board = Board::new(items, width);
        let board = work(&bench, board, started, turn).await?;
        let Some(due) = board.next_due(true) else {
            return self.end_batch(job, None).await;
        };
        let mut pause = due.saturating_duration_since(Instant::now());
        if started.elapsed() >= turn {
            pause = pause.max(PAUSE_AFTER_TURN);
        }
        let delay_ms = millis(pause);
        self.settler()
            .reschedule_batch(job, &board.schedule(), delay_ms)
            .await
    }

    async fn wait_for_provider(
        &self,
        job: &Claimed,
        error: &ProviderError,
    ) -> Result<(), JobError> {
        let pause = match decide(error, 0, job.claim_no, false, &self.settings.jobs) {
            Decision::Retry { delay, .. } => delay,
            Decision::GiveUp => return self.end_batch(job, Some(error)).await,
        };
        tracing::warn!(
            job.id = %job.id,
            provider.name = job.provider,
            error.detail = error.detail,
            "a batch waits for its provider"
        );
        self.settler()
            .reschedule_batch(job, &[], millis(pause))
            .await
    }
}

/// Items that may be upstream or worked on at the same time: as many as were asked for, and as many as
/// the batch has places of its provider, if that has limits.
fn width(input: &BatchInput, job: &Claimed) -> u32 {
    match u32::try_from(job.places) {
        Ok(places) if places > 0 => input.batch_size.min(places),
        _ => input.batch_size,
    }
}

/// Works on items until none is due any more. After its turn it begins no new ones, so that others
/// get at the slot, and ends what it has begun.
async fn work(
    bench: &Bench<'_>,
    mut board: Board,
    started: Instant,
    turn: Duration,
) -> Result<Board, JobError> {
    let mut running = FuturesUnordered::new();
    let mut may_begin = true;
    loop {
        while let Some(mut item) = board.take_due(may_begin) {
            running.push(async move {
                let stand = bench.work(&mut item).await?;
                Ok::<_, JobError>((item, stand))
            });
        }
        // While something runs the slot is held anyway, so what falls due meanwhile is done too.
        let wake = board
            .next_due(may_begin)
            .unwrap_or_else(|| Instant::now() + turn);
        let ended = tokio::select! {
            ended = running.next() => ended,
            () = tokio::time::sleep_until(wake), if !running.is_empty() => {
                may_begin = started.elapsed() < turn;
                continue;
            }
        };
        match ended {
            Some(outcome) => {
                let (item, stand) = outcome?;
                board.put(item, stand);
            }
            None => return Ok(board),
        }
        may_begin = started.elapsed() < turn;
    }
}
