//! The transaction around everything that one apply reads and writes. Called by `apply::driver`.

use core::ffi::CStr;

use super::error::SqliteError;
use super::statement::Connection;
use super::statements::{Command, Statements};

/// A new transaction, a savepoint in the application's transaction, or the application's
/// transaction itself. Dropping it rolls back.
pub(crate) struct Transaction<'conn> {
    connection: Connection<'conn>,
    commit: Option<Command>,
    undo: Option<&'static CStr>,
    /// Whether the connection was already in a transaction of the application.
    is_inside: bool,
}

impl<'conn> Transaction<'conn> {
    /// Begins a savepoint inside a transaction. Outside, begins a transaction that takes locks when
    /// they are needed.
    pub(crate) fn begin(statements: &mut Statements<'conn>) -> Result<Self, SqliteError> {
        let connection = statements.connection();
        let is_inside = connection.is_in_transaction();
        let (begin, commit, undo) = if is_inside {
            let undo = c"ROLLBACK TO diesel_sqlite_session_apply; RELEASE diesel_sqlite_session_apply";
            (Command::Savepoint, Command::Release, undo)
        } else {
            (Command::Begin, Command::Commit, c"ROLLBACK")
        };
        statements.command(begin)?;
        statements.pause_tracing();
        Ok(Self { connection, commit: Some(commit), undo: Some(undo), is_inside })
    }

    /// Uses the application's transaction as it is. Dropping does not roll back.
    pub(crate) fn join(statements: &mut Statements<'conn>) -> Result<Self, SqliteError> {
        let connection = statements.connection();
        // a statement without effect, to see whether it is traced
        statements.command(Command::Savepoint)?;
        statements.command(Command::Release)?;
        statements.pause_tracing();
        Ok(Self { connection, commit: None, undo: None, is_inside: true })
    }

    /// Returns whether the connection was already in a transaction of the application.
    pub(crate) fn is_inside(&self) -> bool {
        self.is_inside
    }

    /// Returns whether SQLite has rolled back the whole transaction.
    pub(crate) fn is_gone(&self) -> bool {
        !self.connection.is_in_transaction()
    }

    /// Commits the transaction, or releases the savepoint. Rolls back on failure.
    pub(crate) fn commit(mut self, statements: &mut Statements<'conn>) -> Result<(), SqliteError> {
        self.commit.map_or(Ok(()), |commit| statements.command(commit))?;
        self.undo = None;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // After some errors SQLite has already rolled back. If a reader blocked the commit, the
        // transaction still exists.
        if let Some(undo) = self.undo.filter(|_| self.connection.is_in_transaction()) {
            let _ = self.connection.execute(undo);
        }
    }
}
