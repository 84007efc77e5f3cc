//! One file per provider: its wire types, its mapping, its errors.

pub mod demo;
pub mod flux;
pub mod gemini;
pub mod openai;
