//! Conflicts with the change as a typed value, and answers that only fit where SQLite takes them.

use std::boxed::Box;
use std::fmt;
use std::marker::PhantomData;

use super::conflict::{ConflictAction, ConflictType, Ruling};
use super::input::{ApplyFormat, sealed};
use crate::error::ApplyError;
use crate::typed::private::{DecodeRow, Reader};
use crate::typed::{Change, DecodeError, FromChanges, FromPatches, Patch, TableInfo, Tracked};
use crate::wire::source::Source;
use crate::wire::{Changeset, Patchset, Records};

/// A conflict, with the change as a typed value: what a handler of
/// [`Apply::on_conflict`](super::Apply::on_conflict) is given.
///
/// `C` is `Change<users::table>` for changesets and `Patch<users::table>` for patchsets.
///
/// | | INSERT | UPDATE | DELETE | answers |
/// |---|---|---|---|---|
/// | [`Data`](Self::Data) | – | the row has other values than the change found, in the columns that it changes | the row has other values than the deleted one | `replace`, `omit`, `abort` |
/// | [`NotFound`](Self::NotFound) | – | there is no row with that key | there is no row with that key | `omit`, `abort` |
/// | [`Conflict`](Self::Conflict) | there is a row with that key | – | – | `replace`, `omit`, `abort` |
/// | [`Constraint`](Self::Constraint) | another constraint would be broken: UNIQUE, NOT NULL, CHECK, RAISE in a trigger | the same | RAISE in a trigger | `omit`, `abort` |
///
/// Broken foreign keys are no conflict of one change: they are looked at when everything has been applied, those with
/// `RESTRICT` too, and have [a handler of their own](super::Apply::on_foreign_keys).
///
/// As a patchset has no old values, `Data` happens with one only where the database ignores the change (`RAISE(IGNORE)` in a trigger,
/// `ON CONFLICT IGNORE`). There, a change that was answered with `replace` can be `NotFound`, though its row is there.
///
/// # What a handler may rely on
///
/// - **It can be asked several times about one change.** Where a change breaks a constraint, SQLite goes on and tries it again when
///   the other changes of the table have been made, for as long as that makes any difference: an UPDATE can be `Data`, `Data`,
///   `Data` and then `Constraint`. So a handler's answer should depend on what it is given, not on how often it was called. The
///   [report](super::ApplyReport) counts each change once, by the last answer.
/// - **`Constraint` is the last question about a change**, and comes after the other changes of its table.
/// - **Rows come in any order.** A session writes them in the order of a hash table. Tables come in the order of the changeset, and
///   one table's changes are done before the next one's begin.
/// - **The row in the way is read when the handler is called**: it has what was applied before, and what triggers did.
/// - **A change of a key is two changes**, a DELETE and an INSERT: to omit the one and not the other loses a row or makes a second.
/// - **`replace` of a `Conflict`** deletes the row and inserts the new one: triggers fire, and foreign key actions act, as on a
///   DELETE.
pub enum Conflict<'a, C: TypedChange> {
    /// The row is there, but with other values than the change expects.
    Data(RowConflict<'a, C>),
    /// There is no row with the key of an UPDATE or a DELETE.
    NotFound(NotFoundConflict<'a, C>),
    /// There is a row with the key of an INSERT already.
    Conflict(RowConflict<'a, C>),
    /// The change would break a constraint other than that of the key.
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
    /// The change.
    pub fn change(&self) -> &C {
        match self {
            Self::Data(conflict) | Self::Conflict(conflict) => conflict.change(),
            Self::NotFound(conflict) => conflict.change(),
            Self::Constraint(conflict) => conflict.change(),
        }
    }

    /// The row that is in the way, where there is one.
    pub fn current(&self) -> Option<&C::Row> {
        match self {
            Self::Data(conflict) | Self::Conflict(conflict) => Some(conflict.current()),
            Self::NotFound(_) | Self::Constraint(_) => None,
        }
    }

    /// Which kind of conflict it is.
    pub fn kind(&self) -> ConflictType {
        match self {
            Self::Data(_) => ConflictType::Data,
            Self::NotFound(_) => ConflictType::NotFound,
            Self::Conflict(_) => ConflictType::Conflict,
            Self::Constraint(_) => ConflictType::Constraint,
        }
    }

    /// Leaves this change out and goes on, whatever the kind. Where a row has been deleted for an INSERT it is an error: see
    /// [`ConstraintConflict::is_after_replace`].
    pub fn omit(&self) -> Decision<'a> {
        Decision::of(ConflictAction::Omit)
    }

    /// Undoes everything that was applied and ends with [`ApplyError::ConflictAborted`], whatever the kind.
    pub fn abort(&self) -> Decision<'a> {
        Decision::of(ConflictAction::Abort)
    }
}

