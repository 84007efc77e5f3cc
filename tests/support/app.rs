//! The app on a real socket, with its own database and bucket.

mod looks;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use daygen::{
    app::App,
    http::server::{self, Limits},
    queue::MAIL_QUEUE,
    settings::Settings,
    storage::Storage,
};
use loco_rs::{
    app::{AppContext, Hooks},
    boot::StartMode,
    config::QueueConfig,
    environment::Environment,
};
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{bfl, cloud_tasks, cluster::TestDatabase, s3, s3::TestBucket, tokens, upstream};

/// Key of `POST /api/jobs/process` in apps that Cloud Tasks brings jobs to.
pub const INTERNAL_KEY: &str = "internal-key-of-the-tests-that-is-long-enough";

/// A running app.
pub struct TestApp {
    pub ctx: AppContext,
    pub base: String,
    pub bucket: Arc<TestBucket>,
    pub database: Arc<TestDatabase>,
    client: reqwest::Client,
    stop: CancellationToken,
}

/// A signed-up user.
#[derive(Debug, Clone)]
pub struct TestUser {
    pub id: String,
    pub email: String,
    pub token: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    /// Null when the body is no JSON.
    pub json: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What a test changes about the app.
#[derive(Default)]
pub struct Builder {
    settings: Vec<(String, Value)>,
    has_worker: bool,
    is_held: bool,
    database: Option<Arc<TestDatabase>>,
    bucket: Option<Arc<TestBucket>>,
}

impl Builder {
    /// Sets a setting by its JSON pointer below `settings`.
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        self.settings.push((pointer.to_owned(), value.into()));
        self
    }

    /// Runs the workers in this process too.
    pub fn worker(mut self) -> Self {
        self.has_worker = true;
        self
    }

    /// The same, but nothing is taken from the queue before [`TestApp::work`].
    pub fn held_worker(mut self) -> Self {
        self.has_worker = true;
        self.is_held = true;
        self
    }

    /// Uses the database and the bucket of another app.
    pub fn on(mut self, app: &TestApp) -> Self {
        self.bucket = Some(Arc::clone(&app.bucket));
        self.database(&app.database)
    }

    /// Uses this database.
    pub fn database(mut self, database: &Arc<TestDatabase>) -> Self {
        self.database = Some(Arc::clone(database));
        self
    }

    /// Has jobs carried by a stand-in of Cloud Tasks, which brings them back to this app.
    pub fn cloud_tasks(self, tasks: &cloud_tasks::CloudTasks) -> Self {
        self.set("/queue/cloud_tasks/enabled", "true")
            .set("/queue/cloud_tasks/project", cloud_tasks::PROJECT)
            .set("/queue/cloud_tasks/location", cloud_tasks::LOCATION)
            .set("/queue/cloud_tasks/api_base", tasks.base.as_str())
            .set("/queue/internal_api_key", INTERNAL_KEY)
    }

    /// Sends flux to a stand-in of its API.
    pub fn flux(self, bfl: &bfl::Bfl) -> Self {
        self.set("/providers/flux/api_key", bfl::KEY)
            .set("/providers/flux/base_url", bfl.base.as_str())
    }

    /// Sends an account's calls to a stand-in of its API.
    pub fn upstream(self, upstream: &upstream::Upstream) -> Self {
        let account = upstream.api.account;
        self.set(&format!("/providers/{account}/api_key"), upstream::KEY)
            .set(
                &format!("/providers/{account}/base_url"),
                upstream.base.as_str(),
            )
    }

    /// Starts the app, runs the test, checks the books, and takes everything down.
    pub async fn run(self, test: impl AsyncFnOnce(&TestApp)) {
        let app = TestApp::start(self).await;
        test(&app).await;
        app.assert_clean_books().await;
        app.stop();
    }
}

/// Begins a test app.
pub fn test_app() -> Builder {
    Builder::default()
}

