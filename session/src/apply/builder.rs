//! [`Apply`]: which changes to apply, and how. `driver` does the work.

use std::boxed::Box;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::string::String;

use diesel::SqliteConnection;

use super::conflict::{ConflictAction, ConflictType, ForeignKeyConflict, ForeignKeyDecision, UntypedConflict};
use super::driver::{self, Settings};
use super::error::ApplyError;
use super::handlers::{ApplyRules, FallbackHandler};
use super::input::Input;
use super::progress::Progress;
use super::report::ApplyReport;
use super::typed::{self, AppliedTable, Conflict, Decision, TableRules, TypedFormat};
use crate::ffi::handle::with_handle;
use crate::typed::{TableInfo, Tracked, TrackedSet};
#[cfg(doc)]
use crate::wire::Changeset;
use crate::wire::{ChangesetFormat, SetFormat};

/// Changes to apply to the `main` database, with handlers, filters, options and limits.
///
/// Created by [`SqliteSessionExt::apply`](crate::SqliteSessionExt::apply). Nothing is applied until
/// [`run`](Self::run) is called. The [guide](super) describes checks, transactions, foreign keys
/// and order.
///
/// ```
/// use diesel::prelude::*;
/// use diesel_sqlite_session::{Change, Changeset, Conflict, SqliteSessionExt, Tracked};
///
/// diesel::table! {
///     users (id) {
///         id -> Integer,
///         name -> Text,
///     }
/// }
///
/// #[derive(Debug, Insertable, Tracked)]
/// #[diesel(table_name = users)]
/// pub struct User {
///     id: i32,
///     name: String,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut replica = SqliteConnection::establish(":memory:")?;
/// diesel::sql_query("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)").execute(&mut replica)?;
/// diesel::insert_into(users::table).values(User { id: 1, name: "Ada".into() }).execute(&mut replica)?;
///
/// let (ada, bob) = (User { id: 1, name: "Ada Lovelace".into() }, User { id: 2, name: "Bob".into() });
/// let changeset = Changeset::builder().insert(&ada).insert(&bob).build()?;
/// let report = replica
///     .apply(&changeset)
///     .on_conflict::<users::table>(|conflict| match conflict {
///         // Ada already exists: the longer name wins
///         Conflict::Conflict(c) => match c.change() {
///             Change::Insert(new) if new.name.len() > c.current().name.len() => c.replace(),
///             _ => c.omit(),
///         },
///         other => other.abort(),
///     })
///     .run()?;
/// assert_eq!((report.applied(), report.replaced()), (1, 1));
/// assert_eq!(users::table.select(users::name).first::<String>(&mut replica)?, "Ada Lovelace");
/// # Ok(())
/// # }
/// ```
///
/// Changesets of other programs are applied too, also those of geodiff and sqldiff, whose [key
/// bytes](crate::_documentation::format#header) are not the positions in the key. SQLite silently
/// skips their tables.
#[must_use = "nothing is applied until `run` is called"]
pub struct Apply<'a, F: SetFormat> {
    connection: &'a mut SqliteConnection,
    input: Input<'a>,
    rules: ApplyRules<'a>,
    settings: Settings,
    format: PhantomData<fn() -> F>,
}

impl<F: SetFormat> std::fmt::Debug for Apply<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Apply").field("format", &F::FORMAT).finish_non_exhaustive()
    }
}

impl<'a, F: SetFormat> Apply<'a, F> {
    pub(crate) fn new(connection: &'a mut SqliteConnection, input: Input<'a>) -> Self {
        let settings = Settings { rebase_data: true, ..Settings::new(F::FORMAT) };
        Self { connection, input, rules: ApplyRules::default(), settings, format: PhantomData }
    }

