//! Applying changesets and patchsets.
//!
//! - [`Apply`]: what is to be applied and how; [`input`]: what can be
//! - [`conflict`]: conflicts by their kind; [`typed`]: with the change as a value
//! - [`fit`](mod@fit): what must hold before SQLite sees a change, with [`features`]; [`feed`]: the same for streams
//! - [`order`]: in which order they are made
//! - [`run`](mod@run): what SQLite asks meanwhile; [`current`]: the rows in the way; [`counts`] and [`report`]: what came of it

mod callbacks;
mod check;
mod conflict;
mod counts;
mod current_rows;
mod error;
mod feed;
mod input;
mod order;
mod report;
mod schema_features;
mod typed;

use std::boxed::Box;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::string::String;
use std::vec::Vec;

use diesel::SqliteConnection;

pub use self::conflict::{
    ConflictAction, ConflictType, ForeignKeyConflict, ForeignKeyDecision, ForeignKeyViolation, UntypedConflict,
};
pub use self::error::ApplyError;
pub use self::feed::Progress;
pub use self::input::{ApplyInput, SetInput};
pub use self::report::{ApplyReport, TableReport};
pub use self::typed::{
    AppliedTable, Conflict, ConstraintConflict, Decision, NotFoundConflict, RowConflict, TypedChange, TypedFormat,
};
pub use crate::ffi::error::{HandleError, SqliteError};
pub use crate::schema::SchemaMismatch;
pub use crate::wire::Limit;

use self::callbacks::{FallbackHandler, Rules, RunningApply};
use self::check::{CheckOptions, CheckedChanges, ForeignKeysAct, SchemaCheck, TableScope, fit};
use self::counts::ChangeCounts;
use self::current_rows::CurrentRows;
use self::feed::{InputFeed, OriginalOrder};
use self::input::{Input, Source};
use self::order::OrderedChanges;
use self::typed::TableRules;

use crate::ffi::apply::{ApplyFailure, CAN_FILTER, Input as RawInput, Options, apply};
use crate::ffi::handle::{Handle, with_handle};
use crate::ffi::statement::Connection;
use crate::ffi::transaction::{BeginError, Transaction};
use crate::typed::{TableInfo, Tracked, TrackedSet};
#[cfg(doc)]
use crate::wire::Changeset;
use crate::wire::codec::reader::Limits;
use crate::wire::{ChangesetFormat, ChangesetRef, Format, PatchsetRef, RebaseData, Records, SetFormat};

