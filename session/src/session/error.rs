//! The error of a session.

use std::boxed::Box;
use std::fmt;
use std::string::String;

use crate::ffi::error::{HandleError, SqliteError};
use crate::ffi::session::Unavailable;
use crate::schema::SchemaMismatch;
use crate::wire::ParseError;

/// Why a session did not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// The connection has been closed, and the session with it.
    ConnectionClosed,
    /// The connection is in use. A table filter, a writer, a conflict handler or another function of it is running on this
    /// thread, or a statement of it has rows left to be read (`load_iter`), or another thread has not been done with it for five
    /// seconds.
    Busy,
    /// The connection's handle cannot be had.
    Handle(HandleError),
    /// A name of a table or a schema with a NUL in it.
    InvalidTableName,
    /// No database of that name is attached to the connection.
    NoSuchSchema {
        /// The name.
        schema: String,
    },
    /// [`Session::track_size`](crate::Session::track_size) and [`Session::track_rowids`](crate::Session::track_rowids) come before
    /// the first table is attached.
    AttachedAlready,
    /// The table is not what `table!` says, or cannot be tracked.
    SchemaMismatch(Box<SchemaMismatch>),
    /// The table filter panicked, and the table that it was asked about is not recorded.
    TableFilterPanicked,
    /// The connection that was given is not the session's.
    OtherConnection,
    /// What SQLite recorded is not well-formed.
    Malformed(ParseError),
    /// The writer failed.
    Io(std::io::Error),
    /// A query failed, or a transaction could not be begun or committed: so that `conn.transaction::<_, SessionError, _>(…)` can
    /// work with sessions.
    Diesel(diesel::result::Error),
    /// SQLite failed.
    Sqlite {
        /// What was being done.
        operation: &'static str,
        /// The table that it was being done to, if one was named.
        table: Option<String>,
        /// What SQLite said.
        error: SqliteError,
    },
}

impl SessionError {
    pub(crate) fn sqlite(operation: &'static str, table: Option<&str>, error: SqliteError) -> Self {
        Self::Sqlite { operation, table: table.map(String::from), error }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionClosed => f.write_str("the session's connection has been closed"),
            Self::Busy => f.write_str(
                "the session's connection is in use: by a callback, by a statement with rows left to be read, or for too long \
                 by another thread",
            ),
            Self::Handle(error) => error.fmt(f),
            Self::InvalidTableName => f.write_str("a name of a table or schema has a NUL in it"),
            Self::NoSuchSchema { schema } => {
                write!(f, "no database is attached to the connection as {}", schema.escape_debug())
            }
            Self::AttachedAlready => {
                f.write_str("`track_size` and `track_rowids` come before the session's first table is attached")
            }
            Self::SchemaMismatch(mismatch) => mismatch.fmt(f),
            Self::TableFilterPanicked => f.write_str("the table filter panicked, so a table may not be recorded"),
            Self::OtherConnection => f.write_str("the session belongs to another connection"),
            Self::Malformed(_) => f.write_str("what SQLite recorded is not well-formed"),
            Self::Io(_) => f.write_str("the changes could not be written"),
            Self::Diesel(error) => error.fmt(f),
            Self::Sqlite { operation, table: Some(table), error } => {
                write!(f, "{operation}, table {}: {error}", table.escape_debug())
            }
            Self::Sqlite { operation, table: None, error } => write!(f, "{operation}: {error}"),
        }
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Diesel(error) => error.source(),
            _ => None,
        }
    }
}

impl From<diesel::result::Error> for SessionError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Diesel(error)
    }
}

impl From<HandleError> for SessionError {
    fn from(error: HandleError) -> Self {
        Self::Handle(error)
    }
}

impl From<Unavailable> for SessionError {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Closed => Self::ConnectionClosed,
            Unavailable::Busy => Self::Busy,
        }
    }
}

impl From<SchemaMismatch> for SessionError {
    fn from(mismatch: SchemaMismatch) -> Self {
        Self::SchemaMismatch(Box::new(mismatch))
    }
}
