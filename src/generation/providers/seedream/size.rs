//! The sizes of the Seedream models: named ones, and sides within bounds.

use crate::generation::{RequestError, kit::Options};

/// Bounds of a model's pictures, pixels.
#[derive(Debug, Clone, Copy)]
pub enum Bounds {
    /// Of each side.
    Sides(u32, u32),
    /// Of the area, and the named sizes.
    Area {
        min: f64,
        max: f64,
        names: &'static [(&'static str, f64)],
    },
}

const ONE: (&str, f64) = ("1K", 1024.0);
const TWO: (&str, f64) = ("2K", 2048.0);
const THREE: (&str, f64) = ("3K", 3072.0);
const FOUR: (&str, f64) = ("4K", 4096.0);
const LEAST_1K: f64 = 1280.0 * 720.0;
const LEAST_2K: f64 = 2560.0 * 1440.0;
const MOST_4K: f64 = 4096.0 * 4096.0;

pub const FROM_1K_TO_4K: Bounds = Bounds::Area {
    min: LEAST_1K,
    max: MOST_4K,
    names: &[ONE, TWO, FOUR],
};
pub const FROM_2K_TO_4K: Bounds = Bounds::Area {
    min: LEAST_2K,
    max: MOST_4K,
    names: &[TWO, FOUR],
};
pub const FROM_2K_TO_4K_WITH_3K: Bounds = Bounds::Area {
    min: LEAST_2K,
    max: MOST_4K,
    names: &[TWO, THREE, FOUR],
};
/// The largest area is that of 2K with a tenth added.
pub const FROM_1K_TO_2K: Bounds = Bounds::Area {
    min: LEAST_1K,
    max: 2048.0 * 2048.0 * 1.1,
    names: &[ONE, TWO],
};
/// The longest a picture may be, as a ratio of its sides.
const MAX_RATIO: f64 = 16.0;
/// Bounds of a given picture: its sides are above this, its area at most that, pixels.
const LEAST_SIDE: u32 = 14;
const MOST_GIVEN: f64 = 36_000_000.0;

/// Checks the sides of a given picture, pixels.
///
/// # Errors
/// [`RequestError::InvalidReference`] for one that the models refuse.
pub fn check_sides((width, height): (u32, u32)) -> Result<(), RequestError> {
    let (a, b) = (f64::from(width), f64::from(height));
    let is_taken = width > LEAST_SIDE
        && height > LEAST_SIDE
        && a * b <= MOST_GIVEN
        && a / b <= MAX_RATIO
        && b / a <= MAX_RATIO;
    if is_taken {
        return Ok(());
    }
    Err(RequestError::InvalidReference(format!(
        "This model takes pictures with sides above {LEAST_SIDE} pixels, at most 36 megapixels, and none \
         longer than 16:1."
    )))
}

/// The size parameter of a request.
///
/// # Errors
/// [`RequestError::InvalidOption`] for a named size that the model does not have.
pub fn wanted(bounds: Bounds, options: &mut Options<'_>) -> Result<String, RequestError> {
    options.sizes_itself();
    let size = options.common().size;
    let ratio = options.common().ratio;
    let is_name = |text: &str| text.trim().ends_with(['k', 'K']);
    let named = ["size", "resolution"].into_iter().find(|field| {
        let value = options.value(field).and_then(|value| value.as_str());
        value.is_some_and(is_name)
    });
    let Bounds::Area { min, max, names } = bounds else {
        if named.is_some() {
            return Err(RequestError::InvalidOption(
                "size must be two sides in pixels, like 1024x1024".to_owned(),
            ));
        }
        return Ok(third(bounds, options));
    };
    if let Some(field) = named {
        let words: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        if let Some(name) = options.choice(field, &words)? {
            let side = names.iter().find(|(known, _)| *known == name);
            return Ok(match (ratio, side) {
                (Some(ratio), Some((_, side))) => of_area(ratio, side * side, min, max),
                _ => name.to_owned(),
            });
        }
    }
    let Some((width, height)) = size else {
        return Ok(ratio.map_or_else(
            || "2K".to_owned(),
            |ratio| of_area(ratio, TWO.1 * TWO.1, min, max),
        ));
    };
    let (a, b) = (f64::from(width), f64::from(height));
    let is_allowed = (min..=max).contains(&(a * b)) && a / b <= MAX_RATIO && b / a <= MAX_RATIO;
    if is_allowed {
        return Ok(format!("{width}x{height}"));
    }
    let text = of_area((a, b), a * b, min, max);
    options.warn(format!("The size was changed to {text}."));
    Ok(text)
}

fn third(bounds: Bounds, options: &mut Options<'_>) -> String {
    let (min, max) = match bounds {
        Bounds::Sides(min, max) => (min, max),
        Bounds::Area { .. } => (512, 2048),
    };
    let (width, height) = options.common().pixels();
    let text = format!("{}x{}", width.clamp(min, max), height.clamp(min, max));
    if options.common().size.is_some() && text != format!("{width}x{height}") {
        options.warn(format!("The size was changed to {text}."));
    }
    text
}

/// Sides of a ratio whose area is near to `area` and within the bounds, in steps of 16.
fn of_area((a, b): (f64, f64), area: f64, min: f64, max: f64) -> String {
    let ratio = (a / b).clamp(1.0 / MAX_RATIO, MAX_RATIO);
    let area = area.clamp(min, max);
    let exact = ((area * ratio).sqrt() / 16.0, (area / ratio).sqrt() / 16.0);
    // A hair's breadth keeps whole numbers whole.
    let down = |steps: f64| (steps + 1e-6).floor() * 16.0;
    let up = |steps: f64| (steps - 1e-6).ceil() * 16.0;
    let mut sides = (down(exact.0), down(exact.1));
    if sides.0 * sides.1 < min {
        sides = (up(exact.0), up(exact.1));
    }
    format!("{:.0}x{:.0}", sides.0, sides.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_stay_within_the_bounds() {
        for (min, max) in [
            (LEAST_1K, MOST_4K),
            (LEAST_2K, MOST_4K),
            (LEAST_1K, 2048.0 * 2048.0 * 1.1),
        ] {
            for ratio in [
                (1.0, 1.0),
                (16.0, 9.0),
                (9.0, 16.0),
                (21.0, 9.0),
                (2.0, 3.0),
                (10.0, 1.0),
            ] {
                for area in [100.0, LEAST_1K, LEAST_2K, 2048.0 * 2048.0, MOST_4K, 1e12] {
                    let text = of_area(ratio, area, min, max);
                    let (width, height) = text.split_once('x').unwrap();
                    let (width, height): (f64, f64) =
                        (width.parse().unwrap(), height.parse().unwrap());
                    assert!(
                        (min..=max).contains(&(width * height)),
                        "{text} of {ratio:?} {area}"
                    );
                    let found = (width / height) / (ratio.0 / ratio.1);
                    assert!((0.93..1.07).contains(&found), "{text} of {ratio:?}");
                }
            }
        }
        assert_eq!(
            of_area((1.0, 1.0), 2048.0 * 2048.0, LEAST_2K, MOST_4K),
            "2048x2048"
        );
    }
}
