//! Integration tests by area of the API, with SQLite as the referee.

mod apply;
mod common;
mod convergence;
mod group;
mod listings;
mod rebase;
mod session;
mod shape;
mod text;
mod typed;
mod version;
mod wire;
