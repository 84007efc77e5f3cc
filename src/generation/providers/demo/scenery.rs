//! The landscapes of the demo provider's pictures.

use std::array::from_fn;

use sha2::{Digest, Sha256};

use super::canvas::{Canvas, Colour, Ink, disc, mix, rgb};

fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// The choices a picture is made of.
pub struct Random(u64);

impl Random {
    /// Numbers that follow from what is given.
    pub fn new(texts: &[&str], numbers: &[u64]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update(text);
            // A byte no text contains keeps neighbouring fields apart.
            hash.update([0xFF]);
        }
        for number in numbers {
            hash.update(number.to_le_bytes());
        }
        let hash = hash.finalize();
        Self(
            hash.iter()
                .take(8)
                .fold(0, |all, part| (all << 8) | u64::from(*part)),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.0)
    }

    fn palette(&mut self) -> [i64; 5] {
        let place = usize::try_from(self.within(0, 10)).unwrap_or(0);
        PALETTES.get(place).copied().unwrap_or_default()
    }

    /// A number from `low` up to, but not including, `high`.
    fn within(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.next() >> 33).unwrap_or(0) % (high - low).max(1)
    }
}

/// A curve through a random height at every whole `place` (in 4096ths), from 0 to 4096.
fn noise(key: u64, place: i64, smooth: bool) -> i64 {
    let knot = |cell: i64| {
        i64::try_from(scramble(key ^ cell.unsigned_abs().wrapping_mul(0x9E37_79B9)) >> 52)
            .unwrap_or(0)
    };
    let (cell, step) = (place >> 12, place & 4095);
    let step = if smooth {
        (step * step * (3 * 4096 - 2 * step)) >> 24
    } else {
        step
    };
    (knot(cell) * (4096 - step) + knot(cell + 1) * step) >> 12
}

/// Sky top, sky middle, horizon, light of the sun or moon, and the nearest ground.
const PALETTES: [[i64; 5]; 10] = [
    [0x2B1B4D, 0xA8486E, 0xF9A862, 0xFFE9B8, 0x1B1233],
    [0x5E9FD3, 0xF2C4BC, 0xFDE8C8, 0xFFF8E2, 0x234560],
    [0x050A24, 0x14265C, 0x4A6BAA, 0xF5F1DC, 0x040918],
    [0x0E4A5C, 0x3FA294, 0xF2E3A8, 0xFFF6D4, 0x052C36],
    [0x2F7FC1, 0x8CC7E8, 0xEAF5F2, 0xFFFBE0, 0x17463A],
    [0x51305F, 0xD9728C, 0xFFD3B0, 0xFFF1D6, 0x2A1838],
    [0x3A0D1E, 0xB8322F, 0xF7B146, 0xFFF0B0, 0x1E0810],
    [0x0A1B36, 0x1F6F78, 0x8BE0B0, 0xF0FFE8, 0x061322],
    [0x5B5EA6, 0xB9A4D8, 0xFBE0E6, 0xFFFAF0, 0x2E2A55],
    [0x6FA3BC, 0xE9CDA2, 0xF8E6C2, 0xFFF7E0, 0x55301F],
];

/// How the ground rises and falls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ground {
    Mountains,
    Forest,
    Sea,
}

