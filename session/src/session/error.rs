//! The error of a session.

use std::boxed::Box;
use std::fmt;
use std::string::String;

use crate::ffi::error::{HandleError, SqliteError};
use crate::ffi::session::{CreateError, Unavailable};
use crate::schema::SchemaMismatch;
use crate::wire::ParseError;

/// The reason why an operation of a session failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// The connection has been closed, and the session with it.
    ConnectionClosed,
    /// The connection is in use:
    ///
    /// - a table filter, a writer, a conflict handler or another function of the connection is
    ///   running on this thread,
    /// - a statement of the connection has unread rows (`load_iter`),
    /// - or another thread has been using the connection for five seconds.
    Busy,
    /// The connection's `sqlite3` handle is not available.
    Handle(HandleError),
    /// The name of a table or schema contains a NUL.
    InvalidTableName,
    /// No database is attached to the connection under this name.
    NoSuchSchema {
        /// The name.
        schema: String,
    },
    /// A table is already attached. [`Session::track_size`](crate::Session::track_size) and
    /// [`Session::track_rowids`](crate::Session::track_rowids) must be called before that.
    AttachedAlready,
    /// No table has been attached, so that no changes can have been recorded.
    NothingAttached,
    /// The table differs from its `table!`, or SQLite cannot record it. This also
    /// occurs if the table was changed after it was attached: the recorded changes may belong to other
    /// columns.
    SchemaMismatch(Box<SchemaMismatch>),
    /// The table filter panicked. The table that it was called for is not recorded.
    TableFilterPanicked,
    /// The connection is not the session's connection.
    OtherConnection,
    /// The connection has, or had since the session was created, a [preupdate
    /// hook](https://www.sqlite.org/c3ref/preupdate_blobwrite.html) that does not belong to a session
    /// of this crate. Changes may not have been recorded. The other hook has been removed: create
    /// another session.
    OtherHook,
    /// Another [trace function](https://www.sqlite.org/c3ref/trace_v2.html) has replaced this crate's
    /// trace function, which detects that the connection is closed. Call the method on
    /// [`Session::on`](crate::Session::on): this reinstalls this crate's trace function.
    OtherTrace,
    /// The changes that SQLite recorded are not well-formed.
    Malformed(ParseError),
    /// The writer failed.
    Io(std::io::Error),
    /// A query failed, or a transaction could not be started or committed. This variant lets a
    /// closure of `conn.transaction::<_, SessionError, _>(…)` use sessions and queries with `?`.
    Diesel(diesel::result::Error),
    /// SQLite failed.
    Sqlite {
        /// The failed operation.
        operation: &'static str,
        /// The table, if the operation concerns one.
        table: Option<String>,
        /// SQLite's error.
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
            Self::InvalidTableName => f.write_str("the name of a table or schema contains a NUL"),
            Self::NoSuchSchema { schema } => {
                write!(f, "no database is attached to the connection as {}", schema.escape_debug())
            }
            Self::AttachedAlready => {
                f.write_str("call `track_size` and `track_rowids` before attaching the session's first table")
            }
            Self::NothingAttached => {
                f.write_str("the session has no table: call `attach_set`, `attach` or `attach_all` before taking changes")
            }
            Self::SchemaMismatch(mismatch) => mismatch.fmt(f),
            Self::TableFilterPanicked => f.write_str("the table filter panicked, so a table may not have been recorded"),
            Self::OtherConnection => f.write_str("the session belongs to another connection"),
            Self::OtherTrace => f.write_str(
                "another trace function has replaced the one of this crate: use `session.on(&mut conn)`, which reinstalls it",
            ),
            Self::OtherHook => f.write_str(
                "another preupdate hook was installed on the connection, so changes may be missing; it has been removed: create \
                 another session",
            ),
            Self::Malformed(_) => f.write_str("the changes that SQLite recorded are not well-formed"),
            Self::Io(_) => f.write_str("writing the changes failed"),
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
            Unavailable::OtherConnection => Self::OtherConnection,
            Unavailable::OtherTrace => Self::OtherTrace,
        }
    }
}

impl From<CreateError> for SessionError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Unavailable(unavailable) => unavailable.into(),
            CreateError::OtherHook => Self::OtherHook,
            CreateError::Sqlite(failure) => Self::sqlite("creating a session", None, failure),
        }
    }
}

impl From<SchemaMismatch> for SessionError {
    fn from(mismatch: SchemaMismatch) -> Self {
        Self::SchemaMismatch(Box::new(mismatch))
    }
}
