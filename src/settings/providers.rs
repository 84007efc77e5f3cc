//! The accounts at upstream providers: one block for each, all of the same shape.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{Secret, list, validate::base_url};

/// Marks a public model id that upstream has no more: `retired:<replacement>`.
const RETIRED: &str = "retired:";

/// The accounts by the name of their block. An account may serve several routes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Providers(BTreeMap<String, Account>);

/// An account at an upstream provider, and how its API is used.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// Of several given texts the first that is not empty.
    #[serde(deserialize_with = "first")]
    pub api_key: Option<Secret>,
    /// Other secrets that stand in for the key.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// The variable that holds the key, for messages.
    pub key_variable: String,
    /// Where its API begins, with the path that all its calls have in common.
    pub base_url: String,
    /// Hosts (and their subdomains) that addresses of results may have.
    #[serde(deserialize_with = "list")]
    pub result_hosts: Vec<String>,
    /// Hosts (and their subdomains) beside the base's own that addresses for polling may have.
    #[serde(default, deserialize_with = "list")]
    pub poll_hosts: Vec<String>,
    /// Longest time of one call, its answer included.
    pub call_timeout_ms: u64,
    /// Pause between two looks at a task.
    pub poll_interval_ms: PerKind,
    /// From a submission until the generation is given up.
    pub budget_ms: PerKind,
    /// For each kind of work (`image`, `video`, `upscale`, `scene`): public model id → upstream id.
    pub models: BTreeMap<String, BTreeMap<String, Model>>,
    pub limits: ProviderLimits,
    /// What only this provider knows, read by its file.
    #[serde(default)]
    pub extras: Map<String, Value>,
}

/// Milliseconds: the same for every kind of work, or by kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum PerKind {
    Same(u64),
    ByKind(BTreeMap<String, u64>),
}

/// What a public model id stands for upstream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Model {
    Upstream(String),
    /// No longer there; the public id to use instead, when there is one.
    Retired(Option<String>),
}

impl From<String> for Model {
    fn from(text: String) -> Self {
        let text = text.trim();
        let replacement = text.strip_prefix(RETIRED).map(str::trim);
        match replacement {
            None if !text.is_empty() => Self::Upstream(text.to_owned()),
            Some(id) if !id.is_empty() => Self::Retired(Some(id.to_owned())),
            None | Some(_) => Self::Retired(None),
        }
    }
}

/// How much of a provider all processes together may use.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ProviderLimits {
    /// Jobs that run at the same time, those that wait for the provider included.
    pub max_running: Option<i32>,
    /// Jobs that start in a minute.
    pub starts_per_minute: Option<i32>,
}

impl Providers {
    /// The block of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Account> {
        self.0.get(name)
    }

    /// All blocks with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.0
            .iter()
            .map(|(name, account)| (name.as_str(), account))
    }
}

impl Account {
    /// Whether there is a key, or everything that stands in for it.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        let has_others = !self.secrets.is_empty() && self.secrets.values().all(|s| !s.is_empty());
        self.api_key.is_some() || has_others
    }

    /// What a public model id stands for, when this account serves it.
    #[must_use]
    pub fn model(&self, kind: &str, public: &str) -> Option<&Model> {
        self.models.get(kind)?.get(public)
    }

    /// A text of its extras; `None` when absent or empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.extras
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }
}

impl PerKind {
    /// The value for a kind of work; the largest one for a kind that is not named.
    #[must_use]
    pub fn of(&self, kind: &str) -> u64 {
        match self {
            Self::Same(value) => *value,
            Self::ByKind(values) => values
                .get(kind)
                .or_else(|| values.values().max())
                .copied()
                .unwrap_or_default(),
        }
    }

    fn has_zero(&self) -> bool {
        match self {
            Self::Same(value) => *value == 0,
            Self::ByKind(values) => values.is_empty() || values.values().any(|value| *value == 0),
        }
    }
}

