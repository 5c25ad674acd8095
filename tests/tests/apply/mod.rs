//! Applying: what fits, conflicts, filters, options, order, locks, hostile bytes, and what an apply
//! must not get wrong.

mod agreement;
mod applying;
mod batches;
mod conflicts;
mod exchanges;
mod faults;
mod filters;
mod foreign_keys;
mod hostile;
mod hostile_engine;
mod kept_statements;
mod locks;
mod odd_connections;
mod odd_targets;
mod options;
mod order;
mod replica;
mod semantics;
mod shop;
mod streams;
