//! What bytes really are: declared types are not believed.

use std::io::Cursor;

use image::{ImageFormat, ImageReader};

/// What a stored result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    Image(ImageKind),
    Video(VideoKind),
}

impl MediaKind {
    /// Tells the type by the bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        VideoKind::of(bytes)
            .map(Self::Video)
            .or_else(|| ImageKind::of(bytes).map(Self::Image))
    }

    /// The MIME type.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Image(kind) => kind.mime(),
            Self::Video(kind) => kind.mime(),
        }
    }

    /// The file extension, without dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Image(kind) => kind.extension(),
            Self::Video(kind) => kind.extension(),
        }
    }
}

/// Video types that are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoKind {
    Mp4,
    QuickTime,
    Webm,
}

impl VideoKind {
    /// Tells the type by its first bytes: the `ftyp` box of ISO/IEC 14496-12, whose brand also marks
    /// still pictures, or the EBML header of Matroska with WebM's document type.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..64.min(bytes.len()))?;
        if head.get(4..8) == Some(b"ftyp") {
            let brand = head.get(8..12)?;
            return match brand {
                b"qt  " => Some(Self::QuickTime),
                b"avif" | b"avis" | b"heic" | b"heix" | b"mif1" | b"msf1" => None,
                _ => Some(Self::Mp4),
            };
        }
        let is_webm = head.starts_with(&[0x1A, 0x45, 0xDF, 0xA3])
            && head.windows(4).any(|window| window == b"webm");
        is_webm.then_some(Self::Webm)
    }

    /// The MIME type.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::QuickTime => "video/quicktime",
            Self::Webm => "video/webm",
        }
    }

    /// The file extension, without dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::QuickTime => "mov",
            Self::Webm => "webm",
        }
    }
}

/// Image types that are taken and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    Png,
    Jpeg,
    Webp,
    Gif,
}

/// Longest side of an image that is looked at, pixels.
const MAX_SIDE: u32 = 16_384;

impl ImageKind {
    /// Tells the type by the magic bytes and checks that the header decodes to a sane size.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::with_sides(bytes).map(|(kind, _)| kind)
    }

    /// As [`Self::of`], with width and height in pixels.
    #[must_use]
    pub fn with_sides(bytes: &[u8]) -> Option<(Self, (u32, u32))> {
        let kind = match image::guess_format(bytes).ok()? {
            ImageFormat::Png => Self::Png,
            ImageFormat::Jpeg => Self::Jpeg,
            ImageFormat::WebP => Self::Webp,
            ImageFormat::Gif => Self::Gif,
            _ => return None,
        };
        let (width, height) = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .ok()?
            .into_dimensions()
            .ok()?;
        let is_sane = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
        is_sane.then_some((kind, (width, height)))
    }

    /// The MIME type.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
        }
    }

    /// The file extension, without dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
            Self::Gif => "gif",
        }
    }
}
