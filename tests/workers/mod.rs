//! Workers through the queue.

mod addresses;
mod batch;
mod breakers;
mod cloud_tasks;
mod flux;
mod image_generation;
mod limits;
mod retention;
mod runway;
mod streams;
mod upscale;
mod video;
