//! Filtering, renaming, splitting, sorting and inverting sets.

pub(in crate::wire) mod filter;
pub(in crate::wire) mod invert;
pub(in crate::wire) mod sort;
#[cfg(test)]
mod tests;
mod value_order;
