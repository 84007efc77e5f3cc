//! The closed lists of Ideogram's API.

/// Ratios of the third model; any other is mapped to the nearest.
pub const RATIOS: &[&str] = &[
    "1x1", "1x3", "3x1", "1x2", "2x1", "9x16", "16x9", "10x16", "16x10", "2x3", "3x2", "3x4",
    "4x3", "4x5", "5x4",
];

/// Sizes of the third model, pixels.
const RESOLUTIONS: &str = "512x1536 576x1408 576x1472 576x1536 640x1344 640x1408 640x1472 \
    640x1536 704x1152 704x1216 704x1280 704x1344 704x1408 704x1472 736x1312 768x1088 768x1216 \
    768x1280 768x1344 800x1280 832x960 832x1024 832x1088 832x1152 832x1216 832x1248 864x1152 896x960 \
    896x1024 896x1088 896x1120 896x1152 960x832 960x896 960x1024 960x1088 1024x832 1024x896 1024x960 \
    1024x1024 1088x768 1088x832 1088x896 1088x960 1120x896 1152x704 1152x832 1152x864 1152x896 \
    1216x704 1216x768 1216x832 1248x832 1280x704 1280x768 1280x800 1312x736 1344x640 1344x704 \
    1344x768 1408x576 1408x640 1408x704 1472x576 1472x640 1472x704 1536x512 1536x576 1536x640";

/// Sizes of the fourth model, pixels.
pub const RESOLUTIONS_V4: &[(u32, u32)] = &[
    (2048, 2048),
    (1440, 2880),
    (2880, 1440),
    (1664, 2496),
    (2496, 1664),
    (1792, 2240),
    (2240, 1792),
    (1440, 2560),
    (2560, 1440),
    (1600, 2560),
    (2560, 1600),
    (1728, 2304),
    (2304, 1728),
    (1296, 3168),
    (3168, 1296),
    (1152, 2944),
    (2944, 1152),
    (1248, 3328),
    (3328, 1248),
    (1280, 3072),
    (3072, 1280),
    (1024, 3072),
    (3072, 1024),
];

pub const SPEEDS: &[&str] = &["DEFAULT", "FLASH", "TURBO", "BALANCED", "QUALITY"];
pub const SPEEDS_V4: &[&str] = &["DEFAULT", "TURBO", "QUALITY"];
pub const MAGIC: &[&str] = &["AUTO", "ON", "OFF"];
pub const STYLE_TYPES: &[&str] = &["AUTO", "GENERAL", "REALISTIC", "DESIGN", "FICTION"];
/// Those that go with a picture of a person.
pub const CHARACTER_STYLE_TYPES: &[&str] = &["AUTO", "REALISTIC", "FICTION"];
pub const PALETTES: &[&str] = &[
    "EMBER",
    "FRESH",
    "JUNGLE",
    "MAGIC",
    "MELON",
    "MOSAIC",
    "PASTEL",
    "ULTRAMARINE",
];

const STYLE_PRESETS: &str = "80S_ILLUSTRATION 90S_NOSTALGIA ABSTRACT_ORGANIC ANALOG_NOSTALGIA \
    ART_BRUT ART_DECO ART_POSTER AURA AVANT_GARDE BAUHAUS BLUEPRINT BLURRY_MOTION BRIGHT_ART \
    C4D_CARTOON CHILDRENS_BOOK COLLAGE COLORING_BOOK_I COLORING_BOOK_II CUBISM DARK_AURA DOODLE \
    DOUBLE_EXPOSURE DRAMATIC_CINEMA EDITORIAL EMOTIONAL_MINIMAL ETHEREAL_PARTY EXPIRED_FILM FLAT_ART \
    FLAT_VECTOR FOREST_REVERIE GEO_MINIMALIST GLASS_PRISM GOLDEN_HOUR GRAFFITI_I GRAFFITI_II \
    HALFTONE_PRINT HIGH_CONTRAST HIPPIE_ERA ICONIC JAPANDI_FUSION JAZZY LONG_EXPOSURE \
    MAGAZINE_EDITORIAL MINIMAL_ILLUSTRATION MIXED_MEDIA MONOCHROME NIGHTLIFE OIL_PAINTING \
    OLD_CARTOONS PAINT_GESTURE POP_ART RETRO_ETCHING RIVIERA_POP SPOTLIGHT_80S STYLIZED_RED \
    SURREAL_COLLAGE TRAVEL_POSTER VINTAGE_GEO VINTAGE_POSTER WATERCOLOR WEIRD WOODBLOCK_PRINT";

/// The preset of this name, in the API's spelling.
pub fn style_preset(name: &str) -> Option<&'static str> {
    STYLE_PRESETS
        .split_ascii_whitespace()
        .find(|preset| preset.eq_ignore_ascii_case(name))
}

/// Whether the third model makes pictures of exactly this size.
pub fn has_resolution(size: &str) -> bool {
    RESOLUTIONS
        .split_ascii_whitespace()
        .any(|resolution| resolution == size)
}
