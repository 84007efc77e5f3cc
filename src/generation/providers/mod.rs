//! One file per provider: its wire types, its mapping, its errors.

pub mod demo;
pub mod flux;
pub mod luma;
pub mod recraft;
pub mod reve;
pub mod runway;
