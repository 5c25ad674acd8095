//! [`Session`]: which tables it records, and its options. The recorded changes are in
//! [`changes`](super::changes).

use core::ffi::CStr;
use std::borrow::Cow;
use std::ffi::CString;
use std::fmt;
use std::vec::Vec;

use diesel::SqliteConnection;

use super::declarations::{Declaration, Declarations, StaticTables, compare};
use super::error::SessionError;
use crate::ffi::handle::{Handle, with_handle};
use crate::ffi::session::{ObjectConfig, RawSession, Unavailable};
use crate::ffi::statement::Connection;
use crate::schema::{self, DeclaredTable, LiveTable, TrackableTable, UntrackedTable};
use crate::typed::{TableInfo, TrackedSet};

/// A session, which records the changes made on a `SqliteConnection`: a safe
/// [`sqlite3_session`](https://www.sqlite.org/session/sqlite3session_create.html).
///
/// Created by [`SqliteSessionExt::create_session`](crate::SqliteSessionExt::create_session).
/// Recording starts when a table is attached. It does not matter by which means the changes are
/// made.
///
/// # What is recorded
///
/// - A session records the difference to the state before. A row that is inserted and deleted again
///   leaves no change.
/// - Changes that are rolled back are not returned. But new values are read when changes are taken:
///   what another connection has written to a recorded row since then is in the changes too. With
///   several connections, capture [each write
///   transaction](crate::_documentation::how_do_i#connection-pools).
/// - Rows with NULL in their primary key are not recorded.
///
/// # Lifetime
///
/// A session does not borrow the connection. It can be dropped before or after the connection,
/// stored elsewhere, or sent to another thread. Once the connection is closed, every call fails
/// with [`SessionError::ConnectionClosed`].
///
/// On a pooled connection, a session stays active after the connection returns to the pool and
/// records what the next user writes. Drop the session first.
///
/// # Waiting and `Busy`
///
/// - Calls wait while another thread uses the connection.
/// - Calls that take changes, compare tables or read the schema run SQL. They also wait until no
///   statement of another thread has unread rows (`load_iter`), and until the message of the
///   connection's latest error has surely been read: ten milliseconds after a statement that failed
///   for another reason than a constraint, or one second if the error was on another thread and
///   nothing has succeeded since. On Linux, a process with one thread skips the wait for the message.
///   The calls of [`on`](Self::on) skip these waits.
/// - After five seconds a call fails with [`SessionError::Busy`].
/// - If this thread is reading the rows of a statement, or runs inside an SQL function of the
///   connection, these calls fail with [`SessionError::Busy`] at once.
/// - Inside a callback of the connection (a table filter, a writer, a conflict handler), calls that
///   SQLite does not support there fail with [`SessionError::Busy`].
///
/// Known limit: if a thread is suspended for longer than these times between an error and Diesel's
/// reading of its message, it may read the message of another error.
///
/// # Schema changes
///
/// Take the changes before you alter a tracked table. Typed tables are compared again when changes are
/// taken after the schema may have changed.
///
/// Known limit: SQLite records values without column names. If the order of a table's columns is
/// changed and then restored before changes are taken, the changes recorded in between are read with
/// the wrong columns. Rolling back to a savepoint can restore the order.
///
/// # Hooks
///
/// A session uses the [preupdate hook](https://www.sqlite.org/c3ref/preupdate_blobwrite.html) of
/// its connection, and this crate uses the [trace
/// function](https://www.sqlite.org/c3ref/trace_v2.html) to learn when the connection closes.
/// SQLite has one of each for a connection: do not install your own. If another trace function is
/// installed, calls that run SQL fail with [`SessionError::OtherTrace`]. The same calls on
/// [`on`](Self::on) reinstall this crate's trace function. The following calls notice another preupdate
/// hook, remove it, and fail with [`SessionError::OtherHook`]:
///
/// - creating a session, if the hook was installed before and has a context
/// - taking changes, if the hook has replaced that of the session
pub struct Session {
    pub(super) raw: RawSession,
    pub(super) schema: Cow<'static, CStr>,
    pub(super) rowids: bool,
    /// The tables that were attached individually.
    pub(super) attached: Vec<CString>,
    /// The declarations of the typed tables among them.
    pub(super) declared: Declarations,
    /// Whether all tables were attached.
    pub(super) attached_all: bool,
    pub(super) options: Vec<ObjectConfig>,
    pub(super) cache_limit: u64,
    is_enabled: bool,
    is_indirect: bool,
    /// The reason why setting a flag failed. The changes since then may be incomplete.
    pub(super) unset_flag: Option<Unavailable>,
}