    /// Restricts the apply to the tables of the set `S`.
    ///
    /// - Changes to other tables fail with [`ApplyError::UnexpectedTable`] before anything is
    ///   written, or are skipped with [`skip_other_tables`](Self::skip_other_tables).
    /// - Repeated calls add their tables.
    /// - Each table with changes must agree with its `table!`, so that no value is written to a
    ///   wrong column.
    /// - Triggers and foreign key actions of the database can still change other tables.
    pub fn only<S: TrackedSet>(self) -> Self {
        let mut this = self.only_tables(S::TABLES.iter().map(|table| table.table()));
        this.settings.scope.typed.extend(S::TABLES);
        this
    }

    /// Restricts the apply to tables by name: see [`only`](Apply::only).
    pub fn only_tables<T: Into<String>>(mut self, tables: impl IntoIterator<Item = T>) -> Self {
        self.settings.scope.only.get_or_insert_default().extend(tables.into_iter().map(Into::into));
        self
    }

    /// Skips changes to tables not listed in [`only`](Apply::only) instead of failing. Has no
    /// effect without `only`.
    ///
    /// The report counts the changes as [skipped](ApplyReport::skipped).
    pub fn skip_other_tables(mut self) -> Self {
        self.settings.scope.skips_others = true;
        self
    }