/// Changes that are about to be applied to the `main` database, and how: from
/// [`SqliteSessionExt::apply`](crate::SqliteSessionExt::apply). Nothing is done until [`run`](Self::run).
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
///         // Ada is there already: the longer name wins
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
/// # What comes first
///
/// The changes have been checked, or are checked as they are read. Before anything is written they are compared with the
/// database: a table that is not there, has too few columns or another key is
/// [`SchemaMismatch`](ApplyError::SchemaMismatch). So is one whose key has another collation than its columns, as in
/// `(k TEXT COLLATE NOCASE, PRIMARY KEY (k COLLATE BINARY))`: SQLite would make one change in several rows. If a handler or filter is
/// given for a table, its `table!` must agree with it too. A stream is compared section by section, as it comes.
///
/// Whatever goes wrong, nothing of the changes stays, unless [`without_savepoint`](Self::without_savepoint) is used, or
/// `PRAGMA journal_mode = OFF`, by which nothing can be undone. In a transaction, what was done in it before is kept, unless the error is
/// [`RolledBack`](ApplyError::RolledBack).
///
/// Outside of a transaction, changes in memory are compared and applied in one that keeps other writers away from the first, as
/// [`BEGIN IMMEDIATE`](https://www.sqlite.org/lang_transaction.html) does: it waits for them as long as `PRAGMA busy_timeout` says.
/// With attached databases, which that would lock too, and for a stream, which may be slow, `main` is read first and locked for writing
/// with the first change; [`SchemaChanged`](ApplyError::SchemaChanged) says that the schema became another in between. There, and in a
/// transaction of the user's that has only read so far, SQLite does not wait for other writers, whatever `busy_timeout` says, and in WAL
/// mode it fails with `SQLITE_BUSY` if another connection has written since the read. So where several write, begin with
/// [`immediate_transaction`](SqliteConnection::immediate_transaction), and apply inside it.
///
/// # Who decides
///
/// A conflict goes to the handler of its table, else to that of [`otherwise`](Self::otherwise); without one it ends the apply with
/// [`ConflictAborted`](ApplyError::ConflictAborted). [`Conflict`] says when each kind happens and what a handler may
/// rely on.
///
/// # Order
///
/// Nobody can rely on the order of a table's changes: a session writes them in that of its hash table. A section of 1,000 changes or
/// more is made in the order of its keys, which is far kinder to a large b-tree. And where some changes give up values of a UNIQUE
/// index that others need, as in `SET place = place + 1`, a change is made behind the one that gives up what it needs, from 32
/// changes on; SQLite would try again and again. The order stays as it is where it could show or nothing is known:
///
/// - in tables that have triggers, `ON CONFLICT REPLACE` or `IGNORE`
/// - in tables that could take two keys for one: with another collation than `BINARY`, with reals, or with values of other classes than the
///   columns keep, as texts in an `INTEGER` column
/// - in tables on which foreign keys act when they are changed themselves, or that have such act on one with triggers
/// - in a patchset's section that changes values of a UNIQUE index, as it does not say what is given up
/// - in streams
///
/// An index of 16 bytes for each change of one section is made for it. [`keep_order`](Self::keep_order) turns it off.
///
/// # What happens unasked
///
/// - A table's own `ON CONFLICT IGNORE`, `REPLACE` and `FAIL`, and `RAISE(IGNORE)` in its triggers, act before SQLite sees a conflict.
/// - Triggers of the database fire, and its foreign key actions act, also where what they did on the source is among the
///   changes: [`ignore_noops`](Self::ignore_noops) passes over what has been done already,
///   [`without_foreign_key_actions`](Self::without_foreign_key_actions) keeps foreign keys from acting.
/// - An UPDATE that does nothing but replace the key by an [equal one](crate::_documentation::format#keys), 1 by 1.0, is left out, as SQLite cannot
///   apply it; the INSERT that SQLite records beside it is a [`ConflictType::Conflict`].
/// - A column that an UPDATE has with the same value before and after, as a rebased one does, is not compared and not set, as
///   [`Field::Unchanged`](crate::Field::Unchanged) says.
/// - UPDATEs that are in each other's way, as where two rows exchange unique values, are made by deleting a row and inserting
///   it again (SQLite 3.53 and later), unless that could do more: where the table has triggers, `ON CONFLICT REPLACE` or
///   `IGNORE`, or more columns than the changes, the database has foreign keys and they are on, another schema has a table of the
///   same name, or the changes are a stream. There they are [`ConflictType::Constraint`].
/// - Text is applied as it is, also where it is not UTF-8. A collation that was registered through Diesel ends the process when
///   it is given such text: for bytes from strangers, look at [`Value::as_str`](crate::Value::as_str) of what goes into columns
///   with one.
/// - While applying, SQLite sets [`defer_foreign_keys`](https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys); in a transaction,
///   it is then as it was.
/// - FTS5 keeps what it has read of its shadow tables. PendingChange to these on a connection that has used the FTS5 table, changes are not stats
///   by it, and the next INSERT spoils it. Track the tables that the text comes from instead.
#[must_use = "nothing is applied until `run` is called"]
pub struct Apply<'a, F: SetFormat> {
    connection: &'a mut SqliteConnection,
    input: Input<'a>,
    scope: TableScope,
    rules: Rules<'a>,
    limits: Limits,
    options: Options,
    keeps_order: bool,
    format: PhantomData<fn() -> F>,
}

impl<F: SetFormat> std::fmt::Debug for Apply<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Apply").field("format", &F::FORMAT).finish_non_exhaustive()
    }
}

impl<'a, F: SetFormat> Apply<'a, F> {
    pub(crate) fn new(connection: &'a mut SqliteConnection, input: Input<'a>) -> Self {
        let options = Options { rebase: true, ..Options::default() };
        let (scope, rules, limits) = (TableScope::default(), Rules::default(), Limits::default());
        Self { connection, input, scope, rules, limits, options, keeps_order: false, format: PhantomData }
    }

