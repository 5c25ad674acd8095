//! Sessions: recording, capturing, and the connection that they watch.

mod busy;
mod capture;
mod generating;
mod handle;
mod hooks;
mod interleaving;
mod schema_changes;
mod sessions;
