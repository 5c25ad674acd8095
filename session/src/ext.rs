//! What this crate adds to `SqliteConnection`.

use diesel::Connection;
use diesel::SqliteConnection;

use crate::apply::ApplyError;
use crate::apply::{self, Apply, ApplyInput, ConflictAction, ConflictType, SetInput};
use crate::session::Capture;
use crate::session::Session;
use crate::session::SessionError;
use crate::typed::{FromChanges, TrackedSet};
use crate::wire::Changeset;
use crate::wire::{ChangesetFormat, Format, PatchsetFormat};

mod sealed {
    pub trait Sealed {}
    impl Sealed for diesel::SqliteConnection {}
}

/// Sessions and applying, on any `SqliteConnection`, also one that is in use, in a transaction, or out of a pool.
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
    /// A session on the `main` database. Nothing is recorded until a table is attached.
    ///
    /// # Errors
    ///
    /// [`SessionError::Handle`] if the connection's handle cannot be had.
    fn create_session(&mut self) -> Result<Session, SessionError>;

    /// A session on an attached database, by the name that it was attached as, or on `temp`.
    ///
    /// # Errors
    ///
    /// As [`create_session`](Self::create_session), and [`SessionError::NoSuchSchema`] if nothing is attached by that name.
    fn create_session_on(&mut self, schema: &str) -> Result<Session, SessionError>;

    /// Captures the changes that a closure makes to the tables of the set `S`, as typed values.
    ///
    /// The closure runs in a transaction, in [`Capture::run`] or [`Capture::try_run`].
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

    /// How the tables of the set `S` differ between two schemas of the connection (`main`, `temp`, or the names that databases were
    /// attached by): the changeset that makes of the tables in `from` those in `to`. One table is a set, as
    /// `Change<users::table>`. Both schemas are read in one transaction.
    /// [`sqlite3session_diff`](https://www.sqlite.org/session/sqlite3session_diff.html).
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
    /// [`SessionError::SchemaMismatch`] if a table in `to` is not what the set says; [`SessionError::Sqlite`] if one in `from` does not
    /// have the same columns and key.
    fn diff<S: TrackedSet>(&mut self, from: &str, to: &str) -> Result<Changeset, SessionError>;

    /// Changes that are to be applied to the `main` database: a changeset, a patchset, or a reader over a
    /// [`Read`](std::io::Read), which is applied in bounded memory. The [`Apply`] takes typed conflict handlers, filters, options and
    /// limits; its `run` applies the changes and says what became of them.
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

    /// Applies a changeset to the `main` database. `on_conflict` is asked, by kind, about each change that does not fit.
    ///
    /// Everything is applied, or nothing. Each table of the changeset must be there, with at least as many columns and the
    /// same key; more columns get their defaults. SQLite would silently leave out a table that is not so.
    /// `sqlite_stat1` is left out where a replica has none. What else to know is said at [`Apply`].
    ///
    /// A patchset does not compile here:
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

    /// Applies a patchset to the `main` database: as [`apply_changeset`](Self::apply_changeset), but as a patchset holds no old
    /// values, there is no [`ConflictType::Data`].
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
        Session::create(self, "main")
    }

    fn create_session_on(&mut self, schema: &str) -> Result<Session, SessionError> {
        Session::create(self, schema)
    }

    fn capture<S: for<'r> FromChanges<'r>>(&mut self) -> Capture<'_, S> {
        Capture::new(self)
    }

    fn diff<S: TrackedSet>(&mut self, from: &str, to: &str) -> Result<Changeset, SessionError> {
        self.transaction(|connection| {
            let mut session = connection.create_session_on(to)?;
            session.diff_set::<S>(from)?;
            session.changeset()
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
        let changeset = changeset.checked()?;
        apply::run_by_kind(self, changeset.as_bytes(), changeset.records(), Format::Changeset, &mut on_conflict)
    }

    fn apply_patchset<P: SetInput<PatchsetFormat> + ?Sized>(
        &mut self,
        patchset: &P,
        mut on_conflict: impl FnMut(ConflictType) -> ConflictAction,
    ) -> Result<(), ApplyError> {
        let patchset = patchset.checked()?;
        apply::run_by_kind(self, patchset.as_bytes(), patchset.records(), Format::Patchset, &mut on_conflict)
    }
}
