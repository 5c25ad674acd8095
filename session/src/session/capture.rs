//! The capture of the changes that a closure makes, behind [`SqliteSessionExt::capture`].

use std::fmt;
use std::marker::PhantomData;
use std::string::String;
use std::sync::{Arc, OnceLock};
use std::vec::Vec;

use diesel::connection::{TransactionManager, TransactionManagerStatus};
use diesel::{Connection, QueryResult, SqliteConnection};

use super::error::SessionError;
use super::tracking::Session;
use crate::SqliteSessionExt;
use crate::ffi::handle::with_handle;
use crate::typed::{DecodeError, FromChanges, TrackedSet};
use crate::wire::Changeset;

/// The value that a closure returned, and the changes that it made. Returned by [`Capture::run`].
///
/// `Debug` shows only the length of the changeset, so that columns that the set
/// [skips](crate::_documentation::derive#skip) are not printed.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Captured<S, T> {
    /// The value that the closure returned.
    pub value: T,
    /// The changes to the tables of the set, one for each changed row.
    pub changes: Vec<S>,
    /// The same changes, untyped: to send them elsewhere, or to [invert](Changeset::invert) them
    /// for undo.
    pub changeset: Changeset,
}

impl<S: fmt::Debug, T: fmt::Debug> fmt::Debug for Captured<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured")
            .field("value", &self.value)
            .field("changes", &self.changes)
            .field("changeset", &format_args!("{} bytes", self.changeset.as_bytes().len()))
            .finish()
    }
}

/// The reason why a capture failed.
///
/// Everything that the closure did is rolled back. Exception: SQLite [ends the
/// transaction](https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction)
/// at some errors. If the closure ignores such an error, its later statements are committed.
///
/// It implements [`Error`](std::error::Error) whatever the closure's error is, even `Box<dyn
/// Error>`. The message of [`Closure`](Self::Closure) is that of the closure's error, and
/// [`RolledBack`](Self::RolledBack) adds a prefix. The closure's error is not the
/// [`source`](std::error::Error::source): match on these two to get it.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaptureError<E> {
    /// The closure failed.
    Closure(E),
    /// The closure failed, and SQLite has rolled back the application's surrounding transaction. Return
    /// an error from that transaction too: later statements in it would be committed one by one.
    RolledBack(E),
    /// The transaction could not be started or committed, or SQLite has ended the surrounding
    /// transaction without a failure of the closure.
    Transaction(diesel::result::Error),
    /// The changes could not be recorded.
    Session(SessionError),
    /// A change does not match the types of the set.
    Decode(DecodeError),
    /// The closure changed a table that is not in the set: see [`Capture::strict`].
    OtherTable {
        /// The table.
        table: String,
    },
}

impl<E: fmt::Display> fmt::Display for CaptureError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closure(error) => error.fmt(f),
            Self::RolledBack(error) => write!(f, "the whole transaction was rolled back: {error}"),
            Self::Transaction(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::OtherTable { table } => {
                write!(
                    f,
                    "table {}: a strict capture changed this table, which is not in its set",
                    table.escape_debug()
                )
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for CaptureError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Closure(_) | Self::RolledBack(_) | Self::OtherTable { .. } => None,
            Self::Transaction(error) => error.source(),
            Self::Session(error) => error.source(),
            Self::Decode(error) => error.source(),
        }
    }
}

impl<E> From<diesel::result::Error> for CaptureError<E> {
    fn from(error: diesel::result::Error) -> Self {
        Self::Transaction(error)
    }
}

impl<E> From<SessionError> for CaptureError<E> {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl<E> From<DecodeError> for CaptureError<E> {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// A capture that has not run yet, created by [`SqliteSessionExt::capture`] or
/// [`SqliteSessionExt::write`].
#[must_use = "nothing runs until `run` or `try_run` is called"]
pub struct Capture<'a, S> {
    connection: &'a mut SqliteConnection,
    is_strict: bool,
    is_immediate: bool,
    set: PhantomData<fn() -> S>,
}

impl<S> fmt::Debug for Capture<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").finish_non_exhaustive()
    }
}

impl<'a, S: for<'r> FromChanges<'r>> Capture<'a, S> {
    pub(crate) fn new(connection: &'a mut SqliteConnection, is_immediate: bool) -> Self {
        Self { connection, is_strict: false, is_immediate, set: PhantomData }
    }

    /// Fails if the closure changes a table that is not in the set, and names the table.
    ///
    /// Otherwise such changes are committed without being captured. Every table of `main` counts,
    /// including tables without a primary key and tables that triggers or foreign key actions change.
    /// A change counts even if the closure undoes it. A strict capture takes longer for each changed
    /// row.
    ///
    /// ```
    /// use diesel::prelude::*;
    /// use diesel_sqlite_session::session::CaptureError;
    /// use diesel_sqlite_session::{Change, SqliteSessionExt, Tracked};
    ///
    /// # diesel::table! { users (id) { id -> Integer, name -> Text, } }
    /// # #[derive(Debug, PartialEq, Tracked)]
    /// # #[diesel(table_name = users)]
    /// # pub struct User { id: i32, name: String }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use diesel::connection::SimpleConnection;
    /// # let mut conn = SqliteConnection::establish(":memory:")?;
    /// # conn.batch_execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL); CREATE TABLE logins (day TEXT)")?;
    /// let captured = conn.capture::<Change<users::table>>().strict().run(|conn| {
    ///     diesel::sql_query("INSERT INTO logins VALUES ('Monday')").execute(conn)
    /// });
    /// assert!(matches!(captured, Err(CaptureError::OtherTable { table }) if table == "logins"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn strict(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// Runs `work` in a transaction. Returns its value and the changes that it made.
    ///
    /// Inside a transaction, it uses a savepoint. If `work` fails, or a change does not match the
    /// set, everything is rolled back.
    ///
    /// # Errors
    ///
    /// - [`CaptureError::Closure`] if `work` fails
    /// - [`CaptureError::RolledBack`] if `work` fails and SQLite has rolled back the surrounding transaction
    /// - [`CaptureError::Transaction`] if the transaction cannot be started or committed, or SQLite has
    ///   ended the surrounding transaction
    /// - [`CaptureError::Session`] if the changes cannot be recorded
    /// - [`CaptureError::Decode`] if a change does not match the types of the set
    /// - [`CaptureError::OtherTable`] if the capture is [strict](Self::strict) and `work` changes
    ///   another table
    pub fn run<T>(
        self,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
    ) -> Result<Captured<S, T>, CaptureError<diesel::result::Error>> {
        self.try_run(work)
    }

