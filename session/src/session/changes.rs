//! [`Session`]: the changes that it has recorded, and comparisons of schemas.

use std::vec::Vec;

use diesel::SqliteConnection;

use super::error::SessionError;
use super::tracking::{Session, c_string, text};
use crate::ffi::cache::CacheLimit;
use crate::ffi::error::SqliteError;
use crate::ffi::handle::{Handle, with_handle};
use crate::ffi::session::{Setup, TakeError};
use crate::schema::{DeclaredTable, TrackableTable};
use crate::typed::TrackedSet;
use crate::wire::{Changeset, Format, ParseError, Patchset};

impl Session {
    /// Returns everything that was recorded since the tables were attached, as a changeset.
    ///
    /// Recording continues, and the next call returns the same changes again, together with later
    /// ones. [`take_changeset`](Self::take_changeset) returns only the changes since the last call.
    ///
    /// # Performance
    ///
    /// SQLite looks up each changed row by its primary key, if necessary with a [larger page
    /// cache](Self::set_cache_limit). In one case it reads the whole table for each change instead:
    ///
    /// - the table has rowids,
    /// - its primary key is not an `INTEGER PRIMARY KEY`,
    /// - the key has a column without `NOT NULL`, or more than three columns,
    /// - and the last `ANALYZE` or `PRAGMA optimize` found one or two rows in it.
    ///
    /// 20,000 INSERTs with a `TEXT PRIMARY KEY` then took 11 s instead of 0.03 s. So declare keys
    /// `NOT NULL`, or run `ANALYZE` again when the table has grown.
    ///
    /// # Errors
    ///
    /// - [`SessionError::Sqlite`] if SQLite fails: with `SQLITE_SCHEMA` if a recorded table was
    ///   dropped or has other columns now, and with `SQLITE_NOMEM` if the changes take more than 2
    ///   GiB (use [`write_changeset_to`](super::BorrowedSession::write_changeset_to)). The error names a dropped
    ///   table if it was attached individually.
    /// - [`SessionError::SchemaMismatch`] if a typed table no longer agrees with its declaration
    /// - [`SessionError::NothingAttached`] if no table is attached
    /// - [`SessionError::OtherHook`] if another preupdate hook has replaced the session's
    /// - [`SessionError::OtherTrace`] if another trace function has replaced this crate's (not with
    ///   [`on`](Self::on))
    /// - [`SessionError::TableFilterPanicked`] if the table filter panicked: a table may be missing
    /// - [`SessionError::Malformed`] if SQLite recorded changes that are not well-formed
    /// - [`SessionError::ConnectionClosed`], [`SessionError::Busy`]
    ///
    /// If SQLite fails at a change, or because a table was dropped, the session has lost its
    /// changes, and all later calls fail too. Create another session.
    ///
    /// SQLite:
    /// [`sqlite3session_changeset`](https://www.sqlite.org/session/sqlite3session_changeset.html).
    pub fn changeset(&mut self) -> Result<Changeset, SessionError> {
        self.generate(None, Format::Changeset, Changeset::try_from)
    }

    /// Returns everything that was recorded since the tables were attached, as a patchset.
    /// Recording continues.
    ///
    /// # Errors
    ///
    /// The errors of [`changeset`](Self::changeset).
    ///
    /// SQLite:
    /// [`sqlite3session_patchset`](https://www.sqlite.org/session/sqlite3session_patchset.html).
    pub fn patchset(&mut self) -> Result<Patchset, SessionError> {
        self.generate(None, Format::Patchset, Patchset::try_from)
    }