/// Draws sky, sun or moon, ground and a few translucent discs all over the canvas.
pub fn scenery(canvas: &mut Canvas, random: &mut Random) {
    let (width, height, short) = (canvas.width, canvas.height, canvas.width.min(canvas.height));
    let (first, second) = (random.palette(), random.palette());
    let blend = random.within(0, 110);
    let [top, middle, low, light, ink]: [Colour; 5] =
        from_fn(|place| mix(rgb(first[place]), rgb(second[place]), blend));
    let horizon = height * random.within(46, 62) / 100;

    for y in 0..height {
        let part = y * 512 / horizon.max(1);
        let colour = if part < 256 {
            mix(top, middle, part)
        } else {
            mix(middle, low, part - 256)
        };
        canvas.fill(y, 0, width, colour);
    }
    let night = top.iter().sum::<i64>() < 150 * 256;
    if night {
        let star = disc(short * 16 / 700 + 10, light, 190, 230);
        for _ in 0..random.within(60, 140) {
            let at = (random.within(0, width * 16), random.within(0, horizon * 13));
            canvas.rings(at.0, at.1, &star);
        }
    }

    let ground = match random.within(0, 3) {
        0 => Ground::Mountains,
        1 => Ground::Forest,
        _ => Ground::Sea,
    };
    // Mountains reach high, so over them the sun stands higher to be seen.
    let lift = if ground == Ground::Mountains { 10 } else { 0 };
    let radius = short * 16 * random.within(60, 125) / 1000;
    let rise = height * 16 * (lift + random.within(8, 28)) / 100;
    let sun = (
        width * 16 * random.within(330, 850) / 1000,
        (horizon * 16 - rise).max(radius * 5 / 4),
    );
    // Each ring adds a little to the ones around it, so the light falls off smoothly.
    let glow: Vec<_> = (0..40)
        .map(|ring| {
            (
                radius + radius * 3 * (40 - ring) / 40,
                Ink::new(light, ring * ring * 120 / 1600),
            )
        })
        .collect();
    canvas.rings(sun.0, sun.1, &glow);
    canvas.rings(sun.0, sun.1, &disc(radius, light, 256, 256));
    if night {
        for _ in 0..6 {
            let size = radius * random.within(8, 24) / 100;
            let x = sun.0 + (radius - size) * random.within(-60, 61) / 100;
            let y = sun.1 + (radius - size) * random.within(-60, 61) / 100;
            canvas.rings(x, y, &disc(size, middle, 22, 34));
        }
    }

    let layers = random.within(4, 7);
    for layer in 0..layers {
        let base = horizon + (height * 94 / 100 - horizon) * layer / layers;
        let line = outline(ground, random.next(), layer, layers, base, canvas);
        let colour = mix(low, ink, 50 + 206 * (layer + 1) / layers);
        let haze = mix(colour, mix(low, light, 60), 150 - 90 * layer / layers);
        canvas.ridge(&line, colour, haze, height * 26 / 100);
    }
    if ground == Ground::Sea {
        let glint = Ink::new(light, 120);
        for _ in 0..90 {
            let y = random.within(horizon + height / 50, height);
            let spread = radius / 16 + (y - horizon) / 5;
            let x = sun.0 / 16 + random.within(-spread, spread + 1) * random.within(20, 101) / 100;
            let size = (random.within(short / 50, short / 12 + 2), short / 300 + 1);
            canvas.panel((x - size.0 / 2, y), size, size.1 / 2, &glint);
        }
    }
    for _ in 0..random.within(5, 10) {
        let at = (
            random.within(0, width * 16),
            random.within(height * 4, height * 14),
        );
        let strength = random.within(18, 50);
        let size = short * 16 * random.within(15, 80) / 1000;
        canvas.rings(at.0, at.1, &disc(size, light, strength * 2, strength));
    }
}

/// The heights of one layer of ground, one more than there are columns, in 16ths of a pixel.
fn outline(
    ground: Ground,
    key: u64,
    layer: i64,
    layers: i64,
    base: i64,
    canvas: &Canvas,
) -> Vec<i64> {
    let near = 100 * layer / (layers - 1).max(1);
    let (rise, cells, octaves) = match ground {
        Ground::Mountains => (30 - near * 16 / 100, 2 + near / 50, 6),
        Ground::Forest => (16 - near * 8 / 100, 2, 2),
        Ground::Sea => (3 + near * 3 / 100, 7 - near * 4 / 100, 2),
    };
    let unit = canvas.width.min(canvas.height * 2).max(1);
    let tree = (unit * (8 + near / 4) / 1000).max(2);
    let mut line = Vec::new();
    for x in 0..=canvas.width {
        let place = x * 4096 * cells / unit;
        let (mut sum, mut weight) = (0, 0);
        for octave in 0..octaves {
            let height = noise(key ^ octave, place << octave, ground != Ground::Mountains);
            // Folding the middle of the curve over gives peaks, or the crests of waves.
            let folded = if ground == Ground::Forest {
                height
            } else {
                4096 - (2 * height - 4096).abs()
            };
            sum += folded >> octave;
            weight += 4096 >> octave;
        }
        let mut top = base * 16 - canvas.height * 16 * rise / 100 * sum / weight;
        if ground == Ground::Forest && layer > 0 {
            let spot = x / tree;
            let tallest = (spot - 1..=spot + 1).map(|spot| {
                let chance = noise(key ^ 77, spot << 12, false);
                let middle = spot * tree + tree * (chance & 255) / 256;
                (tree * (1024 + chance) * 16 / 1600) - (x - middle).abs() * 16 * 3
            });
            top -= tallest.max().unwrap_or(0).max(0);
        }
        line.push(top);
    }
    line
}
