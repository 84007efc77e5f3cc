//! apalis on Postgres: processes fetch.

use async_trait::async_trait;

use super::{Does, Mode, Side};
use crate::{
    contracts::queue::{QUEUE, WORKER},
    support::{
        Builder, TestApp,
        bfl::Bfl,
        processes::{Installation, Process, free_port},
    },
};

pub struct Apalis;

#[async_trait]
impl Side for Apalis {
    fn held(&self, app: Builder) -> Builder {
        app.held_worker()
    }

    fn release(&self, app: &TestApp) {
        app.work();
    }

    async fn deliveries(&self, app: &TestApp) -> i64 {
        // Mails are delivered too; their duty may give the delivery of a sign-up's mail at any moment.
        let sql = "select count(*) from apalis.jobs
            where status not in ('Done', 'Killed') and job_type <> 'mailer'";
        app.count(sql).await
    }

    async fn on_their_way(&self, app: &TestApp, n: usize) {
        assert_eq!(self.deliveries(app).await, i64::try_from(n).unwrap());
    }

    fn losses(&self) -> usize {
        1
    }

    async fn lose(&self, app: &TestApp, _way: usize) {
        app.execute("delete from apalis.jobs").await;
    }

    async fn repeat(&self, app: &TestApp, job: &str) {
        let queue = app.ctx.queue_provider.clone().unwrap();
        for _ in 0..10 {
            let args = serde_json::json!({ "jobId": job });
            queue
                .enqueue(WORKER.into(), Some(QUEUE.into()), args, None, None)
                .await
                .unwrap();
        }
    }

    /// It lives in the database; away means that nobody fetches.
    fn outages(&self) -> usize {
        1
    }

    async fn begin_outage(&self, _app: &TestApp, _way: usize) {}

    async fn end_outage(&self, app: &TestApp) {
        app.work();
    }

    fn beside(&self, app: Builder) -> Builder {
        app
    }

    fn process(&self, app: &TestApp, bfl: Option<&Bfl>, arguments: &[&str]) -> (Process, u16) {
        let installation = Installation {
            database_uri: &app.database.uri,
            bucket: &app.bucket,
            bfl,
        };
        let port = free_port();
        (installation.start(arguments, port, None), port)
    }

    fn modes(&self) -> Vec<Mode> {
        let mode = |arguments, does| Mode { arguments, does };
        vec![
            mode(&["--worker"], Does::WorkImages),
            mode(&["--worker=image"], Does::WorkImages),
            mode(&["--server-and-worker"], Does::WorkImages),
            mode(&["--worker=mailer"], Does::WorkMail),
            mode(&[], Does::Serve),
        ]
    }
}
