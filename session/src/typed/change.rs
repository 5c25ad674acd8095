//! Changes as Rust values: [`Tracked`], [`Change`] and [`Patch`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem;

use super::DecodeError;
use super::reader::Reader;
use crate::wire::Operation;
use crate::wire::TableInfo;

/// A row of a table, or the table itself: a type that changes can be read as.
///
/// `#[derive(Tracked)]` implements it for a row struct and for its table. On an enum of [`Change`]s the
/// derive makes a set of tables, and on a unit struct a whole schema.
/// [The guide to the derive](crate::_documentation::derive) covers attributes, sets, schemas and compile
/// errors.
///
/// ```
/// # #[cfg(feature = "derive")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use diesel_sqlite_session::{Change, Changeset, Tracked};
///
/// diesel::table! {
///     users (id) {
///         id -> Integer,
///         name -> Text,
///         email -> Nullable<Text>,
///     }
/// }
///
/// #[derive(Debug, Tracked)]
/// #[diesel(table_name = users)]
/// pub struct User {
///     id: i32,
///     name: String,
///     email: Option<String>,
/// }
///
/// let user = |email: Option<&str>| User { id: 1, name: "Ada".into(), email: email.map(String::from) };
/// let changeset = Changeset::builder().update(&user(None), &user(Some("ada@example.org"))).build()?;
///
/// for change in changeset.changes::<Change<users::table>>() {
///     let Change::Update(update) = change? else { unreachable!() };
///     assert_eq!(update.id, 1);
///     assert_eq!(update.email.changed(), Some((&None, &Some("ada@example.org".into()))));
///     assert!(!update.name.is_changed());
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "derive"))]
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no row to read changes as",
    label = "no `#[derive(Tracked)]` makes this a row or the table of one",
    note = "a table has the `pub` struct with `#[derive(Tracked)]` and `#[diesel(table_name = …)]` as its row",
    note = "a row that is not `pub`, has a lifetime, or is `#[tracked(row_only)]` is named itself: `Change<User>`",
    note = "a set is no table: a handler and a filter are for one table each, as in `on_conflict::<users::table>`"
)]
pub trait Tracked {
    /// The table.
    const TABLE: TableInfo<'static>;
    /// A whole row.
    type Row;
    /// An UPDATE of a changeset: the key, and a [`Field`](super::Field) for each other column.
    type Update;
    /// An UPDATE of a patchset: the key, and an `Option` for each other column, `Some` where it has a new value.
    type Patch;
    /// The primary key: the type of its column, or a tuple of those of its columns, in the order of `table!`.
    type Key;
}

/// Reads changes as a row and its companions.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from these changes",
    note = "a row that borrows cannot outlive the changeset that it is read from"
)]
pub trait DecodeRow<'de>: Tracked<Row = Self> + Sized {
    fn inserted(reader: &Reader<'_, 'de>) -> Result<Self, DecodeError>;
    fn deleted(reader: &Reader<'_, 'de>) -> Result<Self, DecodeError>;
    fn updated(reader: &Reader<'_, 'de>) -> Result<Self::Update, DecodeError>;
    fn patched(reader: &Reader<'_, 'de>) -> Result<Self::Patch, DecodeError>;
    fn key(reader: &Reader<'_, 'de>) -> Result<Self::Key, DecodeError>;
}

/// Copies the key out of a row and of its companions.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the key of `{Self}` cannot be copied out of a change",
    note = "the types of the key's columns need `Clone`"
)]
pub trait KeyedRow: Tracked<Row = Self> + Sized {
    fn key_of_row(&self) -> Self::Key;
    fn key_of_update(update: &Self::Update) -> Self::Key;
    fn key_of_patch(patch: &Self::Patch) -> Self::Key;
}