/// [`Change`] or [`Patch`]: a change of one table.
pub trait TypedChange: sealed::Sealed {
    /// The table's row.
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

/// Which typed change a format has: [`Change`] for a [`Changeset`], [`Patch`] for a [`Patchset`].
pub trait TypedFormat: ApplyFormat {
    /// A change of the table `T`.
    type Change<T: Tracked>: TypedChange<Row = T::Row>;

    #[doc(hidden)]
    fn read<T: AppliedTable>(source: &Source<'_, '_>) -> Result<Self::Change<T>, DecodeError>;
}

impl TypedFormat for Changeset {
    type Change<T: Tracked> = Change<T>;

    fn read<T: AppliedTable>(source: &Source<'_, '_>) -> Result<Change<T>, DecodeError> {
        T::read_change(source)
    }
}

impl TypedFormat for Patchset {
    type Change<T: Tracked> = Patch<T>;

    fn read<T: AppliedTable>(source: &Source<'_, '_>) -> Result<Patch<T>, DecodeError> {
        T::read_patch(source)
    }
}

/// A table, or a row, whose changes a handler can be given: every [`Tracked`] one whose row owns its values.
#[diagnostic::on_unimplemented(
    message = "changes of `{Self}` cannot be given to a handler",
    label = "expected a table such as `users::table`, or a row that owns its values",
    note = "a row with a lifetime borrows from a changeset, and cannot be used here"
)]
pub trait AppliedTable: Tracked {
    #[doc(hidden)]
    fn read_change(source: &Source<'_, '_>) -> Result<Change<Self>, DecodeError>
    where
        Self: Sized;
    #[doc(hidden)]
    fn read_patch(source: &Source<'_, '_>) -> Result<Patch<Self>, DecodeError>
    where
        Self: Sized;
    #[doc(hidden)]
    fn read_row(source: &Source<'_, '_>) -> Result<Self::Row, DecodeError>;
}

impl<T: Tracked> AppliedTable for T
where
    T::Row: for<'de> DecodeRow<'de, Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    fn read_change(source: &Source<'_, '_>) -> Result<Change<T>, DecodeError> {
        <Change<T> as FromChanges<'_>>::read(0, source, |change| change)
    }

    fn read_patch(source: &Source<'_, '_>) -> Result<Patch<T>, DecodeError> {
        <Patch<T> as FromPatches<'_>>::read(0, source, |patch| patch)
    }

    fn read_row(source: &Source<'_, '_>) -> Result<T::Row, DecodeError> {
        T::Row::inserted(&Reader::new(source, &T::TABLE, T::Row::SQL_TYPES))
    }
}

/// What a handler has decided, made by the methods of the conflict that it was asked about.
///
/// It cannot be kept for another conflict:
///
/// ```compile_fail
/// # use diesel_sqlite_session::{Change, Changeset, Conflict, Decision, SqliteSessionExt, Tracked};
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
    ruling: Ruling,
    _conflict: Brand<'a>,
}

/// Ties a decision to its conflict: the lifetime can be neither longer nor shorter.
type Brand<'a> = PhantomData<fn(&'a ()) -> &'a ()>;

impl Decision<'_> {
    fn of(action: ConflictAction) -> Self {
        Self { ruling: Ruling { action, may_lose_row: false }, _conflict: PhantomData }
    }
}