    /// Decides conflicts by their kind, for tables without a handler of their own, and for foreign
    /// keys without a handler.
    ///
    /// ```
    /// # use diesel_sqlite_session::{ApplyError, Changeset, ConflictAction, ConflictType, SqliteSessionExt};
    /// # fn apply(conn: &mut diesel::SqliteConnection, changeset: &Changeset) -> Result<(), ApplyError> {
    /// conn.apply(changeset)
    ///     .otherwise(|kind| match kind {
    ///         ConflictType::Data | ConflictType::Conflict => ConflictAction::Replace,
    ///         ConflictType::NotFound => ConflictAction::Omit,
    ///         ConflictType::Constraint | ConflictType::ForeignKey => ConflictAction::Abort,
    ///     })
    ///     .run()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn otherwise(mut self, handler: impl FnMut(ConflictType) -> ConflictAction + 'a) -> Self {
        self.rules.otherwise = Some(FallbackHandler::ByKind(Box::new(handler)));
        self
    }

    /// Decides conflicts with a handler that receives the change and the conflicting row, and that
    /// can fail.
    ///
    /// - It is called for tables without a handler of their own. It replaces a handler set by
    ///   [`otherwise`](Self::otherwise).
    /// - If it fails, the apply is rolled back and fails with [`ApplyError::Handler`].
    /// - Foreign key violations do not call it.
    ///
    /// Use it to log the conflicts of all tables, or to report which change failed, which
    /// [`ApplyError::ConflictAborted`] does not contain.
    ///
    /// ```
    /// use diesel::connection::SimpleConnection;
    /// use diesel::prelude::*;
    /// use diesel_sqlite_session::wire::TableInfo;
    /// use diesel_sqlite_session::{Changeset, ConflictAction, ConflictType, SqliteSessionExt};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut conn = SqliteConnection::establish(":memory:")?;
    /// conn.batch_execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (1, 'Ada')")?;
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let changeset = Changeset::builder()
    ///     .insert_values(users, &[1.into(), "Bob".into()])
    ///     .delete_values(users, &[2.into(), "Eve".into()])
    ///     .build()?;
    ///
    /// let mut log = Vec::new();
    /// let result = conn
    ///     .apply(&changeset)
    ///     .try_otherwise(|conflict| {
    ///         log.push(conflict.to_string());
    ///         match conflict.kind() {
    ///             ConflictType::NotFound => Ok(ConflictAction::Omit),
    ///             _ => Err("this was not to be"),
    ///         }
    ///     })
    ///     .run();
    /// assert!(result.is_err());
    /// assert_eq!(log, ["table users: INSERT finds an existing row, key 1"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_otherwise<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        mut self,
        mut handler: impl FnMut(&UntypedConflict<'_>) -> Result<ConflictAction, E> + 'a,
    ) -> Self {
        let handler =
            move |conflict: &UntypedConflict<'_>| handler(conflict).map_err(|error| ApplyError::Handler(error.into()));
        self.rules.otherwise = Some(FallbackHandler::ByChange(Box::new(handler)));
        self
    }

    /// Decides whether foreign key violations are accepted. Called at most once, after all changes
    /// have been applied.
    ///
    /// Without this handler and without [`otherwise`](Self::otherwise), violations fail with
    /// [`ApplyError::ForeignKeyViolations`].
    ///
    /// ```
    /// # use diesel_sqlite_session::{ApplyError, Changeset, SqliteSessionExt};
    /// # fn apply(conn: &mut diesel::SqliteConnection, changeset: &Changeset) -> Result<(), ApplyError> {
    /// conn.apply(changeset)
    ///     .on_foreign_keys(|broken| {
    ///         for row in broken.rows() {
    ///             eprintln!("{row}");
    ///         }
    ///         broken.abort()
    ///     })
    ///     .run()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_foreign_keys(mut self, handler: impl FnMut(&ForeignKeyConflict) -> ForeignKeyDecision + 'a) -> Self {
        self.rules.on_foreign_keys = Some(Box::new(handler));
        self
    }

    /// Ignores conflicts if the database already contains the result of the change.
    ///
    /// Such conflicts are a DELETE of a row that does not exist, an UPDATE to values that the row
    /// already has, and an INSERT of an identical row. They count as
    /// [applied](ApplyReport::applied). This makes applying a changeset twice idempotent, unless
    /// the rows have changed in between. Equal numbers, such as 2 and 2.0, are the same value.
    /// Texts that are equal only by a collation are different values.
    ///
    /// This corresponds to
    /// [`SQLITE_CHANGESETAPPLY_IGNORENOOP`](https://www.sqlite.org/session/c_changesetapply_fknoaction.html)
    /// of SQLite's own apply, and is also correct for names that need quotes, and for a DELETE that
    /// finds a row of NULLs.
    pub fn ignore_noops(mut self) -> Self {
        self.rules.ignores_noops = true;
        self
    }

    /// Disables foreign key actions such as `ON DELETE CASCADE`.
    ///
    /// If the tables that the actions change were recorded, the changeset already contains what the
    /// actions did at the source. Foreign keys are still checked at the end.
    ///
    /// Has no effect unless foreign keys are enforced and one of them has an action. Otherwise the
    /// schema is read again before and after the apply, and no [statement is
    /// kept](super#kept-statements): SQLite keeps the actions with the schema. The apply fails with
    /// [`ApplyError::CannotDisableActions`] if the SQLite library has no switch for actions, or if
    /// the connection shares its cache.
    ///
    /// SQLite:
    /// [`SQLITE_CHANGESETAPPLY_FKNOACTION`](https://www.sqlite.org/session/c_changesetapply_fknoaction.html).
    pub fn without_foreign_key_actions(mut self) -> Self {
        self.settings.no_foreign_key_actions = true;
        self
    }

    /// Reports UPDATEs that exchange UNIQUE values as conflicts of the kind
    /// [`ConflictType::Constraint`].
    ///
    /// The [guide](super#exchanged-unique-values) describes what happens without this option.
    /// UPDATEs that wait for a UNIQUE value, but not for each other, are applied with this option
    /// too.
    ///
    /// SQLite:
    /// [`SQLITE_CHANGESETAPPLY_NOUPDATELOOP`](https://www.sqlite.org/session/c_changesetapply_fknoaction.html).
    pub fn without_update_loop(mut self) -> Self {
        self.settings.without_exchange = true;
        self
    }

    /// Applies the changes of each table in their original order, instead of [key
    /// order](super#order). Changes that need a UNIQUE value of another row still wait for the
    /// change of that row.
    pub fn keep_order(mut self) -> Self {
        self.settings.keeps_order = true;
        self
    }

    /// Uses no savepoint around the apply. For callers that roll back their own transaction when
    /// the apply fails.
    ///
    /// The changes of a failed apply remain in the transaction. Outside of a transaction,
    /// [`run`](Self::run) fails with [`ApplyError::NoTransaction`].
    ///
    /// SQLite:
    /// [`SQLITE_CHANGESETAPPLY_NOSAVEPOINT`](https://www.sqlite.org/session/c_changesetapply_fknoaction.html).
    pub fn without_savepoint(mut self) -> Self {
        self.settings.no_savepoint = true;
        self
    }

    /// Collects no [rebase data](ApplyReport::rebase_data). The rebase data contains the values of
    /// each change with a conflict, so it can take as much memory as the input.
    pub fn without_rebase_data(mut self) -> Self {
        self.settings.rebase_data = false;
        self
    }

    /// Rejects more than `max` bytes with [`ApplyError::Limit`]. No more bytes are read from a
    /// stream.
    pub fn max_bytes(mut self, max: u64) -> Self {
        self.settings.limits.bytes = max;
        self
    }

    /// Rejects more than `max` changes with [`ApplyError::Limit`].
    pub fn max_changes(mut self, max: u64) -> Self {
        self.settings.limits.changes = max;
        self
    }

    /// Rejects texts and blobs of more than `max` bytes with [`ApplyError::Limit`]. They are not
    /// read from a stream.
    pub fn max_value_bytes(mut self, max: u64) -> Self {
        self.settings.limits.value_bytes = max;
        self
    }

    /// Calls `progress` before the first change and then about every 16 KiB, also while blocked
    /// changes are tried again. `Break` cancels the apply: it is rolled back and fails with
    /// [`ApplyError::Cancelled`].
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// # use std::sync::atomic::{AtomicBool, Ordering};
    /// # use diesel_sqlite_session::{ApplyError, Changeset, SqliteSessionExt};
    /// # fn apply(conn: &mut diesel::SqliteConnection, changeset: &Changeset, stop: &AtomicBool) -> Result<(), ApplyError> {
    /// conn.apply(changeset)
    ///     .on_progress(|progress| {
    ///         println!("{} changes", progress.changes);
    ///         if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    ///     })
    ///     .run()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_progress(mut self, progress: impl FnMut(Progress) -> ControlFlow<()> + 'a) -> Self {
        self.rules.on_progress = Some(Box::new(progress));
        self
    }

    /// Applies the changes, and returns a report.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`]. After an error nothing remains applied, except as described at
    /// [`ApplyError`].
    ///
    /// SQLite:
    /// [`sqlite3changeset_apply_v2`](https://www.sqlite.org/session/sqlite3changeset_apply.html),
    /// which is not called: see [the differences](super#what-differs-from-sqlite3changeset_apply).
    pub fn run(self) -> Result<ApplyReport, ApplyError> {
        let Self { connection, input, mut rules, settings, .. } = self;
        with_handle(connection, |handle| driver::run(handle, input.0, &settings, &mut rules))?
    }
}

