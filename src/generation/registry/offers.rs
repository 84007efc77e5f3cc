//! What is offered beside images: the providers of each kind of work with their public model ids.

use crate::generation::{RequestError, request::Kind};

/// A provider's models for one kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub kind: Kind,
    /// Provider name stored with jobs.
    pub provider: &'static str,
    /// Accepted public ids, each with the id it stands for.
    pub models: &'static [(&'static str, &'static str)],
}

/// Video models (generation contract 7) and upscalers (providers contract 13).
const OFFERS: [Offer; 11] = [
    Offer {
        kind: Kind::Video,
        provider: "veo",
        models: &[
            ("veo-3.0-generate-001", "veo-3.0-generate-001"),
            ("veo-3.0-fast-generate-001", "veo-3.0-fast-generate-001"),
        ],
    },
    Offer {
        kind: Kind::Video,
        provider: "runway",
        models: &[
            ("gen4_turbo", "gen4_turbo"),
            ("gen4_aleph", "gen4_aleph"),
            ("act_two", "act_two"),
        ],
    },
    Offer {
        kind: Kind::Video,
        provider: "luma",
        models: &[
            ("luma-ray-2", "luma-ray-2"),
            ("luma-ray-flash-2", "luma-ray-flash-2"),
        ],
    },
    Offer {
        kind: Kind::Video,
        provider: "wan",
        models: &[("wan2.2-t2v-plus", "wan2.2-t2v-plus")],
    },
    Offer {
        kind: Kind::Video,
        provider: "hailuo",
        models: &[("hailuo-02", "hailuo-02")],
    },
    Offer {
        kind: Kind::Video,
        provider: "kling",
        models: &[
            ("kling-v2.1-master", "kling-v2.1-master"),
            ("kling-v2-master", "kling-v2-master"),
        ],
    },
    Offer {
        kind: Kind::Video,
        provider: "seedance",
        models: &[("seedance-1.0-pro", "seedance-1.0-pro")],
    },
    Offer {
        kind: Kind::Upscale,
        provider: "ideogram",
        models: &[
            ("ideogram-upscale", "ideogram-upscale"),
            ("ideogram", "ideogram-upscale"),
        ],
    },
    Offer {
        kind: Kind::Upscale,
        provider: "recraft",
        models: &[
            ("recraft-crisp-upscale", "recraft-crisp-upscale"),
            ("recraft-creative-upscale", "recraft-creative-upscale"),
        ],
    },
    Offer {
        kind: Kind::Upscale,
        provider: "runway",
        models: &[
            (
                "magnific-precision-upscaler-v2",
                "magnific-precision-upscaler-v2",
            ),
            (
                "magnific_precision_upscaler_v2",
                "magnific-precision-upscaler-v2",
            ),
        ],
    },
    Offer {
        kind: Kind::Upscale,
        provider: "reve",
        models: &[("reve-upscale", "reve-upscale")],
    },
];

impl Offer {
    /// What a provider offers of a kind of work.
    ///
    /// # Errors
    /// [`RequestError::UnsupportedProvider`].
    pub fn find(kind: Kind, provider: &str) -> Result<&'static Self, RequestError> {
        OFFERS
            .iter()
            .find(|offer| offer.kind == kind && offer.provider == provider)
            .ok_or_else(|| RequestError::UnsupportedProvider(provider.to_owned()))
    }

    /// The id that a public model id stands for.
    ///
    /// # Errors
    /// [`RequestError::UnsupportedModel`].
    pub fn resolve_model(&self, model: &str) -> Result<&'static str, RequestError> {
        self.models
            .iter()
            .find(|(public, _)| *public == model)
            .map(|(_, canonical)| *canonical)
            .ok_or_else(|| RequestError::UnsupportedModel(model.to_owned()))
    }
}
