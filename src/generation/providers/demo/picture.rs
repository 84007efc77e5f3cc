//! Draws the demo provider's pictures.
//!
//! A landscape is made from a hash of the request. The arithmetic is all in whole numbers, so a
//! request gives the same bytes everywhere.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::error::{LimitError, LimitErrorKind};
use image::{
    DynamicImage, ExtendedColorType, ImageEncoder, ImageError, ImageReader, Limits, RgbImage, Rgba,
    RgbaImage, imageops,
};

use super::canvas::{Canvas, Ink, rgb};
use super::font;
use super::scenery::{Random, scenery};

/// What to draw.
pub struct Sketch<'a> {
    /// The user's words, whose beginning is written along the bottom.
    pub prompt: &'a str,
    /// The model asked for; another one gives another picture.
    pub model: &'a str,
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// Another seed gives another picture.
    pub seed: u64,
    /// Which picture this is when several are drawn for one request.
    pub index: u32,
    /// Encoded pictures given by the user; the first that can be read is shown in a corner.
    pub references: &'a [Vec<u8>],
}

/// How the picture is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Without loss.
    Png,
    /// At quality 90.
    Jpeg,
    /// Without loss.
    Webp,
}

/// Draws the picture.
///
/// # Errors
/// When a side is outside 16 to 4096 pixels.
pub fn paint(sketch: &Sketch<'_>) -> Result<Canvas, ImageError> {
    let (width, height) = (sketch.width, sketch.height);
    if ![width, height]
        .iter()
        .all(|side| (16..=4096).contains(side))
    {
        return Err(ImageError::Limits(LimitError::from_kind(
            LimitErrorKind::DimensionError,
        )));
    }
    let mut canvas = Canvas::new(i64::from(width), i64::from(height));
    let texts = [sketch.model, sketch.prompt];
    let mut random = Random::new(&texts, &[sketch.seed, u64::from(sketch.index)]);
    scenery(&mut canvas, &mut random);
    let floor = caption(&mut canvas, sketch.prompt);
    let side = sketch.width.min(sketch.height) * 28 / 100;
    if let Some(inset) = sketch
        .references
        .iter()
        .find_map(|bytes| thumbnail(bytes, side))
    {
        frame(&mut canvas, &inset, floor);
    }
    badge(&mut canvas);
    Ok(canvas)
}

/// Draws and encodes the picture; the same sketch always gives the same bytes.
///
/// # Errors
/// When a side is outside 16 to 4096 pixels, or the encoder fails.
pub fn draw(sketch: &Sketch<'_>, format: Format) -> Result<Vec<u8>, ImageError> {
    let (width, height) = (sketch.width, sketch.height);
    let canvas = paint(sketch)?;
    let (pixels, colour, mut out) = (&canvas.pixels, ExtendedColorType::Rgb8, Vec::new());
    match format {
        // The fast level keeps an unoptimised build quick, and flat runs pack well even so.
        Format::Png => {
            PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Sub)
                .write_image(pixels, width, height, colour)
        }
        Format::Jpeg => {
            JpegEncoder::new_with_quality(&mut out, 90).write_image(pixels, width, height, colour)
        }
        Format::Webp => {
            WebPEncoder::new_lossless(&mut out).write_image(pixels, width, height, colour)
        }
    }?;
    Ok(out)
}

/// A user's picture made small, or nothing when it cannot be read within modest limits.
fn thumbnail(bytes: &[u8], side: u32) -> Option<RgbImage> {
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(8192), Some(8192));
    limits.max_alloc = Some(128 * 1024 * 1024);
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .ok()?;
    reader.limits(limits);
    let small = reader.decode().ok()?.thumbnail(side, side);
    if !small.color().has_alpha() {
        return Some(small.into_rgb8());
    }
    // White shows through where the picture is translucent.
    let mut sheet = RgbaImage::from_pixel(small.width(), small.height(), Rgba([u8::MAX; 4]));
    imageops::overlay(&mut sheet, &small.into_rgba8(), 0, 0);
    Some(DynamicImage::from(sheet).into_rgb8())
}

/// Writes the prompt's first words along the bottom and says where that band begins.
fn caption(canvas: &mut Canvas, prompt: &str) -> i64 {
    let scale = (canvas.width.min(canvas.height) / 240).max(1);
    // A tiny picture has no room to spare, so its margin shrinks faster than its letters.
    let margin = 2 * scale * scale.min(4);
    let room = (canvas.width - 2 * margin) / ((font::COLUMNS + 1) * scale);
    let lines = wrap(
        prompt,
        usize::try_from(room).unwrap_or(0),
        if canvas.height < 200 { 1 } else { 2 },
    );
    let step = (font::ROWS + 3) * scale;
    let count = i64::try_from(lines.len()).unwrap_or(0);
    if count == 0 {
        return canvas.height;
    }
    let band = count * step - 3 * scale + 2 * margin;
    let floor = canvas.height - band;
    canvas.panel(
        (0, floor),
        (canvas.width, band),
        0,
        &Ink::new(rgb(0x0A0A12), 165),
    );
    for (row, line) in (0..).zip(&lines) {
        canvas.text(
            (margin, floor + margin + row * step),
            scale,
            line,
            rgb(0xFFFFFF),
        );
    }
    floor
}