    /// Returns the changes since the last call, or since the session was created, as a changeset.
    ///
    /// The session then starts again with the same tables, filter and flags. If the call fails, the
    /// session continues unchanged.
    ///
    /// A rollback after the call does not remove changes that it has returned. Call it outside of a
    /// transaction; or store what it returns within the same transaction, as in an outbox that is
    /// sent later.
    ///
    /// ```
    /// use diesel::connection::SimpleConnection;
    /// use diesel::prelude::*;
    /// use diesel_sqlite_session::SqliteSessionExt;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut conn = SqliteConnection::establish(":memory:")?;
    /// conn.batch_execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")?;
    /// let mut session = conn.create_session()?;
    /// session.attach_all()?;
    ///
    /// let mut sent = Vec::new();
    /// for name in ["Ada", "Bob"] {
    ///     conn.batch_execute(&format!("INSERT INTO users (name) VALUES ('{name}')"))?;
    ///     sent.extend(session.take_changeset()?.records().map(|record| record.to_string()));
    /// }
    /// assert_eq!(sent, ["INSERT users(1, 'Ada')", "INSERT users(2, 'Bob')"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`changeset`](Self::changeset).
    pub fn take_changeset(&mut self) -> Result<Changeset, SessionError> {
        self.take(None, Format::Changeset, Changeset::try_from)
    }

    /// Returns the changes since the last call, as a patchset: see
    /// [`take_changeset`](Self::take_changeset).
    ///
    /// # Errors
    ///
    /// The errors of [`changeset`](Self::changeset).
    pub fn take_patchset(&mut self) -> Result<Patchset, SessionError> {
        self.take(None, Format::Patchset, Patchset::try_from)
    }

    pub(super) fn take<T>(
        &mut self,
        handle: Option<Handle<'_>>,
        format: Format,
        check: impl FnOnce(Vec<u8>) -> Result<T, ParseError>,
    ) -> Result<T, SessionError> {
        self.check_recording()?;
        let setup =
            Setup { schema: &self.schema, options: &self.options, tables: &self.attached, all: self.attached_all };
        let cache = CacheLimit { schema: &self.schema, bytes: self.cache_limit };
        let taken = self.raw.take(handle, format, &cache, &setup, check, |connection, known| {
            self.declared.verify(connection, text(&self.schema), self.rowids, known)
        })?;
        taken.map_err(|error| self.taking_failed(handle, format, error))
    }

    /// Returns the recorded changes, and ends the session, which was created in the same transaction.
    pub(super) fn finish(mut self, connection: &mut SqliteConnection) -> Result<Changeset, SessionError> {
        self.check_recording()?;
        let format = Format::Changeset;
        let changes = with_handle(connection, |handle| {
            let cache = CacheLimit { schema: &self.schema, bytes: self.cache_limit };
            let version = self.declared.version();
            let finished = self.raw.finish(handle, format, &cache, version, |connection, known| {
                self.declared.verify(connection, text(&self.schema), self.rowids, known)
            })?;
            finished.map_err(|error| self.taking_failed(Some(handle), format, error))
        })??;
        Changeset::try_from(changes).map_err(SessionError::Malformed)
    }

    pub(super) fn generate<T>(
        &mut self,
        handle: Option<Handle<'_>>,
        format: Format,
        check: impl FnOnce(Vec<u8>) -> Result<T, ParseError>,
    ) -> Result<T, SessionError> {
        self.check_recording()?;
        let cache = CacheLimit { schema: &self.schema, bytes: self.cache_limit };
        let generated = self.raw.generate(handle, format, &cache, |connection, known| {
            self.declared.verify(connection, text(&self.schema), self.rowids, known)
        })?;
        let changes = generated.map_err(|error| self.taking_failed(handle, format, error))?;
        check(changes).map_err(SessionError::Malformed)
    }

    fn taking_failed(
        &self,
        handle: Option<Handle<'_>>,
        format: Format,
        error: TakeError<SessionError>,
    ) -> SessionError {
        match error {
            TakeError::Sqlite(failure) => self.generating_failed(handle, format, failure),
            TakeError::Malformed(error) => SessionError::Malformed(error),
            TakeError::Schema(error) => error,
            TakeError::OtherHook => SessionError::OtherHook,
        }
    }

