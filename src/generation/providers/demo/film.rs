//! Makes the demo provider's videos: the picture of the prompt, on which a light crosses the sky and a
//! clock runs, as H.264 in an MP4 file that every browser plays.

use std::num::NonZeroU32;

use serde_json::{Map, Value};
use shiguredo_mp4::{
    TrackKind, Uint,
    boxes::{Avc1Box, AvccBox, SampleEntry, VisualSampleEntryFields},
    mux::{Mp4FileMuxer, Mp4FileMuxerOptions, Sample, estimate_maximum_moov_box_size},
};

use super::{
    canvas::{Canvas, Ink, disc, mix, rgb},
    h264::{Encoder, PROFILE},
    picture::{Sketch, paint},
};
use crate::{generation::options::CommonOptions, models::scalars::as_number};

/// Pictures a second.
const RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(11);
/// The longest side, pixels: a demo is small and made in a moment.
const LONG_SIDE: f64 = 640.0;
/// Seconds of a video that names none, and the most.
const SECONDS: u32 = 5;
const MAX_SECONDS: u32 = 10;

/// A video could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the demo video could not be made: {0}")]
pub struct FilmError(String);

impl FilmError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// How long and how large a video is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    pub width: u32,
    pub height: u32,
    pub seconds: u32,
}