    /// Refuses changes of other tables than those of the set, with [`ApplyError::UnexpectedTable`], before anything is written.
    /// With [`skip_other_tables`](Self::skip_other_tables) they are left out instead. Several sets add up. Each table whose changes come
    /// must be what its `table!` says, so that no value comes into another column.
    ///
    /// The database's own triggers and foreign key actions can still change other tables.
    pub fn only<S: TrackedSet>(self) -> Self {
        let mut this = self.only_tables(S::TABLES.iter().map(|table| table.table()));
        this.scope.typed.extend(S::TABLES);
        this
    }

    /// As [`only`](Apply::only), by the names of the tables.
    pub fn only_tables<T: Into<String>>(mut self, tables: impl IntoIterator<Item = T>) -> Self {
        self.scope.only.get_or_insert_default().extend(tables.into_iter().map(Into::into));
        self
    }

    /// Leaves out the changes of tables that [`only`](Apply::only) does not name, and does nothing without it. The report counts them as
    /// [left out](ApplyReport::skipped).
    pub fn skip_other_tables(mut self) -> Self {
        self.scope.skips_others = true;
        self
    }

    /// Decides the conflicts of tables that have no handler of their own, and of foreign keys if they have none, by their
    /// kind.
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

    /// As [`otherwise`](Self::otherwise), with a handler that is given the change and the row that is in its way, and that can fail:
    /// the apply is then undone, and the error is in [`ApplyError::Handler`]. It is for a log of all tables, or to say which change
    /// it was: [`ConflictAborted`](ApplyError::ConflictAborted) does not. Broken foreign keys it is not asked about.
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
    /// assert_eq!(log, ["table users: INSERT of a row that is there, key 1"]);
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

    /// Decides what becomes of foreign keys that are broken after everything has been applied. It is asked once. Without it, and
    /// without [`otherwise`](Self::otherwise), they end the apply with [`ApplyError::ForeignKeyViolations`].
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

    /// Passes over conflicts where the database is already as the change would make it: a DELETE of a row that is not there, an
    /// UPDATE to the values that are there, an INSERT of the very row. They count as [applied](ApplyReport::applied). Numbers that are
    /// equal are the same value, as 2 and 2.0; texts that a collation takes for equal are not.
    ///
    /// It is SQLite's `SQLITE_CHANGESETAPPLY_IGNORENOOP`, but also right for names that need quotes, and for a DELETE that finds a row
    /// of NULLs.
    pub fn ignore_noops(mut self) -> Self {
        self.rules.ignores_noops = true;
        self
    }

    /// Keeps foreign keys from acting: `ON DELETE CASCADE` and the others do nothing, as what they did on the source is among the
    /// changes, if the tables that they act on were recorded. They are checked at the end all the same. `SQLITE_CHANGESETAPPLY_FKNOACTION`.
    pub fn without_foreign_key_actions(mut self) -> Self {
        self.options.no_foreign_key_actions = true;
        self
    }

    /// Makes UPDATEs that are in each other's way conflicts everywhere. `SQLITE_CHANGESETAPPLY_NOUPDATELOOP`.
    pub fn without_update_loop(mut self) -> Self {
        self.options.no_update_loop = true;
        self
    }

    /// Makes the changes of each table in the order in which they stand, and not in [one](Self#order) that takes less time.
    pub fn keep_order(mut self) -> Self {
        self.keeps_order = true;
        self
    }

    /// Takes no savepoint, for callers who roll back their own transaction if applying fails: what a failed apply has done stays in
    /// it otherwise. Outside of one, [`run`](Self::run) answers
    /// [`NoTransaction`](ApplyError::NoTransaction). `SQLITE_CHANGESETAPPLY_NOSAVEPOINT`.
    pub fn without_savepoint(mut self) -> Self {
        self.options.no_savepoint = true;
        self
    }

    /// Refuses more bytes than this, with [`ApplyError::Limit`]. Of a stream no more are read.
    pub fn max_bytes(mut self, max: u64) -> Self {
        self.limits.bytes = max;
        self
    }

    /// Refuses more changes than this, with [`ApplyError::Limit`].
    pub fn max_changes(mut self, max: u64) -> Self {
        self.limits.changes = max;
        self
    }