/// A change of a changeset: what happened to one row of the table `T`.
///
/// # JSON
///
/// With the feature `serde`, a change is one JSON object, and so is one of a [set](crate::_documentation::derive#sets): a line of an audit log.
///
/// ```
/// # #[cfg(feature = "serde")]
/// # mod example {
/// use diesel_sqlite_session::{Change, Changeset, Tracked};
///
/// diesel::table! {
///     users (id) {
///         id -> BigInt,
///         name -> Text,
///         email -> Nullable<Text>,
///         password -> Text,
///     }
/// }
///
/// #[derive(Debug, PartialEq, Tracked)]
/// #[diesel(table_name = users)]
/// #[tracked(skip(password))]
/// pub struct User {
///     id: i64,
///     name: String,
///     email: Option<String>,
/// }
///
/// #[derive(Debug, PartialEq, Tracked)]
/// enum Blog {
///     Users(Change<users::table>),
/// }
///
/// # pub fn run() -> Result<(), Box<dyn std::error::Error>> {
/// # let bytes = b"T\x04\x01\0\0\0users\0\x17\0\x01\0\0\0\0\0\0\0\x02\0\x05\x03\x01a\0\0\x03\x03b@c\x03\x01b";
/// # let changeset = Changeset::try_from(bytes.to_vec())?;
/// // an UPDATE of Bob's address and password
/// for change in changeset.changes::<Blog>() {
///     let change = change?;
///     let line = serde_json::to_string(&change)?;
///     assert_eq!(
///         line,
///         r#"{"op":"update","table":"users","key":2,"before":{"email":null},"after":{"email":"b@c"},"changed":["email"]}"#
///     );
///     assert_eq!(serde_json::from_str::<Blog>(&line)?, change);
/// }
/// # Ok(())
/// # }
/// # }
/// # #[cfg(feature = "serde")]
/// # example::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The form is that of `wire::json`, with the columns' names in the database. A value is what its type has as JSON, but
/// for blobs (`Vec<u8>`, `&[u8]`, `Cow<[u8]>`), integers beyond 2<sup>53</sup> and reals with more digits than every reader keeps, which
/// are tagged as there; whole reals are plain. Inside of a field's own arrays and objects, nothing is tagged.
///
/// - **Nothing to derive.** Neither rows nor sets derive `Serialize`; a set that does would have it twice (E0119). `Serialize` that the row
///   has for something else, with other names, changes nothing here.
/// - **`#[serde(…)]` on a field** is heeded where it says how a value is shown: `skip` and `skip_serializing` keep the column out, and it
///   is `Default::default()` when it is read; a key that is kept out is `null`. `with`, `serialize_with` and `deserialize_with` are
///   called. Other entries are left to serde.
/// - **Columns in `#[tracked(skip(…))]`** are in no JSON, not even in `changed`; an UPDATE of them alone is one of nothing.
/// - **Reading** takes members in any order, and passes over those that it does not know, so that a line can hold a change beside
///   other things, with `#[serde(flatten)]`: who did it, or whether it was
///   [indirect](crate::Record::indirect), which the typed change does not know. Rows with a lifetime are `Serialize` alone.
/// - **The companions** derive serde's traits if they are told to, as for a payload of your own: `#[tracked(derive(Debug,
///   Serialize))]`; a [`Field`](super::Field) is `null` or `{"old": …, "new": …}` there. What is said above does not hold for that.
pub enum Change<T: Tracked> {
    /// The row was inserted.
    Insert(T::Row),
    /// The row was updated.
    Update(T::Update),
    /// The row was deleted; this is what it was.
    Delete(T::Row),
}

/// A change of a patchset: what to do to one row of the table `T`. What the row was before, it does not say.
///
/// With the feature `serde` it has `Serialize` and `Deserialize` as [`Change`](Change#json), without `before`.
pub enum Patch<T: Tracked> {
    /// The row was inserted.
    Insert(T::Row),
    /// The row was updated.
    Update(T::Patch),
    /// The row with this key was deleted.
    Delete(T::Key),
}

impl<T: Tracked> Change<T> {
    /// The primary key of the row, whatever was done to it: the value of the key's column, or a tuple of several.
    ///
    /// ```
    /// use diesel_sqlite_session::{Change, Changeset, DecodeError, Operation, Tracked};
    ///
    /// diesel::table! {
    ///     users (id) {
    ///         id -> Integer,
    ///         name -> Text,
    ///     }
    /// }
    ///
    /// #[derive(Debug, Tracked)]
    /// #[diesel(table_name = users)]
    /// pub struct User {
    ///     id: i32,
    ///     name: String,
    /// }
    ///
    /// /// Which users were edited.
    /// fn edited(changeset: &Changeset) -> Result<Vec<i32>, DecodeError> {
    ///     let mut edited = Vec::new();
    ///     for change in changeset.changes::<Change<users::table>>() {
    ///         let change = change?;
    ///         if change.operation() == Operation::Update {
    ///             edited.push(change.key());
    ///         }
    ///     }
    ///     Ok(edited)
    /// }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bytes = b"T\x02\x01\x00users\0\x17\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob\x00\x03\x06Robert";
    /// # assert_eq!(edited(&Changeset::try_from(bytes.to_vec())?)?, [2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(&self) -> T::Key
    where
        T::Row: KeyedRow<Update = T::Update, Key = T::Key>,
    {
        match self {
            Self::Insert(row) | Self::Delete(row) => row.key_of_row(),
            Self::Update(update) => T::Row::key_of_update(update),
        }
    }
}

