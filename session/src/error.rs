//! What can go wrong with sessions and with applying.

use std::boxed::Box;
use std::fmt;
use std::string::String;

use crate::apply::{ConflictType, ForeignKeyConflict};
use crate::ffi::Failure;
use crate::ffi::session::Unavailable;
#[cfg(feature = "derive")]
use crate::typed::DecodeError;
use crate::wire::{Limit, ParseError, ReadError};

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

/// Why a changeset or patchset was not applied. Whatever it is, nothing of it stays in the database, unless
/// [`Apply::without_savepoint`](crate::Apply::without_savepoint) was used.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// The bytes are not a well-formed changeset or patchset.
    Parse(ParseError),
    /// A table does not fit.
    SchemaMismatch(Box<SchemaMismatch>),
    /// A change is of a table that is not to be changed: see [`Apply::only_tables`](crate::Apply::only_tables).
    UnexpectedTable {
        /// The table.
        table: String,
        /// The byte, counted from 0, at which its first change begins.
        offset: usize,
    },
    /// A conflict handler aborted, or there was none. A handler of [`Apply::try_otherwise`](crate::Apply::try_otherwise) is told which
    /// change it was.
    ConflictAborted,
    /// A conflict handler failed, of [`Apply::try_on_conflict`](crate::Apply::try_on_conflict) or
    /// [`Apply::try_otherwise`](crate::Apply::try_otherwise).
    Handler(Box<dyn std::error::Error + Send + Sync>),
    /// A conflict handler, a filter, a reader or another function that was called panicked.
    ConflictHandlerPanicked,
    /// A change, or the row that is in its way, is not what the types say that a handler or a filter is given.
    #[cfg(feature = "derive")]
    Decode(DecodeError),
    /// The conflict handler answered [`ConflictAction::Replace`](crate::ConflictAction::Replace) to a conflict that does not
    /// take it.
    IllegalReplace {
        /// The kind of conflict.
        conflict: ConflictType,
        /// The table.
        table: Option<String>,
    },
    /// An INSERT met a row with its key, which was deleted, as the handler said `Replace`; then the INSERT broke a constraint,
    /// and the handler said `Omit`: the row would be lost. A handler that means that says
    /// `ConstraintConflict::omit_and_lose_row`. Also where the handler says `Replace` and the table has `ON CONFLICT IGNORE` or a
    /// trigger with `RAISE(IGNORE)`, by which the INSERT could come to nothing without an error.
    ReplacedRowLost {
        /// The table.
        table: String,
    },
    /// After everything was applied, foreign keys were broken.
    ForeignKeyViolations(Box<ForeignKeyConflict>),
    /// There is more than was allowed.
    Limit {
        /// Of what.
        limit: Limit,
        /// How much was allowed.
        max: u64,
    },
    /// The function of [`Apply::on_progress`](crate::Apply::on_progress) ended it.
    Cancelled,
    /// The source of a stream failed.
    Io(std::io::Error),
    /// [`Apply::without_savepoint`](crate::Apply::without_savepoint) is for a transaction, and there is none.
    NoTransaction,
    /// A filter takes SQLite 3.51, and the library is older.
    CannotFilter,
    /// A query failed, or a transaction could not be begun or committed: so that `conn.transaction::<_, ApplyError, _>(…)` can
    /// apply changes among other things.
    Diesel(diesel::result::Error),
    /// The table has a constraint with `ON CONFLICT ROLLBACK`, or the database a trigger with `RAISE(ROLLBACK)` or `OR
    /// ROLLBACK`. Met while applying, it would end the transaction that undoes a failed apply, and SQLite would go on.
    RollbackClause {
        /// The table.
        table: String,
    },
    /// The table has triggers, or the database foreign keys, and a trigger in the database has `RAISE(FAIL)` or `OR FAIL`, or a
    /// table `ON CONFLICT FAIL`. Met while applying, it would leave the change, or what triggers did for it, in place, while SQLite
    /// takes it for not made, and tries it again.
    FailClause {
        /// The table.
        table: String,
    },
    /// Another connection changed the schema between the look at it and the apply, which might have left changes out. Nothing is
    /// applied; trying again is all that it takes.
    SchemaChanged,
    /// The transaction was rolled back in the midst of applying, and what it had done before is gone with it. What follows is outside
    /// of a transaction.
    RolledBack {
        /// The table.
        table: Option<String>,
        /// What SQLite said, if it was not a constraint or trigger: that there is no memory, or no space, for which it
        /// [ends any transaction](https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction).
        error: Option<SqliteError>,
    },
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
            Self::ConflictAborted => f.write_str(
                "there was a conflict, and its handler aborted, or it had none; `Apply::try_otherwise` is told which change it was",
            ),
            Self::ConflictHandlerPanicked => {
                f.write_str("a conflict handler, or another function that was called, panicked")
            }
            Self::IllegalReplace { conflict, table } => {
                of(f, table)?;
                write!(f, "the conflict handler answered Replace to {conflict:?}, which takes Omit or Abort")
            }
            Self::RolledBack { table, error } => {
                of(f, table)?;
                f.write_str("the transaction was rolled back in the midst of applying")?;
                error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
            }
            Self::FailClause { table } => {
                write!(
                    f,
                    "table {}: a trigger can fail by RAISE(FAIL), OR FAIL or ON CONFLICT FAIL, which would leave a change half made",
                    table.escape_debug()
                )
            }
            Self::RollbackClause { table } => {
                write!(
                    f,
                    "table {}: a constraint or trigger can roll the whole transaction back, so that a failed apply could \
                     not be undone",
                    table.escape_debug()
                )
            }
            Self::UnexpectedTable { table, offset } => {
                write!(
                    f,
                    "table {}: `only` does not name it, and its changes, at byte {offset}, are not left out by `skip_other_tables`",
                    table.escape_debug()
                )
            }
            Self::Handler(_) => f.write_str("the conflict handler failed"),
            #[cfg(feature = "derive")]
            Self::Decode(error) => error.fmt(f),
            Self::ReplacedRowLost { table } => {
                write!(
                    f,
                    "table {}: a row was deleted for an INSERT that breaks a constraint, or can be ignored: the row would be lost",
                    table.escape_debug()
                )
            }
            Self::ForeignKeyViolations(broken) => {
                write!(f, "it would leave {broken}")
            }
            Self::Limit { limit, max } => write!(f, "more than {max} {limit}"),
            Self::SchemaChanged => f.write_str("another connection changed the schema meanwhile; try again"),
            Self::Cancelled => f.write_str("the apply was cancelled"),
            Self::Io(_) => f.write_str("the source of the changes failed"),
            Self::NoTransaction => f.write_str("without a savepoint changes are applied inside a transaction alone"),
            Self::Diesel(error) => error.fmt(f),
            Self::CannotFilter => f.write_str("this SQLite is too old to filter changes: 3.51 is needed"),
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
            Self::Handler(error) => Some(&**error),
            #[cfg(feature = "derive")]
            Self::Decode(error) => error.source(),
            Self::Io(error) => Some(error),
            Self::Diesel(error) => error.source(),
            _ => None,
        }
    }
}

impl From<diesel::result::Error> for ApplyError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Diesel(error)
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

impl From<ReadError> for ApplyError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Io(error),
            ReadError::Parse(error) => Self::Parse(error),
            ReadError::Limit { limit, max } => Self::Limit { limit, max },
        }
    }
}

#[cfg(feature = "derive")]
impl From<DecodeError> for ApplyError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}
