//! Workers through the queue.

mod flux;
mod image_generation;
mod retention;
