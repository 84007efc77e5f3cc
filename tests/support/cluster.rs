//! One throwaway PostgreSQL cluster for the run, with a migrated template that every test clones.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, LazyLock, Mutex, mpsc},
};

use daygen::embedded::postgres::{Durability, ensure_running};
use migration::{Migrator, MigratorTrait};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const TEMPLATE: &str = "daygen_template";
/// What a run may need: some dozens of databases and the log of the last thousand clones.
const LEAST_FREE_KIB: u64 = 4 * 1024 * 1024;

/// The cluster of this run. It outlives every test; a watchdog removes it when the run ends, also
/// when it is killed.
struct Cluster {
    uri: String,
    /// Its pipe closes with this process.
    _watchdog: Mutex<Child>,
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    // Tests have runtimes of their own that come and go; the cluster must not belong to one.
    std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(start())
    })
    .join()
    .expect("the test cluster starts")
});

async fn start() -> Cluster {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let home = place().join(format!("daygen-test-{}", uuid::Uuid::new_v4()));
    let cluster = ensure_running(&home, Durability::Throwaway, None)
        .await
        .unwrap();
    let watchdog = watch(&home, &cluster.data_dir);
    let mut admin = PgConnection::connect(&cluster.uri).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("create database {TEMPLATE}")))
        .execute(&mut admin)
        .await
        .unwrap();
    migrate(&with_database(&cluster.uri, TEMPLATE)).await;
    Cluster {
        uri: cluster.uri,
        _watchdog: Mutex::new(watchdog),
    }
}

/// Makes the schema of a database, and leaves nobody connected to it: only then can it be cloned.
async fn migrate(uri: &str) {
    let db = sea_orm::Database::connect(uri).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    let pool = db.get_postgres_connection_pool().clone();
    apalis_postgres::PostgresStorage::setup(&pool)
        .await
        .unwrap();
    pool.close().await;
}

/// A cluster of its own, durable, for a test that stops and starts it. It goes with this value.
pub struct OwnCluster {
    home: PathBuf,
    data: PathBuf,
    pub database: Arc<TestDatabase>,
    /// Its pipe closes with this value.
    _watchdog: Child,
}

impl OwnCluster {
    pub async fn start() -> Self {
        let home = place().join(format!("daygen-test-{}", uuid::Uuid::new_v4()));
        let cluster = ensure_running(&home, Durability::Durable, None)
            .await
            .unwrap();
        let watchdog = watch(&home, &cluster.data_dir);
        migrate(&cluster.uri).await;
        Self {
            home,
            data: cluster.data_dir,
            database: Arc::new(TestDatabase {
                name: None,
                uri: cluster.uri,
            }),
            _watchdog: watchdog,
        }
    }

    /// Shuts the server down as a crash would, and starts it again on the same port.
    pub async fn crash(&self) {
        let pid = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap();
        let signal = |name: &str| {
            let mut kill = Command::new("kill");
            kill.args([name, pid]).stderr(Stdio::null());
            kill.status().unwrap().success()
        };
        signal("-QUIT");
        while signal("-0") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let cluster = ensure_running(&self.home, Durability::Durable, None)
            .await
            .unwrap();
        assert_eq!(cluster.uri, self.database.uri, "on the same port");
    }
}

/// Memory where there is plenty of it: a clone of the template is hundreds of small files, and on a
/// disk they cost more than all else that a test does.
fn place() -> PathBuf {
    let shared_memory = PathBuf::from("/dev/shm");
    let free_kib = Command::new("df")
        .args(["-Pk"])
        .arg(&shared_memory)
        .output()
        .ok()
        .and_then(|output| {
            let text = String::from_utf8(output.stdout).ok()?;
            let free = text.lines().nth(1)?.split_whitespace().nth(3)?;
            free.parse::<u64>().ok()
        });
    if free_kib >= Some(LEAST_FREE_KIB) && is_writable(&shared_memory) {
        return shared_memory;
    }
    std::env::temp_dir()
}

fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!("daygen-test-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&probe).is_ok_and(|()| std::fs::remove_dir(&probe).is_ok())
}

fn watch(home: &Path, data: &Path) -> Child {
    let script = r#"cat > /dev/null; kill -QUIT "$(head -1 "$1/postmaster.pid")"; sleep 0.5; rm -rf "$0" "$1""#;
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(home)
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().flush().unwrap();
    child
}

fn with_database(uri: &str, name: &str) -> String {
    let mut url = url::Url::parse(uri).unwrap();
    url.set_path(name);
    url.into()
}

/// A database of its own, dropped with this value.
pub struct TestDatabase {
    /// `None` when it goes with its cluster.
    name: Option<String>,
    pub uri: String,
}

impl TestDatabase {
    /// A clone of the migrated template.
    pub async fn migrated() -> Self {
        Self::create(&format!("template {TEMPLATE}")).await
    }

    /// An empty database.
    pub async fn empty() -> Self {
        Self::create("").await
    }

    async fn create(suffix: &str) -> Self {
        let name = format!("t_{}", uuid::Uuid::new_v4().simple());
        let uri = CLUSTER.uri.clone();
        let mut admin = PgConnection::connect(&uri).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("create database {name} {suffix}")))
            .execute(&mut admin)
            .await
            .unwrap();
        Self {
            uri: with_database(&uri, &name),
            name: Some(name),
        }
    }
}

/// Drops databases one after the other beside the tests: dropping waits for every server process,
/// and several drops at once can wait for each other for a minute.
static DROPS: LazyLock<mpsc::Sender<String>> = LazyLock::new(|| {
    let (sender, names) = mpsc::channel::<String>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for name in names {
                let Ok(mut admin) = PgConnection::connect(&CLUSTER.uri).await else {
                    return;
                };
                let sql = format!("drop database if exists {name} with (force)");
                sqlx::query(AssertSqlSafe(sql))
                    .execute(&mut admin)
                    .await
                    .ok();
            }
        });
    });
    sender
});

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            DROPS.send(name).ok();
        }
    }
}

/// A pool on the cluster's own database, for what only an operator may do.
pub async fn admin() -> sqlx::PgPool {
    pool(&CLUSTER.uri).await
}

/// A pool beside the app's own.
pub async fn pool(uri: &str) -> sqlx::PgPool {
    sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect(uri)
        .await
        .unwrap()
}
