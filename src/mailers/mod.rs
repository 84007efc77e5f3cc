//! Mails in words: one file per family, with its templates beside it. When a mail is due, and what is in
//! its links, others decide.

pub mod auth;
pub mod transport;

pub use transport::Transport;
