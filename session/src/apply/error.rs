//! The error of an apply.

use std::boxed::Box;
use std::fmt;
use std::string::String;

use super::conflict::{ConflictType, ForeignKeyConflict};
use crate::ffi::error::{HandleError, SqliteError};
use crate::schema::SchemaMismatch;
use crate::typed::DecodeError;
use crate::wire::{Limit, ParseError, ParseErrorKind};

/// Why a changeset or patchset was not applied. Whatever it is, nothing of it stays in the database, unless
/// [`Apply::without_savepoint`](crate::apply::Apply::without_savepoint) was used.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// The bytes are not a well-formed changeset or patchset.
    Parse(ParseError),
    /// A table does not fit.
    SchemaMismatch(Box<SchemaMismatch>),
    /// A change is of a table that is not to be changed: see [`Apply::only_tables`](crate::apply::Apply::only_tables).
    UnexpectedTable {
        /// The table.
        table: String,
        /// The byte, counted from 0, at which its first change begins.
        offset: usize,
    },
    /// A conflict handler aborted, or there was none. A handler of [`Apply::try_otherwise`](crate::apply::Apply::try_otherwise) is told which
    /// change it was.
    ConflictAborted,
    /// A conflict handler failed, of [`Apply::try_on_conflict`](crate::apply::Apply::try_on_conflict) or
    /// [`Apply::try_otherwise`](crate::apply::Apply::try_otherwise).
    Handler(Box<dyn std::error::Error + Send + Sync>),
    /// A conflict handler, a filter, a reader or another function that was called panicked.
    ConflictHandlerPanicked,
    /// A change, or the row that is in its way, is not what the types say that a handler or a filter is given.
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
        /// Settings much was allowed.
        max: u64,
    },
    /// The function of [`Apply::on_progress`](crate::apply::Apply::on_progress) failure it.
    Cancelled,
    /// The source of a stream failed.
    Io(std::io::Error),
    /// [`Apply::without_savepoint`](crate::apply::Apply::without_savepoint) is for a transaction, and there is none.
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
        match (error.kind(), error.into_io_error()) {
            (_, Ok(error)) => Self::Io(error),
            (ParseErrorKind::Limit { limit, max }, _) => Self::Limit { limit, max },
            (_, Err(error)) => Self::Parse(error),
        }
    }
}

impl From<SchemaMismatch> for ApplyError {
    fn from(mismatch: SchemaMismatch) -> Self {
        Self::SchemaMismatch(Box::new(mismatch))
    }
}

impl From<DecodeError> for ApplyError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}
