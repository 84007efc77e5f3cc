//! Workers through the queue.

mod batch;
mod breakers;
mod cloud_tasks;
mod flux;
mod image_generation;
mod limits;
mod retention;
mod upscale;
mod video;
