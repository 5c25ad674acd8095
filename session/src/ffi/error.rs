//! The errors that the C API and the look for a connection's handle end in.

use core::ffi::c_int;
use std::fmt;
use std::string::String;

use super::sys::{self, sqlite3};
use super::text;
use super::value::NoMemory;

/// An error of SQLite's: its extended
/// [result code](https://www.sqlite.org/rescode.html) and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteError {
    pub(crate) code: c_int,
    pub(crate) message: String,
}

impl SqliteError {
    /// The extended result code; its low eight bits are the primary one.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// SQLite's message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

impl std::error::Error for SqliteError {}

impl SqliteError {
    /// What `code`, which a call on `db` has just returned, means. To be called before the next call on `db`.
    ///
    /// # Safety
    ///
    /// `db` must be open.
    pub(super) unsafe fn of(db: *mut sqlite3, code: c_int) -> Self {
        // SAFETY: `db` is open, says the caller.
        let current = unsafe { sys::sqlite3_errcode(db) };
        let message = if current & 0xff == code & 0xff {
            // SAFETY: as above.
            let message = unsafe { sys::sqlite3_errmsg(db) };
            // SAFETY: a C string that is valid until the next call on `db`; it is copied here.
            unsafe { text(message) }
        } else {
            // SAFETY: any code may be asked for.
            let message = unsafe { sys::sqlite3_errstr(code) };
            // SAFETY: a static C string.
            unsafe { text(message) }
        };
        Self { code, message }
    }
}

impl From<NoMemory> for SqliteError {
    fn from(_: NoMemory) -> Self {
        // SAFETY: any code may be asked for.
        let message = unsafe { sys::sqlite3_errstr(sys::SQLITE_NOMEM) };
        // SAFETY: a static C string.
        Self { code: sys::SQLITE_NOMEM, message: unsafe { text(message) } }
    }
}

/// Why a `SqliteConnection` can be neither tracked nor applied to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// Ten databases are attached already (or as many as this SQLite allows), so that one more, which the first look at a
    /// connection takes for a moment, cannot be.
    TooManyAttached,
    /// The library is older than SQLite 3.44.
    TooOld {
        /// [`sqlite3_libversion_number`](https://www.sqlite.org/c3ref/libversion.html).
        version: i32,
    },
    /// The library or the connection has no mutex
    /// ([`SQLITE_THREADSAFE`](https://www.sqlite.org/threadsafe.html) 0 or 2), so that a session could not be kept apart
    /// from its connection on another thread.
    NotSerialized,
    /// Another connection has locked the database, so that nothing could be asked. Trying again later may do.
    Locked {
        /// What SQLite said.
        message: String,
    },
    /// SQLite or Diesel refused, for this reason.
    Refused {
        /// What they said.
        message: String,
    },
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyAttached => f.write_str(
                "the connection has as many attached databases as it may have; detach one, or use the connection once before",
            ),
            Self::TooOld { version } => {
                let (major, minor) = (version / 1_000_000, version / 1000 % 1000);
                write!(f, "SQLite {major}.{minor} is too old: 3.44 is needed")
            }
            Self::NotSerialized => f.write_str("this SQLite connection has no mutex (SQLITE_THREADSAFE is not 1)"),
            Self::Locked { message } | Self::Refused { message } => write!(f, "the connection's handle cannot be had: {message}"),
        }
    }
}

impl std::error::Error for HandleError {}
