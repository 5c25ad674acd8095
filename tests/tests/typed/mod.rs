//! Typed changes: the derive, the values, and reading.

mod deriving;
mod reading;
mod records;
mod schemas;
mod traits;
mod values;
mod via_diesel;
