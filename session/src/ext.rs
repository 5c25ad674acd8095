//! What this crate adds to `SqliteConnection`.

use diesel::SqliteConnection;

use crate::apply::{self, ChangesetInput, ConflictAction, ConflictType, PatchsetInput};
use crate::error::{ApplyError, SessionError};
use crate::session::Session;
#[cfg(feature = "derive")]
use crate::{CaptureError, Captured, FromChanges};

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
    /// As [`create_session`](Self::create_session).
    fn create_session_on(&mut self, schema: &str) -> Result<Session, SessionError>;

    /// Runs a closure in a transaction, and gives what it returns with the changes that it made to the tables of the set `S`, as
    /// typed values. If it fails, or a change does not fit the set, everything is rolled back. In a transaction already, it is
    /// a savepoint.
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
    /// let captured = conn.capture::<Change<users::table>, _, _, _>(|conn| {
    ///     diesel::insert_into(users::table).values((users::id.eq(1), users::name.eq("Ada"))).execute(conn)
    /// })?;
    /// assert_eq!(captured.value, 1);
    /// assert_eq!(captured.changes, [Change::Insert(User { id: 1, name: "Ada".into() })]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`CaptureError`].
    #[cfg(feature = "derive")]
    fn capture<S, T, E, F>(&mut self, work: F) -> Result<Captured<S, T>, CaptureError<E>>
    where
        S: for<'a> FromChanges<'a>,
        F: FnOnce(&mut SqliteConnection) -> Result<T, E>;

    /// Applies a changeset to the `main` database. `on_conflict` is asked about each change that does not fit.
    ///
    /// Everything is applied, or nothing. Each table of the changeset must be there, with at least as many columns and the
    /// same key; more columns get their defaults. SQLite itself would leave out a table that is not so without a word.
    /// `sqlite_stat1` is left out where a replica has none.
    ///
    /// Triggers of the replica fire, and foreign key actions act, as on any change. Foreign keys are looked at at the end.
    /// SQLite can ask several times about one change, and asks about constraints after the rest of a table. An UPDATE that
    /// does nothing but put an [equal key](crate::wire#changes) in the place of another, which SQLite cannot apply, is left
    /// out; the INSERT that SQLite records beside it is asked about as a [`ConflictType::Conflict`].
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
    /// A table's own `ON CONFLICT IGNORE`, `REPLACE` and `FAIL`, and `RAISE(IGNORE)` in its triggers, act before SQLite sees a
    /// conflict, and so unasked.
    ///
    /// UPDATEs that are in each other's way, as where two rows exchange unique values, are made by deleting a row and inserting
    /// it again (SQLite 3.53 and later), unless that could do more: where the table has triggers or more columns than the
    /// changes, the database has foreign keys and they are on, or another schema has a table of the same name. There they are
    /// [`ConflictType::Constraint`].
    ///
    /// Text is applied as it is, also where it is not UTF-8. A collation that was registered through Diesel ends the process
    /// when it is given such text: for bytes from strangers, look at [`Value::as_str`](crate::Value::as_str) of what goes into
    /// columns with one.
    ///
    /// While applying, SQLite sets [`defer_foreign_keys`](https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys), and
    /// leaves it off.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    fn apply_changeset<C: ChangesetInput + ?Sized>(
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
    fn apply_patchset<P: PatchsetInput + ?Sized>(
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

    #[cfg(feature = "derive")]
    fn capture<S, T, E, F>(&mut self, work: F) -> Result<Captured<S, T>, CaptureError<E>>
    where
        S: for<'a> FromChanges<'a>,
        F: FnOnce(&mut SqliteConnection) -> Result<T, E>,
    {
        crate::capture::capture(self, work)
    }

    fn apply_changeset<C: ChangesetInput + ?Sized>(
        &mut self,
        changeset: &C,
        mut on_conflict: impl FnMut(ConflictType) -> ConflictAction,
    ) -> Result<(), ApplyError> {
        let changeset = changeset.checked()?;
        apply::run(self, changeset.as_bytes(), changeset.records(), &mut on_conflict)
    }

    fn apply_patchset<P: PatchsetInput + ?Sized>(
        &mut self,
        patchset: &P,
        mut on_conflict: impl FnMut(ConflictType) -> ConflictAction,
    ) -> Result<(), ApplyError> {
        let patchset = patchset.checked()?;
        apply::run(self, patchset.as_bytes(), patchset.records(), &mut on_conflict)
    }
}