    /// Refuses a text or blob of more bytes than this, with [`ApplyError::Limit`]. Of a stream it is not read.
    pub fn max_value_bytes(mut self, max: u64) -> Self {
        self.limits.value_bytes = max;
        self
    }

    /// Is told how far it has come: before the first change, and then after every 16 KiB or so. `Break` ends the apply with
    /// [`ApplyError::Cancelled`], and undoes it.
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

    /// Applies the changes.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    pub fn run(self) -> Result<ApplyReport, ApplyError> {
        let Self { connection, input, scope, mut rules, limits, options, keeps_order, .. } = self;
        let settings = Settings { scope, limits, options, format: F::FORMAT, is_reported: true, keeps_order };
        with_handle(connection, |handle| run(handle, input.0, settings, &mut rules))?
    }
}

impl Apply<'_, ChangesetFormat> {
    /// Applies the inverse of the changeset, which undoes it: handlers and filters are given the inverse changes.
    /// `SQLITE_CHANGESETAPPLY_INVERT`; [`Changeset::invert`] makes the same as a changeset of its own.
    pub fn inverted(mut self) -> Self {
        self.options.invert = true;
        self
    }
}

impl<'a, F: TypedFormat> Apply<'a, F> {
    /// Decides the conflicts of one table. A second handler of the same table takes the place of the first.
    ///
    /// The handler is given the change as a typed value, and the row that is in the way where there is one: see [`Conflict`].
    pub fn on_conflict<T: AppliedTable>(
        self,
        mut handler: impl for<'c> FnMut(Conflict<'c, F::Change<T>>) -> Decision<'c> + 'a,
    ) -> Self {
        self.on_conflict_of::<T>(move |conflict| Ok(handler(conflict)))
    }

    /// As [`on_conflict`](Self::on_conflict), with a handler that can fail: the apply is then undone, and the error is in
    /// [`ApplyError::Handler`].
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

    /// Decides which changes of one table to make at all. A second filter of the same table takes the place of the first.
    ///
    /// The filter is given each change, and the row of the database with its key, if there is one, as it is just before the
    /// change would be made: an UPDATE leaves out the columns that it does not change, and a patchset's DELETE holds the key
    /// alone. What it refuses the report counts as [left out](ApplyReport::skipped). What a trigger of the database does is not
    /// asked about.
    ///
    /// This takes SQLite 3.51 or later; [`run`](Self::run) answers [`ApplyError::CannotFilter`] where the library is older.
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
    /// /// Takes what a tenant does with its own notes.
    /// fn take(conn: &mut diesel::SqliteConnection, theirs: &Changeset, tenant: i32) -> Result<ApplyReport, ApplyError> {
    ///     conn.apply(theirs)
    ///         .only::<Change<notes::table>>()
    ///         .filter::<notes::table>(|change, current| {
    ///             // the row that is there is the tenant's, and so is what the change makes of it
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
        self.options.filter = true;
        self
    }

    fn rules_of<T: Tracked>(&mut self) -> &mut TableRules<'a> {
        let table: &'static TableInfo = &T::TABLE;
        let tables = &mut self.rules.tables;
        let is_it = |rules: &TableRules<'_>| rules.table.table().eq_ignore_ascii_case(table.table());
        let place = tables.iter().position(is_it).unwrap_or_else(|| {
            tables.push(TableRules { table, on_conflict: None, filter: None });
            tables.len() - 1
        });
        self.scope.typed.push(table);
        &mut tables[place]
    }
}

/// Settings changes are applied.
struct Settings {
    scope: TableScope,
    limits: Limits,
    options: Options,
    format: Format,
    is_reported: bool,
    keeps_order: bool,
}

/// Applies checked changes, with conflicts decided by their kind alone.
pub(crate) fn run_by_kind(
    connection: &mut SqliteConnection,
    bytes: &[u8],
    records: Records<'_>,
    format: Format,
    handler: &mut dyn FnMut(ConflictType) -> ConflictAction,
) -> Result<(), ApplyError> {
    let mut rules = Rules { otherwise: Some(FallbackHandler::ByKind(Box::new(handler))), ..Rules::default() };
    let (scope, limits, options) = (TableScope::default(), Limits::default(), Options::default());
    let settings = Settings { scope, limits, options, format, is_reported: false, keeps_order: false };
    with_handle(connection, |handle| run(handle, Source::Bytes(bytes, records), settings, &mut rules))?.map(|_| ())
}

