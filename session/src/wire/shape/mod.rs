//! One set made of another: filtered, renamed, split, sorted or inverted.

pub(in crate::wire) mod filter;
pub(in crate::wire) mod invert;
pub(in crate::wire) mod sort;
#[cfg(test)]
mod tests;