    /// Returns the error of a failed generation. It names the first attached table that does not
    /// exist any more, which SQLite does not report.
    pub(super) fn generating_failed(
        &self,
        handle: Option<Handle<'_>>,
        format: Format,
        failure: SqliteError,
    ) -> SessionError {
        let mut tables = self.attached.iter().map(|table| text(table));
        let table = tables.find(|table| matches!(self.live(handle, table), Ok(None)));
        let operation = match format {
            Format::Changeset => "generating a changeset",
            Format::Patchset => "generating a patchset",
        };
        SessionError::sqlite(operation, table, failure)
    }

    /// Fails if the session may not have recorded everything that it was told to record.
    pub(super) fn check_recording(&self) -> Result<(), SessionError> {
        if let Some(error) = &self.unset_flag {
            return Err((*error).into());
        }
        if self.attached.is_empty() && !self.attached_all {
            let is_closed = self.raw.is_closed();
            return Err(if is_closed { SessionError::ConnectionClosed } else { SessionError::NothingAttached });
        }
        if self.raw.take_filter_panic() { Err(SessionError::TableFilterPanicked) } else { Ok(()) }
    }

    /// Attaches a table, and records its differences to the table of the same name in the schema
    /// `from`.
    ///
    /// The recorded changes are those that turn the table in `from` into the table of the session's
    /// schema, as if they had just been made.
    ///
    /// # Errors
    ///
    /// - [`SessionError::SchemaMismatch`] as for [`attach`](Self::attach)
    /// - [`SessionError::Sqlite`] if the two tables do not have the same columns and primary key
    /// - [`SessionError::InvalidTableName`] if the name of the schema contains a NUL
    /// - [`SessionError::ConnectionClosed`], [`SessionError::Busy`], [`SessionError::OtherTrace`]
    ///
    /// SQLite: [`sqlite3session_diff`](https://www.sqlite.org/session/sqlite3session_diff.html).
    pub fn diff<T: TrackableTable>(&mut self, from: &str) -> Result<(), SessionError> {
        self.diff_on::<T>(None, from)
    }

    pub(super) fn diff_on<T: TrackableTable>(
        &mut self,
        handle: Option<Handle<'_>>,
        from: &str,
    ) -> Result<(), SessionError> {
        let DeclaredTable(declared) = T::declared();
        self.attach_on::<T>(handle)?;
        self.diff_unchecked(handle, &declared.table, from)
    }

    /// Attaches all tables of the set `S`, and records their differences to those of the schema
    /// `from`: see [`diff`](Self::diff).
    ///
    /// # Errors
    ///
    /// The errors of [`diff`](Self::diff).
    pub fn diff_set<S: TrackedSet>(&mut self, from: &str) -> Result<(), SessionError> {
        self.diff_set_on::<S>(None, from)
    }

    pub(super) fn diff_set_on<S: TrackedSet>(
        &mut self,
        handle: Option<Handle<'_>>,
        from: &str,
    ) -> Result<(), SessionError> {
        self.attach_set_on(handle, S::TABLES)?;
        S::TABLES.iter().try_for_each(|table| self.diff_unchecked(handle, table.table(), from))
    }

    /// Attaches a table whose name is known only at run time, and records its differences: see
    /// [`diff`](Self::diff).
    ///
    /// # Errors
    ///
    /// The errors of [`attach_by_name`](Self::attach_by_name) and [`diff`](Self::diff).
    pub fn diff_by_name(&mut self, table: &str, from: &str) -> Result<(), SessionError> {
        self.diff_by_name_on(None, table, from)
    }

    pub(super) fn diff_by_name_on(
        &mut self,
        handle: Option<Handle<'_>>,
        table: &str,
        from: &str,
    ) -> Result<(), SessionError> {
        self.attach_by_name_on(handle, table)?;
        self.diff_unchecked(handle, table, from)
    }

    fn diff_unchecked(&mut self, handle: Option<Handle<'_>>, table: &str, from: &str) -> Result<(), SessionError> {
        let (from, name) = (c_string(from)?, c_string(table)?);
        let compared = self.raw.diff(handle, &from, &name)?;
        compared.map_err(|failure| SessionError::sqlite("comparing two tables", Some(table), failure))
    }
}
