//! The error of an apply.

use std::boxed::Box;
use std::fmt;
use std::string::String;

use super::conflict::{ConflictType, ForeignKeyConflict};
use crate::ffi::error::{HandleError, SqliteError};
use crate::schema::SchemaMismatch;
use crate::typed::DecodeError;
use crate::wire::{Limit, ParseError, ParseErrorKind};

/// The reason why a changeset or patchset was not applied.
///
/// After an error none of the changes remains in the database, with three exceptions:
///
/// - The error is [`NotRolledBack`](Self::NotRolledBack).
/// - [`Apply::without_savepoint`](crate::apply::Apply::without_savepoint) was used: the changes
///   remain in your transaction until you roll it back.
/// - The database has `PRAGMA journal_mode = OFF`, which disables rollback: the database may be
///   corrupt.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// The bytes are not a well-formed changeset or patchset.
    Parse(ParseError),
    /// A table of the database does not match the changes, or its `table!`.
    SchemaMismatch(Box<SchemaMismatch>),
    /// A change is to a table not listed in [`Apply::only`](crate::apply::Apply::only) or
    /// [`Apply::only_tables`](crate::apply::Apply::only_tables).
    UnexpectedTable {
        /// The table.
        table: String,
        /// The offset of the table's first change, in bytes from the start.
        offset: usize,
    },
    /// A conflict handler decided to abort, or a conflict had no handler.
    ///
    /// To learn which change it was, use
    /// [`Apply::try_otherwise`](crate::apply::Apply::try_otherwise).
    ConflictAborted,
    /// A conflict handler of [`Apply::try_on_conflict`](crate::apply::Apply::try_on_conflict) or
    /// [`Apply::try_otherwise`](crate::apply::Apply::try_otherwise) returned this error.
    Handler(Box<dyn std::error::Error + Send + Sync>),
    /// A conflict handler, a filter, a reader or another function of the application panicked.
    ConflictHandlerPanicked,
    /// A change, or the conflicting row, does not match the types of the handler or filter.
    Decode(DecodeError),
    /// The conflict handler decided [`ConflictAction::Replace`](crate::ConflictAction::Replace) for
    /// a kind of conflict that does not accept it.
    IllegalReplace {
        /// The kind of conflict.
        conflict: ConflictType,
        /// The table.
        table: Option<String>,
    },
    /// Skipping an INSERT would lose the row that was deleted for it:
    ///
    /// - The INSERT found a row with its primary key, and the decision was `Replace`. Without the
    ///   deleted row, the INSERT violated a constraint, and the decision was `Omit`. If the loss is
    ///   intended, decide
    ///   [`omit_and_lose_row`](crate::apply::ConstraintConflict::omit_and_lose_row).
    /// - Or the decision was `Replace`, and a trigger ignored the INSERT by `RAISE(IGNORE)`.
    ReplacedRowLost {
        /// The table.
        table: String,
    },
    /// Foreign keys are violated after all changes have been applied.
    ForeignKeyViolations(Box<ForeignKeyConflict>),
    /// The changes exceed a limit.
    Limit {
        /// The limit.
        limit: Limit,
        /// The maximum.
        max: u64,
    },
    /// The function of [`Apply::on_progress`](crate::apply::Apply::on_progress) cancelled the
    /// apply.
    Cancelled,
    /// Reading the stream failed.
    Io(std::io::Error),
    /// [`Apply::without_savepoint`](crate::apply::Apply::without_savepoint) was used outside of a
    /// transaction.
    NoTransaction,
    /// [`Apply::without_foreign_key_actions`](crate::apply::Apply::without_foreign_key_actions) was
    /// used, and the database has foreign keys with actions, but these cannot be disabled: the
    /// SQLite library was compiled with
    /// [`SQLITE_UNTESTABLE`](https://www.sqlite.org/compile.html#untestable), the connection shares
    /// its cache with another connection, or the database has `PRAGMA journal_mode = OFF`.
    CannotDisableActions,
    /// A query failed, or a transaction could not be started or committed. This variant lets a
    /// closure of `conn.transaction::<_, ApplyError, _>(…)` apply changes and run queries with `?`.
    Diesel(diesel::result::Error),
    /// The whole transaction was rolled back during the apply, including what your transaction did
    /// before. The connection is now outside of a transaction.
    ///
    /// A trigger did so, by `RAISE(ROLLBACK)` or by a statement with `ROLLBACK` as its conflict
    /// clause; or SQLite failed.
    RolledBack {
        /// The table.
        table: Option<String>,
        /// SQLite's error, or `None` if a trigger rolled back. Examples are out of memory, out of
        /// disk space and an interruption, which [end any
        /// transaction](https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction).
        error: Option<SqliteError>,
    },
    /// The apply failed, and SQLite could not roll back its changes. They remain in the open
    /// transaction: roll it back, or close the connection.
    ///
    /// Examples are an authorizer that forbids ROLLBACK, and
    /// [`sqlite3_interrupt`](https://www.sqlite.org/c3ref/interrupt.html) while another statement of
    /// the connection runs.
    NotRolledBack {
        /// The error of the apply.
        error: Box<ApplyError>,
        /// SQLite's error of the rollback.
        rollback: SqliteError,
    },
    /// The call came from a callback of the same connection.
    Busy,
    /// The connection's `sqlite3` handle is not available.
    Handle(HandleError),
    /// SQLite failed.
    Sqlite {
        /// The failed operation.
        operation: &'static str,
        /// The table, if known.
        table: Option<String>,
        /// SQLite's error.
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
                "a conflict was not resolved: its handler aborted, or it had none; use `Apply::try_otherwise` to see the change",
            ),
            Self::ConflictHandlerPanicked => {
                f.write_str("a conflict handler or another function of the application panicked")
            }
            Self::IllegalReplace { conflict, table } => {
                of(f, table)?;
                write!(f, "the conflict handler decided Replace for {conflict:?}, which accepts only Omit and Abort")
            }
            Self::RolledBack { table, error } => {
                of(f, table)?;
                f.write_str("the whole transaction was rolled back during the apply")?;
                error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
            }
            Self::NotRolledBack { error, rollback } => {
                write!(f, "the changes remain in the open transaction, since they could not be rolled back ({rollback}): {error}")
            }
            Self::UnexpectedTable { table, offset } => {
                write!(
                    f,
                    "table {}: the changes at byte {offset} are to a table that `only` does not list; \
                     `skip_other_tables` skips them",
                    table.escape_debug()
                )
            }
            Self::Handler(_) => f.write_str("the conflict handler failed"),
            Self::Decode(error) => error.fmt(f),
            Self::ReplacedRowLost { table } => {
                write!(
                    f,
                    "table {}: a row was deleted for an INSERT that violates a constraint or can be ignored; the row would be lost",
                    table.escape_debug()
                )
            }
            Self::ForeignKeyViolations(broken) => {
                write!(f, "applying the changes would leave {broken}")
            }
            Self::Limit { limit, max } => write!(f, "more than {max} {limit}"),
            Self::Cancelled => f.write_str("the apply was cancelled"),
            Self::Io(_) => f.write_str("reading the changes failed"),
            Self::NoTransaction => f.write_str("`without_savepoint` requires a transaction"),
            Self::Diesel(error) => error.fmt(f),
            Self::CannotDisableActions => f.write_str(
                "foreign key actions cannot be disabled: SQLite was compiled with SQLITE_UNTESTABLE, the connection shares \
                 its cache, or `journal_mode` is OFF",
            ),
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
            Self::NotRolledBack { error, .. } => error.source(),
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
