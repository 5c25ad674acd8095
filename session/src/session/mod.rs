//! [`Session`]: what changes on a connection, recorded.

mod capture;
mod error;

use std::ffi::CString;
use std::fmt;
use std::io::Write;
use std::string::String;
use std::vec::Vec;

use diesel::SqliteConnection;

pub use self::capture::{Capture, CaptureError, Captured};
pub use self::error::SessionError;
use crate::ffi::cache::CacheLimit;
pub use crate::ffi::error::{HandleError, SqliteError};
use crate::ffi::handle::with_handle;
use crate::ffi::session::{CreateError, ObjectConfig, RawSession, Setup, StreamError, TakeError, Unavailable};
use crate::ffi::statement::Connection;
use crate::schema::{self, DeclaredTable, LiveTable};
pub use crate::schema::{SchemaMismatch, TrackableTable, UntrackedTable};
use crate::wire::{Changeset, Format, ParseError, Patchset};

/// Records the changes made on a `SqliteConnection`, from the moment a table is attached, by whichever means they are made:
/// an object of [`sqlite3session_create`](https://www.sqlite.org/session/sqlite3session_create.html).
///
/// A session does not borrow the connection. It may be dropped before or after it, kept elsewhere or sent to another thread;
/// once the connection is closed, every call answers [`SessionError::ConnectionClosed`]. Inside a callback of its connection
/// (a table filter, a writer, a conflict handler) calls that SQLite could not bear answer [`SessionError::Busy`].
///
/// Nor does it need the connection to be at rest: while another thread works with that, a call waits its turn. What takes
/// changes, compares tables or looks at the schema runs SQL; it waits until no statement has rows left to be read
/// (`load_iter`) and until the message of an error has surely been read, for which it takes ten milliseconds after the
/// connection's last failure, or a second where that was on another thread and nothing has succeeded since. After five seconds
/// the answer is [`SessionError::Busy`]. Known limit: a thread that is suspended for longer than that, just between an error
/// and Diesel's reading of it, may read another.
///
/// What is recorded is the difference to the state before: a row that is inserted and deleted again leaves nothing. Rows with
/// NULL in their key are not recorded. What is rolled back is not in the changes.
///
/// On a pooled connection a session outlives the check-out and sees what the next user writes: drop it before the connection
/// goes back.
///
/// SQLite has one preupdate hook for each connection, and a session takes it. It has one trace function, and this crate takes
/// that, to be told when the connection closes.
pub struct Session {
    raw: RawSession,
    schema: String,
    rowids: bool,
    /// The tables that were attached by themselves.
    attached: Vec<String>,
    /// Whether all tables were.
    attached_all: bool,
    options: Vec<ObjectConfig>,
    cache_limit: u64,
    /// Why a flag was not set that says what is recorded.
    unset_flag: Option<Unavailable>,
}

/// See [`Session::set_cache_limit`].
const CACHE_LIMIT: u64 = 128 << 20;

impl Session {
    pub(crate) fn create(connection: &mut SqliteConnection, schema: &str) -> Result<Self, SessionError> {
        let name = c_string(schema)?;
        let created = with_handle(connection, |handle| {
            // SQLite would take any name, and record nothing
            Connection::from(handle).has_schema(&name).then(|| RawSession::create(handle, &name))
        })?;
        let Some((created, remains)) = created else {
            return Err(SessionError::NoSuchSchema { schema: schema.into() });
        };
        drop(remains);
        match created {
            Ok(raw) => Ok(Self {
                raw,
                schema: schema.into(),
                rowids: false,
                attached: Vec::new(),
                attached_all: false,
                options: Vec::new(),
                cache_limit: CACHE_LIMIT,
                unset_flag: None,
            }),
            Err(CreateError::Unavailable(unavailable)) => Err(unavailable.into()),
            Err(CreateError::Sqlite(failure)) => Err(SessionError::sqlite("creating a session", None, failure)),
        }
    }

