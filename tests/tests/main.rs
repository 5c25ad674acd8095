//! The tests that need SQLite as a referee, one module for each subject.

mod conformance;
mod corpus;
mod properties;
