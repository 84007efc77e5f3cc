//! H.264 for the demo provider's videos (ITU-T H.264, constrained baseline).
//!
//! A video here is a still picture on which a little moves. So a macroblock is either written as it is
//! (I_PCM) or taken over from the picture before (P_Skip): no transform, no motion search, no loss, and
//! a few lines instead of an encoder. The encoders at hand either need a C++ compiler, which a fresh
//! machine may not have, or write every picture anew, which makes files of raw size.

use std::array::from_fn;

/// Sides of a macroblock, pixels.
const BLOCK: usize = 16;
/// Bits of `frame_num` (7.4.3).
const FRAME_NUM_BITS: u32 = 4;
/// Profile, constraint flags and level as they stand in the parameter set and in the file.
pub const PROFILE: [u8; 3] = [66, 0xC0, 31];
/// `mb_type` of I_PCM in I slices, and in P slices, where five types come before (table 7-11).
const I_PCM: u32 = 25;
const I_PCM_IN_P: u32 = I_PCM + 5;

/// Writes the pictures of one video, all of the same size.
pub struct Encoder {
    width: usize,
    height: usize,
    frame_num: u32,
    previous: Vec<u8>,
}

impl Encoder {
    /// An encoder for pictures of these sides in pixels; both must be even.
    pub const fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            frame_num: 0,
            previous: Vec::new(),
        }
    }

    const fn columns(&self) -> usize {
        self.width.div_ceil(BLOCK)
    }

    const fn rows(&self) -> usize {
        self.height.div_ceil(BLOCK)
    }

    /// The sequence parameter set (7.3.2.1.1), without start code.
    pub fn sequence(&self) -> Vec<u8> {
        let mut bits = Bits::default();
        for byte in PROFILE {
            bits.put(u32::from(byte), 8);
        }
        bits.ue(0); // id
        bits.ue(FRAME_NUM_BITS - 4);
        bits.ue(2); // output order is decoding order
        bits.ue(1); // one reference picture
        bits.put(0, 1); // no gaps in frame_num
        bits.ue(count(self.columns()) - 1);
        bits.ue(count(self.rows()) - 1);
        bits.put(0b11, 2); // frames only; 8x8 inference
        let right = count(self.columns() * BLOCK - self.width) / 2;
        let bottom = count(self.rows() * BLOCK - self.height) / 2;
        bits.put(u32::from(right + bottom > 0), 1);
        if right + bottom > 0 {
            for offset in [0, right, 0, bottom] {
                bits.ue(offset);
            }
        }
        bits.put(0, 1); // no usability information
        bits.unit(0x67)
    }

    /// The picture parameter set (7.3.2.2), without start code.
    pub fn picture() -> Vec<u8> {
        let mut bits = Bits::default();
        bits.ue(0); // id
        bits.ue(0); // of the sequence
        bits.put(0, 2); // CAVLC; one field order
        bits.ue(0); // one slice group
        bits.ue(0); // reference indices of both lists
        bits.ue(0);
        bits.put(0, 3); // no weighted prediction
        for _ in 0..3 {
            bits.ue(0); // quantisers, which nothing here uses
        }
        bits.put(0b100, 3); // slices say whether edges are filtered; the rest off
        bits.unit(0x68)
    }

    /// The next picture as a unit with its length before it, and whether it stands by itself. `pixels`
    /// are rows of red, green and blue.
    pub fn frame(&mut self, pixels: &[u8]) -> (Vec<u8>, bool) {
        let is_key = self.previous.is_empty();
        let mut bits = Bits::default();
        bits.ue(0); // first macroblock
        bits.ue(if is_key { 7 } else { 5 }); // all slices I, or P
        bits.ue(0); // picture parameter set
        bits.put(self.frame_num % (1 << FRAME_NUM_BITS), FRAME_NUM_BITS);
        if is_key {
            bits.ue(0); // idr_pic_id
            bits.put(0, 2); // no earlier pictures; no long-term reference
        } else {
            bits.put(0, 3); // as many references as said; in order; marked by age
        }
        bits.ue(0); // quantiser
        bits.ue(1); // edges are not filtered
        let mut skipped = 0;
        for row in 0..self.rows() {
            for column in 0..self.columns() {
                if !is_key {
                    if self.is_same(pixels, column, row) {
                        skipped += 1;
                        continue;
                    }
                    bits.ue(skipped);
                    skipped = 0;
                }
                bits.ue(if is_key { I_PCM } else { I_PCM_IN_P });
                bits.align();
                self.block(pixels, column, row, &mut bits.bytes);
            }
        }
        if skipped > 0 {
            bits.ue(skipped);
        }
        self.frame_num += 1;
        self.previous.clear();
        self.previous.extend_from_slice(pixels);
        let unit = bits.unit(if is_key { 0x65 } else { 0x61 });
        let mut sample = count(unit.len()).to_be_bytes().to_vec();
        sample.extend_from_slice(&unit);
        (sample, is_key)
    }

    fn is_same(&self, pixels: &[u8], column: usize, row: usize) -> bool {
        let left = column * BLOCK;
        let right = (left + BLOCK).min(self.width);
        (row * BLOCK..((row + 1) * BLOCK).min(self.height)).all(|y| {
            let run = (y * self.width + left) * 3..(y * self.width + right) * 3;
            pixels.get(run.clone()) == self.previous.get(run)
        })
    }

    /// The samples of a macroblock (7.3.5): luma, then the two chroma planes at half the resolution.
    /// Beyond the picture's edge its last pixels are repeated.
    fn block(&self, pixels: &[u8], column: usize, row: usize, out: &mut Vec<u8>) {
        let at = |x: usize, y: usize| -> [i32; 3] {
            let (x, y) = (x.min(self.width - 1), y.min(self.height - 1));
            let start = (y * self.width + x) * 3;
            from_fn(|channel| pixels.get(start + channel).copied().map_or(0, i32::from))
        };
        let (left, top) = (column * BLOCK, row * BLOCK);
        // ITU-R BT.601, studio range.
        for y in top..top + BLOCK {
            for x in left..left + BLOCK {
                let [r, g, b] = at(x, y);
                out.push(sample(16, 66 * r + 129 * g + 25 * b));
            }
        }
        for [of_r, of_g, of_b] in [[-38, -74, 112], [112, -94, -18]] {
            for y in (top..top + BLOCK).step_by(2) {
                for x in (left..left + BLOCK).step_by(2) {
                    let [r, g, b] = at(x, y);
                    out.push(sample(128, of_r * r + of_g * g + of_b * b));
                }
            }
        }
    }
}

