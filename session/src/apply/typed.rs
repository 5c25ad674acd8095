//! Typed conflicts, whose methods offer only the decisions that SQLite accepts.

use std::boxed::Box;
use std::fmt;
use std::marker::PhantomData;

use super::conflict::{ConflictAction, ConflictType, RawDecision};
use super::error::ApplyError;
use super::input::sealed;
use crate::typed::private::{DecodeRow, Reader};
use crate::typed::{Change, DecodeError, FromChanges, FromPatches, Patch, TableInfo, Tracked};
use crate::wire::codec::unread::UnreadRecord;
use crate::wire::{ChangesetFormat, PatchsetFormat, Record, SetFormat};

/// A conflict, with the change as a typed value. Passed to handlers of
/// [`Apply::on_conflict`](super::Apply::on_conflict).
///
/// `C` is `Change<users::table>` for changesets and `Patch<users::table>` for patchsets.
///
/// | | INSERT | UPDATE | DELETE | decisions |
/// |---|---|---|---|---|
/// | [`Data`](Self::Data) | – | the row differs from the old values, in the columns that change | the row differs from the old row | `replace`, `omit`, `abort` |
/// | [`NotFound`](Self::NotFound) | – | no row has the primary key | no row has the primary key | `omit`, `abort` |
/// | [`Conflict`](Self::Conflict) | a row has the primary key | – | – | `replace`, `omit`, `abort` |
/// | [`Constraint`](Self::Constraint) | another constraint is violated: UNIQUE, NOT NULL, CHECK, the type of a `STRICT` column, RAISE in a trigger | the same | RAISE in a trigger | `omit`, `abort` |
///
/// Foreign key violations are not conflicts of one change. They are checked after all changes have
/// been applied, those with `RESTRICT` too, and have [a handler of their
/// own](super::Apply::on_foreign_keys).
///
/// A patchset contains no old values. Therefore `Data` occurs for a patchset only if a trigger
/// ignores the change by `RAISE(IGNORE)`. If a trigger ignores a change again after the decision
/// `replace`, the change is `NotFound`, although its row exists.
///
/// # What a handler can rely on
///
/// - **A handler is called once for most conflicts, and at most twice for one change**: first for
///   `Data` or `Conflict`, and after the decision `replace` for `Constraint` or `NotFound`. A
///   decision should therefore depend on the conflict, not on the number of calls. The
///   [report](super::ApplyReport) counts each change once, by the last decision.
/// - **`Constraint` is the last conflict of a change.** It comes after all changes of the table
///   have been [tried](super#order). Later changes of the same row follow it.
/// - **The order of rows is undefined.** A session writes rows in the order of a hash table. Tables
///   come in the order of the changeset, and all changes of a table come before those of the next.
/// - **The conflicting row is read when the handler is called.** It reflects earlier changes and
///   what triggers did.
/// - **A change of a primary key is two changes**, a DELETE and an INSERT. Omitting only one of
///   them loses the row or duplicates it.
/// - **`replace` of a `Conflict`** deletes the row and inserts the new one. Triggers fire and
///   foreign key actions run as for a DELETE.
pub enum Conflict<'a, C: TypedChange> {
    /// The row exists, but differs from the old values of the change.
    Data(RowConflict<'a, C>),
    /// No row has the primary key of an UPDATE or a DELETE.
    NotFound(NotFoundConflict<'a, C>),
    /// A row already has the primary key of an INSERT.
    Conflict(RowConflict<'a, C>),
    /// The change violates a constraint other than the primary key.
    Constraint(ConstraintConflict<'a, C>),
}

impl<C: TypedChange + fmt::Debug> fmt::Debug for Conflict<'_, C>
where
    C::Row: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(conflict) => f.debug_tuple("Data").field(conflict).finish(),
            Self::NotFound(conflict) => f.debug_tuple("NotFound").field(conflict).finish(),
            Self::Conflict(conflict) => f.debug_tuple("Conflict").field(conflict).finish(),
            Self::Constraint(conflict) => f.debug_tuple("Constraint").field(conflict).finish(),
        }
    }
}

