//! Changes as Rust values: [`Tracked`], [`Change`] and [`Patch`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem;

use super::DecodeError;
use super::reader::{Reader, SqlTypes};
use super::table::TableInfo;
use crate::wire::Operation;

/// The row of a table, and the table: what `#[derive(Tracked)]` makes of a struct, so that changes are read as its values.
///
/// The derive goes by the item that it stands on:
///
/// | item | is | writes |
/// |---|---|---|
/// | a struct with fields and `#[diesel(table_name = …)]` | a [row](#rows) | `UserUpdate` and `UserPatch`, and this trait for `User` and `users::table` |
/// | an enum of [`Change`]s or of [`Patch`]es | a [set of tables](#sets) | [`TrackedSet`](super::TrackedSet), to attach, to iterate and to match on |
/// | a unit struct with `#[tracked(schema = …)]` | a [whole schema](#schemas) | a row for each table of a file, and a set of all |
///
/// # Rows
///
/// A row has a field for each column, in any order, beside whatever else is derived for it. The names, places and key of the
/// columns are taken from `table!`: what does not fit is a compile error.
///
/// ```
/// use diesel::prelude::*;
/// use diesel_sqlite_session::{Change, Changeset, Patchset, Patch, Tracked};
///
/// diesel::table! {
///     seats (flight, row) {
///         flight -> Text,
///         row -> Integer,
///         passenger -> Nullable<Text>,
///     }
/// }
///
/// #[derive(Debug, PartialEq, Queryable, Insertable, Tracked)]
/// #[diesel(table_name = seats)]
/// pub struct Seat {
///     flight: String,
///     row: i32,
///     #[diesel(column_name = passenger)]
///     who: Option<String>,
/// }
///
/// fn print(changeset: &Changeset) -> Result<(), Box<dyn std::error::Error>> {
///     for change in changeset.changes::<Change<seats::table>>() {
///         match change? {
///             Change::Insert(seat) => println!("{seat:?} is new"),
///             // a SeatUpdate: the key as it is, and a `Field` for each other column
///             Change::Update(seat) => match seat.who.changed() {
///                 Some((old, new)) => println!("{} {}: {old:?} -> {new:?}", seat.flight, seat.row),
///                 None => {}
///             },
///             Change::Delete(seat) => println!("{seat:?} is gone"),
///         }
///     }
///     Ok(())
/// }
///
/// fn gone(patchset: &Patchset) -> Vec<(String, i32)> {
///     let patches = patchset.patches::<Patch<seats::table>>().flatten();
///     // a patchset says of a deleted row the key alone: a tuple, as there are two columns
///     patches.filter_map(|patch| if let Patch::Delete(key) = patch { Some(key) } else { None }).collect()
/// }
/// ```
///
/// - **Keys.** `Key` is the type of the key's column, or the tuple of its columns, in the order of `table!`. If the struct
///   has Diesel's `primary_key(…)`, it must name the key of `table!`.
/// - **Visibility.** A `pub` row without a lifetime is the row of its table: `Change<seats::table>` and `Change<Seat>` read the same.
///   One row of a table can be that: a second one says [`row_only`](#attributes-of-a-row). A row that is not `pub`, or has a
///   lifetime, is named itself. The table of another crate cannot have your row as its own (the compiler says E0117):
///   `row_only` again.
/// - **Private types.** The key is found by the compiler, and so the types of all fields are as public as the row (E0446). With
///   `#[diesel(primary_key(…))]` only those of the key are.
/// - **Types.** A field has any type that [`FromSqlValue`](super::FromSqlValue) is implemented for, or that Diesel loads from SQLite;
///   `Option` exactly where the column is `Nullable`. `deserialize_as` and `serialize_as` are heeded.
/// - **Companions** have `Debug`, `Clone` and `PartialEq` where the types of the fields have them, and the struct's visibility. A set
///   can have what its rows and their companions have: for `#[derive(Eq, Hash)]` on it, the rows derive both, and
///   `#[tracked(derive(Debug, Clone, PartialEq, Eq, Hash))]` has the companions derive them.
/// - **What changed.** The companions have `is_unchanged()`, and `changed_columns()` with the names of the columns that an UPDATE sets, in
///   the order of the table: for the line of an audit log.
///
/// ## Attributes of a row
///
/// | `#[tracked(…)]` | on | |
/// |---|---|---|
/// | `skip(column, …)` | struct | these columns have no field: [below](#skip) |
/// | `generated(column, …)` | struct | generated columns, which `diesel print-schema` lists and changes do not hold |
/// | `default` | field | `Default::default()` in changes that are [older than the column](#older-changes) |
/// | `update = Name`, `patch = Name` | struct | the names of the companions |
/// | `derive(Trait, …)` | struct | what the companions derive, in the place of `Debug`, `Clone` and `PartialEq` |
/// | `row_only` | struct | not the row of the table's type |
/// | `crate = path` | struct | where this crate is, if it is re-exported |
///
/// Of `#[diesel(…)]` the derive heeds `table_name`, `primary_key`, `column_name`, `deserialize_as` and `serialize_as`, and leaves the
/// rest to Diesel.
///
/// ## Skip
///
/// A column that must not reach the typed side, such as a password hash, is absent from the row, its companions, and what these print
/// and serialize, and from the JSON of a whole changeset that is written with `Blog::TABLES`. It is recorded and applied like the
/// others: a changeset, its records, their SQL and rebase data have it, and show it. A row that skips columns cannot be written by a
/// builder, which would lose them; the key cannot be skipped. An UPDATE of skipped columns alone is one that changed nothing:
/// `is_unchanged()` tells it.
///
/// ```
/// # use diesel_sqlite_session::{Change, Changeset, DecodeError, Tracked};
/// # diesel::table! {
/// #     users (id) {
/// #         id -> Integer,
/// #         name -> Text,
/// #         password -> Text,
/// #     }
/// # }
/// #[derive(Debug, Tracked)]
/// #[diesel(table_name = users)]
/// #[tracked(skip(password))]
/// pub struct User {
///     id: i32,
///     name: String,
/// }
///
/// fn audit(changeset: &Changeset) -> Result<Vec<String>, DecodeError> {
///     let mut lines = Vec::new();
///     for change in changeset.changes::<Change<users::table>>() {
///         match change? {
///             Change::Update(user) if user.is_unchanged() => {}
///             Change::Update(user) => {
///                 let columns: Vec<&str> = user.changed_columns().collect();
///                 lines.push(format!("user {}: {}", user.id, columns.join(", ")));
///             }
///             change => lines.push(format!("user {}: {}", change.key(), change.operation())),
///         }
///     }
///     Ok(lines)
/// }
/// # assert_eq!(User::TABLE.columns(), ["id", "name", "password"]);
/// # let mut bytes = b"T\x03\x01\0\0users\0\x17\0\x01\0\0\0\0\0\0\0\x02\x03\x01a\x03\x01x\0\x03\x01b\x03\x01y".to_vec();
/// # bytes.extend(b"\x17\0\x01\0\0\0\0\0\0\0\x03\0\x03\x01x\0\0\x03\x01y");
/// # bytes.extend(b"\x09\0\x01\0\0\0\0\0\0\0\x04\x03\x01a\x03\x01x");
/// # let changeset = Changeset::try_from(bytes).unwrap();
/// # assert_eq!(audit(&changeset).unwrap(), ["user 2: name", "user 4: DELETE"]);
/// ```
///
/// ## Older changes
///
/// SQLite adds columns at the end. Changes that were recorded before lack them: with `default` on the fields of those last
/// columns, INSERTs and DELETEs have the default, and UPDATEs have them unchanged.
///
/// ```
/// # use diesel_sqlite_session::{Change, Changeset, Tracked};
/// # diesel::table! {
/// #     users (id) {
/// #         id -> Integer,
/// #         name -> Text,
/// #         city -> Nullable<Text>,
/// #     }
/// # }
/// #[derive(Debug, PartialEq, Tracked)]
/// #[diesel(table_name = users)]
/// pub struct User {
///     id: i32,
///     name: String,
///     #[tracked(default)]
///     city: Option<String>,
/// }
///
/// // an INSERT of (1, 'Ada')
/// let bytes = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
/// let changeset = Changeset::try_from(bytes.to_vec())?;
/// let ada = User { id: 1, name: "Ada".into(), city: None };
/// assert_eq!(changeset.changes::<Change<User>>().next(), Some(Ok(Change::Insert(ada))));
/// # Ok::<(), diesel_sqlite_session::ParseError>(())
/// ```
///
/// ## Borrowed rows
///
/// A row with a lifetime borrows from the changeset: `&'a str`, `&'a [u8]` and `Cow<'a, …>` are read without a copy.
///
/// ```
/// # use diesel_sqlite_session::{Change, Changeset, Tracked};
/// # diesel::table! {
/// #     users (id) {
/// #         id -> Integer,
/// #         name -> Text,
/// #     }
/// # }
/// #[derive(Debug, Tracked)]
/// #[diesel(table_name = users)]
/// struct UserRef<'a> {
///     id: i32,
///     name: &'a str,
/// }
///
/// fn longest(changeset: &Changeset) -> Option<&str> {
///     let changes = changeset.changes::<Change<UserRef<'_>>>().flatten();
///     changes.filter_map(|change| if let Change::Insert(user) = change { Some(user.name) } else { None }).max_by_key(|name| name.len())
/// }
/// ```
///
/// # Sets
///
/// A variant for each table, each with a [`Change`] or each with a [`Patch`] of a table or a row. A table can be there once. `crate`
/// is the only attribute.
///
/// ```
/// # use diesel_sqlite_session::{Change, Tracked};
/// # diesel::table! {
/// #     users (id) {
/// #         id -> Integer,
/// #     }
/// # }
/// # diesel::table! {
/// #     posts (id) {
/// #         id -> Integer,
/// #     }
/// # }
/// # #[derive(Debug, Tracked)]
/// # #[diesel(table_name = users)]
/// # pub struct User {
/// #     id: i32,
/// # }
/// # #[derive(Debug, Tracked)]
/// # #[diesel(table_name = posts)]
/// # struct Post {
/// #     id: i32,
/// # }
/// #[derive(Debug, Tracked)]
/// enum Blog {
///     Users(Change<users::table>),
///     Posts(Change<Post>),
/// }
/// ```
///
/// # Schemas
///
/// The file of `diesel print-schema`, and the module that the crate has it as:
///
/// ```
/// # use diesel_sqlite_session::{Change, Tracked};
/// # /*
/// mod schema;
/// # */
/// # #[allow(non_snake_case)]
/// # mod schema {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/chinook/schema.rs"));
/// # }
///
/// #[derive(Tracked)]
/// #[tracked(schema = "examples/chinook/schema.rs", module = crate::schema)]
/// pub struct Music;
///
/// fn tell(change: &MusicChange) -> String {
///     match change {
///         MusicChange::Album(Change::Insert(album)) => format!("a new album: {}", album.Title),
///         other => format!("{other:?}"),
///     }
/// }
/// # fn main() {}
/// ```
///
/// For a table `order_lines` this writes the structs `OrderLinesRow`, `OrderLinesUpdate` and `OrderLinesPatch`, and for all of them the
/// sets `MusicChange` and `MusicPatch`, with a variant `OrderLines`. Modules of the file are looked into; a change of it compiles the crate
/// again. A column has the type that [`RustType`](super::RustType) says, whatever features are on: a `Timestamp` is a `String`.
///
/// | `#[tracked(…)]` | |
/// |---|---|
/// | `schema = "path"`, `module = path` | the file, from the folder of Cargo.toml, and its module |
/// | `include(table, …)`, `exclude(table, …)` | only these tables, or all but these |
/// | `rename(table = Name, …)` | what the names of a table's items begin with |
/// | `types(SqlType = Type, …)` | the Rust type of an SQL type, without `Option` |
/// | `skip(table::column, …)`, `generated(…)`, `default(…)` | as on a row |
/// | `change = Name`, `patch = Name` | the names of the sets |
/// | `derive(Trait, …)` | what rows, companions and, as far as they can, sets derive |
/// | `row_derive(Trait, …)` | what the rows derive besides, such as `Queryable, Insertable` |
/// | `rowids` | tables without a primary key are tracked too, by the `rowid` that print-schema gives them; without it they are left out, and the docs of the sets say which |
/// | `row_only` | the rows are not those of their tables: for a second schema of the same tables, or one of another crate |
/// | `crate = path` | where this crate is |
///
/// # JSON
///
/// With the feature `serde`, [`Change`], [`Patch`] and sets of them have `Serialize` and `Deserialize` where the types of the fields have
/// them; the row itself needs neither. See [`Change`](Change#json).
///
/// # Errors
///
/// All mistakes of an item are said at once, where they are. What only the compiler can see reads so:
///
/// | error | means |
/// |---|---|
/// | E0080, evaluation panicked | the columns do not fit: the message says which, and what to write |
/// | E0425, cannot find type … in module … | a field is no column of the table: say which it is with `#[diesel(column_name = …)]` |
/// | E0277, a column … cannot be read as … | the type of a field is not one of its column, or needs a [feature](crate#features) |
/// | E0119, conflicting implementations | two `pub` rows of one table: one is `row_only` |
/// | E0117, only traits defined in the current crate | a table of another crate: `row_only` |
/// | E0446, private type in public interface | a field of a public row has a private type: say the key with `#[diesel(primary_key(…))]` |
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no row to read changes as",
    label = "no `#[derive(Tracked)]` makes this a row or the table of one",
    note = "a table has the `pub` struct with `#[derive(Tracked)]` and `#[diesel(table_name = …)]` as its row",
    note = "a row that is not `pub`, has a lifetime, or is `#[tracked(row_only)]` is named itself: `Change<User>`",
    note = "a set is no table: a handler and a filter are for one table each, as in `on_conflict::<users::table>`"
)]
pub trait Tracked {
    /// The table.
    const TABLE: TableInfo;
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
    const SQL_TYPES: SqlTypes;
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
/// With the feature `serde`, a change is one JSON object, and so is one of a [set](Tracked#sets): a line of an audit log.
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

            /// The table that the row is of.
            pub fn table(&self) -> &'static TableInfo {
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
