//! Random kills of workers and API processes, and crashes of PostgreSQL, while clients ask for pictures
//! and repeat what was not answered: nothing is lost, nothing is done or paid twice.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use rand::{Rng, rngs::StdRng};
use serde_json::json;

use crate::support::{
    TestApp, TestUser,
    bfl::Bfl,
    cluster::OwnCluster,
    processes::{Installation, Pace, Process, free_port},
    random::seeded,
    test_app,
};

/// Processes of an installation, replaced as soon as they are killed.
pub struct Crew<'a> {
    installation: &'a Installation<'a>,
    workers: Vec<Process>,
    servers: Vec<(Process, u16)>,
}

impl<'a> Crew<'a> {
    pub async fn start(
        installation: &'a Installation<'a>,
        workers: usize,
        servers: usize,
    ) -> Crew<'a> {
        let serve = |_| {
            let port = free_port();
            (installation.start(&[], port, None), port)
        };
        Crew {
            workers: (0..workers)
                .map(|_| installation.worker_at(Pace::ShortLeases))
                .collect(),
            servers: (0..servers).map(serve).collect(),
            installation,
        }
    }

    fn bases(&self) -> Vec<String> {
        let base = |(_, port): &(Process, u16)| format!("http://127.0.0.1:{port}");
        self.servers.iter().map(base).collect()
    }

    /// Kills one of them and starts another in its place. Says whether it was a worker.
    pub fn kill_one(&mut self, random: &mut StdRng) -> bool {
        let n = random.random_range(0..self.workers.len() + self.servers.len());
        if let Some(worker) = self.workers.get_mut(n) {
            worker.kill();
            *worker = self.installation.worker_at(Pace::ShortLeases);
            return true;
        }
        let (server, port) = &mut self.servers[n - self.workers.len()];
        server.kill();
        *server = self.installation.start(&[], *port, None);
        false
    }
}

/// How much happens in a run.
#[derive(Debug, Clone, Copy)]
pub struct Chaos {
    pub jobs: usize,
    pub kills: usize,
    /// Of PostgreSQL.
    pub crashes: usize,
}

/// What a run showed, beyond that all was well.
#[derive(Debug)]
#[expect(dead_code, reason = "figures to be printed")]
pub struct Figures {
    pub worker_kills: usize,
    pub api_kills: usize,
    pub requests: usize,
    pub rescues: i64,
    pub submissions: usize,
    /// From the loss of a job's worker until another one has it.
    pub longest_recovery: Duration,
    pub took: Duration,
}

const USERS: usize = 5;
const CLIENTS: usize = 10;

impl Chaos {
    /// # Panics
    /// When anything was lost, done twice or paid twice.
    pub async fn run(self) -> Figures {
        let (seed, random) = seeded();
        let cluster = OwnCluster::start().await;
        let bfl = Bfl::start().await;
        let figures = Cell::new(None);
        test_app()
            .database(&cluster.database)
            .flux(&bfl)
            .run(async |app| {
                note_recoveries(app).await;
                let mut users = Vec::new();
                for _ in 0..USERS {
                    let user = app.user().await;
                    app.leave_credits(&user, i64::try_from(self.jobs).unwrap())
                        .await;
                    users.push(user);
                }
                figures.set(Some(self.strike(app, &cluster, &bfl, &users, random).await));
                self.assert_all_done_once(app, &users, seed).await;
            })
            .await;
        figures.into_inner().unwrap()
    }

    async fn strike(
        self,
        app: &TestApp,
        cluster: &OwnCluster,
        bfl: &Bfl,
        users: &[TestUser],
        mut random: StdRng,
    ) -> Figures {
        let begun = Instant::now();
        let installation = Installation {
            database_uri: &app.database.uri,
            bucket: &app.bucket,
            bfl: Some(bfl),
        };
        let mut crew = Crew::start(&installation, 3, 2).await;
        let bases = crew.bases();
        let (struck, strikes) = tokio::sync::watch::channel(0);
        let next = Cell::new(0);
        let client = async || {
            let mut requests = 0;
            let mut strikes = strikes.clone();
            loop {
                let n = next.replace(next.get() + 1);
                if n >= self.jobs {
                    return requests;
                }
                // Spread over the run, so that every strike meets jobs on their way.
                let due = n * self.kills / self.jobs;
                strikes.wait_for(|strikes| *strikes >= due).await.unwrap();
                requests += self.ask(bfl, &bases, &users[n % USERS], n).await;
            }
        };
        let clients = futures_util::future::join_all((0..CLIENTS).map(|_| client()));
        let killer = async {
            let mut worker_kills = 0;
            for n in 1..=self.kills {
                tokio::time::sleep(Duration::from_millis(random.random_range(50..800))).await;
                worker_kills += usize::from(crew.kill_one(&mut random));
                if n % (self.kills / (self.crashes + 1)) == 0 && n < self.kills {
                    cluster.crash().await;
                }
                struck.send_replace(n);
            }
            worker_kills
        };
        let (requests, worker_kills) = futures_util::future::join(clients, killer).await;
        app.within(Duration::from_secs(300), "all jobs", || async {
            let open = "select count(*) from jobs where status in ('PENDING', 'PROCESSING')";
            (app.count(open).await == 0).then_some(())
        })
        .await;
        let longest = "select coalesce(max(ms), 0)::bigint from noted_recoveries";
        let longest = u64::try_from(app.count(longest).await).unwrap();
        Figures {
            worker_kills,
            api_kills: self.kills - worker_kills,
            requests: requests.iter().sum(),
            rescues: app.count("select sum(rescues) from jobs").await,
            submissions: bfl.submissions().len(),
            longest_recovery: Duration::from_millis(longest),
            took: begun.elapsed(),
        }
    }

