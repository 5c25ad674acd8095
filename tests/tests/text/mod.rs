//! Changes as SQL and as JSON.

mod json;
mod sql;