impl Apply<'_, ChangesetFormat> {
    /// Applies the inverse of the changeset, which undoes it. Handlers and filters receive the
    /// inverse changes.
    ///
    /// [`Changeset::invert`] returns the inverse as a changeset of its own. SQLite:
    /// [`SQLITE_CHANGESETAPPLY_INVERT`](https://www.sqlite.org/session/c_changesetapply_fknoaction.html).
    pub fn inverted(mut self) -> Self {
        self.settings.is_inverted = true;
        self
    }
}

impl<'a, F: TypedFormat> Apply<'a, F> {
    /// Sets the conflict handler of one table. A second handler for the same table replaces the
    /// first.
    ///
    /// The handler receives the change as a typed value, and the conflicting row if there is one:
    /// see [`Conflict`].
    pub fn on_conflict<T: AppliedTable>(
        self,
        mut handler: impl for<'c> FnMut(Conflict<'c, F::Change<T>>) -> Decision<'c> + 'a,
    ) -> Self {
        self.on_conflict_of::<T>(move |conflict| Ok(handler(conflict)))
    }

    /// Sets a conflict handler that can fail: see [`on_conflict`](Self::on_conflict). If it fails,
    /// the apply is rolled back and fails with [`ApplyError::Handler`].
    ///
    /// ```
    /// # use diesel_sqlite_session::{ApplyError, Changeset, Conflict, SqliteSessionExt, Tracked};
    /// # diesel::table! {
    /// #     users (id) {
    /// #         id -> Integer,
    /// #     }
    /// # }
    /// # #[derive(Debug, Tracked)]
    /// # #[diesel(table_name = users)]
    /// # pub struct User {
    /// #     id: i32,
    /// # }
    /// # fn apply(conn: &mut diesel::SqliteConnection, changeset: &Changeset) -> Result<(), ApplyError> {
    /// conn.apply(changeset)
    ///     .try_on_conflict::<users::table, _>(|conflict| match conflict {
    ///         Conflict::Data(c) => Ok(c.replace()),
    ///         other => Err(format!("{other:?}")),
    ///     })
    ///     .run()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_on_conflict<T: AppliedTable, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        self,
        mut handler: impl for<'c> FnMut(Conflict<'c, F::Change<T>>) -> Result<Decision<'c>, E> + 'a,
    ) -> Self {
        self.on_conflict_of::<T>(move |conflict| handler(conflict).map_err(|error| ApplyError::Handler(error.into())))
    }

    fn on_conflict_of<T: AppliedTable>(
        mut self,
        handler: impl for<'c> FnMut(Conflict<'c, F::Change<T>>) -> Result<Decision<'c>, ApplyError> + 'a,
    ) -> Self {
        self.rules_of::<T>().on_conflict = Some(typed::on_conflict::<F, T>(handler));
        self
    }

    /// Sets the filter of one table, which decides which changes are applied. A second filter for
    /// the same table replaces the first.
    ///
    /// The filter receives each change, and the row with the same primary key, if there is one, as
    /// it is just before the change. An UPDATE does not contain unchanged columns, and a DELETE of
    /// a patchset contains only the primary key. The report counts rejected changes as
    /// [skipped](ApplyReport::skipped). Changes made by triggers of the database do not call the
    /// filter.
    ///
    /// ```
    /// use diesel_sqlite_session::{ApplyError, ApplyReport, Change, Changeset, SqliteSessionExt, Tracked};
    ///
    /// diesel::table! {
    ///     notes (id) {
    ///         id -> Integer,
    ///         tenant -> Integer,
    ///         text -> Text,
    ///     }
    /// }
    ///
    /// #[derive(Debug, Tracked)]
    /// #[diesel(table_name = notes)]
    /// pub struct Note {
    ///     id: i32,
    ///     tenant: i32,
    ///     text: String,
    /// }
    ///
    /// # #[allow(dead_code)]
    /// /// Applies a tenant's changes to its own notes.
    /// fn take(conn: &mut diesel::SqliteConnection, theirs: &Changeset, tenant: i32) -> Result<ApplyReport, ApplyError> {
    ///     conn.apply(theirs)
    ///         .only::<Change<notes::table>>()
    ///         .filter::<notes::table>(|change, current| {
    ///             // both the current row and the changed row must belong to the tenant
    ///             current.is_none_or(|note| note.tenant == tenant)
    ///                 && match change {
    ///                     Change::Insert(note) => note.tenant == tenant,
    ///                     Change::Update(note) => note.tenant.changed().is_none(),
    ///                     Change::Delete(_) => true,
    ///                 }
    ///         })
    ///         .run()
    /// }
    /// ```
    pub fn filter<T: AppliedTable>(mut self, filter: impl FnMut(&F::Change<T>, Option<&T::Row>) -> bool + 'a) -> Self {
        self.rules_of::<T>().filter = Some(typed::filter::<F, T>(filter));
        self
    }

    fn rules_of<T: Tracked>(&mut self) -> &mut TableRules<'a> {
        let table: &'static TableInfo = &T::TABLE;
        let tables = &mut self.rules.tables;
        let is_it = |rules: &TableRules<'_>| rules.table.table().eq_ignore_ascii_case(table.table());
        let index = tables.iter().position(is_it).unwrap_or_else(|| {
            tables.push(TableRules { table, on_conflict: None, filter: None });
            tables.len() - 1
        });
        self.settings.scope.typed.push(table);
        &mut tables[index]
    }
}
