//! Foreign keys during an apply: checked at its end, and their actions disabled on request.
//!
//! Invariant: what the application's transaction violated before the apply is neither forgotten nor
//! counted as a violation of the apply.

use core::ffi::CStr;
use std::collections::HashMap;
use std::format;
use std::string::String;
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::ApplyError;
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::ffi::statements::Statements;

/// The deferral of all foreign keys to the end of the apply.
///
/// [`PRAGMA defer_foreign_keys`](https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys) is
/// compiled and not run: compiling it sets the flag, and running it would expire all statements of
/// the connection.
#[derive(Default)]
pub(super) struct DeferredKeys {
    /// Whether the foreign keys of a changed table are deferred.
    is_active: bool,
    /// Whether the application's transaction defers them too.
    was_deferred: bool,
    /// The violations before the apply, if the application's transaction has any.
    before: Option<Violations>,
}

/// The violations of foreign keys in `main`: table, rowid, referenced table, number of the key.
type Violations = HashMap<(String, i64, String, i64), u64>;

fn violations(connection: Connection<'_>) -> Result<Violations, SqliteError> {
    let mut found = Violations::new();
    connection.for_each("PRAGMA main.foreign_key_check", |row| {
        let violation = (row.text(0).into_owned(), row.integer(1), row.text(2).into_owned(), row.integer(3));
        *found.entry(violation).or_default() += 1;
    })?;
    Ok(found)
}

impl DeferredKeys {
    /// Defers the foreign keys, before the first change to a table that they concern.
    pub(super) fn defer(&mut self, statements: &Statements<'_>, is_inside: bool) -> Result<(), SqliteError> {
        if self.is_active {
            return Ok(());
        }
        let connection = statements.connection();
        if is_inside {
            connection.for_each("PRAGMA defer_foreign_keys", |row| self.was_deferred = row.integer(0) != 0)?;
            if connection.violates_deferred_keys() {
                self.before = Some(violations(connection)?);
            }
        }
        if !self.was_deferred {
            statements.compile(c"PRAGMA defer_foreign_keys = 1")?;
        }
        self.is_active = true;
        Ok(())
    }

    /// Returns whether the changes violate foreign keys.
    pub(super) fn are_violated(&self, statements: &Statements<'_>) -> Result<bool, SqliteError> {
        let connection = statements.connection();
        if !self.is_active || !connection.violates_deferred_keys() {
            return Ok(false);
        }
        let Some(before) = &self.before else { return Ok(true) };
        Ok(violations(connection)?.iter().any(|(violation, count)| before.get(violation).is_none_or(|old| old < count)))
    }

    /// Accepts the violations: SQLite does not check them again. If the application's transaction
    /// had violations of its own, SQLite cannot tell them apart, and checks all of them at the end
    /// of the transaction.
    pub(super) fn accept(&self, statements: &Statements<'_>) -> Result<(), SqliteError> {
        if self.before.is_some() {
            return Ok(());
        }
        statements.compile(c"PRAGMA defer_foreign_keys = 0")?;
        if self.was_deferred { statements.compile(c"PRAGMA defer_foreign_keys = 1") } else { Ok(()) }
    }

    /// Restores the state of the application's transaction, at the end of the apply.
    ///
    /// Turning off the deferral makes SQLite forget the violations of the transaction. If there are
    /// any, the deferral stays on until the end of the transaction.
    pub(super) fn restore(&self, statements: &Statements<'_>) {
        let connection = statements.connection();
        let is_changed = self.is_active && !self.was_deferred && connection.is_in_transaction();
        if is_changed && !connection.violates_deferred_keys() {
            let _ = statements.compile(c"PRAGMA defer_foreign_keys = 0");
        }
    }
}

/// The absence of foreign key actions. Dropping it enables them again.
///
/// SQLite keeps the actions with the schema, so it must read the schema again: a table that is
/// created and rolled back makes it do so in every transaction.
///
/// To enable the actions, any savepoint that is rolled back does: the transaction has changed the
/// schema already.
pub(super) struct DisabledActions<'conn>(Connection<'conn>);

const RELOAD: &CStr = c"ROLLBACK TO diesel_sqlite_session_reload; RELEASE diesel_sqlite_session_reload";

/// Makes SQLite read the schema again, for the first time in a transaction.
fn reload(connection: Connection<'_>) -> Result<(), SqliteError> {
    let mut result = Ok(());
    // the database can have tables of these names
    for _ in 0..1000 {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let table = format!("CREATE TABLE main.\"diesel_sqlite_session reload {number}\" (a)\0");
        let table = CStr::from_bytes_with_nul(table.as_bytes()).unwrap_or_default();
        connection.execute(c"SAVEPOINT diesel_sqlite_session_reload")?;
        result = connection.execute(table);
        // an interruption has rolled back the transaction
        let reloaded = connection.execute(RELOAD);
        if result.is_ok() {
            return reloaded;
        }
        if reloaded.is_err() {
            break;
        }
    }
    result
}

/// Makes SQLite read the schema again in a transaction that has changed it.
fn reload_again(connection: Connection<'_>) -> Result<(), SqliteError> {
    let mut result = Ok(());
    // a progress handler can interrupt it
    for _ in 0..100 {
        result =
            connection.execute(c"SAVEPOINT diesel_sqlite_session_reload").and_then(|()| connection.execute(RELOAD));
        if result.is_ok() || !connection.is_in_transaction() {
            break;
        }
    }
    result
}

impl<'conn> DisabledActions<'conn> {
    /// Disables the actions for statements that are compiled from now on.
    pub(super) fn new(statements: &mut Statements<'conn>) -> Result<Self, ApplyError> {
        let connection = statements.connection();
        // another connection would run its statements without the actions
        let failed = |error| ApplyError::Sqlite { operation: "disabling foreign key actions", table: None, error };
        let is_possible = !connection.shares_cache() && connection.can_roll_back().map_err(failed)?;
        if !is_possible || !connection.disable_foreign_key_actions(true) {
            return Err(ApplyError::CannotDisableActions);
        }
        let disabled = Self(connection);
        statements.clear();
        reload(connection).map_err(failed)?;
        Ok(disabled)
    }
}

impl DisabledActions<'_> {
    /// Enables the actions again.
    pub(super) fn enable(self) -> Result<(), SqliteError> {
        let enabled = self.enable_here();
        core::mem::forget(self);
        enabled
    }

    fn enable_here(&self) -> Result<(), SqliteError> {
        self.0.disable_foreign_key_actions(false);
        // if SQLite has rolled back the transaction, it reads the schema again anyway
        if self.0.is_in_transaction() { reload_again(self.0) } else { Ok(()) }
    }
}

impl Drop for DisabledActions<'_> {
    fn drop(&mut self) {
        // on failure the apply is rolled back, which makes SQLite read the schema again too
        let _ = self.enable_here();
    }
}
