//! [`Session`]: the changes that it has recorded, and comparisons of schemas.

use std::ffi::CString;
use std::fmt;
use std::io::Write;
use std::string::String;
use std::vec::Vec;

use diesel::SqliteConnection;

use super::error::SessionError;
use super::tracking::{Session, c_string};
use crate::ffi::cache::CacheLimit;
use crate::ffi::error::SqliteError;
use crate::ffi::handle::{Handle, with_handle};
use crate::ffi::schema_watch::KnownSchema;
use crate::ffi::session::{Setup, StreamError, TakeError};
use crate::ffi::statement::Connection;
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
    ///   GiB (use [`write_changeset_to`](Self::write_changeset_to)). The error names a dropped
    ///   table if it was attached individually.
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

    /// Returns the session together with its connection, to take changes without waiting.
    ///
    /// A session does not borrow its connection, so [`changeset`](Self::changeset) cannot know
    /// whether another thread is using it, and waits where that is possible: see [waiting](Self#waiting-and-busy).
    /// With the borrowed connection nothing is left to wait for.
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
    /// conn.batch_execute("INSERT INTO users (name) VALUES ('Ada')")?;
    ///
    /// let changeset = session.on(&mut conn).take_changeset()?;
    /// assert_eq!(changeset.records().count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BorrowedSession<'a> {
        BorrowedSession { session: self, connection }
    }

    fn take<T>(
        &mut self,
        handle: Option<Handle<'_>>,
        format: Format,
        check: impl FnOnce(Vec<u8>) -> Result<T, ParseError>,
    ) -> Result<T, SessionError> {
        self.check_recording()?;
        let schema = c_string(&self.schema)?;
        let tables: Vec<CString> = self.attached.iter().map(|table| c_string(table)).collect::<Result<_, _>>()?;
        let setup = Setup { schema: &schema, options: &self.options, tables: &tables, all: self.attached_all };
        let cache = CacheLimit { schema: &self.schema, bytes: self.cache_limit };
        let taken = self.raw.take(handle, format, &cache, &setup, check, |connection, known| {
            self.declared.verify(connection, &self.schema, self.rowids, known)
        })?;
        taken.map_err(|error| self.taking_failed(format, error))
    }

    fn generate<T>(
        &mut self,
        handle: Option<Handle<'_>>,
        format: Format,
        check: impl FnOnce(Vec<u8>) -> Result<T, ParseError>,
    ) -> Result<T, SessionError> {
        self.check_recording()?;
        let cache = CacheLimit { schema: &self.schema, bytes: self.cache_limit };
        let generated = self.raw.generate(handle, format, &cache, |connection, known| {
            self.declared.verify(connection, &self.schema, self.rowids, known)
        })?;
        let changes = generated.map_err(|error| self.taking_failed(format, error))?;
        check(changes).map_err(SessionError::Malformed)
    }

    fn taking_failed(&self, format: Format, error: TakeError<SessionError>) -> SessionError {
        match error {
            TakeError::Sqlite(failure) => self.generating_failed(format, failure),
            TakeError::Malformed(error) => SessionError::Malformed(error),
            TakeError::Schema(error) => error,
            TakeError::OtherConnection => SessionError::OtherConnection,
            TakeError::OtherHook => SessionError::OtherHook,
        }
    }

    /// Returns the error of a failed generation. It names the first attached table that does not
    /// exist any more, which SQLite does not report.
    fn generating_failed(&self, format: Format, failure: SqliteError) -> SessionError {
        let is_gone = |table: &&String| matches!(self.live(table), Ok(None));
        let table = self.attached.iter().find(is_gone);
        let operation = match format {
            Format::Changeset => "generating a changeset",
            Format::Patchset => "generating a patchset",
        };
        SessionError::sqlite(operation, table.map(String::as_str), failure)
    }

    /// Fails if the session may not have recorded everything that it was told to record.
    fn check_recording(&self) -> Result<(), SessionError> {
        if let Some(error) = &self.unset_flag {
            return Err((*error).into());
        }
        if self.attached.is_empty() && !self.attached_all {
            let is_closed = self.raw.is_closed();
            return Err(if is_closed { SessionError::ConnectionClosed } else { SessionError::NothingAttached });
        }
        if self.raw.take_filter_panic() { Err(SessionError::TableFilterPanicked) } else { Ok(()) }
    }

    /// Writes everything that was recorded so far to `writer`, as a changeset. Recording continues.
    ///
    /// Memory use does not grow with the size of the changeset, which may exceed 2 GiB. The
    /// changeset is written in pieces of about 1 KiB: use a [`BufWriter`](std::io::BufWriter) if
    /// that matters.
    ///
    /// `connection` must be the session's own connection. It is borrowed so that the writer cannot
    /// change what is being read.
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::{BufWriter, Write};
    ///
    /// use diesel_sqlite_session::Session;
    ///
    /// # #[allow(dead_code)]
    /// fn export(
    ///     session: &mut Session,
    ///     conn: &mut diesel::SqliteConnection,
    /// ) -> Result<(), Box<dyn std::error::Error>> {
    ///     let mut file = BufWriter::new(File::create("changes.bin")?);
    ///     session.write_changeset_to(conn, &mut file)?;
    ///     file.flush()?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`SessionError::Io`] if the writer fails
    /// - [`SessionError::OtherConnection`] if `connection` is not the session's connection
    /// - [`SessionError::Handle`] if the connection's handle is not available
    /// - the errors of [`changeset`](Self::changeset)
    ///
    /// # Panics
    ///
    /// Panics if the writer panics.
    ///
    /// SQLite:
    /// [`sqlite3session_changeset_strm`](https://www.sqlite.org/session/sqlite3changegroup_add_strm.html).
    pub fn write_changeset_to(
        &mut self,
        connection: &mut SqliteConnection,
        writer: &mut impl Write,
    ) -> Result<(), SessionError> {
        self.stream(connection, Format::Changeset, writer)
    }

    /// Writes everything that was recorded so far to `writer`, as a patchset: see
    /// [`write_changeset_to`](Self::write_changeset_to).
    ///
    /// # Errors
    ///
    /// The errors of [`write_changeset_to`](Self::write_changeset_to).
    ///
    /// # Panics
    ///
    /// Panics if the writer panics.
    pub fn write_patchset_to(
        &mut self,
        connection: &mut SqliteConnection,
        writer: &mut impl Write,
    ) -> Result<(), SessionError> {
        self.stream(connection, Format::Patchset, writer)
    }

    fn stream(
        &mut self,
        connection: &mut SqliteConnection,
        format: Format,
        writer: &mut dyn Write,
    ) -> Result<(), SessionError> {
        self.check_recording()?;
        let cache = CacheLimit { schema: &self.schema, bytes: self.cache_limit };
        let verify = |connection: Connection<'_>, known: &mut KnownSchema| {
            self.declared.verify(connection, &self.schema, self.rowids, known)
        };
        let streamed = with_handle(connection, |handle| self.raw.stream(handle, format, &cache, writer, verify))??;
        streamed.map_err(|error| match error {
            StreamError::Schema(error) => error,
            StreamError::OtherHook => SessionError::OtherHook,
            StreamError::Io(error) => SessionError::Io(error),
            StreamError::OtherConnection => SessionError::OtherConnection,
            StreamError::Sqlite(failure) => self.generating_failed(format, failure),
        })
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
    /// - [`SessionError::ConnectionClosed`], [`SessionError::Busy`]
    ///
    /// SQLite: [`sqlite3session_diff`](https://www.sqlite.org/session/sqlite3session_diff.html).
    pub fn diff<T: TrackableTable>(&mut self, from: &str) -> Result<(), SessionError> {
        let DeclaredTable(declared) = T::declared();
        self.attach::<T>()?;
        self.diff_unchecked(&declared.table, from)
    }

    /// Attaches all tables of the set `S`, and records their differences to those of the schema
    /// `from`: see [`diff`](Self::diff).
    ///
    /// # Errors
    ///
    /// The errors of [`diff`](Self::diff).
    pub fn diff_set<S: TrackedSet>(&mut self, from: &str) -> Result<(), SessionError> {
        self.attach_set::<S>()?;
        S::TABLES.iter().try_for_each(|table| self.diff_unchecked(table.table(), from))
    }

    /// Attaches a table whose name is known only at run time, and records its differences: see
    /// [`diff`](Self::diff).
    ///
    /// # Errors
    ///
    /// The errors of [`attach_by_name`](Self::attach_by_name) and [`diff`](Self::diff).
    pub fn diff_by_name(&mut self, table: &str, from: &str) -> Result<(), SessionError> {
        self.attach_by_name(table)?;
        self.diff_unchecked(table, from)
    }

    fn diff_unchecked(&mut self, table: &str, from: &str) -> Result<(), SessionError> {
        let (from, name) = (c_string(from)?, c_string(table)?);
        let compared = self.raw.diff(&from, &name)?;
        compared.map_err(|failure| SessionError::sqlite("comparing two tables", Some(table), failure))
    }
}

