//! One file per provider: its wire types, its mapping, its errors.

pub mod ark;
pub mod dashscope;
pub mod demo;
pub mod flux;
pub mod gemini;
pub mod grok;
pub mod hailuo;
pub mod ideogram;
pub mod kling;
pub mod luma;
pub mod openai;
pub mod qwen;
pub mod recraft;
pub mod reve;
pub mod runway;
pub mod seedance;
pub mod seedream;
pub mod veo;
pub mod video;
pub mod wan;
