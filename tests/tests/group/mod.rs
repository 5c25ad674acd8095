//! Building and concatenating, compared with SQLite's changegroup.

mod building;
mod concatenation;