/// The default of [`Session::set_cache_limit`].
const CACHE_LIMIT: u64 = 128 << 20;

impl Session {
    /// Creates a session on a schema.
    pub(crate) fn create_on(connection: &mut SqliteConnection, schema: &str) -> Result<Self, SessionError> {
        Self::create(connection, Cow::Owned(c_string(schema)?), |_, handle| {
            handle.take_trace();
            Ok(())
        })
    }

    /// Creates a session, and calls `set_up` with it while the connection is borrowed.
    fn create(
        connection: &mut SqliteConnection,
        schema: Cow<'static, CStr>,
        set_up: impl FnOnce(&mut Self, Handle<'_>) -> Result<(), SessionError>,
    ) -> Result<Self, SessionError> {
        let created = with_handle(connection, move |handle| {
            // SQLite would accept any name, and record nothing
            if !Connection::from(handle).has_schema(&schema) {
                return (Err(SessionError::NoSuchSchema { schema: text(&schema).into() }), None);
            }
            let (raw, filters) = RawSession::create(handle, &schema);
            let session = raw.map_err(SessionError::from).and_then(|raw| {
                let mut session = Self::new(raw, schema);
                set_up(&mut session, handle)?;
                Ok(session)
            });
            (session, Some(filters))
        });
        // the filters belong to the application: they are dropped when the connection is free
        let (session, _filters) = created?;
        session
    }

    fn new(raw: RawSession, schema: Cow<'static, CStr>) -> Self {
        Self {
            raw,
            schema,
            rowids: false,
            attached: Vec::new(),
            declared: Declarations::default(),
            attached_all: false,
            is_enabled: true,
            is_indirect: false,
            options: Vec::new(),
            cache_limit: CACHE_LIMIT,
            unset_flag: None,
        }
    }

    /// Creates a session that records the tables of a set.
    pub(crate) fn track<S: TrackedSet>(connection: &mut SqliteConnection) -> Result<Self, SessionError> {
        Self::create(connection, Cow::Borrowed(c"main"), |session, handle| {
            if S::TABLES.iter().any(|table| declares_rowid(table)) {
                session.track_rowids()?;
            }
            session.attach_set_on(Some(handle), S::TABLES)
        })
    }

    /// Attaches a table, after checking that its `table!` agrees with the database.
    ///
    /// The check compares the names and order of the columns, and the primary key. Generated
    /// columns are in no change, so `table!` may list them or not.
    ///
    /// # Errors
    ///
    /// - [`SessionError::SchemaMismatch`] if `table!` and the database differ, or if SQLite would
    ///   not record the table: it has no primary key, is a view or virtual table, or does not exist
    /// - [`SessionError::ConnectionClosed`], [`SessionError::Busy`], [`SessionError::OtherTrace`],
    ///   [`SessionError::Sqlite`]
    ///
    /// SQLite:
    /// [`sqlite3session_attach`](https://www.sqlite.org/session/sqlite3session_attach.html).
    pub fn attach<T: TrackableTable>(&mut self) -> Result<(), SessionError> {
        self.attach_on::<T>(None)
    }

    pub(super) fn attach_on<T: TrackableTable>(&mut self, handle: Option<Handle<'_>>) -> Result<(), SessionError> {
        let DeclaredTable(declared) = T::declared();
        self.attach_declared(handle, Vec::from([Declaration::Table(declared)]))
    }

    /// Attaches tables after a comparison with their declarations.
    fn attach_declared(
        &mut self,
        handle: Option<Handle<'_>>,
        declarations: Vec<Declaration>,
    ) -> Result<(), SessionError> {
        let (schema, rowids) = (&*self.schema, self.rowids);
        let version = self.raw.query(handle, schema, |connection, known| {
            compare(&declarations, connection, text(schema), rowids, known).map(|()| known.version)
        })??;
        declarations.iter().try_for_each(|declaration| self.attach_unchecked(declaration.table()))?;
        self.declared.add(declarations, version);
        Ok(())
    }

    /// Attaches all tables of the set `S`, after checking each as [`attach`](Self::attach) does. If
    /// a check fails, no table is attached.
    ///
    /// A [skipped](crate::_documentation::derive#skip) column is recorded nevertheless: skipping
    /// affects only how changes are read.
    ///
    /// # Errors
    ///
    /// The errors of [`attach`](Self::attach).
    pub fn attach_set<S: TrackedSet>(&mut self) -> Result<(), SessionError> {
        self.attach_set_on(None, S::TABLES)
    }

    pub(super) fn attach_set_on(
        &mut self,
        handle: Option<Handle<'_>>,
        tables: StaticTables,
    ) -> Result<(), SessionError> {
        self.attach_declared(handle, Declaration::of(tables))
    }

    /// Attaches a table whose name is known only at run time. The table must exist, unlike for
    /// `sqlite3session_attach`, which records a missing table once it is created.
    ///
    /// # Errors
    ///
    /// - [`SessionError::SchemaMismatch`] if SQLite would not record the table: it has no primary
    ///   key, is a view or virtual table, or does not exist
    /// - [`SessionError::InvalidTableName`] if the name contains a NUL
    /// - [`SessionError::ConnectionClosed`], [`SessionError::Busy`], [`SessionError::OtherTrace`],
    ///   [`SessionError::Sqlite`]
    pub fn attach_by_name(&mut self, table: &str) -> Result<(), SessionError> {
        self.attach_by_name_on(None, table)
    }

    pub(super) fn attach_by_name_on(&mut self, handle: Option<Handle<'_>>, table: &str) -> Result<(), SessionError> {
        c_string(table)?;
        let live = self.live(handle, table)?;
        schema::check_recordable(table, live.as_ref(), self.rowids)?;
        self.attach_unchecked(table)
    }

    /// Attaches all tables that have a primary key, including tables that are created later.
    ///
    /// A [table filter](Self::set_table_filter) can exclude tables.
    /// [`untracked_tables`](Self::untracked_tables) lists the tables that SQLite does not record.
    ///
    /// "All tables" includes the shadow tables of FTS5 and other virtual tables, and `sqlite_stat1`
    /// after `ANALYZE`.
    ///
    /// # Errors
    ///
    /// [`SessionError::ConnectionClosed`], [`SessionError::Busy`], [`SessionError::Sqlite`].
    pub fn attach_all(&mut self) -> Result<(), SessionError> {
        let attached = self.raw.attach(None)?;
        attached.map_err(|failure| SessionError::sqlite("attaching all tables", None, failure))?;
        self.attached_all = true;
        Ok(())
    }

    pub(super) fn attach_unchecked(&mut self, table: &str) -> Result<(), SessionError> {
        let name = c_string(table)?;
        let attached = self.raw.attach(Some(&name))?;
        attached.map_err(|failure| SessionError::sqlite("attaching a table", Some(table), failure))?;
        self.attached.push(name);
        Ok(())
    }

    pub(super) fn live(&self, handle: Option<Handle<'_>>, table: &str) -> Result<Option<LiveTable>, SessionError> {
        let read = |connection: Connection<'_>| LiveTable::read(connection, text(&self.schema), table);
        let live = self.raw.query(handle, &self.schema, |connection, _| read(connection))?;
        live.map_err(|failure| SessionError::sqlite("reading the schema", Some(table), failure))
    }

    /// Returns the existing tables that [`attach_all`](Self::attach_all) does not record, with the
    /// reasons.
    ///
    /// # Errors
    ///
    /// [`SessionError::ConnectionClosed`], [`SessionError::Busy`], [`SessionError::Sqlite`].
    pub fn untracked_tables(&self) -> Result<Vec<UntrackedTable>, SessionError> {
        self.untracked_tables_on(None)
    }

    pub(super) fn untracked_tables_on(&self, handle: Option<Handle<'_>>) -> Result<Vec<UntrackedTable>, SessionError> {
        let find = |connection: Connection<'_>| schema::untracked_tables(connection, text(&self.schema), self.rowids);
        let tables = self.raw.query(handle, &self.schema, |connection, _| find(connection))?;
        tables.map_err(|failure| SessionError::sqlite("reading the schema", None, failure))
    }

    /// Sets a filter that decides which tables [`attach_all`](Self::attach_all) records.
    ///
    /// The filter is called once for each table, at the first change to the table. It is not called
    /// for tables that were attached individually. If it panics, the table is not recorded, and the
    /// next call that takes changes fails with [`SessionError::TableFilterPanicked`].
    ///
    /// # Errors
    ///
    /// [`SessionError::ConnectionClosed`], [`SessionError::Busy`].
    ///
    /// SQLite:
    /// [`sqlite3session_table_filter`](https://www.sqlite.org/session/sqlite3session_table_filter.html).
    pub fn set_table_filter(&mut self, filter: impl FnMut(&str) -> bool + Send + 'static) -> Result<(), SessionError> {
        Ok(self.raw.set_filter(std::boxed::Box::new(filter))?)
    }

    /// Records tables without a primary key by their rowids. Call it before attaching a table.
    ///
    /// The rowid is then the first column of each change. Such a change can be applied only to a
    /// table that has no primary key either.
    ///
    /// Take changes before `VACUUM`, which [may
    /// renumber](https://www.sqlite.org/lang_vacuum.html#how_vacuum_works) the rows of such tables. Afterwards
    /// the session may return an UPDATE as a DELETE, or with the values of another row.
    ///
    /// # Errors
    ///
    /// - [`SessionError::AttachedAlready`] if a table is already attached
    /// - [`SessionError::ConnectionClosed`], [`SessionError::Busy`]
    ///
    /// SQLite:
    /// [`SQLITE_SESSION_OBJCONFIG_ROWID`](https://www.sqlite.org/session/c_session_objconfig_rowid.html).
    pub fn track_rowids(&mut self) -> Result<(), SessionError> {
        self.configure(ObjectConfig::Rowid)?;
        self.rowids = true;
        Ok(())
    }

    /// Tracks the size of the changeset, for [`changeset_size`](Self::changeset_size). Call it
    /// before attaching a table.
    ///
    /// # Errors
    ///
    /// - [`SessionError::AttachedAlready`] if a table is already attached
    /// - [`SessionError::ConnectionClosed`], [`SessionError::Busy`]
    pub fn track_size(&mut self) -> Result<(), SessionError> {
        self.configure(ObjectConfig::Size)
    }

    fn configure(&mut self, option: ObjectConfig) -> Result<(), SessionError> {
        // after `attach_all` SQLite would accept the option until the first change
        if self.attached_all {
            let error = if self.is_closed() { SessionError::ConnectionClosed } else { SessionError::AttachedAlready };
            return Err(error);
        }
        let configured = self.raw.configure(option)?;
        // SQLite fails only if a table is attached
        configured.map_err(|_| SessionError::AttachedAlready)?;
        self.options.push(option);
        Ok(())
    }

    /// Sets the memory that SQLite's page cache may use while changes are generated. The default is
    /// 128 MiB; 0 leaves the cache unchanged.
    ///
    /// To generate changes, SQLite looks up each changed row, in the order of a hash table, that
    /// is, all over the database. With the default cache of [2
    /// MB](https://www.sqlite.org/pragma.html#pragma_cache_size), almost every row of a large file
    /// costs a read.
    ///
    /// Therefore `PRAGMA cache_size` is raised during the call if all of the following hold:
    ///
    /// - The session uses [512 KiB](Self::memory_used) or more, which is about 6,000 rows.
    /// - The database is a file.
    /// - The whole file fits into this limit and into twice the memory of the session, or it fits
    ///   into the cache anyway. (Connections of a process may share the space for their caches, as
    ///   with libsqlite3-sys, and a busy connection then takes the space of the others.)
    ///
    /// After the call, also after an error or a panic of a writer, `cache_size` has its previous
    /// value, and the additional memory is released.
    ///
    /// Measured speed-up (`cargo bench -p diesel-sqlite-session-benches --bench generation`):
    ///
    /// | rows, key | one connection | another connection has read much |
    /// |---|---|---|
    /// | 100,000, random | 1.5 to 2 | 2.3 to 2.9 |
    /// | 100,000, ascending integers | 1 | 5.5 |
    /// | 1,000,000, random | 1.3 to 1.5 | |
    ///
    /// `PRAGMA mmap_size` has the same effect, and a little more, where a [memory-mapped
    /// file](https://www.sqlite.org/mmap.html) is acceptable. This crate does not change it.
    pub fn set_cache_limit(&mut self, bytes: u64) {
        self.cache_limit = bytes;
    }

    /// Returns whether nothing has been recorded, or the connection is closed.
    ///
    /// A row that was changed and changed back counts as recorded, although no changeset contains
    /// it. So `false` does not mean that [`changeset`](Self::changeset) returns any change. Also
    /// returns `false` if another thread does not release the connection in time.
    pub fn is_empty(&self) -> bool {
        match self.raw.is_empty() {
            Ok(is_empty) => is_empty,
            Err(unavailable) => unavailable == Unavailable::Closed,
        }
    }

    /// Returns whether nothing has been recorded: see [`is_empty`](Self::is_empty).
    ///
    /// # Errors
    ///
    /// [`SessionError::ConnectionClosed`], and [`SessionError::Busy`] if another thread does not
    /// release the connection in time.
    pub fn try_is_empty(&self) -> Result<bool, SessionError> {
        Ok(self.raw.is_empty()?)
    }

    /// Returns whether the connection has been closed.
    pub fn is_closed(&self) -> bool {
        self.raw.is_closed()
    }

    /// Pauses or resumes recording.
    ///
    /// Changes made during a pause are not recorded, and later changes to the same rows are
    /// incomplete. If another thread does not release the connection in time, the flag is not set,
    /// and all later calls that take changes fail with [`SessionError::Busy`].
    ///
    /// SQLite:
    /// [`sqlite3session_enable`](https://www.sqlite.org/session/sqlite3session_enable.html).
    pub fn set_enabled(&mut self, enabled: bool) {
        match self.raw.enable(enabled) {
            Ok(()) => self.is_enabled = enabled,
            Err(unavailable) => self.unset_flag = self.unset_flag.or(Some(unavailable)),
        }
    }

    /// Returns whether the session records. Returns `false` if the connection is closed.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled && !self.is_closed()
    }