impl<'a, C: TypedChange> Conflict<'a, C> {
    /// Returns the change.
    pub fn change(&self) -> &C {
        match self {
            Self::Data(conflict) | Self::Conflict(conflict) => conflict.change(),
            Self::NotFound(conflict) => conflict.change(),
            Self::Constraint(conflict) => conflict.change(),
        }
    }

    /// Returns the conflicting row, if there is one.
    pub fn current(&self) -> Option<&C::Row> {
        match self {
            Self::Data(conflict) | Self::Conflict(conflict) => Some(conflict.current()),
            Self::NotFound(_) | Self::Constraint(_) => None,
        }
    }

    /// Returns the kind of conflict.
    pub fn kind(&self) -> ConflictType {
        match self {
            Self::Data(_) => ConflictType::Data,
            Self::NotFound(_) => ConflictType::NotFound,
            Self::Conflict(_) => ConflictType::Conflict,
            Self::Constraint(_) => ConflictType::Constraint,
        }
    }

    /// Skips this change and continues, for any kind. Fails if a row has been deleted for an
    /// INSERT: see [`ConstraintConflict::is_after_replace`].
    pub fn omit(&self) -> Decision<'a> {
        Decision::of(ConflictAction::Omit)
    }

    /// Rolls back everything that was applied, and fails with [`ApplyError::ConflictAborted`], for
    /// any kind.
    pub fn abort(&self) -> Decision<'a> {
        Decision::of(ConflictAction::Abort)
    }
}

/// A typed change of one table: [`Change`] or [`Patch`].
pub trait TypedChange: sealed::Sealed {
    /// The row of the table.
    type Row;
}

impl<T: Tracked> sealed::Sealed for Change<T> {}
impl<T: Tracked> TypedChange for Change<T> {
    type Row = T::Row;
}

impl<T: Tracked> sealed::Sealed for Patch<T> {}
impl<T: Tracked> TypedChange for Patch<T> {
    type Row = T::Row;
}

/// A format and its typed change: [`Change`] for changesets, [`Patch`] for patchsets.
pub trait TypedFormat: SetFormat {
    /// The change of the table `T`.
    type Change<T: Tracked>: TypedChange<Row = T::Row>;

    #[doc(hidden)]
    fn read<T: AppliedTable>(source: &UnreadRecord<'_, '_>) -> Result<Self::Change<T>, DecodeError>;
}

impl TypedFormat for ChangesetFormat {
    type Change<T: Tracked> = Change<T>;

    fn read<T: AppliedTable>(source: &UnreadRecord<'_, '_>) -> Result<Change<T>, DecodeError> {
        T::read_change(source)
    }
}

impl TypedFormat for PatchsetFormat {
    type Change<T: Tracked> = Patch<T>;

    fn read<T: AppliedTable>(source: &UnreadRecord<'_, '_>) -> Result<Patch<T>, DecodeError> {
        T::read_patch(source)
    }
}

/// A table or row whose changes can be passed to a handler: any [`Tracked`] type whose row owns its
/// values.
#[diagnostic::on_unimplemented(
    message = "changes of `{Self}` cannot be passed to a handler",
    label = "expected a table such as `users::table`, or a row that owns its values",
    note = "a row with a lifetime borrows from a changeset, and cannot be used here"
)]
pub trait AppliedTable: Tracked {
    #[doc(hidden)]
    fn read_change(source: &UnreadRecord<'_, '_>) -> Result<Change<Self>, DecodeError>
    where
        Self: Sized;
    #[doc(hidden)]
    fn read_patch(source: &UnreadRecord<'_, '_>) -> Result<Patch<Self>, DecodeError>
    where
        Self: Sized;
    #[doc(hidden)]
    fn read_row(source: &UnreadRecord<'_, '_>) -> Result<Self::Row, DecodeError>;
}

