//! Sessions: recording, capturing, and the connection that they watch.

mod capture;
mod generating;
mod handle;
mod interleaving;
mod sessions;
