//! Rebasing local changes onto remote changes, by the rules of `sqlite3rebaser_rebase`.
//!
//! - [`data`]: [`RebaseData`], the decisions that resolved the conflicts of an apply
//! - [`rebaser`]: [`Rebaser`], and the methods of changesets
//! - [`driver`]: the loop over sections and pieces of changes; [`output`]: to new memory or in
//!   place
//! - [`index_matcher`], [`merge_matcher`]: two ways to find the resolution of a change
//! - [`resolutions`]: the merged resolutions of a table, with an index
//! - [`change`]: the rules for one change

mod change;
mod data;
mod driver;
mod error;
mod index_matcher;
mod merge_matcher;
mod output;
mod rebaser;
mod resolutions;

pub use data::RebaseData;
pub use rebaser::Rebaser;
