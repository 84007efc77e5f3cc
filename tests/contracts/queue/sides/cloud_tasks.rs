//! Cloud Tasks: deliveries are pushed.

use std::sync::Mutex;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::json;

use super::{Does, Mode, Side};
use crate::support::{
    Builder, INTERNAL_KEY, TestApp,
    bfl::Bfl,
    cloud_tasks::{CloudTasks, Outage},
    processes::{Installation, Process, Pushed, free_port},
};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

pub struct OnCloudTasks {
    pub tasks: CloudTasks,
    backends: Mutex<Vec<String>>,
}

impl OnCloudTasks {
    pub async fn start() -> Self {
        Self {
            tasks: CloudTasks::start().await,
            backends: Mutex::default(),
        }
    }
}

#[async_trait]
impl Side for OnCloudTasks {
    fn held(&self, app: Builder) -> Builder {
        self.tasks.pause();
        app.cloud_tasks(&self.tasks)
    }

    fn release(&self, _app: &TestApp) {
        self.tasks.resume();
    }

    async fn deliveries(&self, app: &TestApp) -> i64 {
        app.count("select count(*) from delivery_outbox where taken_at is null")
            .await
    }

    async fn on_their_way(&self, app: &TestApp, n: usize) {
        app.until("the tasks", || async {
            let sent = "select count(*) from delivery_outbox where taken_at is null and sent_at is not null";
            (self.tasks.tasks().len() == n && app.count(sent).await == i64::try_from(n).unwrap()).then_some(())
        })
        .await;
    }

    /// The row with its task, or the task only.
    fn losses(&self) -> usize {
        2
    }

    async fn lose(&self, app: &TestApp, way: usize) {
        if way == 0 {
            app.execute("delete from delivery_outbox").await;
        }
        self.tasks.purge();
    }

    async fn repeat(&self, app: &TestApp, job: &str) {
        self.tasks.duplicate(10);
        for _ in 0..10 {
            let request = app
                .request(Method::POST, "/api/jobs/process")
                .bearer_auth(INTERNAL_KEY)
                .json(&json!({ "jobId": job }));
            assert_eq!(app.send(request).await.status, 200);
        }
    }

    fn outages(&self) -> usize {
        2
    }

    async fn begin_outage(&self, _app: &TestApp, way: usize) {
        self.tasks
            .set_outage(Some([Outage::Unavailable, Outage::Refused][way]));
    }

    async fn end_outage(&self, _app: &TestApp) {
        self.tasks.set_outage(None);
        self.tasks.resume();
    }

    fn beside(&self, app: Builder) -> Builder {
        self.tasks.balance(&[NOWHERE]);
        app.cloud_tasks(&self.tasks)
    }

    fn process(&self, app: &TestApp, bfl: Option<&Bfl>, arguments: &[&str]) -> (Process, u16) {
        let installation = Installation {
            database_uri: &app.database.uri,
            bucket: &app.bucket,
            bfl,
        };
        let pushed = Pushed {
            tasks: &self.tasks,
            public_url: &app.base,
        };
        let port = free_port();
        let process = installation.start(arguments, port, Some(&pushed));
        let mut backends = self.backends.lock().unwrap();
        backends.push(format!("http://127.0.0.1:{port}"));
        let all: Vec<&str> = backends.iter().map(String::as_str).collect();
        self.tasks.balance(&all);
        (process, port)
    }

    fn modes(&self) -> Vec<Mode> {
        let mode = |arguments, does| Mode { arguments, does };
        vec![
            mode(&[], Does::WorkImages),
            mode(&["--server-and-worker"], Does::WorkImages),
            mode(&["--worker"], Does::WorkMail),
            mode(&["--worker=mailer"], Does::WorkMail),
        ]
    }
}
