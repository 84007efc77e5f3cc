//! Large bodies on their way in. They are received on disk, where a slow sender holds nobody up, and come
//! into memory whole and one after the other, within a budget that the whole process shares.

use std::{io::SeekFrom, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use loco_rs::app::AppContext;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::settings;

/// Bodies up to this size stay in memory, bytes; also what is gathered between two writes.
pub const SMALL_BYTES: usize = 256 * 1024;
/// Unit of both budgets, bytes.
const UNIT: u64 = 64 * 1024;

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// It is larger than the caller's limit.
    #[error("the body is too large")]
    TooLarge,
    /// Too much is on its way already.
    #[error("too many large bodies are on their way")]
    Busy,
    /// The disk failed.
    #[error("the body could not be kept: {0}")]
    Disk(#[from] std::io::Error),
}

/// The budgets of one process.
pub struct Intake {
    memory: Arc<Semaphore>,
    memory_units: u32,
    disk: Arc<Semaphore>,
    // Of its own: a worker keeps pictures for as long as a provider takes, requests only for a moment.
    work: Arc<Semaphore>,
    work_units: u32,
    wait: Duration,
}

/// A share of the memory budget, given back when it is dropped.
#[derive(Debug)]
pub struct Share(#[allow(dead_code)] Option<OwnedSemaphorePermit>);

/// A body that was received whole.
#[derive(Debug)]
pub struct Received {
    size: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    // The file has no name: it goes with its last handle, whatever happens to the process.
    Disk(File, #[allow(dead_code)] Option<OwnedSemaphorePermit>),
}

impl Intake {
    /// The budgets as configured.
    #[must_use]
    pub fn new(http: &settings::Http, jobs: &settings::Jobs) -> Self {
        let memory_units = units(http.body_memory_bytes).max(1);
        let work_units = units(jobs.reference_memory_bytes).max(1);
        let disk_units = units(http.body_disk_bytes).max(1);
        let semaphore = |units| Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(1)));
        Self {
            memory: semaphore(memory_units),
            memory_units,
            disk: semaphore(disk_units),
            work: semaphore(work_units),
            work_units,
            wait: Duration::from_millis(http.body_wait_ms),
        }
    }

    /// The budgets that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("the intake is missing from the context"))
    }

    /// Receives a body of at most `limit` bytes.
    ///
    /// # Errors
    /// [`IntakeError`], and what the body's stream gives.
    pub async fn receive<E: From<IntakeError>>(
        &self,
        body: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
        limit: u64,
    ) -> Result<Received, E> {
        let mut buffer = Vec::new();
        let mut spool: Option<(File, OwnedSemaphorePermit)> = None;
        let mut size = 0_u64;
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            size = size.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            if size > limit {
                return Err(IntakeError::TooLarge.into());
            }
            buffer.extend_from_slice(&chunk);
            if buffer.len() > SMALL_BYTES {
                self.write(&mut spool, &mut buffer).await?;
            }
        }
        let place = match spool {
            None => Place::Memory(buffer),
            Some(_) => {
                self.write(&mut spool, &mut buffer).await?;
                match spool {
                    Some((file, share)) => Place::Disk(file, Some(share)),
                    None => Place::Memory(buffer),
                }
            }
        };
        Ok(Received { size, place })
    }

    /// Moves what was gathered to disk. A budget that is used up refuses at once: waiting senders would
    /// hold what others wait for.
    async fn write(
        &self,
        spool: &mut Option<(File, OwnedSemaphorePermit)>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), IntakeError> {
        let units = units(u64::try_from(buffer.len()).unwrap_or(u64::MAX));
        let more = Arc::clone(&self.disk)
            .try_acquire_many_owned(units)
            .map_err(|_| IntakeError::Busy)?;
        let file = match spool {
            Some((file, share)) => {
                share.merge(more);
                file
            }
            None => {
                let file = tokio::task::spawn_blocking(tempfile::tempfile)
                    .await
                    .map_err(std::io::Error::other)??;
                &mut spool.insert((File::from_std(file), more)).0
            }
        };
        file.write_all(buffer).await?;
        buffer.clear();
        Ok(())
    }

    /// A share of the memory budget for `bytes`, in turn. More than the whole budget counts as all of it.
    ///
    /// # Errors
    /// [`IntakeError::Busy`] when there is none in time.
    pub async fn share(&self, bytes: u64) -> Result<Share, IntakeError> {
        self.wait_for(&self.memory, units(bytes).min(self.memory_units))
            .await
    }

    /// The same of what workers may keep in memory for their providers.
    ///
    /// # Errors
    /// [`IntakeError::Busy`] when there is none in time.
    pub async fn share_of_work(&self, bytes: u64) -> Result<Share, IntakeError> {
        self.wait_for(&self.work, units(bytes).min(self.work_units))
            .await
    }

    async fn wait_for(&self, budget: &Arc<Semaphore>, units: u32) -> Result<Share, IntakeError> {
        if units == 0 {
            return Ok(Share::none());
        }
        let waited = Arc::clone(budget).acquire_many_owned(units);
        match tokio::time::timeout(self.wait, waited).await {
            Ok(Ok(permit)) => Ok(Share(Some(permit))),
            Ok(Err(_)) | Err(_) => Err(IntakeError::Busy),
        }
    }
}

impl Share {
    /// The share of what is too small to count.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }
}

impl Received {
    /// Its size, bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether it lies on disk, so that reading it takes memory.
    #[must_use]
    pub const fn is_large(&self) -> bool {
        matches!(self.place, Place::Disk(..))
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`IntakeError::Disk`].
    pub async fn read(self) -> Result<Bytes, IntakeError> {
        let mut file = match self.place {
            Place::Memory(bytes) => return Ok(bytes.into()),
            Place::Disk(file, _share) => file,
        };
        file.flush().await?;
        file.seek(SeekFrom::Start(0)).await?;
        let mut bytes = Vec::with_capacity(usize::try_from(self.size).unwrap_or_default());
        file.read_to_end(&mut bytes).await?;
        Ok(bytes.into())
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}
