//! What each picture model of Runway takes: its API differs by model.
//!
//! Source: the provider's SDK types (`@runwayml/sdk` 4.20, `text_to_image`).

/// A picture model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    pub id: &'static str,
    /// Sizes that it makes; the first when none is asked for.
    pub ratios: &'static [(u32, u32)],
    /// Longest prompt, UTF-16 units.
    pub max_prompt: usize,
    pub min_references: usize,
    pub max_references: usize,
    /// Whether its references may carry tags.
    pub has_tags: bool,
    /// Whether it takes a seed and settings of the moderation.
    pub is_gen4: bool,
    pub outputs: Outputs,
    /// Formats that can be chosen.
    pub formats: &'static [&'static str],
    /// Options with their values, beside those of all models.
    pub choices: &'static [(&'static str, &'static [&'static str])],
    /// Options that are on or off.
    pub switches: &'static [&'static str],
}

/// How many pictures a model makes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    One,
    OneOrFour,
    /// At most this many.
    UpTo(u32),
}

const GEN4: [(u32, u32); 16] = [
    (1920, 1080),
    (1024, 1024),
    (1080, 1080),
    (1168, 880),
    (1360, 768),
    (1440, 1080),
    (1080, 1440),
    (1808, 768),
    (1080, 1920),
    (2112, 912),
    (1280, 720),
    (720, 1280),
    (720, 720),
    (960, 720),
    (720, 960),
    (1680, 720),
];
const GPT: [(u32, u32); 30] = [
    (1920, 1920),
    (2048, 880),
    (1920, 1088),
    (1920, 1280),
    (1920, 1440),
    (1920, 1536),
    (1536, 1920),
    (1440, 1920),
    (1280, 1920),
    (1088, 1920),
    (2912, 1248),
    (2560, 1440),
    (2560, 1712),
    (2560, 1920),
    (2560, 2048),
    (2560, 2560),
    (2048, 2560),
    (1920, 2560),
    (1712, 2560),
    (1440, 2560),
    (3840, 1648),
    (3840, 2160),
    (3504, 2336),
    (3264, 2448),
    (3200, 2560),
    (2880, 2880),
    (2560, 3200),
    (2448, 3264),
    (2336, 3504),
    (2160, 3840),
];
const GEMINI: [(u32, u32); 10] = [
    (1024, 1024),
    (1344, 768),
    (768, 1344),
    (1184, 864),
    (864, 1184),
    (1536, 672),
    (832, 1248),
    (1248, 832),
    (896, 1152),
    (1152, 896),
];
/// The sizes that both Gemini 3 models make.
const GEMINI_3: [(u32, u32); 30] = [
    (1024, 1024),
    (1344, 768),
    (768, 1344),
    (1184, 864),
    (864, 1184),
    (1536, 672),
    (832, 1248),
    (1248, 832),
    (896, 1152),
    (1152, 896),
    (2048, 2048),
    (1696, 2528),
    (2528, 1696),
    (1792, 2400),
    (2400, 1792),
    (1856, 2304),
    (2304, 1856),
    (1536, 2752),
    (2752, 1536),
    (3168, 1344),
    (4096, 4096),
    (3392, 5056),
    (5056, 3392),
    (3584, 4800),
    (4800, 3584),
    (3712, 4608),
    (4608, 3712),
    (3072, 5504),
    (5504, 3072),
    (6336, 2688),
];
const MUSE: [(u32, u32); 8] = [
    (1600, 1600),
    (2352, 1008),
    (2016, 1152),
    (1920, 1280),
    (1792, 1344),
    (1344, 1792),
    (1280, 1920),
    (1152, 2016),
];
const SEEDREAM_PRO: [(u32, u32); 14] = [
    (1024, 1024),
    (1184, 896),
    (896, 1184),
    (1376, 768),
    (768, 1376),
    (1296, 864),
    (864, 1296),
    (2048, 2048),
    (2304, 1728),
    (1728, 2304),
    (2720, 1530),
    (1530, 2720),
    (2496, 1664),
    (1664, 2496),
];
const SEEDREAM_LITE: [(u32, u32); 16] = [
    (2048, 2048),
    (2304, 1728),
    (1728, 2304),
    (2848, 1600),
    (1600, 2848),
    (2496, 1664),
    (1664, 2496),
    (3136, 1344),
    (3072, 3072),
    (3456, 2592),
    (2592, 3456),
    (4096, 2304),
    (2304, 4096),
    (3744, 2496),
    (2496, 3744),
    (4704, 2016),
];
const GROK: [(u32, u32); 26] = [
    (1024, 1024),
    (1280, 720),
    (720, 1280),
    (1152, 864),
    (864, 1152),
    (1248, 832),
    (832, 1248),
    (1248, 576),
    (576, 1248),
    (1280, 576),
    (576, 1280),
    (1408, 704),
    (704, 1408),
    (2048, 2048),
    (2816, 1584),
    (1584, 2816),
    (2368, 1776),
    (1776, 2368),
    (2496, 1664),
    (1664, 2496),
    (2912, 1344),
    (1344, 2912),
    (3200, 1440),
    (1440, 3200),
    (2912, 1456),
    (1456, 2912),
];