fn run(
    handle: Handle<'_>,
    source: Source<'_>,
    settings: Settings,
    rules: &mut Rules<'_>,
) -> Result<ApplyReport, ApplyError> {
    let Settings { scope, limits, mut options, format, is_reported, keeps_order } = settings;
    if options.filter && !CAN_FILTER {
        return Err(ApplyError::CannotFilter);
    }
    if options.no_savepoint && !handle.is_in_transaction() {
        return Err(ApplyError::NoTransaction);
    }
    // what comes from afar shall not keep others from writing
    let writes = matches!(&source, Source::Bytes(bytes, _) if !bytes.is_empty());
    let begun = match options.no_savepoint {
        true => Transaction::join(handle).map(Some),
        false => Transaction::begin_exclusive(handle, writes),
    };
    let begun = begun.map_err(begin_failed)?;
    let connection = Connection::from(handle);
    // if another connection can change the schema, it is looked at again before the commit
    let schema_version = if begun.is_none() { Some(callbacks::schema_version(connection)?) } else { None };
    let mut counts = ChangeCounts::default();
    let mut check = SchemaCheck::new(connection, scope);
    let fitted;
    let (input, feed) = match source {
        Source::Bytes(bytes, records) => {
            let order = (!keeps_order).then_some(ForeignKeysAct(!options.no_foreign_key_actions));
            let check_options = CheckOptions { format, limits, is_inverted: options.invert, order };
            let CheckedChanges { bytes, no_update_loop, plans } =
                fit(&mut check, bytes, records, check_options, &mut counts)?;
            fitted = bytes;
            options.no_update_loop |= no_update_loop;
            // a C `int` counts no more
            let is_large = i32::try_from(fitted.len()).is_err();
            if !plans.is_empty() {
                let ordered = OrderedChanges::new(&fitted, format, plans, options.invert);
                (RawInput::Stream, Some(InputFeed::of_bytes(fitted.len(), ordered)))
            } else if is_large || rules.on_progress.is_some() {
                let records = match format {
                    Format::Changeset => ChangesetRef::parse(&fitted)?.records(),
                    Format::Patchset => PatchsetRef::parse(&fitted)?.records(),
                };
                (RawInput::Stream, Some(InputFeed::of_bytes(fitted.len(), OriginalOrder::new(records, format))))
            } else {
                (RawInput::Bytes(&fitted), None)
            }
        }
        Source::Stream(mut source) => {
            source.limit(limits);
            // which tables will come is not known
            options.no_update_loop = true;
            (RawInput::Stream, Some(InputFeed::of_stream(source, check, format, options.invert)))
        }
    };
    let rows = CurrentRows::new(connection);
    let (change, row) = (Vec::new(), Vec::new());
    let mut run = RunningApply {
        features: None,
        schema_version,
        connection,
        rules,
        format,
        is_reported,
        counts,
        rows,
        feed,
        change,
        row,
    };
    let transaction = match begun {
        Some(transaction) => transaction,
        None => Transaction::begin(handle).map_err(begin_failed)?,
    };
    let rebase_data = apply(handle, &transaction, input, options, &mut run).map_err(|failure| match failure {
        ApplyFailure::Handler(error) => error,
        ApplyFailure::HandlerPanicked => ApplyError::ConflictHandlerPanicked,
        ApplyFailure::RolledBack { table, failure } => ApplyError::RolledBack { table, error: failure },
        ApplyFailure::Sqlite { failure, table } => ApplyError::Sqlite { operation: "applying", table, error: failure },
    })?;
    transaction.commit().map_err(failed)?;
    let rebase_data = RebaseData::from_sqlite(rebase_data, run.counts.has_revoked_replace());
    Ok(ApplyReport::new(run.counts.into_reports(), rebase_data))
}

fn failed(failure: SqliteError) -> ApplyError {
    ApplyError::Sqlite { operation: "applying", table: None, error: failure }
}

fn begin_failed(begin_failed: BeginError) -> ApplyError {
    match begin_failed {
        BeginError::Busy => ApplyError::Busy,
        BeginError::Failed(failure) => failed(failure),
    }
}