fn sample(offset: i32, value: i32) -> u8 {
    u8::try_from((offset + ((value + 128) >> 8)).clamp(0, 255)).unwrap_or_default()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Bits on their way into bytes, the highest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    open: u8,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u32, width: u32) {
        for place in (0..width).rev() {
            self.open = self.open << 1 | u8::from(value >> place & 1 == 1);
            self.used += 1;
            if self.used == 8 {
                self.bytes.push(self.open);
                (self.open, self.used) = (0, 0);
            }
        }
    }

    /// An unsigned Exp-Golomb number (9.1). Zero is the same as a signed one.
    fn ue(&mut self, value: u32) {
        let value = value + 1;
        let width = value.ilog2();
        self.put(0, width);
        self.put(value, width + 1);
    }

    fn align(&mut self) {
        if self.used > 0 {
            self.put(0, 8 - self.used);
        }
    }

    /// Ends the payload and makes a unit of it (7.3.1): no three bytes in it look like a start code.
    fn unit(mut self, header: u8) -> Vec<u8> {
        self.put(1, 1);
        self.align();
        let mut unit = Vec::with_capacity(self.bytes.len() + self.bytes.len() / 64 + 1);
        unit.push(header);
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros == 2 && byte <= 3 {
                unit.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            unit.push(byte);
        }
        unit
    }
}