/// The first words of a text, broken into lines; dots show that some were left out.
fn wrap(text: &str, room: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word: String = word.chars().take(room).collect();
        let length = word.chars().count();
        let full = lines.len() >= most;
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + length <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            _ if !full => lines.push(word),
            _ => {
                if let Some(line) = lines.last_mut() {
                    let mut kept = line.as_str();
                    while let Some((shorter, _)) = kept.rsplit_once(' ')
                        && kept.chars().count() + 3 > room
                    {
                        kept = shorter;
                    }
                    let kept: String = kept.chars().take(room.saturating_sub(3)).collect();
                    *line = kept.trim_end_matches([',', '.', ';']).to_owned() + "...";
                }
                break;
            }
        }
    }
    lines
}

/// Shows a user's picture in a white frame at the lower right, above the caption.
fn frame(canvas: &mut Canvas, picture: &RgbImage, floor: i64) {
    let short = canvas.width.min(canvas.height);
    let (border, margin) = ((short / 110).max(1), (short / 32).max(2));
    let size = (
        i64::from(picture.width()) + 2 * border,
        i64::from(picture.height()) + 2 * border,
    );
    let at = (canvas.width - margin - size.0, floor - margin - size.1);
    canvas.panel(
        (at.0 + border, at.1 + border),
        size,
        border,
        &Ink::new(rgb(0), 110),
    );
    canvas.panel(at, size, border, &Ink::new(rgb(0xFFFFFF), 256));
    canvas.paste((at.0 + border, at.1 + border), picture);
}

/// Marks the picture as a demonstration at the upper left.
fn badge(canvas: &mut Canvas) {
    let short = canvas.width.min(canvas.height);
    let (scale, margin) = ((short / 100).max(2), (short / 32).max(2));
    let letters = 4 * (font::COLUMNS + 1) - 1;
    let size = ((letters + 6) * scale, (font::ROWS + 6) * scale);
    let shadow = (margin + scale / 2, margin + scale / 2);
    canvas.panel(shadow, size, 2 * scale, &Ink::new(rgb(0), 90));
    canvas.panel(
        (margin, margin),
        size,
        2 * scale,
        &Ink::new(rgb(0xFFD23F), 256),
    );
    canvas.text(
        (margin + 3 * scale, margin + 3 * scale),
        scale,
        "DEMO",
        rgb(0x1A1423),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(width: u32, height: u32, seed: u64) -> Sketch<'static> {
        let (prompt, model) = ("A quiet harbour at dawn, żółw & boats", "demo");
        Sketch {
            prompt,
            model,
            width,
            height,
            seed,
            index: 0,
            references: &[],
        }
    }

    #[test]
    fn the_same_sketch_gives_the_same_bytes() {
        let first = draw(&sketch(200, 120, 7), Format::Png).unwrap();
        assert_eq!(first, draw(&sketch(200, 120, 7), Format::Png).unwrap());
        let other = Sketch {
            index: 1,
            ..sketch(200, 120, 7)
        };
        assert_ne!(first, draw(&other, Format::Png).unwrap());
        assert_ne!(first, draw(&sketch(200, 120, 8), Format::Png).unwrap());
    }

    #[test]
    fn every_size_and_format_decodes_to_the_asked_size() {
        for (width, height) in [(64, 64), (2048, 64), (64, 2048), (1440, 1440), (333, 257)] {
            for (format, kind) in [
                (Format::Png, image::ImageFormat::Png),
                (Format::Jpeg, image::ImageFormat::Jpeg),
                (Format::Webp, image::ImageFormat::WebP),
            ] {
                let bytes = draw(&sketch(width, height, 3), format).unwrap();
                let picture = image::load_from_memory_with_format(&bytes, kind).unwrap();
                assert_eq!((picture.width(), picture.height()), (width, height));
            }
        }
    }

    #[test]
    fn a_reference_shows_and_a_broken_one_is_passed_over() {
        let plain = draw(&sketch(256, 256, 1), Format::Png).unwrap();
        let broken = [b"no picture".to_vec()];
        let with = |references| Sketch {
            references,
            ..sketch(256, 256, 1)
        };
        assert_eq!(plain, draw(&with(&broken), Format::Png).unwrap());
        let good = [draw(&sketch(64, 640, 2), Format::Jpeg).unwrap()];
        assert_ne!(plain, draw(&with(&good), Format::Png).unwrap());
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert!(draw(&sketch(0, 64, 1), Format::Png).is_err());
        assert!(draw(&sketch(64, 100_000, 1), Format::Png).is_err());
    }
}
