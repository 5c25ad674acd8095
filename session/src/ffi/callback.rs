//! What every function that C calls has in common.
//!
//! While SQLite's session code runs, and with it perhaps a closure of the user's, the connection's address is on this thread's
//! list: calls that would re-enter that code see it there and answer *busy*. A panic is caught and carried past C.

use core::mem::ManuallyDrop;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::vec::Vec;

use super::sys::sqlite3;

std::thread_local! {
    /// The connections inside which this thread runs a user's closure, innermost last. Without a destructor, it is there for
    /// those of a user's own thread-local values too, which may call us; when nothing is in it, it has no memory either.
    static INSIDE: RefCell<ManuallyDrop<Vec<*mut sqlite3>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

/// What a panic carried.
pub(super) type Payload = std::boxed::Box<dyn Any + Send>;

/// The connection is on the list for as long as this lives, also when a closure panics.
pub(super) struct Inside(());

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(|inside| {
            inside.pop();
            if inside.is_empty() {
                drop(core::mem::take(&mut **inside));
            }
        });
    }
}

/// Notes that this thread goes into SQLite's session code on `db`, where functions of the user's may be called.
pub(super) fn enter(db: *mut sqlite3) -> Inside {
    INSIDE.with_borrow_mut(|inside| inside.push(db));
    Inside(())
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
    INSIDE.with_borrow(|inside| inside.contains(&db))
}

/// Whether this thread runs a closure inside SQLite's code on any connection.
pub(super) fn is_inside_any() -> bool {
    INSIDE.with_borrow(|inside| !inside.is_empty())
}