impl<T: Tracked> AppliedTable for T
where
    T::Row: for<'de> DecodeRow<'de, Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    fn read_change(source: &UnreadRecord<'_, '_>) -> Result<Change<T>, DecodeError> {
        <Change<T> as FromChanges<'_>>::read(0, source, |change| change)
    }

    fn read_patch(source: &UnreadRecord<'_, '_>) -> Result<Patch<T>, DecodeError> {
        <Patch<T> as FromPatches<'_>>::read(0, source, |patch| patch)
    }

    fn read_row(source: &UnreadRecord<'_, '_>) -> Result<T::Row, DecodeError> {
        T::Row::inserted(&Reader::new(source, &T::TABLE, T::Row::SQL_TYPES))
    }
}

/// A handler's decision, returned by the methods of its conflict.
///
/// A decision cannot be stored and used for another conflict:
///
/// ```compile_fail
/// # use diesel_sqlite_session::apply::Decision;
/// # use diesel_sqlite_session::{Change, Changeset, Conflict, SqliteSessionExt, Tracked};
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
/// # fn apply(conn: &mut diesel::SqliteConnection, changeset: &Changeset) {
/// let mut kept: Option<Decision<'_>> = None;
/// conn.apply(changeset).on_conflict::<users::table>(|conflict| match conflict {
///     Conflict::Data(c) => {
///         kept = Some(c.replace());
///         c.omit()
///     }
///     Conflict::NotFound(_) => kept.take().unwrap(),
///     Conflict::Conflict(c) => c.omit(),
///     Conflict::Constraint(c) => c.omit(),
/// });
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a handler's decision is what it returns"]
pub struct Decision<'a> {
    decision: RawDecision,
    _conflict: InvariantLifetime<'a>,
}

/// Ties a decision to its conflict, by an invariant lifetime.
type InvariantLifetime<'a> = PhantomData<fn(&'a ()) -> &'a ()>;

impl Decision<'_> {
    fn of(action: ConflictAction) -> Self {
        Self { decision: RawDecision { action, may_lose_row: false }, _conflict: PhantomData }
    }
}

macro_rules! conflict {
    ($(#[$doc:meta])* $Name:ident { $($field:ident: $type:ty),* }) => {
        $(#[$doc])*
        pub struct $Name<'a, C: TypedChange> {
            change: C,
            $($field: $type,)*
            _conflict: InvariantLifetime<'a>,
        }

        impl<'a, C: TypedChange> $Name<'a, C> {
            /// Returns the change.
            pub fn change(&self) -> &C {
                &self.change
            }

            /// Skips this change and continues.
            pub fn omit(&self) -> Decision<'a> {
                Decision::of(ConflictAction::Omit)
            }

            /// Rolls back everything that was applied, and fails with
            /// [`ApplyError::ConflictAborted`].
            pub fn abort(&self) -> Decision<'a> {
                Decision::of(ConflictAction::Abort)
            }
        }

        impl<C: TypedChange + fmt::Debug> fmt::Debug for $Name<'_, C> where C::Row: fmt::Debug {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut debug = f.debug_struct(stringify!($Name));
                debug.field("change", &self.change);
                $(debug.field(stringify!($field), &self.$field);)*
                debug.finish()
            }
        }
    };
}

conflict! {
    /// A conflict with an existing row: [`Conflict::Data`] and [`Conflict::Conflict`].
    RowConflict { current: C::Row }
}

conflict! {
    /// A conflict of a change whose row does not exist: [`Conflict::NotFound`].
    NotFoundConflict {}
}

conflict! {
    /// A conflict with a constraint: [`Conflict::Constraint`].
    ConstraintConflict { after_replace: bool }
}

impl<'a, C: TypedChange> RowConflict<'a, C> {
    /// Returns the conflicting row of the database as it is now. It contains every column of the
    /// table, even columns that the changes do not contain.
    pub fn current(&self) -> &C::Row {
        &self.current
    }

    /// Applies the change over the conflicting row.
    ///
    /// For [`Conflict::Conflict`] the row is deleted and the new one inserted. Triggers fire and
    /// foreign key actions run as for a DELETE, and columns that the changes do not contain get
    /// their default values.
    pub fn replace(&self) -> Decision<'a> {
        Decision::of(ConflictAction::Replace)
    }

    /// Returns the change and the conflicting row, to keep them. Make the decision before: `let
    /// decision = c.omit();`.
    pub fn into_parts(self) -> (C, C::Row) {
        (self.change, self.current)
    }
}