    /// Runs `work`, which can fail with any error: see [`run`](Self::run).
    ///
    /// ```
    /// use diesel::prelude::*;
    /// use diesel_sqlite_session::{Change, SqliteSessionExt, Tracked};
    ///
    /// diesel::table! {
    ///     users (id) {
    ///         id -> Integer,
    ///         name -> Text,
    ///     }
    /// }
    ///
    /// #[derive(Debug, PartialEq, Tracked)]
    /// #[diesel(table_name = users)]
    /// pub struct User {
    ///     id: i32,
    ///     name: String,
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = SqliteConnection::establish(":memory:")?;
    /// # diesel::sql_query("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)").execute(&mut conn)?;
    /// let captured = conn.capture::<Change<users::table>>().try_run(|conn| {
    ///     diesel::insert_into(users::table).values((users::id.eq(1), users::name.eq("Ada"))).execute(conn)?;
    ///     if users::table.count().first::<i64>(conn)? > 100 {
    ///         return Err("too many users".into());
    ///     }
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// });
    /// assert_eq!(captured?.changes.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Self::run).
    pub fn try_run<T, E>(
        self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, E>,
    ) -> Result<Captured<S, T>, CaptureError<E>> {
        let is_strict = self.is_strict;
        let capture = |connection: &mut SqliteConnection| {
            let session = Session::track::<S>(connection)?;
            let others = if is_strict { Some(OtherTables::watch::<S>(connection)?) } else { None };
            let value = work(connection).map_err(CaptureError::Closure)?;
            if let Some(table) = others.and_then(OtherTables::into_first) {
                return Err(CaptureError::OtherTable { table });
            }
            let changeset = session.finish(connection)?;
            let changes = changeset.changes().collect::<Result<_, _>>()?;
            Ok(Captured { value, changes, changeset })
        };
        let is_inside = matches!(status(self.connection).transaction_depth(), Ok(Some(_)));
        if is_inside && !has_transaction(self.connection)? {
            // SQLite has rolled it back: what the capture changes would be committed alone
            return Err(CaptureError::Transaction(diesel::result::Error::BrokenTransactionManager));
        }
        // the error of the closure is better than that of a rollback which fails because of it
        let mut failure = None;
        let capture = |connection: &mut SqliteConnection| {
            capture(connection).map_err(|error| {
                failure = Some(error);
                diesel::result::Error::RollbackTransaction
            })
        };
        let captured = match self.is_immediate && !is_inside {
            true => self.connection.immediate_transaction(capture),
            false => self.connection.transaction(capture),
        };
        captured.map_err(|error| {
            let is_lost = is_inside && !has_transaction(self.connection).unwrap_or(true);
            if !is_inside {
                end_transaction(self.connection);
            }
            match failure {
                Some(CaptureError::Closure(error)) if is_lost => CaptureError::RolledBack(error),
                Some(failure) if !is_lost => failure,
                _ => CaptureError::Transaction(error),
            }
        })
    }
}

/// Returns whether SQLite has a transaction.
fn has_transaction(connection: &mut SqliteConnection) -> Result<bool, SessionError> {
    Ok(with_handle(connection, |handle| handle.is_in_transaction())?)
}

/// Returns what Diesel knows of the transaction.
fn status(connection: &mut SqliteConnection) -> &mut TransactionManagerStatus {
    type Manager = <SqliteConnection as Connection>::TransactionManager;
    <Manager as TransactionManager<SqliteConnection>>::transaction_manager_status_mut(connection)
}

/// Resets Diesel's transaction status after SQLite has rolled back a transaction by itself, for example
/// because the disk is full. Diesel fails to roll it back again, and would refuse later transactions.
fn end_transaction(connection: &mut SqliteConnection) {
    let is_broken = status(connection).transaction_depth().is_err();
    if is_broken && !has_transaction(connection).unwrap_or(true) {
        *status(connection) = TransactionManagerStatus::default();
    }
}

/// The tables outside of a set that are changed: a session whose filter is asked about each changed
/// table, and which records none.
struct OtherTables {
    session: Session,
    first: Arc<OnceLock<String>>,
}

impl OtherTables {
    fn watch<S: TrackedSet>(connection: &mut SqliteConnection) -> Result<Self, SessionError> {
        let mut session = connection.create_session()?;
        let first = Arc::<OnceLock<String>>::default();
        let changed = Arc::clone(&first);
        session.set_table_filter(move |table| {
            if !S::TABLES.iter().any(|known| known.table().eq_ignore_ascii_case(table)) {
                changed.get_or_init(|| table.into());
            }
            false
        })?;
        session.attach_all()?;
        Ok(Self { session, first })
    }

    /// Returns the table that was changed first.
    fn into_first(self) -> Option<String> {
        drop(self.session);
        self.first.get().cloned()
    }
}