/// Lists the faults of all blocks: the same rules for each.
pub(super) fn check(providers: &Providers, faults: &mut Vec<String>) {
    for (name, account) in providers.iter() {
        let mut fault = |what: &str| faults.push(format!("settings.providers.{name}.{what}"));
        if let Err(reason) = base_url(&account.base_url) {
            fault(&format!("base_url {reason}"));
        }
        if account.key_variable.is_empty() {
            fault("key_variable is not set");
        }
        if account.call_timeout_ms == 0 {
            fault("call_timeout_ms must be above 0");
        }
        if account.poll_interval_ms.has_zero() {
            fault("poll_interval_ms must be above 0");
        }
        if account.budget_ms.has_zero() {
            fault("budget_ms must be above 0");
        }
        let limits = account.limits;
        if limits.max_running.is_some_and(|n| n < 1)
            || limits.starts_per_minute.is_some_and(|n| n < 1)
        {
            fault("limits must be at least 1, or null");
        }
        for host in account.result_hosts.iter().chain(&account.poll_hosts) {
            if host.contains(['/', ':', '*']) {
                fault(&format!("hosts: {host} is no host name"));
            }
        }
        models(account, &mut fault);
    }
}

fn models(account: &Account, fault: &mut impl FnMut(&str)) {
    for (kind, models) in &account.models {
        if !["image", "video", "upscale", "scene"].contains(&kind.as_str()) {
            fault(&format!("models.{kind} is no kind of work"));
        }
        for (public, model) in models {
            if let Model::Retired(Some(replacement)) = model
                && !matches!(models.get(replacement), Some(Model::Upstream(_)))
            {
                fault(&format!(
                    "models.{kind}.{public} names {replacement}, which is no model in use"
                ));
            }
        }
    }
}

/// Reads one text or several and takes the first that is not empty.
fn first<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        Several(Vec<String>),
    }
    let texts = match Texts::deserialize(deserializer)? {
        Texts::One(text) => vec![text],
        Texts::Several(texts) => texts,
    };
    Ok(texts
        .iter()
        .map(|text| text.trim())
        .find(|text| !text.is_empty())
        .map(|text| Secret::from(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn block(change: &[(&str, Value)]) -> Vec<String> {
        let mut block = json!({
            "api_key": ["", " a key "], "key_variable": "ACME_API_KEY", "base_url": "https://api.acme.example",
            "result_hosts": "acme.example, cdn.acme.example", "call_timeout_ms": 1, "poll_interval_ms": 1,
            "budget_ms": {"image": 1, "video": 2},
            "models": {"image": {"new": "upstream", "old": "retired:new", "gone": ""}},
            "limits": {"max_running": null, "starts_per_minute": 3},
        });
        for (name, value) in change {
            block[*name] = value.clone();
        }
        let providers: Providers = serde_json::from_value(json!({ "acme": block })).unwrap();
        let mut faults = Vec::new();
        check(&providers, &mut faults);
        if change.is_empty() {
            let acme = providers.get("acme").unwrap();
            assert_eq!(acme.api_key.as_ref().unwrap().expose(), "a key");
            assert_eq!(acme.result_hosts.len(), 2);
            assert_eq!(
                (acme.budget_ms.of("image"), acme.budget_ms.of("scene")),
                (1, 2)
            );
            let old = Model::Retired(Some("new".to_owned()));
            assert_eq!(acme.model("image", "old"), Some(&old));
            assert_eq!(acme.model("image", "gone"), Some(&Model::Retired(None)));
            assert_eq!(acme.model("video", "new"), None);
        }
        faults
    }

    #[test]
    fn a_good_block_has_no_faults() {
        assert_eq!(block(&[]), Vec::<String>::new());
    }

    #[test]
    fn every_fault_of_a_block_is_named() {
        let faults = block(&[
            ("base_url", json!("http://acme.example")),
            ("key_variable", json!("")),
            ("call_timeout_ms", json!(0)),
            ("poll_interval_ms", json!({"image": 0})),
            ("budget_ms", json!(0)),
            (
                "limits",
                json!({"max_running": 0, "starts_per_minute": null}),
            ),
            ("poll_hosts", json!("https://acme.example")),
            ("models", json!({"picture": {"old": "retired:gone"}})),
        ]);
        let expected = [
            "base_url must be https unless it is loopback",
            "key_variable is not set",
            "call_timeout_ms must be above 0",
            "poll_interval_ms must be above 0",
            "budget_ms must be above 0",
            "limits must be at least 1, or null",
            "hosts: https://acme.example is no host name",
            "models.picture is no kind of work",
            "models.picture.old names gone, which is no model in use",
        ];
        let expected = expected.map(|fault| format!("settings.providers.acme.{fault}"));
        assert_eq!(faults, expected);
    }
}
