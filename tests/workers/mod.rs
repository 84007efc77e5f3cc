//! Workers through the queue.

mod batch;
mod cloud_tasks;
mod flux;
mod image_generation;
mod limits;
mod retention;
mod streams;
mod upscale;
mod video;
