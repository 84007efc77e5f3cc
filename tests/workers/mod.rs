//! Workers through the queue.

mod batch;
mod flux;
mod image_generation;
mod upscale;
mod video;
