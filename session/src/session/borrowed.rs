//! [`BorrowedSession`]: the calls of a session that run SQL, on a borrowed connection.

use std::fmt;
use std::io::Write;
use std::vec::Vec;

use diesel::SqliteConnection;

use super::error::SessionError;
use super::tracking::{Session, text};
use crate::ffi::cache::CacheLimit;
use crate::ffi::handle::{Handle, with_handle};
use crate::ffi::schema_watch::KnownSchema;
use crate::ffi::session::StreamError;
use crate::ffi::statement::Connection;
use crate::schema::{TrackableTable, UntrackedTable};
use crate::typed::TrackedSet;
use crate::wire::{Changeset, Format, Patchset};

/// A session with its borrowed connection, returned by [`Session::on`].
///
/// `BorrowedSession` has the methods of [`Session`] that run SQL. The methods do not wait for statements or error
/// messages of other threads. They wait only while another thread uses another session of the same
/// connection. In addition to the errors of the [`Session`] method with the same name, each method
/// fails with:
///
/// - [`SessionError::OtherConnection`] if the connection is not the session's connection
/// - [`SessionError::Handle`] if the connection's handle is not available
pub struct BorrowedSession<'a> {
    session: &'a mut Session,
    connection: &'a mut SqliteConnection,
}

impl Session {
    /// Returns the session together with its borrowed connection, for calls that need not wait.
    ///
    /// A session does not borrow its connection, so [`changeset`](Self::changeset) cannot know
    /// whether another thread is using it, and waits where that is possible: see
    /// [waiting](Self#waiting-and-busy).
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
}

impl fmt::Debug for BorrowedSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}

impl BorrowedSession<'_> {
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Session, Handle<'_>) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        let Self { session, connection } = self;
        with_handle(connection, |handle| work(session, handle))?
    }

    /// Attaches a table: see [`Session::attach`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::attach`] and of [`BorrowedSession`].
    pub fn attach<T: TrackableTable>(&mut self) -> Result<(), SessionError> {
        self.with(|session, handle| session.attach_on::<T>(Some(handle)))
    }

    /// Attaches all tables of the set `S`: see [`Session::attach_set`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::attach_set`] and of [`BorrowedSession`].
    pub fn attach_set<S: TrackedSet>(&mut self) -> Result<(), SessionError> {
        self.with(|session, handle| session.attach_set_on(Some(handle), S::TABLES))
    }

    /// Attaches a table whose name is known only at run time: see [`Session::attach_by_name`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::attach_by_name`] and of [`BorrowedSession`].
    pub fn attach_by_name(&mut self, table: &str) -> Result<(), SessionError> {
        self.with(|session, handle| session.attach_by_name_on(Some(handle), table))
    }

    /// Returns the tables that SQLite does not record: see [`Session::untracked_tables`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::untracked_tables`] and of [`BorrowedSession`].
    pub fn untracked_tables(&mut self) -> Result<Vec<UntrackedTable>, SessionError> {
        self.with(|session, handle| session.untracked_tables_on(Some(handle)))
    }

    /// Attaches a table, and records its differences to that of the schema `from`: see
    /// [`Session::diff`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::diff`] and of [`BorrowedSession`].
    pub fn diff<T: TrackableTable>(&mut self, from: &str) -> Result<(), SessionError> {
        self.with(|session, handle| session.diff_on::<T>(Some(handle), from))
    }

    /// Attaches all tables of the set `S`, and records their differences to those of the schema
    /// `from`: see [`Session::diff_set`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::diff_set`] and of [`BorrowedSession`].
    pub fn diff_set<S: TrackedSet>(&mut self, from: &str) -> Result<(), SessionError> {
        self.with(|session, handle| session.diff_set_on::<S>(Some(handle), from))
    }

    /// Attaches a table whose name is known only at run time, and records its differences: see
    /// [`Session::diff_by_name`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::diff_by_name`] and of [`BorrowedSession`].
    pub fn diff_by_name(&mut self, table: &str, from: &str) -> Result<(), SessionError> {
        self.with(|session, handle| session.diff_by_name_on(Some(handle), table, from))
    }

    /// Returns everything that was recorded since the tables were attached: see
    /// [`Session::changeset`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::changeset`] and of [`BorrowedSession`].
    pub fn changeset(&mut self) -> Result<Changeset, SessionError> {
        self.with(|session, handle| session.generate(Some(handle), Format::Changeset, Changeset::try_from))
    }

    /// Returns everything that was recorded since the tables were attached, as a patchset: see
    /// [`Session::patchset`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::changeset`] and of [`BorrowedSession`].
    pub fn patchset(&mut self) -> Result<Patchset, SessionError> {
        self.with(|session, handle| session.generate(Some(handle), Format::Patchset, Patchset::try_from))
    }

    /// Returns the changes since the last call: see [`Session::take_changeset`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::changeset`] and of [`BorrowedSession`].
    pub fn take_changeset(&mut self) -> Result<Changeset, SessionError> {
        self.with(|session, handle| session.take(Some(handle), Format::Changeset, Changeset::try_from))
    }

    /// Returns the changes since the last call, as a patchset: see [`Session::take_patchset`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::changeset`] and of [`BorrowedSession`].
    pub fn take_patchset(&mut self) -> Result<Patchset, SessionError> {
        self.with(|session, handle| session.take(Some(handle), Format::Patchset, Patchset::try_from))
    }

    /// Writes everything that was recorded so far to `writer`, as a changeset. Recording continues.
    ///
    /// Memory use does not grow with the size of the changeset, which may exceed 2 GiB. The
    /// changeset is written in pieces of about 1 KiB: wrap files and sockets in a
    /// [`BufWriter`](std::io::BufWriter). The connection is borrowed so that the writer cannot change what is being read.
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
    ///     session.on(conn).write_changeset_to(&mut file)?;
    ///     file.flush()?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`SessionError::Io`] if the writer fails
    /// - the errors of [`Session::changeset`] and of [`BorrowedSession`]
    ///
    /// # Panics
    ///
    /// Panics if the writer panics.
    ///
    /// SQLite:
    /// [`sqlite3session_changeset_strm`](https://www.sqlite.org/session/sqlite3changegroup_add_strm.html).
    pub fn write_changeset_to(&mut self, writer: &mut impl Write) -> Result<(), SessionError> {
        self.stream(Format::Changeset, writer)
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
    pub fn write_patchset_to(&mut self, writer: &mut impl Write) -> Result<(), SessionError> {
        self.stream(Format::Patchset, writer)
    }

    fn stream(&mut self, format: Format, writer: &mut dyn Write) -> Result<(), SessionError> {
        self.with(|session, handle| {
            session.check_recording()?;
            let Session { raw, schema, rowids, declared, cache_limit, .. } = &mut *session;
            let cache = CacheLimit { schema, bytes: *cache_limit };
            let verify = |connection: Connection<'_>, known: &mut KnownSchema| {
                declared.verify(connection, text(schema), *rowids, known)
            };
            raw.stream(handle, format, &cache, writer, verify)?.map_err(|error| match error {
                StreamError::Schema(error) => error,
                StreamError::OtherHook => SessionError::OtherHook,
                StreamError::Io(error) => SessionError::Io(error),
                StreamError::Sqlite(failure) => session.generating_failed(Some(handle), format, failure),
            })
        })
    }
}
