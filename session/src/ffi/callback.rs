//! The rules for every Rust function that C calls.
//!
//! - While SQLite's session code runs, and possibly a closure of the application with it, the
//!   address of the connection is on a list of this thread. Calls that would re-enter that code
//!   find the address there and return *busy*.
//! - A panic is caught before it reaches C.

use core::mem::ManuallyDrop;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::vec::Vec;

use super::sys::sqlite3;

std::thread_local! {
    /// The connection inside which this thread runs a closure of the application, or null.
    static OUTERMOST: Cell<*mut sqlite3> = const { Cell::new(ptr::null_mut()) };
    /// The connections inside which closures run that such a closure has called, innermost last. The
    /// list has no destructor, so that it is still usable in destructors of the application's own
    /// thread-local values, which may call this crate. An empty list owns no memory.
    static NESTED: RefCell<ManuallyDrop<Vec<*mut sqlite3>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

/// The payload of a panic.
pub(super) type PanicPayload = std::boxed::Box<dyn Any + Send>;

/// Keeps a connection on the list until dropped, also during a panic.
pub(super) struct CallbackGuard(());

impl Drop for CallbackGuard {
    fn drop(&mut self) {
        NESTED.with_borrow_mut(|nested| {
            if nested.pop().is_none() {
                OUTERMOST.set(ptr::null_mut());
            } else if nested.is_empty() {
                drop(core::mem::take(&mut **nested));
            }
        });
    }
}

/// Marks that this thread enters SQLite's session code on `db`, where functions of the application
/// may be called.
pub(super) fn enter(db: *mut sqlite3) -> CallbackGuard {
    if OUTERMOST.get().is_null() {
        OUTERMOST.set(db);
    } else {
        NESTED.with_borrow_mut(|nested| nested.push(db));
    }
    CallbackGuard(())
}

/// Runs a closure of the application inside SQLite's code on `db`.
pub(super) fn run<R>(db: *mut sqlite3, closure: impl FnOnce() -> R) -> Result<R, PanicPayload> {
    let _inside = enter(db);
    catch_unwind(AssertUnwindSafe(closure))
}

/// Runs a closure that may call functions of the application. Returns `None` if it panics.
pub(crate) fn catch<R>(closure: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(closure)).map_err(discard).ok()
}

/// Drops the payload of a panic. The drop could panic again, which must not reach C.
pub(super) fn discard(payload: PanicPayload) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(again);
    }
}

/// Returns whether this thread runs a closure inside SQLite's code on `db`.
pub(super) fn is_inside(db: *mut sqlite3) -> bool {
    OUTERMOST.get() == db || NESTED.with_borrow(|nested| nested.contains(&db))
}

/// Returns whether this thread runs a closure inside SQLite's code on any connection.
pub(super) fn is_inside_any() -> bool {
    !OUTERMOST.get().is_null()
}
