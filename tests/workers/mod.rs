//! Workers through the queue.

mod cloud_tasks;
mod flux;
mod image_generation;
mod limits;
mod retention;