/// A session with its borrowed connection, returned by [`Session::on`].
pub struct BorrowedSession<'a> {
    session: &'a mut Session,
    connection: &'a mut SqliteConnection,
}

impl fmt::Debug for BorrowedSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}

impl BorrowedSession<'_> {
    /// Returns everything that was recorded since the tables were attached: see
    /// [`Session::changeset`].
    ///
    /// # Errors
    ///
    /// - [`SessionError::OtherConnection`] if the connection is not the session's connection
    /// - [`SessionError::Handle`] if the connection's handle is not available
    /// - the errors of [`Session::changeset`]
    pub fn changeset(&mut self) -> Result<Changeset, SessionError> {
        let Self { session, connection } = self;
        with_handle(connection, |handle| session.generate(Some(handle), Format::Changeset, Changeset::try_from))?
    }

    /// Returns everything that was recorded since the tables were attached, as a patchset: see
    /// [`Session::patchset`].
    ///
    /// # Errors
    ///
    /// The errors of [`changeset`](Self::changeset).
    pub fn patchset(&mut self) -> Result<Patchset, SessionError> {
        let Self { session, connection } = self;
        with_handle(connection, |handle| session.generate(Some(handle), Format::Patchset, Patchset::try_from))?
    }

    /// Returns the changes since the last call: see [`Session::take_changeset`].
    ///
    /// # Errors
    ///
    /// The errors of [`changeset`](Self::changeset).
    pub fn take_changeset(&mut self) -> Result<Changeset, SessionError> {
        let Self { session, connection } = self;
        with_handle(connection, |handle| session.take(Some(handle), Format::Changeset, Changeset::try_from))?
    }

    /// Returns the changes since the last call, as a patchset: see [`Session::take_patchset`].
    ///
    /// # Errors
    ///
    /// The errors of [`changeset`](Self::changeset).
    pub fn take_patchset(&mut self) -> Result<Patchset, SessionError> {
        let Self { session, connection } = self;
        with_handle(connection, |handle| session.take(Some(handle), Format::Patchset, Patchset::try_from))?
    }
}
