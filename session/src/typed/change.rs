//! Typed changes: [`Tracked`], [`Change`] and [`Patch`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem;

use super::DecodeError;
use super::reader::{Reader, SqlTypes};
use crate::wire::{Operation, TableInfo};

/// A row struct or its table, which changes can be read as.
///
/// `#[derive(Tracked)]` implements this trait for a row struct and for its table. On an enum of
/// [`Change`]s, the derive defines a set of tables. On a unit struct, it defines a whole schema.
/// [The guide to the derive](crate::_documentation::derive) covers attributes, sets, schemas and
/// compile errors.
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
    message = "`{Self}` is neither a row nor the table of a row",
    label = "expected a struct with `#[derive(Tracked)]`, or its table",
    note = "the row of a table is the `pub` struct with `#[derive(Tracked)]` and `#[diesel(table_name = …)]`",
    note = "use the row itself, as in `Change<User>`, if it is not `pub`, has a lifetime, or is `#[tracked(row_only)]`",
    note = "handlers and filters are for one table, as in `on_conflict::<users::table>`, and not for a set of tables"
)]
pub trait Tracked {
    /// The description of the table.
    const TABLE: TableInfo<'static>;
    /// The struct of a whole row.
    type Row;
    /// The struct of an UPDATE in a changeset: the key, and a [`Field`](super::Field) for each
    /// other column.
    type Update;
    /// The struct of an UPDATE in a patchset: the key, and an `Option` for each other column.
    /// `Some` is a new value.
    type Patch;
    /// The primary key: the type of the key column, or a tuple of the types of the key columns, in
    /// the order of `table!`.
    type Key;
}

/// Reads a row and its companions from records.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from these changes",
    note = "a row that borrows cannot outlive the changeset that it borrows from"
)]
pub trait DecodeRow<'de>: Tracked<Row = Self> + Sized {
    const SQL_TYPES: SqlTypes;
    fn inserted(reader: &Reader<'_, 'de>) -> Result<Self, DecodeError>;
    fn deleted(reader: &Reader<'_, 'de>) -> Result<Self, DecodeError>;
    fn updated(reader: &Reader<'_, 'de>) -> Result<Self::Update, DecodeError>;
    fn patched(reader: &Reader<'_, 'de>) -> Result<Self::Patch, DecodeError>;
    fn key(reader: &Reader<'_, 'de>) -> Result<Self::Key, DecodeError>;
}

/// Copies the key out of a row and its companions.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the key of `{Self}` cannot be copied out of a change",
    note = "the types of the key columns must implement `Clone`"
)]
pub trait KeyedRow: Tracked<Row = Self> + Sized {
    fn key_of_row(&self) -> Self::Key;
    fn key_of_update(update: &Self::Update) -> Self::Key;
    fn key_of_patch(patch: &Self::Patch) -> Self::Key;
}

/// A typed change to one row of the table `T`, from a changeset.
///
/// # JSON
///
/// With the feature `serde`, a change is written as a JSON object, for example as a line of an
/// audit log. The same holds for a change of a [set](crate::_documentation::derive#sets).
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
/// The format is that of the module `wire::json`, with the column names of the database. A value is
/// written with the `Serialize` of its field. Three kinds of values are tagged, as `wire::json`
/// describes:
///
/// - blobs (`Vec<u8>`, `&[u8]`, `Cow<[u8]>`)
/// - integers beyond 2<sup>53</sup>
/// - reals with more digits than every JSON reader preserves; whole reals are not tagged
///
/// Values inside of a field's own arrays and objects are not tagged.
///
/// **Nothing to derive.** Rows and sets do not derive `Serialize`. A set that derives `Serialize`
/// implements it twice (E0119). If a row implements `Serialize` for another purpose, with other
/// names, this does not affect the JSON of changes.
///
/// **`#[serde(…)]` on a field** applies if it determines how a value is written or read:
///
/// - `skip` and `skip_serializing` omit the column. Reading sets it to `Default::default()`. An
///   omitted key is `null`.
/// - `with`, `serialize_with` and `deserialize_with` are called.
/// - All other entries have no effect here.
///
/// **Columns in `#[tracked(skip(…))]`** are never written, not even in `changed`. An UPDATE of such
/// columns alone has no changed columns in JSON.
///
/// **Reading** accepts members in any order, and ignores unknown members. With `#[serde(flatten)]`,
/// a line can contain a change next to other data, such as the user, or the
/// [indirect](crate::Record::indirect) flag, which the typed change does not contain. Rows with a
/// lifetime implement only `Serialize`.
///
/// **Companions** derive serde's traits on request, for a format of your own:
/// `#[tracked(derive(Debug, Serialize))]`. A [`Field`](super::Field) is then `null` or
/// `{"old": …, "new": …}`. The rules above do not apply to this format.
pub enum Change<T: Tracked> {
    /// The row was inserted.
    Insert(T::Row),
    /// The row was updated.
    Update(T::Update),
    /// The row was deleted. The variant contains the old row.
    Delete(T::Row),
}

/// A typed change to one row of the table `T`, from a patchset. It contains no old values.
///
/// With the feature `serde`, it implements `Serialize` and `Deserialize` like
/// [`Change`](Change#json), but without `before`.
pub enum Patch<T: Tracked> {
    /// The row was inserted.
    Insert(T::Row),
    /// The row was updated.
    Update(T::Patch),
    /// The row with this key was deleted.
    Delete(T::Key),
}

impl<T: Tracked> Change<T> {
    /// Returns the primary key of the row, for every operation: the value of the key column, or a
    /// tuple for a key of several columns.
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
    /// /// Returns the ids of the users that were updated.
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

    /// Returns the operation of the change.
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

impl<T: Tracked> Patch<T> {
    /// Returns the primary key of the row: see [`Change::key`].
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

    /// Returns the operation of the change.
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

/// Implements the standard traits under bounds on the associated types, which a derive cannot
/// express.
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