    /// Asks for a picture, and again under the same key, until there is an answer. Says how often it asked.
    async fn ask(self, bfl: &Bfl, bases: &[String], user: &TestUser, n: usize) -> usize {
        let prompt = format!("picture {n}");
        if n.is_multiple_of(3) {
            let status = |status: &str| json!({ "status": status });
            let looks = ["Pending", "Pending", "Pending", "Pending", "Ready"].map(status);
            bfl.answer_polls_of(&prompt, looks);
        }
        let client = reqwest::Client::new();
        for request in 0.. {
            let base = &bases[(n + request) % bases.len()];
            let answer = client
                .post(format!("{base}/api/image/flux"))
                .bearer_auth(&user.token)
                .header("idempotency-key", format!("key-{n}"))
                .json(&json!({ "prompt": prompt }))
                .timeout(Duration::from_secs(20))
                .send()
                .await;
            match answer.map(|answer| answer.status().as_u16()) {
                Ok(201) => return request + 1,
                // The key is in use by a request that died, or a part is away.
                Ok(409 | 500 | 502 | 503) | Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Ok(status) => panic!("{prompt} was answered {status}"),
            }
        }
        unreachable!("it asks until it is answered")
    }

    async fn assert_all_done_once(self, app: &TestApp, users: &[TestUser], seed: u64) {
        let jobs = i64::try_from(self.jobs).unwrap();
        let failures: Vec<(String, Option<String>, i32)> = sqlx::query_as(
            "select status::text, error_detail, rescues from jobs where status <> 'COMPLETED'",
        )
        .fetch_all(app.ctx.db.get_postgres_connection_pool())
        .await
        .unwrap();
        assert_eq!(failures, [], "seed {seed}");
        for (what, sql) in [
            ("jobs", "select count(*) from jobs"),
            (
                "captures",
                "select count(*) from credit_transactions where kind = 'capture'",
            ),
            (
                "captured jobs",
                "select count(distinct job_id) from credit_reservations where state = 'captured'",
            ),
            ("files", "select count(distinct job_id) from r2_files"),
            ("rows of files", "select count(*) from r2_files"),
            (
                "ends",
                "select count(*) from job_events where payload ->> 'status' = 'COMPLETED'",
            ),
        ] {
            assert_eq!(app.count(sql).await, jobs, "{what}, seed {seed}");
        }
        let rows: Vec<String> =
            sqlx::query_scalar("select object_key from r2_files order by object_key collate \"C\"")
                .fetch_all(app.ctx.db.get_postgres_connection_pool())
                .await
                .unwrap();
        assert_eq!(app.bucket.keys("generated-images"), rows, "seed {seed}");
        let mut left = 0;
        for user in users {
            left += app.credits(user).await;
        }
        let given = jobs * i64::try_from(users.len()).unwrap();
        assert_eq!(left, given - jobs, "seed {seed}");
    }
}

/// Notes how long each job was without a worker when another one took it over: its lease was renewed
/// at least a heartbeat before the loss, so this is no less than the time since the kill.
async fn note_recoveries(app: &TestApp) {
    app.execute(
        "create table noted_recoveries (ms bigint);
         create function note_recovery() returns trigger language plpgsql as $$ begin
            insert into noted_recoveries (ms)
            values (extract(epoch from clock_timestamp() - old.next_run_at) * 1000 + 3000);
            return null; end $$;
         create trigger note_recovery after update on jobs for each row
            when (new.rescues > old.rescues) execute function note_recovery()",
    )
    .await;
}

#[tokio::test]
async fn random_kills_and_a_crash_of_the_database_lose_nothing_and_pay_nothing_twice() {
    let chaos = Chaos {
        jobs: 24,
        kills: 8,
        crashes: 1,
    };
    let figures = chaos.run().await;
    println!("{figures:#?}");
}
