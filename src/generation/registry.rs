//! Name → provider: which model ids are accepted, and who answers for a name.

mod offers;

use std::{collections::BTreeMap, sync::Arc};

use loco_rs::app::AppContext;

use super::{
    RequestError,
    kit::Access,
    provider::Provider,
    providers::{
        demo::Demo,
        flux::Flux,
        gemini::Gemini,
        grok::Grok,
        hailuo::Hailuo,
        ideogram::Ideogram,
        kling::Kling,
        luma::{Luma, video::LumaVideo},
        openai::OpenAi,
        qwen::Qwen,
        recraft::Recraft,
        reve::Reve,
        runway::{Runway, video::RunwayVideo},
        seedance::Seedance,
        seedream::Seedream,
        veo::Veo,
        wan::Wan,
    },
    request::Kind,
};
use crate::{
    net::NetError,
    settings::{Model, ProviderLimits, Providers, Settings},
};
pub use offers::{Offer, account_of};

/// Makes a provider with its access to the account.
type Make = fn(Access) -> Arc<dyn Provider>;

/// Every provider: the name stored with jobs, and how it is made. A name may have several lines, one
/// for each kind of work.
const PROVIDERS: &[(&str, Make)] = &[
    ("flux", |access| Arc::new(Flux::new(access))),
    ("luma", |access| Arc::new(Luma::new(access))),
    ("recraft", |access| Arc::new(Recraft::new(access))),
    ("reve", |access| Arc::new(Reve::new(access))),
    ("runway", |access| Arc::new(Runway::new(access))),
    ("grok", |access| Arc::new(Grok::new(access))),
    ("ideogram", |access| Arc::new(Ideogram::new(access))),
    ("qwen", |access| Arc::new(Qwen::new(access))),
    ("seedream", |access| Arc::new(Seedream::new(access))),
    ("veo", |access| Arc::new(Veo::new(access))),
    ("runway", |access| Arc::new(RunwayVideo::new(access))),
    ("luma", |access| Arc::new(LumaVideo::new(access))),
    ("wan", |access| Arc::new(Wan::new(access))),
    ("hailuo", |access| Arc::new(Hailuo::new(access))),
    ("kling", |access| Arc::new(Kling::new(access))),
    ("seedance", |access| Arc::new(Seedance::new(access))),
    ("gemini", |access| Arc::new(Gemini::new(access))),
    ("openai", |access| Arc::new(OpenAi::new(access))),
];

/// The providers that are set up in this process.
pub struct Registry {
    providers: BTreeMap<(&'static str, Kind), Arc<dyn Provider>>,
    demo: Option<Arc<dyn Provider>>,
    accounts: Providers,
}

impl Registry {
    /// Sets up every provider that has a key, and the demo provider where it is allowed.
    ///
    /// # Errors
    /// When an HTTP client cannot be made.
    pub fn new(settings: &Settings) -> Result<Self, NetError> {
        let mut providers = BTreeMap::new();
        for &(name, make) in PROVIDERS {
            let Some(account) = settings.providers.get(account_of(name)) else {
                continue;
            };
            if let Some(access) = Access::new(account)? {
                insert(&mut providers, name, &make(access));
            }
        }
        let demo = settings
            .generation
            .demo
            .then(|| Arc::new(Demo::default()) as Arc<dyn Provider>);
        Ok(Self {
            providers,
            demo,
            accounts: settings.providers.clone(),
        })
    }

    /// A registry of exactly these providers, without the demo provider.
    #[must_use]
    pub fn with(named: BTreeMap<&'static str, Arc<dyn Provider>>, accounts: &Providers) -> Self {
        let mut providers = BTreeMap::new();
        for (name, provider) in &named {
            insert(&mut providers, name, provider);
        }
        Self {
            providers,
            demo: None,
            accounts: accounts.clone(),
        }
    }

    /// The registry that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store.get::<Arc<Self>>().ok_or_else(|| {
            loco_rs::Error::string("the provider registry is missing from the context")
        })
    }

    /// What is really done here: names and kinds of work, the demo's not among them.
    #[must_use]
    pub fn able(&self) -> Vec<(&'static str, Kind)> {
        self.providers.keys().copied().collect()
    }

    /// The public model id of a request: the default when none is wanted, aliases resolved.
    ///
    /// # Errors
    /// [`RequestError::UnsupportedModel`] when the settings do not have it, and
    /// [`RequestError::RetiredModel`].
    pub fn model(&self, offer: &Offer, wanted: Option<&str>) -> Result<String, RequestError> {
        let public = offer.canonical(wanted);
        let account = self.accounts.get(offer.account());
        match account.and_then(|account| account.model(offer.kind.name(), public)) {
            Some(Model::Upstream(_)) => Ok(public.to_owned()),
            Some(Model::Retired(replacement)) => Err(RequestError::RetiredModel {
                model: public.to_owned(),
                replacement: replacement.clone(),
            }),
            None => Err(RequestError::UnsupportedModel(
                wanted.unwrap_or(public).to_owned(),
            )),
        }
    }

    /// Who answers for a provider name and a kind of work.
    ///
    /// # Errors
    /// [`RequestError::NotConfigured`] when the account has no key and the demo provider cannot do it;
    /// [`RequestError::NoProvider`] when nobody here does this kind of work under that name.
    pub fn provider(&self, name: &str, kind: Kind) -> Result<Arc<dyn Provider>, RequestError> {
        // Compared one by one: a key made of `name` would have to live for ever.
        let own = self
            .providers
            .iter()
            .find(|((known, does), _)| *known == name && *does == kind)
            .map(|(_, provider)| provider);
        let demo = self
            .demo
            .as_ref()
            .filter(|demo| demo.capabilities().contains(&kind));
        if let Some(provider) = own.or(demo) {
            return Ok(Arc::clone(provider));
        }
        match self.accounts.get(account_of(name)) {
            Some(account) if !account.is_configured() => {
                Err(RequestError::NotConfigured(account.key_variable.clone()))
            }
            _ => Err(RequestError::NoProvider {
                name: name.to_owned(),
                kind,
            }),
        }
    }
}

fn insert(
    providers: &mut BTreeMap<(&'static str, Kind), Arc<dyn Provider>>,
    name: &'static str,
    provider: &Arc<dyn Provider>,
) {
    for kind in provider.capabilities() {
        providers.insert((name, *kind), Arc::clone(provider));
    }
}

/// The names of all providers that are offered, each once.
#[must_use]
pub fn provider_names() -> Vec<&'static str> {
    let mut names: Vec<_> = Offer::all().map(|offer| offer.provider).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The limits of every provider by its name, as its account has them.
#[must_use]
pub fn limits(accounts: &Providers) -> Vec<(&'static str, ProviderLimits)> {
    provider_names()
        .into_iter()
        .filter_map(|name| Some((name, accounts.get(account_of(name))?.limits)))
        .collect()
}
