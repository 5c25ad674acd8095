//! SQLite's result codes as errors, and the errors of finding a connection's handle.

use core::ffi::c_int;
use std::fmt;
use std::string::String;

use super::sys::{self, sqlite3};
use super::value::{OutOfMemory, text_from_raw};

/// An error of SQLite: its extended [result code](https://www.sqlite.org/rescode.html) and its
/// message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteError {
    pub(crate) code: c_int,
    pub(crate) message: String,
}

impl SqliteError {
    /// Returns the extended result code. Its low eight bits are the primary result code.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// Returns SQLite's message.
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
    /// Returns the error of `code`, the result of the latest call on `db`.
    ///
    /// # Safety
    ///
    /// `db` must be open.
    pub(super) unsafe fn of(db: *mut sqlite3, code: c_int) -> Self {
        // SAFETY: the caller guarantees that `db` is open.
        let current = unsafe { sys::sqlite3_errcode(db) };
        if current & 0xff != code & 0xff {
            return Self::of_code(code);
        }
        // SAFETY: the caller guarantees that `db` is open.
        let message = unsafe { sys::sqlite3_errmsg(db) };
        // SAFETY: SQLite returns a C string that is valid until the next call on `db`. It is copied
        // before that.
        let message = unsafe { text_from_raw(message) };
        Self { code, message }
    }

    /// Returns the error of a statement that had no effect, because an
    /// [authorizer](https://www.sqlite.org/c3ref/set_authorizer.html) answered `SQLITE_IGNORE`.
    pub(super) fn of_ignored_statement(statement: &str) -> Self {
        Self { code: sys::SQLITE_AUTH, message: std::format!("an authorizer ignored {statement}") }
    }

    /// Returns the error of `code`, with SQLite's general message for the code.
    pub(super) fn of_code(code: c_int) -> Self {
        // SAFETY: the function has no preconditions: it accepts any number.
        let message = unsafe { sys::sqlite3_errstr(code) };
        // SAFETY: SQLite returns a C string with a static lifetime.
        let message = unsafe { text_from_raw(message) };
        Self { code, message }
    }
}

impl From<OutOfMemory> for SqliteError {
    fn from(_: OutOfMemory) -> Self {
        Self::of_code(sys::SQLITE_NOMEM)
    }
}

/// The reason why the `sqlite3*` handle of a `SqliteConnection` is not available, or not usable for
/// sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// The connection already has as many attached databases as SQLite allows, ten by default. The
    /// first use of a connection attaches one more for a moment.
    TooManyAttached,
    /// The library is older than SQLite 3.44.
    TooOld {
        /// [`sqlite3_libversion_number`](https://www.sqlite.org/c3ref/libversion.html).
        version: i32,
    },
    /// The library or the connection has no mutex
    /// ([`SQLITE_THREADSAFE`](https://www.sqlite.org/threadsafe.html) is 0 or 2). A session on
    /// another thread could not be synchronized with its connection.
    NotSerialized,
    /// Another connection has locked the database. Retry later.
    Locked {
        /// SQLite's message.
        message: String,
    },
    /// SQLite or Diesel failed.
    Refused {
        /// The message of SQLite or Diesel.
        message: String,
    },
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyAttached => f.write_str(
                "the connection already has the maximum number of attached databases: detach one, or create a session \
                 before attaching them",
            ),
            Self::TooOld { version } => {
                let (major, minor) = (version / 1_000_000, version / 1000 % 1000);
                write!(f, "SQLite {major}.{minor} is too old: 3.44 or later is required")
            }
            Self::NotSerialized => f.write_str("this SQLite connection has no mutex (SQLITE_THREADSAFE is not 1)"),
            Self::Locked { message } | Self::Refused { message } => {
                write!(f, "the connection's sqlite3 handle is not available: {message}")
            }
        }
    }
}

impl std::error::Error for HandleError {}
