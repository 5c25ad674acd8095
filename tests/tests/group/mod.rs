//! Building and concatenating, compared with SQLite's changegroup.

pub(crate) mod building;
mod concatenation;
