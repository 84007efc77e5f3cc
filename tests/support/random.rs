//! Randomness that can be had again: a test prints its seed and takes one from `SEED`.

use rand::{SeedableRng, rngs::StdRng};

/// The seed of this run, printed, and a generator that begins with it.
pub fn seeded() -> (u64, StdRng) {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_261_122);
    println!("SEED={seed}");
    (seed, StdRng::seed_from_u64(seed))
}
