//! Applying: what fits, conflicts, filters, options, order, locks, hostile bytes, and what an apply
//! must not get wrong.

mod applying;
mod conflicts;
mod exchanges;
mod faults;
mod filters;
mod hostile;
mod kept_statements;
mod locks;
mod options;
mod order;
mod replica;
mod shop;
mod streams;
