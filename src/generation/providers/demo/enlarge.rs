//! Enlarges a picture by resampling: the demo provider's upscale.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat,
    ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
    error::{LimitError, LimitErrorKind},
    imageops::FilterType,
};

/// Largest picture that is made, pixels in all.
pub const MAX_PIXELS: u64 = 4096 * 4096;
const MAX_DECODED_BYTES: u64 = 256 * 1024 * 1024;
const JPEG_QUALITY: u8 = 92;

/// Whether a picture of these sides, in pixels, can be made this many times larger.
#[must_use]
pub fn fits(sides: (u32, u32), scale: u32) -> bool {
    let (width, height) = (u64::from(sides.0), u64::from(sides.1));
    let factor = u64::from(scale).saturating_mul(u64::from(scale));
    width.saturating_mul(height).saturating_mul(factor) <= MAX_PIXELS
}

/// Makes each side `scale` times longer. JPEG and WebP stay what they are; all else becomes PNG, of
/// an animation the first picture.
///
/// # Errors
/// When the picture cannot be read, is too large, or cannot be encoded.
pub fn enlarge(bytes: &[u8], scale: u32) -> Result<Vec<u8>, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let format = reader.format();
    let mut decoder = reader.into_decoder()?;
    let sides = decoder.dimensions();
    if !fits(sides, scale) {
        return Err(ImageError::Limits(LimitError::from_kind(
            LimitErrorKind::DimensionError,
        )));
    }
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    let (width, height) = (
        picture.width().saturating_mul(scale),
        picture.height().saturating_mul(scale),
    );
    let large = picture.resize_exact(width, height, FilterType::Lanczos3);
    encode(&large, format)
}

fn encode(picture: &DynamicImage, format: Option<ImageFormat>) -> Result<Vec<u8>, ImageError> {
    let mut out = Vec::new();
    let (width, height) = (picture.width(), picture.height());
    match format {
        Some(ImageFormat::Jpeg) => JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY)
            .write_image(&picture.to_rgb8(), width, height, ExtendedColorType::Rgb8)?,
        Some(ImageFormat::WebP) => WebPEncoder::new_lossless(&mut out).write_image(
            &picture.to_rgba8(),
            width,
            height,
            ExtendedColorType::Rgba8,
        )?,
        _ if picture.color().has_alpha() => PngEncoder::new(&mut out).write_image(
            &picture.to_rgba8(),
            width,
            height,
            ExtendedColorType::Rgba8,
        )?,
        _ => PngEncoder::new(&mut out).write_image(
            &picture.to_rgb8(),
            width,
            height,
            ExtendedColorType::Rgb8,
        )?,
    }
    Ok(out)
}