impl Format {
    /// What the options of any provider ask for, as far as they can be understood.
    pub fn of(options: &Map<String, Value>) -> Self {
        let seconds = ["duration", "duration_seconds", "durationSeconds"]
            .iter()
            .find_map(|name| options.get(*name))
            .and_then(|value| match value {
                Value::String(text) => text.trim_end_matches('s').parse().ok(),
                other => as_number(other),
            })
            .map_or(SECONDS, |seconds| whole(seconds, 1, MAX_SECONDS));
        let shaping: Map<String, Value> = options
            .iter()
            .filter(|(name, _)| {
                ["aspect_ratio", "aspectRatio", "ratio", "size"].contains(&name.as_str())
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let (a, b) = CommonOptions::parse(&shaping)
            .ok()
            .and_then(|common| {
                let size = common.size.map(|(a, b)| (f64::from(a), f64::from(b)));
                size.or(common.ratio)
            })
            .unwrap_or((16.0, 9.0));
        let side = |part: f64| whole(LONG_SIDE * part / a.max(b) / 2.0, 32, 320) * 2;
        Self {
            width: side(a),
            height: side(b),
            seconds,
        }
    }
}

fn whole(number: f64, least: u32, most: u32) -> u32 {
    let number = number.clamp(f64::from(least), f64::from(most));
    format!("{number:.0}").parse().unwrap_or(least)
}

/// Draws and encodes the video; the same sketch always gives the same bytes.
///
/// # Errors
/// When the sides are odd or too small, or the file cannot be put together.
pub fn shoot(sketch: &Sketch<'_>, seconds: u32) -> Result<Vec<u8>, FilmError> {
    let scene = paint(sketch).map_err(FilmError::of)?;
    let side = |side: u32| u16::try_from(side).map_err(FilmError::of);
    let (width, height) = (side(sketch.width)?, side(sketch.height)?);
    let mut encoder = Encoder::new(usize::from(width), usize::from(height));
    let frames = seconds.saturating_mul(RATE.get());
    let samples = usize::try_from(frames).map_err(FilmError::of)?;
    let options = Mp4FileMuxerOptions {
        // Players can begin before they have the whole file.
        reserved_moov_box_size: estimate_maximum_moov_box_size(&[samples]),
        ..Mp4FileMuxerOptions::default()
    };
    let mut muxer = Mp4FileMuxer::with_options(options).map_err(FilmError::of)?;
    let mut file = muxer.initial_boxes_bytes().to_vec();
    for n in 0..frames {
        let picture = frame(&scene, i64::from(n), i64::from(frames));
        let (data, keyframe) = encoder.frame(&picture.pixels);
        let sample = Sample {
            track_kind: TrackKind::Video,
            sample_entry: (n == 0).then(|| entry(&encoder, width, height)),
            keyframe,
            timescale: RATE,
            duration: 1,
            composition_time_offset: None,
            data_offset: u64::try_from(file.len()).map_err(FilmError::of)?,
            data_size: data.len(),
        };
        file.extend_from_slice(&data);
        muxer.append_sample(&sample).map_err(FilmError::of)?;
    }
    let boxes = muxer.finalize().map_err(FilmError::of)?;
    for (offset, bytes) in boxes.offset_and_bytes_pairs() {
        let start = usize::try_from(offset).map_err(FilmError::of)?;
        let end = start.saturating_add(bytes.len());
        file.resize(file.len().max(end), 0);
        if let Some(place) = file.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
    }
    Ok(file)
}

/// How players have to read the pictures.
fn entry(encoder: &Encoder, width: u16, height: u16) -> SampleEntry {
    let [profile, compatibility, level] = PROFILE;
    SampleEntry::Avc1(Avc1Box {
        visual: VisualSampleEntryFields {
            data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
            width,
            height,
            horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
            vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
            frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
            compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
            depth: VisualSampleEntryFields::DEFAULT_DEPTH,
        },
        avcc_box: AvccBox {
            avc_profile_indication: profile,
            profile_compatibility: compatibility,
            avc_level_indication: level,
            length_size_minus_one: Uint::new(3),
            sps_list: vec![encoder.sequence()],
            pps_list: vec![Encoder::picture()],
            chroma_format: None,
            bit_depth_luma_minus8: None,
            bit_depth_chroma_minus8: None,
            sps_ext_list: Vec::new(),
        },
        unknown_boxes: Vec::new(),
    })
}

/// The scene at one moment.
fn frame(scene: &Canvas, n: i64, frames: i64) -> Canvas {
    let mut canvas = Canvas {
        width: scene.width,
        height: scene.height,
        pixels: scene.pixels.clone(),
    };
    let short = canvas.width.min(canvas.height);
    // A light rises on the left, stands highest in the middle, and sets on the right.
    let radius = (short / 22).max(4) * 16;
    let x = canvas.width * 16 * (2 * n + 1) / (2 * frames);
    let rise = canvas.height * 16 * n * (frames - n) / (frames * frames);
    let y = canvas.height * 16 * 3 / 5 - rise * 3 / 2;
    let warm = mix(
        rgb(0xFFB04A),
        rgb(0xFFF4C8),
        1024 * n * (frames - n) / (frames * frames),
    );
    canvas.rings(x, y, &disc(radius * 8 / 5, warm, 40, 60));
    canvas.rings(x, y, &disc(radius, warm, 200, 256));
    // A clock at the upper right, and along the top how much was played.
    let (scale, margin) = ((short / 120).max(2), (short / 32).max(2));
    let tenths = n * 10 / i64::from(RATE.get());
    let clock = format!("{}.{} S", tenths / 10, tenths % 10);
    let letters = i64::try_from(clock.len()).unwrap_or(0) * 6 - 1;
    let size = ((letters + 6) * scale, 13 * scale);
    let at = (canvas.width - margin - size.0, margin);
    canvas.panel(at, size, 2 * scale, &Ink::new(rgb(0x0A0A12), 190));
    let text = (at.0 + 3 * scale, at.1 + 3 * scale);
    canvas.text(text, scale, &clock, rgb(0xFFFFFF));
    for row in 0..2 * scale {
        canvas.fill(row, 0, canvas.width * (n + 1) / frames, rgb(0xFFD23F));
    }
    canvas
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn format(options: Value) -> (u32, u32, u32) {
        let format = Format::of(options.as_object().unwrap());
        (format.width, format.height, format.seconds)
    }

    #[test]
    fn the_options_of_every_provider_give_shape_and_length() {
        for (options, expected) in [
            (json!({}), (640, 360, 5)),
            (json!({"aspect_ratio": "9:16", "seed": -1}), (360, 640, 5)),
            (json!({"ratio": "1584:672", "duration": 10}), (640, 272, 10)),
            (
                json!({"ratio": "adaptive", "duration": "9s"}),
                (640, 360, 9),
            ),
            (json!({"size": "1080*1920", "duration": "5"}), (360, 640, 5)),
            (
                json!({"resolution": "720p", "duration_seconds": 60}),
                (640, 360, 10),
            ),
            (json!({"aspect_ratio": "1:1", "duration": 0}), (640, 640, 1)),
            (
                json!({"aspect_ratio": "10:1", "duration": "long"}),
                (640, 64, 5),
            ),
        ] {
            assert_eq!(format(options.clone()), expected, "{options}");
        }
    }

    #[test]
    fn a_video_is_whole_and_the_same_each_time() {
        let sketch = Sketch {
            prompt: "A quiet harbour at dawn",
            model: "veo-3.0-generate-001",
            width: 128,
            height: 72,
            seed: 7,
            index: 0,
            references: &[],
        };
        let film = shoot(&sketch, 1).unwrap();
        assert_eq!(film, shoot(&sketch, 1).unwrap());
        let other = Sketch { seed: 8, ..sketch };
        assert_ne!(film, shoot(&other, 1).unwrap());
        assert_eq!(film.get(4..8), Some(&b"ftyp"[..]));
        let place = |name: &[u8]| film.windows(4).position(|word| word == name).unwrap();
        assert!(place(b"moov") < place(b"mdat"), "playable from the start");
        let raw = 12 * 128 * 72 * 3 / 2;
        assert!(film.len() < raw / 2, "{} bytes", film.len());
    }
}
