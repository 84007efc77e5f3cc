//! Name → provider: routes, public model ids with their aliases, and who answers for a route.

mod offers;

use std::{collections::BTreeMap, sync::Arc};

use loco_rs::app::AppContext;

use super::{
    RequestError,
    provider::Provider,
    providers::{demo::Demo, flux::Flux},
    request::Kind,
};
use crate::{net::NetError, settings::Settings};
pub use offers::Offer;

/// A route below `/api/image/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageRoute {
    /// Last segment of the path.
    pub path: &'static str,
    /// Provider name stored with jobs.
    pub provider: &'static str,
    pub default_model: &'static str,
    /// Accepted public ids, each with the id it stands for.
    pub models: &'static [(&'static str, &'static str)],
    /// The variable that holds the key.
    pub key_variable: &'static str,
}

/// Every image route (generation contract 3.2).
pub const ROUTES: [ImageRoute; 11] = [
    ImageRoute {
        path: "gemini",
        provider: "gemini",
        default_model: "gemini-2.5-flash-image",
        models: &[
            ("gemini-2.5-flash-image", "gemini-2.5-flash-image"),
            ("gemini-2.5-flash-image-preview", "gemini-2.5-flash-image"),
            ("imagen-4.0-generate-001", "imagen-4.0-generate-001"),
            (
                "imagen-4.0-fast-generate-001",
                "imagen-4.0-fast-generate-001",
            ),
            (
                "imagen-4.0-ultra-generate-001",
                "imagen-4.0-ultra-generate-001",
            ),
            ("imagen-3.0-generate-002", "imagen-3.0-generate-002"),
        ],
        key_variable: "GEMINI_API_KEY",
    },
    ImageRoute {
        path: "flux",
        provider: "flux",
        default_model: "flux-pro-1.1",
        models: &[
            ("flux-pro-1.1", "flux-pro-1.1"),
            ("flux-1.1", "flux-pro-1.1"),
            ("flux-pro-1.1-ultra", "flux-pro-1.1-ultra"),
            ("flux-kontext-pro", "flux-kontext-pro"),
            ("flux-kontext-max", "flux-kontext-max"),
            ("flux-pro", "flux-pro"),
            ("flux-dev", "flux-dev"),
        ],
        key_variable: "BFL_API_KEY",
    },
    ImageRoute {
        path: "chatgpt",
        provider: "openai",
        default_model: "chatgpt-image",
        models: &[("chatgpt-image", "chatgpt-image")],
        key_variable: "OPENAI_API_KEY",
    },
    ImageRoute {
        path: "ideogram",
        provider: "ideogram",
        default_model: "ideogram",
        models: &[("ideogram", "ideogram")],
        key_variable: "IDEOGRAM_API_KEY",
    },
    ImageRoute {
        path: "qwen",
        provider: "qwen",
        default_model: "qwen-image",
        models: &[("qwen-image", "qwen-image")],
        key_variable: "DASHSCOPE_API_KEY",
    },
    ImageRoute {
        path: "grok",
        provider: "grok",
        default_model: "grok-2-image",
        models: &[
            ("grok-2-image", "grok-2-image"),
            ("grok-2-image-1212", "grok-2-image-1212"),
            ("grok-2-image-latest", "grok-2-image-latest"),
        ],
        key_variable: "XAI_API_KEY",
    },
    ImageRoute {
        path: "runway",
        provider: "runway",
        default_model: "runway-gen4",
        models: &[
            ("runway-gen4", "runway-gen4"),
            ("gen4_image", "runway-gen4"),
            ("runway-gen4-turbo", "runway-gen4-turbo"),
            ("gen4_image_turbo", "runway-gen4-turbo"),
        ],
        key_variable: "RUNWAY_API_KEY",
    },
    ImageRoute {
        path: "seedream",
        provider: "seedream",
        default_model: "seedream-3.0",
        models: &[("seedream-3.0", "seedream-3.0")],
        key_variable: "ARK_API_KEY",
    },
    ImageRoute {
        path: "reve",
        provider: "reve",
        default_model: "reve-image",
        models: &[
            ("reve-image", "reve-image"),
            ("reve-image-1.0", "reve-image-1.0"),
            ("reve-v1", "reve-v1"),
        ],
        key_variable: "REVE_API_KEY",
    },
    ImageRoute {
        path: "recraft",
        provider: "recraft",
        default_model: "recraft-v3",
        models: &[
            ("recraft-v3", "recraft-v3"),
            ("recraft", "recraft-v3"),
            ("recraft-v2", "recraft-v2"),
        ],
        key_variable: "RECRAFT_API_KEY",
    },
    ImageRoute {
        path: "luma",
        provider: "luma",
        default_model: "luma-photon-1",
        models: &[
            ("luma-photon-1", "luma-photon-1"),
            ("luma-photon-flash-1", "luma-photon-flash-1"),
            ("luma-dream-shaper", "luma-photon-1"),
            ("luma-realistic-vision", "luma-photon-1"),
        ],
        key_variable: "LUMAAI_API_KEY",
    },
];

