//! [`SqliteSessionExt`]: the methods that this crate adds to `SqliteConnection`. They only start the
//! work of `session` and `apply`.

use diesel::Connection;
use diesel::SqliteConnection;

use crate::apply::ApplyError;
use crate::apply::{self, Apply, ApplyInput, ConflictAction, ConflictType, SetInput};
use crate::session::Capture;
use crate::session::Session;
use crate::session::SessionError;
use crate::typed::{FromChanges, TrackedSet};
use crate::wire::Changeset;
use crate::wire::{ChangesetFormat, PatchsetFormat};

mod sealed {
    pub trait Sealed {}
    impl Sealed for diesel::SqliteConnection {}
}

/// Sessions, captures, comparisons and applying, as methods of `SqliteConnection`.
///
/// The methods work on any connection: while it is in use, in a transaction, or from a pool.
///
/// ```
/// use diesel::prelude::*;
/// use diesel_sqlite_session::{ConflictAction, SqliteSessionExt};
///
/// diesel::table! {
///     users (id) {
///         id -> Integer,
///         name -> Text,
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let open = || -> Result<SqliteConnection, Box<dyn std::error::Error>> {
///     let mut conn = SqliteConnection::establish(":memory:")?;
///     diesel::sql_query("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)").execute(&mut conn)?;
///     Ok(conn)
/// };
/// let (mut source, mut replica) = (open()?, open()?);
///
/// let mut session = source.create_session()?;
/// session.attach::<users::table>()?;
/// diesel::insert_into(users::table).values((users::id.eq(1), users::name.eq("Ada"))).execute(&mut source)?;
/// let changeset = session.changeset()?;
///
/// replica.apply_changeset(&changeset, |_conflict| ConflictAction::Abort)?;
/// assert_eq!(users::table.select(users::name).first::<String>(&mut replica)?, "Ada");
/// # Ok(())
/// # }
/// ```
pub trait SqliteSessionExt: sealed::Sealed {
    /// Creates a session on the `main` database. Nothing is recorded until a table is attached.
    ///
    /// # Errors
    ///
    /// [`SessionError::Handle`] if the connection's handle is not available, [`SessionError::Busy`]
    /// inside a callback of the connection, [`SessionError::Sqlite`] if SQLite fails.
    ///
    /// SQLite:
    /// [`sqlite3session_create`](https://www.sqlite.org/session/sqlite3session_create.html).
    fn create_session(&mut self) -> Result<Session, SessionError>;

    /// Creates a session on `temp` or an attached database. `schema` is the name under which the
    /// database is attached.
    ///
    /// # Errors
    ///
    /// The errors of [`create_session`](Self::create_session), [`SessionError::NoSuchSchema`] if no
    /// database is attached under this name, and [`SessionError::InvalidTableName`] if the name
    /// contains a NUL.
    fn create_session_on(&mut self, schema: &str) -> Result<Session, SessionError>;

    /// Creates a session on the `main` database, and attaches the tables of the set `S`. If the key of a
    /// table is declared as `rowid`, tables without a primary key are [tracked by their
    /// rowids](Session::track_rowids).
    ///
    /// ```
    /// # use diesel::prelude::*;
    /// # use diesel_sqlite_session::{Change, SqliteSessionExt, Tracked};
    /// # diesel::table! { users (id) { id -> Integer, name -> Text, } }
    /// # #[derive(Debug, PartialEq, Tracked)]
    /// # #[diesel(table_name = users)]
    /// # pub struct User { id: i32, name: String }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = SqliteConnection::establish(":memory:")?;
    /// # diesel::sql_query("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)").execute(&mut conn)?;
    /// let mut session = conn.track::<Change<users::table>>()?;
    /// diesel::insert_into(users::table).values((users::id.eq(1), users::name.eq("Ada"))).execute(&mut conn)?;
    /// assert_eq!(session.changeset()?.records().count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`create_session`](Self::create_session) and [`Session::attach_set`].
    fn track<S: TrackedSet>(&mut self) -> Result<Session, SessionError>;

    /// Captures the changes that a closure makes to the tables of the set `S`, as typed values.
    ///
    /// The closure runs in a transaction, when [`Capture::run`] or [`Capture::try_run`] is called.
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
    /// let captured = conn.capture::<Change<users::table>>().run(|conn| {
    ///     diesel::insert_into(users::table).values((users::id.eq(1), users::name.eq("Ada"))).execute(conn)
    /// })?;
    /// assert_eq!(captured.value, 1);
    /// assert_eq!(captured.changes, [Change::Insert(User { id: 1, name: "Ada".into() })]);
    /// # Ok(())
    /// # }
    /// ```
    fn capture<S: for<'r> FromChanges<'r>>(&mut self) -> Capture<'_, S>;

    /// Captures the changes of a write transaction to the tables of the set `S`, as typed values.
    ///
    /// Unlike [`capture`](Self::capture), takes the write lock first, as
    /// [`immediate_transaction`](SqliteConnection::immediate_transaction) does, unless the connection
    /// is already in a transaction.
    ///
    /// If several connections write, call it once for each write transaction. The changesets then
    /// contain all changes, in order: see [Connection
    /// pools](crate::_documentation::how_do_i#connection-pools).
    ///
    /// ```
    /// # use diesel::prelude::*;
    /// # use diesel_sqlite_session::{Change, SqliteSessionExt, Tracked};
    /// # diesel::table! { users (id) { id -> Integer, name -> Text, } }
    /// # #[derive(Debug, PartialEq, Tracked)]
    /// # #[diesel(table_name = users)]
    /// # pub struct User { id: i32, name: String }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = SqliteConnection::establish(":memory:")?;
    /// # diesel::sql_query("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)").execute(&mut conn)?;
    /// let written = conn.write::<Change<users::table>>().run(|conn| {
    ///     diesel::insert_into(users::table).values((users::id.eq(1), users::name.eq("Ada"))).execute(conn)
    /// })?;
    /// assert_eq!(written.changes.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    fn write<S: for<'r> FromChanges<'r>>(&mut self) -> Capture<'_, S>;

    /// Compares the tables of the set `S` in two schemas of the connection, and returns the
    /// changeset that turns the tables in `from` into those in `to`.
    ///
    /// A schema is `main`, `temp`, or the name under which a database is attached. A single table
    /// is a set too: `Change<users::table>`. Both schemas are read in one transaction.
    ///
    /// ```
    /// use diesel::connection::SimpleConnection;
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
    /// conn.batch_execute(
    ///     "ATTACH ':memory:' AS backup;
    ///      CREATE TABLE backup.users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    ///      CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    ///      INSERT INTO users VALUES (1, 'Ada')",
    /// )?;
    /// let changeset = conn.diff::<Change<users::table>>("backup", "main")?;
    /// let changes: Vec<Change<users::table>> = changeset.changes().collect::<Result<_, _>>()?;
    /// assert_eq!(changes, [Change::Insert(User { id: 1, name: "Ada".into() })]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`SessionError::SchemaMismatch`] if a table in `to` differs from its `table!`
    /// - [`SessionError::Sqlite`] if a table in `from` does not have the same columns and primary
    ///   key
    /// - [`SessionError::NoSuchSchema`] if no database is attached under the name `to`
    /// - the other errors of [`Session::diff_set`] and [`Session::changeset`]
    ///
    /// SQLite: [`sqlite3session_diff`](https://www.sqlite.org/session/sqlite3session_diff.html).
    fn diff<S: TrackedSet>(&mut self, from: &str, to: &str) -> Result<Changeset, SessionError>;

    /// Prepares to apply changes to the `main` database. Nothing is applied until [`Apply::run`].
    ///
    /// The input is a changeset, a patchset, or a reader over a [`Read`](std::io::Read). Of a
    /// reader, only the current change, changes that [wait](crate::apply#order) and the [rebase
    /// data](crate::ApplyReport::rebase_data) are in memory. On the returned [`Apply`] you set
    /// typed conflict handlers, filters, options and limits.
    ///
    /// ```
    /// use diesel_sqlite_session::{ApplyError, Changeset, ChangesetReader, SqliteSessionExt};
    ///
    /// # fn apply(replica: &mut diesel::SqliteConnection, changeset: &Changeset) -> Result<(), Box<dyn std::error::Error>> {
    /// println!("{}", replica.apply(changeset).run()?);
    /// let file = std::fs::File::open("changes.bin")?;
    /// println!("{}", replica.apply(ChangesetReader::new(file)).max_bytes(1 << 30).run()?);
    /// # Ok(())
    /// # }
    /// ```
    fn apply<'a, I: ApplyInput<'a>>(&'a mut self, input: I) -> Apply<'a, I::Format>;

    /// Applies a changeset to the `main` database, and calls `on_conflict` with the kind of each
    /// conflict.
    ///
    /// - Either all changes are applied, or none.
    /// - Each table of the changeset must exist, with at least as many columns and the same primary
    ///   key. Additional columns get their default values. SQLite's own apply skips other tables
    ///   silently.
    /// - Changes to `sqlite_stat1` are skipped if the database has no such table.
    ///
    /// The [guide to `apply`](crate::apply) describes the details.
    ///
    /// A patchset is rejected by the compiler:
    ///
    /// ```compile_fail,E0277
    /// # use diesel_sqlite_session::{ConflictAction, Patchset, SqliteSessionExt};
    /// # fn apply(replica: &mut diesel::SqliteConnection) {
    /// replica.apply_changeset(&Patchset::new(), |_| ConflictAction::Abort);
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    fn apply_changeset<C: SetInput<ChangesetFormat> + ?Sized>(
        &mut self,
        changeset: &C,
        on_conflict: impl FnMut(ConflictType) -> ConflictAction,
    ) -> Result<(), ApplyError>;

    /// Applies a patchset to the `main` database: see [`apply_changeset`](Self::apply_changeset).
    ///
    /// A patchset contains no old values. Therefore [`ConflictType::Data`] occurs only if a trigger
    /// ignores a change by `RAISE(IGNORE)`.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    fn apply_patchset<P: SetInput<PatchsetFormat> + ?Sized>(
        &mut self,
        patchset: &P,
        on_conflict: impl FnMut(ConflictType) -> ConflictAction,
    ) -> Result<(), ApplyError>;
}

impl SqliteSessionExt for SqliteConnection {
    fn create_session(&mut self) -> Result<Session, SessionError> {
        Session::create_on(self, "main")
    }

    fn create_session_on(&mut self, schema: &str) -> Result<Session, SessionError> {
        Session::create_on(self, schema)
    }

    fn track<S: TrackedSet>(&mut self) -> Result<Session, SessionError> {
        Session::track::<S>(self)
    }

    fn capture<S: for<'r> FromChanges<'r>>(&mut self) -> Capture<'_, S> {
        Capture::new(self, false)
    }

    fn write<S: for<'r> FromChanges<'r>>(&mut self) -> Capture<'_, S> {
        Capture::new(self, true)
    }

    fn diff<S: TrackedSet>(&mut self, from: &str, to: &str) -> Result<Changeset, SessionError> {
        self.transaction(|connection| {
            let mut session = connection.create_session_on(to)?;
            session.on(connection).diff_set::<S>(from)?;
            session.on(connection).changeset()
        })
    }

    fn apply<'a, I: ApplyInput<'a>>(&'a mut self, input: I) -> Apply<'a, I::Format> {
        Apply::new(self, input.into_input())
    }

    fn apply_changeset<C: SetInput<ChangesetFormat> + ?Sized>(
        &mut self,
        changeset: &C,
        mut on_conflict: impl FnMut(ConflictType) -> ConflictAction,
    ) -> Result<(), ApplyError> {
        apply::run_by_kind(self, changeset.checked()?, &mut on_conflict)
    }

    fn apply_patchset<P: SetInput<PatchsetFormat> + ?Sized>(
        &mut self,
        patchset: &P,
        mut on_conflict: impl FnMut(ConflictType) -> ConflictAction,
    ) -> Result<(), ApplyError> {
        apply::run_by_kind(self, patchset.checked()?, &mut on_conflict)
    }
}
