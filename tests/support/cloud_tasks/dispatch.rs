//! Dispatching: due tasks are sent as HTTP requests until one is answered 2xx.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{TimeDelta, Utc};
use serde_json::Value;

use super::{CloudTasks, Dispatch, MAX_BACKOFF, MIN_BACKOFF, State, Task, short};

impl CloudTasks {
    pub(super) async fn dispatch_all(self) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        loop {
            let changed = self.changed.notified();
            for (name, task) in self.due() {
                tokio::spawn(self.clone().dispatch(client.clone(), name, task));
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    }

    /// Takes what may go now: oldest first, within each queue's limit.
    fn due(&self) -> Vec<(String, Task)> {
        let mut state = self.lock();
        let now = Utc::now();
        let mut names: Vec<(chrono::DateTime<Utc>, String)> = state
            .tasks
            .iter()
            .filter(|(_, task)| !task.is_under_way && task.next <= now)
            .map(|(name, task)| (task.next, name.clone()))
            .collect();
        names.sort();
        let mut taken = Vec::new();
        for (_, name) in names {
            let queue = queue_of(&name);
            let under_way = under_way(&state, &queue);
            let is_free = state
                .queues
                .get(&queue)
                .is_some_and(|queue| !queue.is_paused && under_way < queue.max_concurrent);
            if is_free && let Some(task) = state.tasks.get_mut(&name) {
                task.is_under_way = true;
                task.dispatched = Some(now);
                task.dispatches += 1;
                taken.push((name, task.clone()));
            }
        }
        taken
    }

    async fn dispatch(self, client: reqwest::Client, name: String, task: Task) {
        let mut copies = 1;
        while copies > 0 {
            copies -= 1;
            let outcome = self.send(&client, &name, &task).await;
            let is_done = (200..300).contains(&outcome.status);
            let mut state = self.lock();
            state.dispatches.push(outcome.clone());
            if is_done && state.duplicates > 0 && copies == 0 {
                state.duplicates -= 1;
                copies = 1;
            }
            let attempts = state
                .queues
                .get(&queue_of(&name))
                .map_or(1, |queue| queue.max_attempts);
            let Some(current) = state.tasks.get_mut(&name) else {
                continue;
            };
            current.is_under_way = false;
            if outcome.status > 0 {
                current.responses += 1;
            }
            if is_done || current.dispatches >= attempts {
                state.tasks.remove(&name);
                state.tombstones.insert(name.clone());
            } else {
                let doubled = 2_u32.saturating_pow(current.dispatches.min(16) - 1);
                let pause = MIN_BACKOFF.saturating_mul(doubled).min(MAX_BACKOFF);
                current.next = Utc::now() + TimeDelta::from_std(pause).unwrap();
            }
        }
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    async fn send(&self, client: &reqwest::Client, name: &str, task: &Task) -> Dispatch {
        let request = &task.json["httpRequest"];
        let body = STANDARD
            .decode(request["body"].as_str().unwrap_or_default())
            .unwrap();
        let mut headers: BTreeMap<String, String> = request["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()))
            .collect();
        let queue = short(&queue_of(name));
        for (header, value) in [
            ("x-cloudtasks-queuename", queue.clone()),
            ("x-cloudtasks-taskname", short(name)),
            (
                "x-cloudtasks-taskretrycount",
                (task.dispatches - 1).to_string(),
            ),
            (
                "x-cloudtasks-taskexecutioncount",
                task.responses.to_string(),
            ),
            ("x-cloudtasks-tasketa", task.next.timestamp().to_string()),
            ("user-agent", "Google-Cloud-Tasks".to_owned()),
        ] {
            headers.insert(header.to_owned(), value);
        }
        let oidc = &request["oidcToken"];
        if let (Some(email), Some(google)) = (oidc["serviceAccountEmail"].as_str(), &self.google) {
            let audience = oidc["audience"].as_str().or(request["url"].as_str());
            let token = google.oidc_token(email, audience.unwrap_or_default());
            headers.insert("authorization".to_owned(), format!("Bearer {token}"));
        }
        let url = self.address_of(request["url"].as_str().unwrap());
        let seconds: f64 = task.json["dispatchDeadline"]
            .as_str()
            .and_then(|text| text.strip_suffix('s')?.parse().ok())
            .unwrap();
        let mut call = client
            .post(&url)
            .timeout(Duration::from_secs_f64(seconds))
            .body(body.clone());
        for (name, value) in &headers {
            call = call.header(name, value);
        }
        let (status, answer) = match call.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                match response.bytes().await {
                    Ok(bytes) => (
                        status,
                        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
                    ),
                    Err(_) => (0, Value::Null),
                }
            }
            Err(_) => (0, Value::Null),
        };
        Dispatch {
            task: short(name),
            queue,
            url,
            headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            status,
            answer,
        }
    }

    /// The address itself, or the same path at the next backend.
    fn address_of(&self, url: &str) -> String {
        let mut state = self.lock();
        if state.backends.is_empty() {
            return url.to_owned();
        }
        state.turn += 1;
        let base = state.backends[state.turn % state.backends.len()].clone();
        let path = url::Url::parse(url).unwrap().path().to_owned();
        format!("{base}{path}")
    }
}

fn queue_of(task: &str) -> String {
    task.split("/tasks/").next().unwrap_or_default().to_owned()
}

fn under_way(state: &State, queue: &str) -> usize {
    let prefix = format!("{queue}/");
    state
        .tasks
        .iter()
        .filter(|(name, task)| task.is_under_way && name.starts_with(&prefix))
        .count()
}
