//! Applying: what fits, conflicts, filters, options, order, locks, and hostile bytes.

mod applying;
mod conflicts;
mod filters;
mod hostile;
mod locks;
mod options;
mod order;
mod shop;
mod streams;
