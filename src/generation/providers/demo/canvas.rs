//! The surface the demo provider's pictures are drawn on.
//!
//! Pixels are written in runs wherever possible, because an unoptimised build is slow at touching
//! them one by one.

use std::array::from_fn;

use image::RgbImage;

use super::font;

/// A colour with 256 steps between neighbouring byte values, so that gradients can be dithered.
pub type Colour = [i64; 3];

/// The colour written as `0xRRGGBB`.
pub fn rgb(hex: i64) -> Colour {
    [(hex >> 16) & 255, (hex >> 8) & 255, hex & 255].map(|part| part * 256)
}

/// `part` 256ths of the way from one colour to the other.
pub fn mix(from: Colour, to: Colour, part: i64) -> Colour {
    let part = part.clamp(0, 256);
    from_fn(|channel| (from[channel] * (256 - part) + to[channel] * part) / 256)
}

fn byte(value: i64) -> u8 {
    u8::try_from(value.clamp(0, 255)).unwrap_or(u8::MAX)
}

/// A colour laid over others at some strength, worked out once for every byte value.
pub struct Ink([[u8; 256]; 3]);

impl Ink {
    pub fn new(colour: Colour, strength: i64) -> Self {
        Self(colour.map(|part| {
            let mut under = 0;
            [(); 256].map(|()| {
                let over = byte((under * (256 - strength) * 256 + part * strength + 32768) >> 16);
                under += 1;
                over
            })
        }))
    }
}

/// Rings of a soft-edged disc, outermost first; radii are in 16ths of a pixel.
pub fn disc(radius: i64, colour: Colour, rim: i64, strength: i64) -> Vec<(i64, Ink)> {
    let edge = [(12, rim / 4), (4, rim / 2), (-4, rim * 3 / 4), (-12, rim)];
    let mut rings: Vec<_> = edge
        .map(|(by, part)| (radius + by, Ink::new(colour, part)))
        .into();
    rings.push((radius - radius / 10 - 12, Ink::new(colour, strength)));
    rings
}

/// The picture while it is drawn: rows of red, green and blue bytes.
pub struct Canvas {
    pub width: i64,
    pub height: i64,
    pub pixels: Vec<u8>,
}

impl Canvas {
    pub fn new(width: i64, height: i64) -> Self {
        let bytes = usize::try_from(width * height * 3).unwrap_or(0);
        Self {
            width,
            height,
            pixels: vec![0; bytes],
        }
    }

    /// The bytes of a row between two columns, as far as they lie in the picture.
    fn run(&mut self, y: i64, from: i64, to: i64) -> &mut [u8] {
        if !(0..self.height).contains(&y) {
            return &mut [];
        }
        let from = from.clamp(0, self.width);
        let place = |x: i64| usize::try_from((y * self.width + x) * 3).unwrap_or(usize::MAX);
        let range = place(from)..place(to.clamp(from, self.width));
        self.pixels.get_mut(range).unwrap_or_default()
    }