impl ImageRoute {
    /// The route of a path segment or provider name.
    ///
    /// # Errors
    /// [`RequestError::UnsupportedProvider`].
    pub fn find(name: &str) -> Result<&'static Self, RequestError> {
        ROUTES
            .iter()
            .find(|route| route.path == name || route.provider == name)
            .ok_or_else(|| RequestError::UnsupportedProvider(name.to_owned()))
    }

    /// The id that a public model id stands for; the default when none is given.
    ///
    /// # Errors
    /// [`RequestError::UnsupportedModel`].
    pub fn resolve_model(&self, model: Option<&str>) -> Result<&'static str, RequestError> {
        let wanted = model.unwrap_or(self.default_model);
        self.models
            .iter()
            .find(|(public, _)| *public == wanted)
            .map(|(_, canonical)| *canonical)
            .ok_or_else(|| RequestError::UnsupportedModel(wanted.to_owned()))
    }
}

/// The providers that are set up in this process.
pub struct Registry {
    providers: BTreeMap<&'static str, Arc<dyn Provider>>,
    demo: Option<Arc<dyn Provider>>,
}

impl Registry {
    /// Sets up every provider that has a key, and the demo provider where it is allowed.
    ///
    /// # Errors
    /// When an HTTP client cannot be made.
    pub fn new(settings: &Settings) -> Result<Self, NetError> {
        let mut providers: BTreeMap<&'static str, Arc<dyn Provider>> = BTreeMap::new();
        if let Some(flux) = Flux::from_settings(&settings.providers.flux)? {
            providers.insert("flux", Arc::new(flux));
        }
        let demo = settings
            .generation
            .demo
            .then(|| Arc::new(Demo::default()) as Arc<dyn Provider>);
        Ok(Self { providers, demo })
    }

    /// A registry of exactly these providers, without the demo provider.
    #[must_use]
    pub fn with(providers: BTreeMap<&'static str, Arc<dyn Provider>>) -> Self {
        Self {
            providers,
            demo: None,
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

    /// Who answers for a provider name and a kind of work.
    ///
    /// # Errors
    /// [`RequestError::NotConfigured`] when an image provider has no key and the demo provider is off;
    /// [`RequestError::NoProvider`] when nobody here does this kind of work under that name.
    pub fn provider(&self, name: &str, kind: Kind) -> Result<Arc<dyn Provider>, RequestError> {
        let own = self.providers.get(name);
        let able = own
            .filter(|provider| provider.capabilities().contains(&kind))
            .or(self.demo.as_ref())
            .filter(|provider| provider.capabilities().contains(&kind));
        if let Some(provider) = able {
            return Ok(Arc::clone(provider));
        }
        if kind == Kind::Image && own.is_none() {
            return Err(RequestError::NotConfigured(
                ImageRoute::find(name)?.key_variable,
            ));
        }
        Err(RequestError::NoProvider {
            name: name.to_owned(),
            kind,
        })
    }
}
