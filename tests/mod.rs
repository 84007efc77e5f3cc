//! One test binary: it links once. Each test has its own database, bucket and sockets.

mod contracts;
mod faults;
mod mailers;
mod models;
mod providers;
mod requests;
mod support;
mod tasks;
mod workers;