    /// Covers a run, dithering so that slow gradients show no bands.
    pub fn fill(&mut self, y: i64, from: i64, to: i64, colour: Colour) {
        const THRESHOLDS: [[i64; 4]; 4] =
            [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
        let from = from.max(0);
        let steps = THRESHOLDS
            .get(usize::try_from(y & 3).unwrap_or(0))
            .copied()
            .unwrap_or_default();
        let mut pattern = steps.map(|step| colour.map(|part| byte((part + step * 16 + 8) >> 8)));
        pattern.rotate_left(usize::try_from(from & 3).unwrap_or(0));
        let run = self.run(y, from, to);
        let tiles = pattern.as_flattened().repeat(run.len() / 12 + 1);
        if let Some(tiles) = tiles.get(..run.len()) {
            run.copy_from_slice(tiles);
        }
    }

    /// Lays a colour over a run.
    pub fn blend(&mut self, y: i64, from: i64, to: i64, ink: &Ink) {
        let [reds, greens, blues] = &ink.0;
        for pixel in self.run(y, from, to).chunks_exact_mut(3) {
            if let [red, green, blue] = pixel {
                *red = reds[usize::from(*red)];
                *green = greens[usize::from(*green)];
                *blue = blues[usize::from(*blue)];
            }
        }
    }

    /// Draws rings around a point, each only where the next smaller one does not lie.
    pub fn rings(&mut self, x: i64, y: i64, rings: &[(i64, Ink)]) {
        let outer = rings.first().map_or(0, |ring| ring.0);
        for row in (y - outer).max(0) / 16..=((y + outer) / 16).min(self.height - 1) {
            let away = row * 16 + 8 - y;
            let ends = |radius: i64| {
                let reach = (radius * radius - away * away).checked_isqrt()?;
                (radius > 0).then_some(((x - reach + 8) >> 4, (x + reach + 8) >> 4))
            };
            let mut next = ends(outer);
            for (place, (_, ink)) in rings.iter().enumerate() {
                let Some((left, right)) = next else { break };
                next = rings.get(place + 1).and_then(|ring| ends(ring.0));
                let (inner_left, inner_right) = next.unwrap_or((right, right));
                self.blend(row, left, inner_left, ink);
                self.blend(row, inner_right, right, ink);
            }
        }
    }

    /// A rectangle with round corners laid over the picture.
    pub fn panel(&mut self, at: (i64, i64), size: (i64, i64), radius: i64, ink: &Ink) {
        for row in 0..size.1 {
            let rise = (radius * 2 - 1 - 2 * row.min(size.1 - 1 - row)).max(0);
            let inset = radius - ((4 * radius * radius - rise * rise).max(0).isqrt() + 1) / 2;
            self.blend(at.1 + row, at.0 + inset, at.0 + size.0 - inset, ink);
        }
    }

    /// Covers everything below a line, whose height at each column is given in 16ths of a pixel,
    /// with a colour that turns into `haze` over `depth` pixels.
    pub fn ridge(&mut self, line: &[i64], colour: Colour, haze: Colour, depth: i64) {
        // Steep parts fade in over more rows, as they cross a pixel more slowly.
        let mut edges = Vec::with_capacity(line.len());
        for pair in line.windows(2) {
            if let [here, next] = pair {
                let ramp = 16 + (next - here).abs();
                edges.push(((here + next - ramp) / 2 + 8, ramp));
            }
        }
        let highest = edges.iter().map(|edge| edge.0).min().unwrap_or(0);
        let lowest = edges.iter().map(|edge| edge.0 + edge.1).max().unwrap_or(0);
        for y in (highest >> 4).max(0)..self.height {
            let colour = mix(colour, haze, (y * 16 - highest) * 16 / depth.max(1));
            let bottom = y * 16 + 16;
            if bottom >= lowest {
                self.fill(y, 0, self.width, colour);
                continue;
            }
            let mut solid_from = None;
            for (x, (start, ramp)) in (0..).zip(&edges) {
                let inside = bottom - start;
                if inside >= *ramp {
                    solid_from = solid_from.or(Some(x));
                } else {
                    if let Some(from) = solid_from.take() {
                        self.fill(y, from, x, colour);
                    }
                    if inside > 0 {
                        self.tint(y, x, colour, inside * 256 / ramp);
                    }
                }
            }
            if let Some(from) = solid_from {
                self.fill(y, from, self.width, colour);
            }
        }
    }

    /// Lays a colour over one pixel.
    fn tint(&mut self, y: i64, x: i64, colour: Colour, strength: i64) {
        for (under, part) in self.run(y, x, x + 1).iter_mut().zip(colour) {
            *under = byte((i64::from(*under) * 256 * (256 - strength) + part * strength) >> 16);
        }
    }

    /// Writes a line of text, `scale` pixels to a dot of the font.
    pub fn text(&mut self, at: (i64, i64), scale: i64, text: &str, colour: Colour) {
        let mut x = at.0;
        for character in text.chars() {
            for column in font::columns(character) {
                for row in (0..font::ROWS).filter(|row| (column >> row) & 1 == 1) {
                    for y in at.1 + row * scale..at.1 + (row + 1) * scale {
                        self.fill(y, x, x + scale, colour);
                    }
                }
                x += scale;
            }
            x += scale;
        }
    }

    /// Places another picture over this one.
    pub fn paste(&mut self, at: (i64, i64), picture: &RgbImage) {
        let stride = usize::try_from(picture.width()).unwrap_or(0) * 3;
        let right = at.0 + i64::from(picture.width());
        for (y, row) in (at.1..).zip(picture.as_raw().chunks_exact(stride.max(3))) {
            let run = self.run(y, at.0, right);
            // A row reaching past the edge leaves a shorter run, which cannot take it whole.
            if run.len() == row.len() {
                run.copy_from_slice(row);
            }
        }
    }
}