impl<T: Tracked> Patch<T> {
    /// The primary key of the row, whatever is done to it: see [`Change::key`].
    pub fn key(&self) -> T::Key
    where
        T::Row: KeyedRow<Patch = T::Patch, Key = T::Key>,
        T::Key: Clone,
    {
        match self {
            Self::Insert(row) => row.key_of_row(),
            Self::Update(patch) => T::Row::key_of_patch(patch),
            Self::Delete(key) => key.clone(),
        }
    }
}

macro_rules! inherent {
    ($Change:ident) => {
        impl<T: Tracked> $Change<T> {
            /// What is done to the row.
            pub fn operation(&self) -> Operation {
                match self {
                    Self::Insert(_) => Operation::Insert,
                    Self::Update(_) => Operation::Update,
                    Self::Delete(_) => Operation::Delete,
                }
            }

            /// Returns the name of the table.
            pub fn table(&self) -> &'static str {
                self.table_info().table()
            }

            /// Returns the description of the table.
            pub fn table_info(&self) -> &'static TableInfo<'static> {
                const { &T::TABLE }
            }
        }
    };
}
inherent!(Change);
inherent!(Patch);

macro_rules! traits {
    ($Change:ident, $Update:ident, $Delete:ident) => {
        impl<T: Tracked> Clone for $Change<T>
        where
            T::Row: Clone,
            T::$Update: Clone,
            T::$Delete: Clone,
        {
            fn clone(&self) -> Self {
                match self {
                    Self::Insert(row) => Self::Insert(row.clone()),
                    Self::Update(update) => Self::Update(update.clone()),
                    Self::Delete(row) => Self::Delete(row.clone()),
                }
            }
        }

        impl<T: Tracked> Copy for $Change<T>
        where
            T::Row: Copy,
            T::$Update: Copy,
            T::$Delete: Copy,
        {
        }

        impl<T: Tracked> PartialEq for $Change<T>
        where
            T::Row: PartialEq,
            T::$Update: PartialEq,
            T::$Delete: PartialEq,
        {
            fn eq(&self, other: &Self) -> bool {
                match (self, other) {
                    (Self::Insert(a), Self::Insert(b)) => a == b,
                    (Self::Update(a), Self::Update(b)) => a == b,
                    (Self::Delete(a), Self::Delete(b)) => a == b,
                    _ => false,
                }
            }
        }

        impl<T: Tracked> Eq for $Change<T>
        where
            T::Row: Eq,
            T::$Update: Eq,
            T::$Delete: Eq,
        {
        }

        impl<T: Tracked> Hash for $Change<T>
        where
            T::Row: Hash,
            T::$Update: Hash,
            T::$Delete: Hash,
        {
            fn hash<H: Hasher>(&self, state: &mut H) {
                mem::discriminant(self).hash(state);
                match self {
                    Self::Insert(row) => row.hash(state),
                    Self::Update(update) => update.hash(state),
                    Self::Delete(row) => row.hash(state),
                }
            }
        }

        impl<T: Tracked> fmt::Debug for $Change<T>
        where
            T::Row: fmt::Debug,
            T::$Update: fmt::Debug,
            T::$Delete: fmt::Debug,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Insert(row) => f.debug_tuple("Insert").field(row).finish(),
                    Self::Update(update) => f.debug_tuple("Update").field(update).finish(),
                    Self::Delete(row) => f.debug_tuple("Delete").field(row).finish(),
                }
            }
        }
    };
}
traits!(Change, Update, Row);
traits!(Patch, Patch, Key);
