//! What can go wrong with sessions and with applying.

use std::boxed::Box;
use std::fmt;
use std::string::String;

use crate::apply::ConflictType;
use crate::ffi::Failure;
use crate::ffi::session::Unavailable;
use crate::wire::ParseError;

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
            Self::Refused { message } => write!(f, "the connection's handle cannot be had: {message}"),
        }
    }
}

impl std::error::Error for HandleError {}

/// An error of SQLite's: its extended
/// [result code](https://www.sqlite.org/rescode.html) and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteError {
    code: i32,
    message: String,
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

impl From<Failure> for SqliteError {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code, message: failure.message }
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

impl std::error::Error for SqliteError {}

/// A table that is not what it should be: what was expected, and what the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaMismatch {
    pub(crate) table: String,
    pub(crate) column: Option<String>,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl SchemaMismatch {
    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The first column that differs, if it is a column that does.
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// What `table!` or the changeset says.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What the database has.
    pub fn found(&self) -> &str {
        &self.found
    }
}

impl fmt::Display for SchemaMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.table.escape_debug())?;
        if let Some(column) = &self.column {
            write!(f, ", column {}", column.escape_debug())?;
        }
        write!(f, ": expected {}, but the database has {}", self.expected, self.found)
    }
}

impl std::error::Error for SchemaMismatch {}

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
    pub(crate) fn sqlite(operation: &'static str, table: Option<&str>, failure: Failure) -> Self {
        Self::Sqlite { operation, table: table.map(String::from), error: failure.into() }
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
            Self::SchemaMismatch(mismatch) => mismatch.fmt(f),
            Self::TableFilterPanicked => f.write_str("the table filter panicked, so a table may not be recorded"),
            Self::OtherConnection => f.write_str("the session belongs to another connection"),
            Self::Malformed(_) => f.write_str("what SQLite recorded is not well-formed"),
            Self::Io(_) => f.write_str("the changes could not be written"),
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
            _ => None,
        }
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

/// Why a changeset or patchset was not applied. Whatever it is, nothing of it stays in the database.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// The bytes are not a well-formed changeset or patchset.
    Parse(ParseError),
    /// A table does not fit.
    SchemaMismatch(Box<SchemaMismatch>),
    /// The conflict handler answered [`ConflictAction::Abort`](crate::ConflictAction::Abort).
    ConflictAborted,
    /// The conflict handler panicked.
    ConflictHandlerPanicked,
    /// The conflict handler answered [`ConflictAction::Replace`](crate::ConflictAction::Replace) to a conflict that does not
    /// take it.
    IllegalReplace {
        /// The kind of conflict.
        conflict: ConflictType,
        /// The table.
        table: Option<String>,
    },
    /// The table has a constraint with `ON CONFLICT ROLLBACK`, or the database a trigger with `RAISE(ROLLBACK)` or `OR
    /// ROLLBACK`. Met while applying, it would end the transaction that undoes a failed apply, and SQLite would go on.
    RollbackClause {
        /// The table.
        table: String,
    },
    /// The transaction was rolled back in the midst of applying, and what it had done before is gone with it.
    RolledBack {
        /// The table.
        table: Option<String>,
    },
    /// The changes take more than 2 GiB, which is as much as SQLite takes at once.
    TooLarge,
    /// Called inside a callback of the same connection.
    Busy,
    /// The connection's handle cannot be had.
    Handle(HandleError),
    /// SQLite failed.
    Sqlite {
        /// What was being done.
        operation: &'static str,
        /// The table that it was being done to, if that is known.
        table: Option<String>,
        /// What SQLite said.
        error: SqliteError,
    },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |f: &mut fmt::Formatter<'_>, table: &Option<String>| match table {
            Some(table) => write!(f, "table {}: ", table.escape_debug()),
            None => Ok(()),
        };
        match self {
            Self::Parse(_) => f.write_str("the changes are not well-formed"),
            Self::SchemaMismatch(mismatch) => mismatch.fmt(f),
            Self::ConflictAborted => f.write_str("the conflict handler aborted"),
            Self::ConflictHandlerPanicked => f.write_str("the conflict handler panicked"),
            Self::IllegalReplace { conflict, table } => {
                of(f, table)?;
                write!(f, "the conflict handler answered Replace to {conflict:?}, which takes Omit or Abort")
            }
            Self::RolledBack { table } => {
                of(f, table)?;
                f.write_str("the transaction was rolled back in the midst of applying")
            }
            Self::RollbackClause { table } => {
                write!(
                    f,
                    "table {}: a constraint or trigger can roll the whole transaction back, so that a failed apply could \
                     not be undone",
                    table.escape_debug()
                )
            }
            Self::TooLarge => f.write_str("changes of more than 2 GiB cannot be applied at once"),
            Self::Busy => f.write_str("changes cannot be applied inside a callback of the same connection"),
            Self::Handle(error) => error.fmt(f),
            Self::Sqlite { operation, table, error } => {
                of(f, table)?;
                write!(f, "{operation}: {error}")
            }
        }
    }
}

impl std::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Parse(error) => Some(error),
            _ => None,
        }
    }
}

impl From<HandleError> for ApplyError {
    fn from(error: HandleError) -> Self {
        Self::Handle(error)
    }
}

impl From<ParseError> for ApplyError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl From<SchemaMismatch> for ApplyError {
    fn from(mismatch: SchemaMismatch) -> Self {
        Self::SchemaMismatch(Box::new(mismatch))
    }
}