impl<'a, C: TypedChange> ConstraintConflict<'a, C> {
    /// Returns whether this is an INSERT for which a row has been deleted, because of the decision
    /// [`replace`](RowConflict::replace). `omit` would lose that row, and fails with
    /// [`ApplyError::ReplacedRowLost`].
    pub fn is_after_replace(&self) -> bool {
        self.after_replace
    }

    /// Skips this change and continues. If a row has been deleted for the change, the row is lost.
    pub fn omit_and_lose_row(&self) -> Decision<'a> {
        Decision { decision: RawDecision { action: ConflictAction::Omit, may_lose_row: true }, _conflict: PhantomData }
    }
}

/// The handler and the filter of one table.
pub(super) struct TableRules<'a> {
    pub(super) table: &'static TableInfo<'static>,
    pub(super) on_conflict: Option<OnConflict<'a>>,
    pub(super) filter: Option<Filter<'a>>,
}

impl TableRules<'_> {
    pub(super) fn is_of(&self, table: &str) -> bool {
        self.table.table().eq_ignore_ascii_case(table)
    }
}

/// A conflict whose change is not decoded yet.
pub(super) struct UndecodedConflict<'q> {
    pub(super) conflict: ConflictType,
    pub(super) change: Record<'q>,
    pub(super) current: Option<Record<'q>>,
    pub(super) after_replace: bool,
}

type OnConflict<'a> = Box<dyn FnMut(UndecodedConflict<'_>) -> Result<RawDecision, ApplyError> + 'a>;
type Filter<'a> = Box<dyn FnMut(Record<'_>, Option<Record<'_>>) -> Result<bool, ApplyError> + 'a>;

/// Returns a handler that decodes the conflict and calls `handler`.
pub(super) fn on_conflict<'a, F: TypedFormat, T: AppliedTable>(
    mut handler: impl for<'c> FnMut(Conflict<'c, F::Change<T>>) -> Result<Decision<'c>, ApplyError> + 'a,
) -> OnConflict<'a> {
    Box::new(move |conflict_data| {
        let change = read_change::<F, T>(&conflict_data.change)?;
        let current = conflict_data.current.as_ref().map(read_row::<T>).transpose()?;
        let conflict = match (conflict_data.conflict, current) {
            (ConflictType::Data, Some(current)) => {
                Conflict::Data(RowConflict { change, current, _conflict: PhantomData })
            }
            (ConflictType::Conflict, Some(current)) => {
                Conflict::Conflict(RowConflict { change, current, _conflict: PhantomData })
            }
            (ConflictType::Constraint, _) => {
                let after_replace = conflict_data.after_replace;
                Conflict::Constraint(ConstraintConflict { change, after_replace, _conflict: PhantomData })
            }
            _ => Conflict::NotFound(NotFoundConflict { change, _conflict: PhantomData }),
        };
        handler(conflict).map(|decision| decision.decision)
    })
}

/// Returns a filter that decodes the change and calls `filter`.
pub(super) fn filter<'a, F: TypedFormat, T: AppliedTable>(
    mut filter: impl FnMut(&F::Change<T>, Option<&T::Row>) -> bool + 'a,
) -> Filter<'a> {
    Box::new(move |change, current| {
        let change = read_change::<F, T>(&change)?;
        let current = current.as_ref().map(read_row::<T>).transpose()?;
        Ok(filter(&change, current.as_ref()))
    })
}

fn read_change<F: TypedFormat, T: AppliedTable>(change: &Record<'_>) -> Result<F::Change<T>, ApplyError> {
    change.with_unread(F::read::<T>).map_err(|error| ApplyError::Decode(error.in_conflict()))
}

fn read_row<T: AppliedTable>(row: &Record<'_>) -> Result<T::Row, ApplyError> {
    row.with_unread(T::read_row).map_err(|error| ApplyError::Decode(error.in_row()))
}
