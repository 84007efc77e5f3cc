//! What is offered: who answers to which name, for each kind of work. Which model ids there are is
//! for the settings to say.

use crate::generation::{RequestError, request::Kind};

/// One kind of work under one provider's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub kind: Kind,
    /// Last segment of its path, below `/api/image/` or `/api/video/`.
    pub path: &'static str,
    /// Provider name stored with jobs.
    pub provider: &'static str,
    /// Public model id of requests that name none.
    pub default_model: &'static str,
    /// Further public ids, each with the one that it stands for.
    pub aliases: &'static [(&'static str, &'static str)],
}

/// Providers whose account has another name: one account serves several of them.
const ACCOUNTS: [(&str, &str); 7] = [
    ("veo", "gemini"),
    ("qwen", "dashscope"),
    ("wan", "dashscope"),
    ("seedream", "ark"),
    ("seedance", "ark"),
    ("grok", "xai"),
    ("hailuo", "minimax"),
];

/// The settings block of a provider.
#[must_use]
pub fn account_of(provider: &str) -> &str {
    ACCOUNTS
        .iter()
        .find(|(name, _)| *name == provider)
        .map_or(provider, |(_, account)| account)
}

const fn offer(
    kind: Kind,
    provider: &'static str,
    default_model: &'static str,
    aliases: &'static [(&'static str, &'static str)],
) -> Offer {
    Offer {
        kind,
        path: provider,
        provider,
        default_model,
        aliases,
    }
}

/// Images (generation contract 3.2), videos (7), upscalers (providers contract 13) and the scenes'
/// remix (generation contract 6).
const OFFERS: &[Offer] = &[
    offer(
        Kind::Image,
        "gemini",
        "gemini-2.5-flash-image",
        &[("gemini-2.5-flash-image-preview", "gemini-2.5-flash-image")],
    ),
    offer(
        Kind::Image,
        "flux",
        "flux-pro-1.1",
        &[("flux-1.1", "flux-pro-1.1")],
    ),
    Offer {
        path: "chatgpt",
        ..offer(Kind::Image, "openai", "chatgpt-image", &[])
    },
    offer(Kind::Image, "ideogram", "ideogram", &[]),
    offer(Kind::Image, "qwen", "qwen-image", &[]),
    offer(Kind::Image, "grok", "grok-2-image", &[]),
    offer(
        Kind::Image,
        "runway",
        "runway-gen4",
        &[
            ("gen4_image", "runway-gen4"),
            ("gen4_image_turbo", "runway-gen4-turbo"),
        ],
    ),
    offer(Kind::Image, "seedream", "seedream-3.0", &[]),
    offer(Kind::Image, "reve", "reve-image", &[]),
    offer(
        Kind::Image,
        "recraft",
        "recraft-v3",
        &[("recraft", "recraft-v3")],
    ),
    offer(Kind::Image, "luma", "luma-photon-1", &[]),
    offer(Kind::Video, "veo", "veo-3.0-generate-001", &[]),
    offer(Kind::Video, "runway", "gen4_turbo", &[]),
    offer(Kind::Video, "luma", "luma-ray-2", &[]),
    offer(Kind::Video, "wan", "wan2.2-t2v-plus", &[]),
    offer(Kind::Video, "hailuo", "hailuo-02", &[]),
    offer(Kind::Video, "kling", "kling-v2.1-master", &[]),
    offer(Kind::Video, "seedance", "seedance-1.0-pro", &[]),
    offer(
        Kind::Upscale,
        "ideogram",
        "ideogram-upscale",
        &[("ideogram", "ideogram-upscale")],
    ),
    offer(Kind::Upscale, "recraft", "recraft-crisp-upscale", &[]),
    offer(
        Kind::Upscale,
        "runway",
        "magnific-precision-upscaler-v2",
        &[(
            "magnific_precision_upscaler_v2",
            "magnific-precision-upscaler-v2",
        )],
    ),
    offer(Kind::Upscale, "reve", "reve-upscale", &[]),
    offer(Kind::Scene, "ideogram", "ideogram-remix", &[]),
];

impl Offer {
    /// What is offered under a name: the segment of a path, or a provider's name.
    ///
    /// # Errors
    /// [`RequestError::UnsupportedProvider`].
    pub fn find(kind: Kind, name: &str) -> Result<&'static Self, RequestError> {
        Self::all()
            .find(|offer| offer.kind == kind && (offer.path == name || offer.provider == name))
            .ok_or_else(|| RequestError::UnsupportedProvider(name.to_owned()))
    }

    /// Everything that is offered.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        OFFERS.iter()
    }

    /// The settings block that it is served with.
    #[must_use]
    pub fn account(&self) -> &'static str {
        account_of(self.provider)
    }

    /// The public id that a wanted one stands for.
    #[must_use]
    pub fn canonical<'a>(&self, wanted: Option<&'a str>) -> &'a str {
        let wanted = wanted.unwrap_or(self.default_model);
        self.aliases
            .iter()
            .find(|(alias, _)| *alias == wanted)
            .map_or(wanted, |(_, canonical)| canonical)
    }
}