/// What most models have in common.
const PLAIN: Model = Model {
    id: "",
    ratios: &GEMINI,
    max_prompt: 4096,
    min_references: 0,
    max_references: 3,
    has_tags: false,
    is_gen4: false,
    outputs: Outputs::One,
    formats: &[],
    choices: &[],
    switches: &[],
};

const MODELS: [Model; 12] = [
    Model {
        id: "gen4_image",
        ratios: &GEN4,
        max_prompt: 1000,
        has_tags: true,
        is_gen4: true,
        ..PLAIN
    },
    Model {
        id: "gen4_image_turbo",
        ratios: &GEN4,
        max_prompt: 1000,
        min_references: 1,
        has_tags: true,
        is_gen4: true,
        ..PLAIN
    },
    Model {
        id: "gpt_image_2",
        ratios: &GPT,
        max_prompt: 32_000,
        max_references: 16,
        has_tags: true,
        outputs: Outputs::UpTo(10),
        choices: &[
            ("background", &["transparent", "opaque", "auto"]),
            ("quality", &["low", "medium", "high", "auto"]),
        ],
        ..PLAIN
    },
    Model {
        id: "gpt_image_2_5_flare",
        ratios: &GPT,
        max_references: 16,
        has_tags: true,
        outputs: Outputs::UpTo(10),
        choices: &[
            ("background", &["opaque", "auto"]),
            ("quality", &["low", "medium", "high", "xhigh", "max"]),
        ],
        ..PLAIN
    },
    Model {
        id: "gpt_image_2_5_sunburst",
        ratios: &GPT,
        max_references: 16,
        has_tags: true,
        outputs: Outputs::UpTo(10),
        choices: &[
            ("background", &["transparent", "opaque", "auto"]),
            ("quality", &["low", "medium", "high", "xhigh", "max"]),
        ],
        ..PLAIN
    },
    Model {
        id: "gemini_2.5_flash",
        has_tags: true,
        ..PLAIN
    },
    Model {
        id: "gemini_image3_pro",
        ratios: &GEMINI_3,
        max_references: 14,
        has_tags: true,
        outputs: Outputs::OneOrFour,
        ..PLAIN
    },
    Model {
        id: "gemini_image3.1_flash",
        ratios: &GEMINI_3,
        max_references: 14,
        has_tags: true,
        outputs: Outputs::OneOrFour,
        ..PLAIN
    },
    Model {
        id: "muse_image",
        ratios: &MUSE,
        max_references: 10,
        outputs: Outputs::UpTo(10),
        formats: &["png", "jpeg", "webp"],
        ..PLAIN
    },
    Model {
        id: "seedream5_pro",
        ratios: &SEEDREAM_PRO,
        max_prompt: 4000,
        max_references: 10,
        outputs: Outputs::UpTo(10),
        formats: &["png", "jpeg"],
        switches: &["grounding"],
        ..PLAIN
    },
    Model {
        id: "seedream5_lite",
        ratios: &SEEDREAM_LITE,
        max_prompt: 4000,
        max_references: 10,
        outputs: Outputs::UpTo(10),
        formats: &["png", "jpeg"],
        switches: &["grounding"],
        ..PLAIN
    },
    Model {
        id: "grok_imagine_image_2",
        ratios: &GROK,
        outputs: Outputs::UpTo(10),
        choices: &[("quality", &["low", "medium"])],
        switches: &["edit"],
        ..PLAIN
    },
];

impl Model {
    /// What is known of an upstream id; one that is not in the list is taken for a plain model.
    #[must_use]
    pub fn of(id: &str) -> Self {
        MODELS
            .into_iter()
            .find(|model| model.id == id)
            .unwrap_or(PLAIN)
    }
}
