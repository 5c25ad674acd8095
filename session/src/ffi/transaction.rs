//! The transaction around everything that one apply reads and writes. Called by `apply::driver`.
//!
//! SQLite can report an interruption of a statement that has done its work. Therefore each end of a
//! transaction looks at what has become of it.

use std::collections::hash_map::RandomState;
use std::ffi::CString;
use std::format;
use std::hash::BuildHasher;
use std::sync::OnceLock;

use super::error::SqliteError;
use super::statement::Connection;
use super::statements::{Command, Statements};

/// A new transaction, a savepoint in the application's transaction, or the application's
/// transaction itself.
#[must_use = "it is rolled back or committed by a call"]
pub(crate) struct Transaction<'conn> {
    connection: Connection<'conn>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    New,
    Savepoint,
    /// The transaction belongs to the application, which rolls it back.
    Joined,
}

/// `SQLITE_INTERRUPT`
const INTERRUPT: i32 = 9;

/// `SQLITE_ERROR`, as for a savepoint that does not exist.
const ERROR: i32 = 1;

/// Returns the name of the savepoint, which no savepoint of the application has.
pub(super) fn savepoint() -> &'static str {
    static NAME: OnceLock<std::string::String> = OnceLock::new();
    NAME.get_or_init(|| format!("diesel_sqlite_session_{:x}", RandomState::new().hash_one(0)))
}

impl<'conn> Transaction<'conn> {
    /// Begins a savepoint inside a transaction. Outside, begins a transaction that takes locks when
    /// they are needed.
    pub(crate) fn begin(statements: &mut Statements<'conn>) -> Result<Self, SqliteError> {
        let connection = statements.connection();
        let is_inside = connection.is_in_transaction();
        let (kind, command) = match is_inside {
            true => (Kind::Savepoint, Command::Savepoint),
            false => (Kind::New, Command::Begin),
        };
        let begun = statements.command(command);
        statements.pause_tracing();
        let transaction = Self { connection, kind };
        match begun {
            Ok(()) if connection.is_in_transaction() => Ok(transaction),
            // an authorizer can make SQLite ignore the statement
            Ok(()) => Err(SqliteError::of_ignored_statement("BEGIN")),
            Err(error) => {
                // the savepoint may exist
                let _ = transaction.roll_back();
                Err(error)
            }
        }
    }

    /// Uses the application's transaction as it is.
    pub(crate) fn join(statements: &mut Statements<'conn>) -> Result<Self, SqliteError> {
        let connection = statements.connection();
        // a statement without effect, to see whether it is traced
        let done = statements.command(Command::Savepoint).and_then(|()| statements.command(Command::Release));
        statements.pause_tracing();
        let transaction = Self { connection, kind: Kind::Joined };
        if done.is_err() {
            // the savepoint may exist
            let _ = transaction.execute("RELEASE");
        }
        done.map(|()| transaction)
    }

    /// Returns whether the connection was already in a transaction of the application.
    pub(crate) fn is_inside(&self) -> bool {
        self.kind != Kind::New
    }

    /// Commits the transaction, or releases the savepoint. On failure, it must be rolled back.
    pub(crate) fn commit(&self, statements: &mut Statements<'conn>) -> Result<(), SqliteError> {
        let ended = match self.kind {
            Kind::New => statements.command(Command::Commit),
            Kind::Savepoint => statements.command(Command::Release),
            Kind::Joined => Ok(()),
        };
        match ended {
            Err(error) if is_interrupted(&error) && self.has_ended() => Ok(()),
            ended => ended,
        }
    }

    /// Returns whether an interrupted COMMIT or RELEASE has nevertheless ended the transaction or
    /// savepoint. Releases the savepoint if it still exists.
    fn has_ended(&self) -> bool {
        match self.kind {
            Kind::New => !self.connection.is_in_transaction(),
            _ => match self.execute("RELEASE") {
                Ok(()) => true,
                Err(error) => error.code() & 0xff == ERROR && self.connection.is_in_transaction(),
            },
        }
    }

    /// Rolls back. Returns an error if the changes are still there.
    pub(crate) fn roll_back(&self) -> Result<(), SqliteError> {
        // After some errors SQLite has already rolled back. If a reader blocked the commit, the
        // transaction still exists.
        if self.kind == Kind::Joined || !self.connection.is_in_transaction() {
            return Ok(());
        }
        if self.kind == Kind::New {
            let done = self.execute("ROLLBACK");
            return match self.connection.is_in_transaction() {
                false => Ok(()),
                true => done.and_then(|()| Err(SqliteError::of_ignored_statement("ROLLBACK"))),
            };
        }
        self.execute("ROLLBACK TO")?;
        // the savepoint exists, unless the statements are ignored
        self.execute("RELEASE")?;
        match self.execute("RELEASE") {
            Ok(()) => Err(SqliteError::of_ignored_statement("ROLLBACK TO")),
            Err(_) => Ok(()),
        }
    }

    /// Returns whether SQLite has rolled back the whole transaction.
    pub(crate) fn is_gone(&self) -> bool {
        !self.connection.is_in_transaction()
    }

    /// Runs ROLLBACK, or another statement on the savepoint, again if a progress handler interrupts
    /// it.
    fn execute(&self, statement: &str) -> Result<(), SqliteError> {
        let name = if statement == "ROLLBACK" { "" } else { savepoint() };
        let sql = CString::new(format!("{statement} {name}")).unwrap_or_default();
        for _ in 0..100 {
            match self.connection.execute(&sql) {
                Err(error) if is_interrupted(&error) => {}
                done => return done,
            }
        }
        self.connection.execute(&sql)
    }
}

fn is_interrupted(error: &SqliteError) -> bool {
    error.code() & 0xff == INTERRUPT
}
