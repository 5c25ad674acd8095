//! What every function that C calls has in common.
//!
//! While SQLite's session code runs, and with it perhaps a closure of the user's, the connection's address is on this thread's
//! list: calls that would re-enter that code see it there and answer *busy*. A panic is caught and carried past C.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::vec::Vec;

use super::sys::sqlite3;

std::thread_local! {
    /// The connections inside which this thread runs a user's closure, innermost last.
    static INSIDE: RefCell<Vec<*mut sqlite3>> = const { RefCell::new(Vec::new()) };
}

/// What a panic carried.
pub(super) type Payload = std::boxed::Box<dyn Any + Send>;

/// The connection is on the list for as long as this lives, also when a closure panics.
pub(super) struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().pop());
    }
}

/// Notes that this thread goes into SQLite's session code on `db`, where functions of the user's may be called.
pub(super) fn enter(db: *mut sqlite3) -> Option<Inside> {
    // at the end of a thread the list may be gone; then nothing of the user's can look at it either
    let marked = INSIDE.try_with(|inside| inside.borrow_mut().push(db)).is_ok();
    marked.then_some(Inside)
}

/// Runs a user's closure inside SQLite's code on `db`.
pub(super) fn run<R>(db: *mut sqlite3, closure: impl FnOnce() -> R) -> Result<R, Payload> {
    let _inside = enter(db);
    catch_unwind(AssertUnwindSafe(closure))
}

/// Drops what a panic carried, which could panic again, into C.
pub(super) fn discard(payload: Payload) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(again);
    }
}

/// Whether this thread runs a closure inside SQLite's code on `db`.
pub(super) fn is_inside(db: *mut sqlite3) -> bool {
    INSIDE.try_with(|inside| inside.borrow().contains(&db)).unwrap_or(false)
}

/// Whether this thread runs a closure inside SQLite's code on any connection.
pub(super) fn is_inside_any() -> bool {
    INSIDE.try_with(|inside| !inside.borrow().is_empty()).unwrap_or(false)
}
