//! `#[derive(Tracked)]` on whole schemas.

pub(crate) mod small;