impl TestApp {
    async fn start(builder: Builder) -> Self {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let database = match builder.database {
            Some(shared) => shared,
            None => Arc::new(TestDatabase::migrated().await),
        };
        let bucket = match builder.bucket {
            Some(shared) => shared,
            None => Arc::new(TestBucket::start().await),
        };
        let listener = server::bind("127.0.0.1", 0).await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let base = format!("http://{address}");
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let mut config = Environment::Test.load_from_folder(&folder).unwrap();
        config.database.uri.clone_from(&database.uri);
        if let Some(QueueConfig::Postgres(queue)) = config.queue.as_mut() {
            queue.uri.clone_from(&database.uri);
        }
        let mut settings = config.settings.take().unwrap();
        let mut own = vec![
            ("/auth/jwt_secret".to_owned(), json!(tokens::SECRET)),
            ("/storage/access_key_id".to_owned(), json!(s3::KEY_ID)),
            ("/storage/secret_access_key".to_owned(), json!(s3::SECRET)),
            ("/storage/endpoint".to_owned(), json!(bucket.endpoint)),
            ("/storage/bucket".to_owned(), json!(s3::BUCKET)),
        ];
        // Mailed links lead to the listener, and mails lie where nobody else looks.
        let home = std::env::temp_dir().join(format!("daygen-test-{}", uuid::Uuid::new_v4()));
        own.push(("/http/public_url".to_owned(), json!(base)));
        own.push(("/home".to_owned(), json!(home)));
        own.extend(builder.settings);
        for (pointer, value) in own {
            *settings
                .pointer_mut(&pointer)
                .unwrap_or_else(|| panic!("there is no setting {pointer}")) = value;
        }
        config.settings = Some(settings);
        let mode = if builder.has_worker {
            StartMode::ServerAndWorker
        } else {
            StartMode::ServerOnly
        };
        let boot = App::boot(mode, &Environment::Test, config).await.unwrap();
        let ctx = boot.app_context;
        Storage::of(&ctx)
            .unwrap()
            .set_public_base(&format!("{base}/files"));
        let stop = CancellationToken::new();
        let limits = Limits {
            header_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_millis(Settings::of(&ctx).unwrap().http.write_timeout_ms),
            shutdown: Duration::from_millis(10),
        };
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(server::serve(
            listener,
            boot.router.unwrap(),
            limits,
            stopped,
        ));
        let app = Self {
            ctx,
            base,
            bucket,
            database,
            client: reqwest::Client::new(),
            stop,
        };
        if builder.has_worker && !builder.is_held {
            app.work();
        }
        app
    }

    /// Begins to take deliveries from the queue.
    pub fn work(&self) {
        let queue = self.ctx.queue_provider.clone().unwrap();
        tokio::spawn(async move { queue.run(vec![]).await.unwrap() });
    }

    /// Ends listener and queue, as at the end of the test.
    pub fn stop(&self) {
        std::fs::remove_dir_all(&self.settings().home).ok();
        self.stop.cancel();
        if let Some(queue) = &self.ctx.queue_provider {
            queue.shutdown().unwrap();
        }
    }

    pub fn settings(&self) -> std::sync::Arc<Settings> {
        Settings::of(&self.ctx).unwrap()
    }

    /// Begins a request; finish it with [`TestApp::send`].
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response.bytes().await.unwrap().to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer {
            status,
            headers,
            bytes,
            json,
        }
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.call(Method::GET, path, token, None).await
    }

    pub async fn post(&self, path: &str, token: Option<&str>, body: Value) -> Answer {
        self.call(Method::POST, path, token, Some(body)).await
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let mut request = self.request(method, path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    /// Signs a new user up and in.
    pub async fn user(&self) -> TestUser {
        let email = format!("user-{}@example.com", uuid::Uuid::new_v4().simple());
        let body =
            json!({"email": email, "password": "correct horse", "data": {"display_name": "Ada"}});
        let answer = self.post("/auth/v1/signup", None, body).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        let user = TestUser {
            id: answer.json["user"]["id"].as_str().unwrap().to_owned(),
            email,
            token: answer.json["access_token"].as_str().unwrap().to_owned(),
        };
        // Who counts deliveries counts those of jobs.
        self.execute(&format!(
            "delete from mails where recipient = '{}'",
            user.email
        ))
        .await;
        self.execute(&format!(
            "delete from apalis.jobs where job_type = '{MAIL_QUEUE}'"
        ))
        .await;
        user
    }

    /// The user's credits as the API shows them.
    pub async fn credits(&self, user: &TestUser) -> i64 {
        let answer = self.get("/api/auth/me", Some(&user.token)).await;
        answer.json["credits"].as_i64().unwrap()
    }

    /// Takes credits away until `credits` are left.
    pub async fn leave_credits(&self, user: &TestUser, credits: i64) {
        use sea_orm::TransactionTrait;
        let amount = credits - self.credits(user).await;
        if amount != 0 {
            let txn = self.ctx.db.begin().await.unwrap();
            let request = uuid::Uuid::new_v4().to_string();
            let id = user.id.parse().unwrap();
            daygen::payments::ledger::adjust(&txn, id, amount, &request, "test")
                .await
                .unwrap();
            txn.commit().await.unwrap();
        }
    }

    /// Asks for a picture and gives the job's id.
    pub async fn generate(&self, user: &TestUser, body: Value) -> String {
        let answer = self.post("/api/image/flux", Some(&user.token), body).await;
        assert_eq!(answer.status, 201, "{}", answer.json);
        answer.json["jobId"].as_str().unwrap().to_owned()
    }

    /// Asks for a batch of flux pictures and gives the job's id.
    pub async fn batch(&self, user: &TestUser, prompts: &[&str], batch_size: u32) -> String {
        let body = json!({
            "prompts": prompts, "provider": "flux", "model": "flux-pro-1.1", "batchSize": batch_size,
        });
        let path = "/api/jobs/batch-generation";
        let answer = self.post(path, Some(&user.token), body).await;
        assert_eq!(answer.status, 201, "{}", answer.json);
        answer.json["jobId"].as_str().unwrap().to_owned()
    }

    pub async fn job(&self, user: &TestUser, id: &str) -> Value {
        self.get(&format!("/api/jobs/{id}"), Some(&user.token))
            .await
            .json
    }
}
