//! One file per provider: its wire types, its mapping, its errors.

pub mod ark;
pub mod dashscope;
pub mod demo;
pub mod flux;
pub mod grok;
pub mod ideogram;
pub mod luma;
pub mod qwen;
pub mod recraft;
pub mod reve;
pub mod runway;
pub mod seedream;