    /// Sets whether changes are marked as
    /// [indirect](https://www.sqlite.org/session/sqlite3session_indirect.html) from now on.
    ///
    /// If another thread does not release the connection in time, the same happens as for
    /// [`set_enabled`](Self::set_enabled).
    pub fn set_indirect(&mut self, indirect: bool) {
        match self.raw.indirect(indirect) {
            Ok(()) => self.is_indirect = indirect,
            Err(unavailable) => self.unset_flag = self.unset_flag.or(Some(unavailable)),
        }
    }

    /// Returns whether all changes are marked as indirect. Returns `false` if the connection is
    /// closed.
    pub fn is_indirect(&self) -> bool {
        self.is_indirect && !self.is_closed()
    }

    /// Returns the memory that the session uses, in bytes.
    ///
    /// A session keeps one entry for each changed row, however often the row was changed. The entry
    /// contains what is needed to determine the old state of the row. The new values are read from
    /// the table when changes are generated.
    ///
    /// | first change of the row | contents of the entry |
    /// |---|---|
    /// | INSERT | the primary key, and one byte for each other column |
    /// | UPDATE | the whole old row, including unchanged columns |
    /// | UPDATE of the primary key | the whole old row, and the new primary key |
    /// | DELETE | the whole old row |
    ///
    /// An entry takes 32 bytes plus the values in the encoding of [`wire`](crate::wire), rounded up
    /// to a multiple of 8: 9 bytes for an integer or real, 1 for a NULL, the length plus 2 to 6 for
    /// a text or blob. Its slot in a hash table takes another 16 to 32 bytes.
    ///
    /// Bytes for each of 100,000 rows (`cargo run --release --example memory`):
    ///
    /// | | `memory_used` | changeset |
    /// |---|---|---|
    /// | INSERT into 3 columns, integer key | 69 | 39 |
    /// | INSERT, key of 16 bytes | 77 | 48 |
    /// | INSERT, key of 36 bytes of text | 93 | 68 |
    /// | INSERT, values of 1,000 bytes | 69 | 1023 |
    /// | UPDATE of an integer, once or ten times | 93 | 32 |
    /// | UPDATE of an integer in a row with 1,000 other bytes | 1077 | 32 |
    /// | UPDATE of one of 40 columns | 413 | 106 |
    /// | DELETE of a small row | 93 | 39 |
    /// | DELETE of a row with 1,000 bytes | 1077 | 1023 |
    ///
    /// Memory is released only when the session is dropped: not when a row returns to its old
    /// state, and not on a rollback. To keep a long-lived session small, take its changes from time
    /// to time, drop it, and create another before the next change. The overhead of the allocator
    /// is not included.
    ///
    /// # Errors
    ///
    /// [`SessionError::ConnectionClosed`], [`SessionError::Busy`].
    ///
    /// SQLite:
    /// [`sqlite3session_memory_used`](https://www.sqlite.org/session/sqlite3session_memory_used.html).
    pub fn memory_used(&self) -> Result<u64, SessionError> {
        Ok(u64::try_from(self.raw.memory_used()?).unwrap_or(0))
    }

    /// Returns an upper bound for the size of the changeset in bytes, or 0 unless
    /// [`track_size`](Self::track_size) was called.
    ///
    /// # Errors
    ///
    /// [`SessionError::ConnectionClosed`], [`SessionError::Busy`].
    ///
    /// SQLite:
    /// [`sqlite3session_changeset_size`](https://www.sqlite.org/session/sqlite3session_changeset_size.html).
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

/// Returns a name that [`c_string`] returned.
pub(super) fn text(name: &CStr) -> &str {
    name.to_str().unwrap_or_default()
}

pub(super) fn c_string(name: &str) -> Result<CString, SessionError> {
    CString::new(name).map_err(|_| SessionError::InvalidTableName)
}

/// Returns whether the key of a table is declared as the rowid, as `diesel print-schema` declares
/// tables without a primary key.
fn declares_rowid(table: &TableInfo<'_>) -> bool {
    let is_rowid = |name: &&str| ["rowid", "_rowid_", "oid"].iter().any(|alias| alias.eq_ignore_ascii_case(name));
    table.key_ordinals().first() == Some(&1) && table.columns().first().is_some_and(is_rowid)
}
