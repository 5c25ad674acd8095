//! What every function that C calls has in common.
//!
//! While a closure of the user's runs inside SQLite, the connection's address is on this thread's list: calls that would
//! re-enter SQLite's session code see it there and answer *busy*. A panic is caught and carried past C.

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

/// Takes the connection off the list again, also when the closure panics.
struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().pop());
    }
}

/// Runs a user's closure inside SQLite's code on `db`.
pub(super) fn run<R>(db: *mut sqlite3, closure: impl FnOnce() -> R) -> Result<R, Payload> {
    // at the end of a thread the list may be gone; then nothing of the user's can look at it either
    let marked = INSIDE.try_with(|inside| inside.borrow_mut().push(db)).is_ok();
    let _inside = marked.then_some(Inside);
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
