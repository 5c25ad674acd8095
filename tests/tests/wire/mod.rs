//! The codec: what it reads, what it rejects, and the facts about SQLite on which its documentation
//! rests.

mod conformance;
mod corpus;
mod reading;
