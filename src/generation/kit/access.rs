//! Access to an account: its settings, its key, and where both may go.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, header};
use url::Url;

use super::{Call, Judge};
use crate::{
    generation::{
        error::{FaultClass, ProviderError},
        provider::Pace,
        request::Kind,
    },
    net::{Hosts, NetError, Policy, api_client},
    settings::{Account, Model, Secret, is_loopback},
};

/// Time a result may take to download, unless a provider says otherwise.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(60);

/// An account that has its key.
#[derive(Clone)]
pub struct Access {
    client: Client,
    base: Url,
    account: Account,
}

/// Where an API wants the key.
#[derive(Clone, Copy)]
pub enum KeyIn {
    /// `Authorization: Bearer <key>`.
    Bearer,
    /// The key alone in this header.
    Header(&'static str),
    /// The value of `Authorization`, made for each call.
    Made(fn(&Account) -> Result<String, ProviderError>),
}

/// A provider's API: an account, the form of its key, and how its errors are read.
#[derive(Clone)]
pub struct Api {
    access: Access,
    key_in: KeyIn,
    judge: Judge,
}

impl Access {
    /// Access to an account, when it has a key.
    ///
    /// # Errors
    /// When the HTTP client cannot be made or the base address is none.
    pub fn new(account: &Account) -> Result<Option<Self>, NetError> {
        if !account.is_configured() {
            return Ok(None);
        }
        Ok(Some(Self {
            client: api_client(concat!("daygen/", env!("CARGO_PKG_VERSION")))?,
            base: Url::parse(&account.base_url).map_err(|_| NetError::InvalidUrl)?,
            account: account.clone(),
        }))
    }

    /// The API of this account.
    #[must_use]
    pub const fn api(self, key_in: KeyIn, judge: Judge) -> Api {
        Api {
            access: self,
            key_in,
            judge,
        }
    }
}

impl Api {
    /// The settings block.
    #[must_use]
    pub const fn account(&self) -> &Account {
        &self.access.account
    }

    /// The id upstream of a public model id; the id itself when the settings no longer have it.
    #[must_use]
    pub fn upstream<'a>(&'a self, kind: Kind, public: &'a str) -> &'a str {
        match self.account().model(kind.name(), public) {
            Some(Model::Upstream(id)) => id,
            Some(Model::Retired(_)) | None => public,
        }
    }

    /// How its tasks are looked after.
    #[must_use]
    pub fn pace(&self, kind: Kind) -> Pace {
        let account = self.account();
        Pace {
            poll_interval: Duration::from_millis(account.poll_interval_ms.of(kind.name())),
            budget: Duration::from_millis(account.budget_ms.of(kind.name())),
        }
    }

    /// Which addresses its results may have. A stand-in on loopback may give such addresses too.
    #[must_use]
    pub fn result_policy(&self, max_bytes: u64) -> Policy {
        let hosts = Hosts::Suffixes(self.account().result_hosts.clone());
        let mut policy = Policy::new(hosts, max_bytes, DOWNLOAD_LIMIT);
        policy.allow_loopback = self.is_loopback();
        policy
    }

    /// Whether the base is on this machine, as stand-ins are.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.access.base)
    }

    /// A call that starts work: it may cost something upstream.
    #[must_use]
    pub fn post(&self, path: &[&str]) -> Call<'_> {
        Call::new(self, Method::POST, self.url(path))
    }

    /// A call that only asks.
    #[must_use]
    pub fn get(&self, path: &[&str]) -> Call<'_> {
        Call::new(self, Method::GET, self.url(path))
    }

    /// A call that ends work.
    #[must_use]
    pub fn delete(&self, path: &[&str]) -> Call<'_> {
        Call::new(self, Method::DELETE, self.url(path))
    }

    /// Asks at an address that upstream gave. It may lie on another host than the base, but the key
    /// goes to the hosts of the settings only.
    ///
    /// # Errors
    /// For a foreign address; the task is lost then.
    pub fn get_at(&self, address: &str) -> Result<Call<'_>, ProviderError> {
        Ok(Call::new(self, Method::GET, Ok(self.checked(address)?)))
    }

    /// An address of upstream that the key may go to.
    ///
    /// # Errors
    /// For a foreign address; the task is lost then.
    pub fn checked(&self, address: &str) -> Result<Url, ProviderError> {
        let lost =
            |detail: &str| ProviderError::new(FaultClass::BadUpstream, detail).forgetting_task();
        let url = Url::parse(address).map_err(|_| lost("the given address is none"))?;
        let is_ours = if self.is_loopback() {
            is_loopback(&url)
        } else {
            let host = url.host_str().unwrap_or_default();
            let is_named = self.account().poll_hosts.iter().any(|allowed| {
                let allowed = allowed.trim_start_matches('.');
                host == allowed || host.ends_with(&format!(".{allowed}"))
            });
            url.scheme() == "https" && (is_named || url.origin() == self.access.base.origin())
        };
        if !is_ours || !url.username().is_empty() || url.password().is_some() {
            return Err(lost("the given address is not the provider's"));
        }
        Ok(url)
    }

    pub(super) fn judge(&self) -> Judge {
        self.judge
    }

    /// Every secret of the account, to be hidden where upstream repeats it.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let account = self.account();
        account
            .api_key
            .iter()
            .chain(account.secrets.values())
            .map(Secret::expose)
            .filter(|secret| !secret.is_empty())
    }

    /// A request with the key in it.
    pub(super) fn request(
        &self,
        method: Method,
        url: Url,
    ) -> Result<RequestBuilder, ProviderError> {
        let account = self.account();
        let request = self
            .access
            .client
            .request(method, url)
            .timeout(Duration::from_millis(account.call_timeout_ms));
        let key = account.api_key.as_ref().map_or("", Secret::expose);
        Ok(match self.key_in {
            KeyIn::Bearer => request.bearer_auth(key),
            KeyIn::Header(name) => request.header(name, key),
            KeyIn::Made(make) => request.header(header::AUTHORIZATION, make(account)?),
        })
    }

    /// The base with these segments; each is encoded, so ids of upstream cannot leave it.
    fn url(&self, path: &[&str]) -> Result<Url, ProviderError> {
        let mut url = self.access.base.clone();
        url.path_segments_mut()
            .map_err(|()| ProviderError::new(FaultClass::Operator, "the base address has no path"))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }
}
