//! What the suite asks of a carrier.

pub mod apalis;
pub mod cloud_tasks;

use async_trait::async_trait;

use crate::support::{Builder, TestApp, bfl::Bfl, processes::Process};

/// What a process does in a mode, as far as it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    WorkImages,
    /// It hands out deliveries of the mailer queue, and no image jobs.
    WorkMail,
    /// It answers on its port, and works no image jobs.
    Serve,
}

/// A way to start a process.
#[derive(Debug, Clone)]
pub struct Mode {
    pub arguments: &'static [&'static str],
    pub does: Does,
}

/// A carrier under test.
#[async_trait]
pub trait Side: Send + Sync {
    /// An app that works its jobs itself, as soon as it is told to.
    fn held(&self, app: Builder) -> Builder;

    /// Lets that app begin.
    fn release(&self, app: &TestApp);

    /// Deliveries that are not done.
    async fn deliveries(&self, app: &TestApp) -> i64;

    /// Waits until `n` deliveries have left the app's own hands.
    async fn on_their_way(&self, app: &TestApp, n: usize);

    /// How many ways there are to lose deliveries by hand, and losing all of them in one.
    fn losses(&self) -> usize;
    async fn lose(&self, app: &TestApp, way: usize);

    /// Brings more deliveries of a job than there should be.
    async fn repeat(&self, app: &TestApp, job: &str);

    /// How many ways the carrier can be away while jobs are admitted; beginning and ending one.
    fn outages(&self) -> usize;
    async fn begin_outage(&self, app: &TestApp, way: usize);
    async fn end_outage(&self, app: &TestApp);

    /// An app that leaves its jobs to processes of their own.
    fn beside(&self, app: Builder) -> Builder;

    /// Starts a process that works image jobs.
    fn worker(&self, app: &TestApp, bfl: Option<&Bfl>) -> Process {
        let mode = self
            .modes()
            .into_iter()
            .find(|mode| mode.does == Does::WorkImages);
        self.process(app, bfl, mode.unwrap().arguments).0
    }

    /// Starts a process in a mode; gives its port too.
    fn process(&self, app: &TestApp, bfl: Option<&Bfl>, arguments: &[&str]) -> (Process, u16);

    /// Every mode, those that work image jobs in the order of preference.
    fn modes(&self) -> Vec<Mode>;
}
