//! What others rely on: routes, codes, and the rule of who may import whom.

mod clients;
mod layers;
mod queue;
mod surface;