macro_rules! conflict {
    ($(#[$doc:meta])* $Name:ident { $($field:ident: $type:ty),* }) => {
        $(#[$doc])*
        pub struct $Name<'a, C: TypedChange> {
            change: C,
            $($field: $type,)*
            _conflict: Brand<'a>,
        }

        impl<'a, C: TypedChange> $Name<'a, C> {
            /// The change.
            pub fn change(&self) -> &C {
                &self.change
            }

            /// Leaves this change out and goes on.
            pub fn omit(&self) -> Decision<'a> {
                Decision::of(ConflictAction::Omit)
            }

            /// Undoes everything that was applied and ends with [`ApplyError::ConflictAborted`].
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
    /// A conflict with a row that is in the way: [`Conflict::Data`] and [`Conflict::Conflict`].
    RowConflict { current: C::Row }
}

conflict! {
    /// A conflict of a change whose row is not there: [`Conflict::NotFound`].
    NotFoundConflict {}
}

conflict! {
    /// A conflict with a constraint: [`Conflict::Constraint`].
    ConstraintConflict { after_replace: bool }
}

impl<'a, C: TypedChange> RowConflict<'a, C> {
    /// The row of the database, as it is now. It has every column of the table, also where the changes are older than some.
    pub fn current(&self) -> &C::Row {
        &self.current
    }

    /// Makes the change all the same, over the row that is in the way.
    ///
    /// For a [`Conflict::Conflict`] SQLite deletes that row and inserts the new one: triggers fire, and foreign key actions act, as on
    /// a DELETE, and columns that the changes lack get their defaults.
    pub fn replace(&self) -> Decision<'a> {
        Decision::of(ConflictAction::Replace)
    }

    /// The change and the row, to be kept. The decision is made before: `let decision = c.omit();`.
    pub fn into_parts(self) -> (C, C::Row) {
        (self.change, self.current)
    }
}

impl<'a, C: TypedChange> ConstraintConflict<'a, C> {
    /// Whether this is an INSERT for which a row has been deleted, as [`replace`](RowConflict::replace) said. To `omit` it then
    /// would lose that row, and is the error [`ApplyError::ReplacedRowLost`].
    pub fn is_after_replace(&self) -> bool {
        self.after_replace
    }

    /// Leaves this change out and goes on, even if a row has been deleted for it, which is then lost.
    pub fn omit_and_lose_row(&self) -> Decision<'a> {
        Decision { ruling: Ruling { action: ConflictAction::Omit, may_lose_row: true }, _conflict: PhantomData }
    }
}

/// What was said of one table.
pub(super) struct TableRules<'a> {
    pub(super) table: &'static TableInfo,
    pub(super) on_conflict: Option<OnConflict<'a>>,
    pub(super) filter: Option<Filter<'a>>,
}

/// A conflict that is yet to be read.
pub(super) struct Question<'q> {
    pub(super) conflict: ConflictType,
    pub(super) change: Records<'q>,
    pub(super) current: Option<Records<'q>>,
    pub(super) after_replace: bool,
}

type OnConflict<'a> = Box<dyn FnMut(Question<'_>) -> Result<Ruling, ApplyError> + 'a>;
type Filter<'a> = Box<dyn FnMut(Records<'_>, Option<Records<'_>>) -> Result<bool, ApplyError> + 'a>;

/// A handler that reads what it is asked.
pub(super) fn on_conflict<'a, F: TypedFormat, T: AppliedTable>(
    mut handler: impl for<'c> FnMut(Conflict<'c, F::Change<T>>) -> Result<Decision<'c>, ApplyError> + 'a,
) -> OnConflict<'a> {
    Box::new(move |question| {
        let change = read_change::<F, T>(question.change)?;
        let current = question.current.map(read_row::<T>).transpose()?;
        let conflict = match (question.conflict, current) {
            (ConflictType::Data, Some(current)) => {
                Conflict::Data(RowConflict { change, current, _conflict: PhantomData })
            }
            (ConflictType::Conflict, Some(current)) => {
                Conflict::Conflict(RowConflict { change, current, _conflict: PhantomData })
            }
            (ConflictType::Constraint, _) => {
                let after_replace = question.after_replace;
                Conflict::Constraint(ConstraintConflict { change, after_replace, _conflict: PhantomData })
            }
            _ => Conflict::NotFound(NotFoundConflict { change, _conflict: PhantomData }),
        };
        handler(conflict).map(|decision| decision.ruling)
    })
}

/// A filter that reads what it is asked.
pub(super) fn filter<'a, F: TypedFormat, T: AppliedTable>(
    mut filter: impl FnMut(&F::Change<T>, Option<&T::Row>) -> bool + 'a,
) -> Filter<'a> {
    Box::new(move |change, current| {
        let change = read_change::<F, T>(change)?;
        let current = current.map(read_row::<T>).transpose()?;
        Ok(filter(&change, current.as_ref()))
    })
}

fn read_change<F: TypedFormat, T: AppliedTable>(change: Records<'_>) -> Result<F::Change<T>, ApplyError> {
    read_first(change, F::read::<T>).map_err(|error| ApplyError::Decode(error.in_applied()))
}

fn read_row<T: AppliedTable>(row: Records<'_>) -> Result<T::Row, ApplyError> {
    read_first(row, T::read_row).map_err(|error| ApplyError::Decode(error.in_row()))
}

/// Reads the first change, which is all that there is.
fn read_first<R>(
    mut records: Records<'_>,
    read: impl FnOnce(&Source<'_, '_>) -> Result<R, DecodeError>,
) -> Result<R, DecodeError> {
    match records.next_source(|| {}) {
        Some(source) => read(&source),
        None => Err(DecodeError::of_nothing("")),
    }
}