    /// Records the changes of a table, after a look at whether `table!` agrees with the database on the columns' names, their
    /// order and the key. Generated columns are in no change, so they may be in `table!` or not.
    ///
    /// # Errors
    ///
    /// [`SessionError::SchemaMismatch`] if it does not, or if SQLite would not record the table: it has no primary key, is a
    /// view, is virtual, or is not there.
    pub fn attach<T: TrackableTable>(&mut self) -> Result<(), SessionError> {
        let DeclaredTable(declared) = T::declared();
        let live = self.live(&declared.table)?;
        schema::check_declared(&declared, live.as_ref(), self.rowids)?;
        self.attach_unchecked(&declared.table)
    }

    /// Records the changes of all tables of a set, after a look at each as [`attach`](Self::attach) takes. If one is not what the
    /// set says, none is attached.
    ///
    /// Columns that the set [skips](crate::_documentation::derive#skip) are recorded all the same.
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach).
    pub fn attach_set<S: crate::typed::TrackedSet>(&mut self) -> Result<(), SessionError> {
        for table in S::TABLES {
            let live = self.live(table.table())?;
            schema::check_declared(&(*table).into(), live.as_ref(), self.rowids)?;
        }
        S::TABLES.iter().try_for_each(|table| self.attach_unchecked(table.table()))
    }

    /// Records the changes of a table whose name is known at run time alone.
    ///
    /// # Errors
    ///
    /// [`SessionError::SchemaMismatch`] if SQLite would not record the table: it has no primary key, is a view, is virtual, or
    /// is not there. [`SessionError::InvalidTableName`] for a name with a NUL in it.
    pub fn attach_by_name(&mut self, table: &str) -> Result<(), SessionError> {
        c_string(table)?;
        let live = self.live(table)?;
        schema::check_recordable(table, live.as_ref(), self.rowids)?;
        self.attach_unchecked(table)
    }

    /// Records the changes of all tables that have a primary key, those too that are created later, as far as the
    /// [filter](Self::set_table_filter) lets them. [`untracked_tables`](Self::untracked_tables) says which have none.
    ///
    /// Among them are the shadow tables of FTS5 and the like, and after `ANALYZE` the table `sqlite_stat1`.
    ///
    /// # Errors
    ///
    /// [`SessionError::Sqlite`] if SQLite fails.
    pub fn attach_all(&mut self) -> Result<(), SessionError> {
        let attached = self.raw.attach(None)?;
        attached.map_err(|failure| SessionError::sqlite("attaching all tables", None, failure))?;
        self.attached_all = true;
        Ok(())
    }

    fn attach_unchecked(&mut self, table: &str) -> Result<(), SessionError> {
        let name = c_string(table)?;
        let attached = self.raw.attach(Some(&name))?;
        attached.map_err(|failure| SessionError::sqlite("attaching a table", Some(table), failure))?;
        self.attached.push(table.into());
        Ok(())
    }

    fn live(&self, table: &str) -> Result<Option<LiveTable>, SessionError> {
        let live = self.raw.query(|connection| LiveTable::read(connection, &self.schema, table))?;
        live.map_err(|failure| SessionError::sqlite("reading the schema", Some(table), failure))
    }

    /// The tables that exist and that [`attach_all`](Self::attach_all) does not see, with the reasons.
    ///
    /// # Errors
    ///
    /// [`SessionError::Sqlite`] if SQLite fails.
    pub fn untracked_tables(&self) -> Result<Vec<UntrackedTable>, SessionError> {
        let tables = self.raw.query(|connection| schema::untracked_tables(connection, &self.schema, self.rowids))?;
        tables.map_err(|failure| SessionError::sqlite("reading the schema", None, failure))
    }

    /// Asks `filter` once for each table, at its first change, whether to record it:
    /// [`sqlite3session_table_filter`](https://www.sqlite.org/session/sqlite3session_table_filter.html). It is asked for the
    /// tables that [`attach_all`](Self::attach_all) brings in, not for those attached by themselves.
    ///
    /// If it panics, the table is not recorded, and the next call for changes is [`SessionError::TableFilterPanicked`].
    ///
    /// # Errors
    ///
    /// [`SessionError::ConnectionClosed`] or [`SessionError::Busy`].
    pub fn set_table_filter(&mut self, filter: impl FnMut(&str) -> bool + Send + 'static) -> Result<(), SessionError> {
        Ok(self.raw.set_filter(std::boxed::Box::new(filter))?)
    }

    /// Also records tables without a primary key, by their rowids, which then stand before the other columns
    /// ([`SQLITE_SESSION_OBJCONFIG_ROWID`](https://www.sqlite.org/session/c_session_objconfig_rowid.html)). Such a change can be
    /// applied only to a table without a primary key too. To be called before a table is attached.
    ///
    /// # Errors
    ///
    /// [`SessionError::Sqlite`] if a table is attached already.
    pub fn track_rowids(&mut self) -> Result<(), SessionError> {
        self.configure(ObjectConfig::Rowid)?;
        self.rowids = true;
        Ok(())
    }

    /// How many bytes SQLite's page cache may take while changes are generated: 128 MiB, if this is not called; with 0 the cache is
    /// left alone.
    ///
    /// To generate changes, SQLite looks up each row that was changed, in the order of its hash table: all over the database. With
    /// the [2 MB](https://www.sqlite.org/pragma.html#pragma_cache_size) that its cache holds by default, nearly each row of a large
    /// file is another read. Therefore the connection's `cache_size` is raised for the time of the call where the session takes
    /// [512 KiB](Self::memory_used) or more (some 6,000 rows), its database is a file, and the whole file fits: into this limit
    /// and into twice the memory that the session takes, or into the cache as it is. (The connections of a process may share the
    /// room in their caches, with libsqlite3-sys they do, and then one leaves another none.) Afterwards, also after an error or a
    /// panic of a writer, `cache_size` is what it was; what was read beyond it is given back.
    ///
    /// How many times faster this makes it, 100,000 rows: 1.5 to 2 for random keys, 1 for ascending integers; with another
    /// connection in the process that has read much, 2.3 to 2.9 and 5.5. 1,000,000 rows with random keys: 1.3 to 1.5.
    /// `cargo bench -p diesel-sqlite-session-benches --bench generation` measures it.
    ///
    /// `PRAGMA mmap_size`, on connections where a
    /// [memory-mapped file](https://www.sqlite.org/mmap.html) is acceptable, does as much and a little more. It is not touched.
    pub fn set_cache_limit(&mut self, bytes: u64) {
        self.cache_limit = bytes;
    }

    /// Keeps count of the size that a changeset would have: see [`changeset_size`](Self::changeset_size). To be called before
    /// a table is attached.
    ///
    /// # Errors
    ///
    /// [`SessionError::AttachedAlready`].
    pub fn track_size(&mut self) -> Result<(), SessionError> {
        self.configure(ObjectConfig::Size)
    }

    fn configure(&mut self, option: ObjectConfig) -> Result<(), SessionError> {
        let configured = self.raw.configure(option)?;
        // the one reason that there is
        configured.map_err(|_| SessionError::AttachedAlready)?;
        self.options.push(option);
        Ok(())
    }

    /// Everything that was recorded since the tables were attached, as a changeset. Recording goes on, and the next call gives all
    /// of it again, with what came since: [`take_changeset`](Self::take_changeset) gives the changes between two calls.
    ///
    /// SQLite looks up each row that was changed, with a page cache that can be [larger](Self::set_cache_limit) meanwhile. It does
    /// so by the key, except in one case: in a table with rowids whose key is not an `INTEGER PRIMARY KEY`, and has columns without
    /// `NOT NULL` or more than three columns, it reads the whole table for each change if `ANALYZE` or `PRAGMA optimize` has last
    /// found one or two rows there. 20,000 INSERTs with a key `TEXT PRIMARY KEY` took 11 s then, and 0.03 s otherwise. So declare
    /// keys `NOT NULL`, or run `ANALYZE` again when the table has grown.
    ///
    /// # Errors
    ///
    /// [`SessionError::Sqlite`] if SQLite fails: with `SQLITE_SCHEMA` if a table that was recorded is gone (the error
    /// names it, if it was attached by itself) or has other columns, with `SQLITE_NOMEM` if the changes take more than 2 GiB: see
    /// [`write_changeset_to`](Self::write_changeset_to). A session that failed so at a change, or because its table was gone, has lost what
    /// it recorded and fails from then on: create another.
    pub fn changeset(&mut self) -> Result<Changeset, SessionError> {
        Changeset::try_from(self.generate(Format::Changeset)?).map_err(SessionError::Malformed)
    }

    /// The same as a patchset: all of it, at each call. Recording goes on.
    ///
    /// # Errors
    ///
    /// As [`changeset`](Self::changeset).
    pub fn patchset(&mut self) -> Result<Patchset, SessionError> {
        Patchset::try_from(self.generate(Format::Patchset)?).map_err(SessionError::Malformed)
    }

    /// What was recorded since the session began, or since this was called last: as [`changeset`](Self::changeset), but the session
    /// then begins anew, with the same tables, filter and flags. Where it fails, it goes on as it was.
    ///
    /// A transaction that is rolled back afterwards takes nothing out of what it gave. So call it outside of one, or keep in the
    /// transaction itself what it gives, as in an outbox that is sent later.
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
    /// As [`changeset`](Self::changeset).
    pub fn take_changeset(&mut self) -> Result<Changeset, SessionError> {
        self.take(Format::Changeset, Changeset::try_from)
    }

    /// As [`take_changeset`](Self::take_changeset), as a patchset.
    ///
    /// # Errors
    ///
    /// As [`changeset`](Self::changeset).
    pub fn take_patchset(&mut self) -> Result<Patchset, SessionError> {
        self.take(Format::Patchset, Patchset::try_from)
    }

    fn take<T>(
        &mut self,
        format: Format,
        check: impl FnOnce(Vec<u8>) -> Result<T, ParseError>,
    ) -> Result<T, SessionError> {
        self.check_recording()?;
        let schema = c_string(&self.schema)?;
        let tables: Vec<CString> = self.attached.iter().map(|table| c_string(table)).collect::<Result<_, _>>()?;
        let setup = Setup { schema: &schema, options: &self.options, tables: &tables, all: self.attached_all };
        let taken = self.raw.take(format, &self.cache(), &setup, check)?;
        taken.map_err(|error| match error {
            TakeError::Sqlite(failure) => self.generating_failed(format, failure),
            TakeError::Malformed(error) => SessionError::Malformed(error),
        })
    }

    fn generate(&mut self, format: Format) -> Result<Vec<u8>, SessionError> {
        self.check_recording()?;
        let generated = self.raw.generate(format, &self.cache())?;
        generated.map_err(|failure| self.generating_failed(format, failure))
    }

    fn cache(&self) -> CacheLimit<'_> {
        CacheLimit { schema: &self.schema, bytes: self.cache_limit }
    }

    /// The error of a failure to generate, with the first attached table that is gone: SQLite does not say which one is.
    fn generating_failed(&self, format: Format, failure: SqliteError) -> SessionError {
        let is_gone = |table: &&String| matches!(self.live(table), Ok(None));
        let table = self.attached.iter().find(is_gone);
        let operation = match format {
            Format::Changeset => "generating a changeset",
            Format::Patchset => "generating a patchset",
        };
        SessionError::sqlite(operation, table.map(String::as_str), failure)
    }

    /// Whether it has recorded what it was told to.
    fn check_recording(&self) -> Result<(), SessionError> {
        if let Some(error) = &self.unset_flag {
            return Err((*error).into());
        }
        if self.raw.take_filter_panic() { Err(SessionError::TableFilterPanicked) } else { Ok(()) }
    }

    /// Writes all that was recorded so far to `writer`, as [`changeset`](Self::changeset) gives it, in pieces of about 1 KiB: use a `BufWriter` where that
    /// matters. `connection` is the session's own: it is borrowed so that the writer cannot change what is being read.
    ///
    /// # Errors
    ///
    /// [`SessionError::Io`] if the writer fails, [`SessionError::OtherConnection`] if the connection is not the session's, and
    /// as [`changeset`](Self::changeset).
    ///
    /// # Panics
    ///
    /// If the writer does.
    pub fn write_changeset_to(
        &mut self,
        connection: &mut SqliteConnection,
        writer: &mut impl Write,
    ) -> Result<(), SessionError> {
        self.stream(connection, Format::Changeset, writer)
    }

    /// Writes all that was recorded so far to `writer`, as a patchset: see [`write_changeset_to`](Self::write_changeset_to).
    ///
    /// # Errors
    ///
    /// As [`write_changeset_to`](Self::write_changeset_to).
    ///
    /// # Panics
    ///
    /// If the writer does.
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
        let cache = self.cache();
        let streamed = with_handle(connection, |handle| self.raw.stream(handle, format, &cache, writer))??;
        streamed.map_err(|error| match error {
            StreamError::Io(error) => SessionError::Io(error),
            StreamError::OtherConnection => SessionError::OtherConnection,
            StreamError::Sqlite(failure) => self.generating_failed(format, failure),
        })
    }

    /// Records how a table of the session's schema differs from the table of the same name in the schema `from`, as if the
    /// changes that lead from that one to this had just been made:
    /// [`sqlite3session_diff`](https://www.sqlite.org/session/sqlite3session_diff.html).
    ///
    /// # Errors
    ///
    /// [`SessionError::SchemaMismatch`] as [`attach`](Self::attach); [`SessionError::Sqlite`] if the two tables do not have the
    /// same columns and key.
    pub fn diff<T: TrackableTable>(&mut self, from: &str) -> Result<(), SessionError> {
        let DeclaredTable(declared) = T::declared();
        self.attach::<T>()?;
        self.diff_unchecked(&declared.table, from)
    }

    /// As [`diff`](Self::diff), for all tables of a set.
    ///
    /// # Errors
    ///
    /// As [`diff`](Self::diff).
    pub fn diff_set<S: crate::typed::TrackedSet>(&mut self, from: &str) -> Result<(), SessionError> {
        self.attach_set::<S>()?;
        S::TABLES.iter().try_for_each(|table| self.diff_unchecked(table.table(), from))
    }

    /// As [`diff`](Self::diff), for a table whose name is known at run time alone.
    ///
    /// # Errors
    ///
    /// As [`attach_by_name`](Self::attach_by_name) and [`diff`](Self::diff).
    pub fn diff_by_name(&mut self, table: &str, from: &str) -> Result<(), SessionError> {
        self.attach_by_name(table)?;
        self.diff_unchecked(table, from)
    }

    fn diff_unchecked(&mut self, table: &str, from: &str) -> Result<(), SessionError> {
        let (from, name) = (c_string(from)?, c_string(table)?);
        let compared = self.raw.diff(&from, &name)?;
        compared.map_err(|failure| SessionError::sqlite("comparing two tables", Some(table), failure))
    }

    /// Whether nothing has been recorded. A row that was changed and changed back counts as recorded here, though no changeset
    /// has it: this does not say whether [`changeset`](Self::changeset) will be empty. `true` too when the connection is closed.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty().unwrap_or(true)
    }

    /// Whether the connection has been closed.
    pub fn is_closed(&self) -> bool {
        self.raw.is_closed()
    }

    /// Pauses recording, or goes on with it. What is changed meanwhile is not recorded, nor are later changes of the same row
    /// complete: see [`sqlite3session_enable`](https://www.sqlite.org/session/sqlite3session_enable.html).
    ///
    /// Where another thread is not done with the connection in time, no changes are given any more: they answer
    /// [`SessionError::Busy`].
    pub fn set_enabled(&mut self, enabled: bool) {
        self.unset_flag = self.unset_flag.or(self.raw.enable(enabled.into()).err());
    }

    /// Whether the session records. `false` when the connection is closed.
    pub fn is_enabled(&self) -> bool {
        self.raw.enable(-1).unwrap_or(false)
    }

    /// Marks what is recorded from now on as [indirect](https://www.sqlite.org/session/sqlite3session_indirect.html), or no
    /// longer does. Where another thread is not done with the connection in time, it is as with
    /// [`set_enabled`](Self::set_enabled).
    pub fn set_indirect(&mut self, indirect: bool) {
        self.unset_flag = self.unset_flag.or(self.raw.indirect(indirect.into()).err());
    }

    /// Whether everything is recorded as indirect. `false` when the connection is closed.
    pub fn is_indirect(&self) -> bool {
        self.raw.indirect(-1).unwrap_or(false)
    }

    /// How many bytes of memory the session takes:
    /// [`sqlite3session_memory_used`](https://www.sqlite.org/session/sqlite3session_memory_used.html).
    ///
    /// A session keeps one entry for each row that was changed, however often that was: what is needed to tell, later, what the row
    /// was before. The values of now are read from the table when changes are generated.
    ///
    /// | first change of the row | what is kept |
    /// |---|---|
    /// | INSERT | its key, and a byte for each other column |
    /// | UPDATE | the whole old row, with the columns that do not change |
    /// | UPDATE of the key | the whole old row, and the new key |
    /// | DELETE | the whole old row |
    ///
    /// An entry takes 32 bytes and the values as [`wire`](crate::wire) has them (9 for an integer or real, 1 for a NULL, the
    /// length and 2 to 6 for a text or blob), rounded up to 8, and its place in a hash table another 16 to 32. In bytes for each
    /// of 100,000 rows, by `cargo run --release --example memory`:
    ///
    /// | | `memory_used` | changeset |
    /// |---|---|---|
    /// | INSERT into 3 columns, integer key | 69 | 39 |
    /// | INSERT, key of 16 bytes | 77 | 48 |
    /// | INSERT, key of 36 bytes of text | 93 | 68 |
    /// | INSERT, values of 1,000 bytes | 69 | 1023 |
    /// | UPDATE of an integer, once or ten times | 93 | 32 |
    /// | UPDATE of an integer beside 1,000 bytes | 1077 | 32 |
    /// | UPDATE of one of 40 columns | 413 | 106 |
    /// | DELETE of a small row | 93 | 39 |
    /// | DELETE of a row with 1,000 bytes | 1077 | 1023 |
    ///
    /// Nothing is given back before the session is dropped: not when a row is what it was again, nor when changes are rolled
    /// back. To keep a long session small, take its changes from time to time, drop it and create another before the next
    /// change. What the allocator takes for itself is not counted.
    ///
    /// # Errors
    ///
    /// [`SessionError::ConnectionClosed`] or [`SessionError::Busy`].
    pub fn memory_used(&self) -> Result<u64, SessionError> {
        Ok(u64::try_from(self.raw.memory_used()?).unwrap_or(0))
    }

    /// The most bytes that a changeset of what was recorded would take; 0 unless [`track_size`](Self::track_size) was called.
    ///
    /// # Errors
    ///
    /// [`SessionError::ConnectionClosed`] or [`SessionError::Busy`].
    pub fn changeset_size(&self) -> Result<u64, SessionError> {
        Ok(u64::try_from(self.raw.changeset_size()?).unwrap_or(0))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("schema", &self.schema)
            .field("closed", &self.is_closed())
            .field("attached", &self.attached)
            .finish_non_exhaustive()
    }
}

fn c_string(name: &str) -> Result<CString, SessionError> {
    CString::new(name).map_err(|_| SessionError::InvalidTableName)
}
