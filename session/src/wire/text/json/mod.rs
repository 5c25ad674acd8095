//! Writing and reading changes as JSON, with [serde](https://serde.rs) (feature `serde`).
//!
//! A change is a JSON object, similar to an event of [Debezium](https://debezium.io): the
//! operation, the table, the key, and the values before and after the change.
//!
//! [`Record`], [`Changeset`], [`Patchset`] and their borrowed forms implement `Serialize`.
//! `Changeset` and `Patchset` also implement `Deserialize`. Typed changes implement both, and use
//! the same format.
//!
//! ```
//! use diesel_sqlite_session::Changeset;
//! use diesel_sqlite_session::wire::TableInfo;
//!
//! // an UPDATE of Bob's name and balance
//! let bytes = b"T\x03\x01\0\0users\0\x17\0\x01\0\0\0\0\0\0\0\x02\x03\x03Bob\x05\0\x03\x06Robert\x01\0\x20\0\0\0\0\0\0";
//! let changeset = Changeset::try_from(bytes.to_vec())?;
//!
//! let record = changeset.records().next().unwrap();
//! assert_eq!(
//!     serde_json::to_string(&record)?,
//!     r#"{"op":"update","table":"users","key_ordinals":[1,0,0],"key":2,"before":{"1":"Bob","2":null},"#.to_string()
//!         + r#""after":{"1":"Robert","2":{"int":"9007199254740992"}},"changed":["1","2"],"indirect":false}"#,
//! );
//! assert_eq!(
//!     serde_json::to_string(&record.json([TableInfo::from_columns("users", &["id", "name", "balance"])]))?,
//!     r#"{"op":"update","table":"users","key_ordinals":[1,0,0],"columns":["id","name","balance"],"key":2,"#.to_string()
//!         + r#""before":{"name":"Bob","balance":null},"after":{"name":"Robert","balance":{"int":"9007199254740992"}},"#
//!         + r#""changed":["name","balance"],"indirect":false}"#,
//! );
//!
//! let text = serde_json::to_string(&changeset)?;
//! assert!(text.starts_with(r#"{"format":"changeset","changes":[{"op":"update","table":"users","#));
//! assert_eq!(serde_json::from_str::<Changeset>(&text)?, changeset);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A change
//!
//! | member | value | INSERT | UPDATE | DELETE | typed |
//! |---|---|---|---|---|---|
//! | `op` | `"insert"`, `"update"` or `"delete"` | ✓ | ✓ | ✓ | ✓ |
//! | `table` | the table name | ✓ | ✓ | ✓ | ✓ |
//! | `key_ordinals` | for each column its position in the primary key, from 1, or 0: see [`Section::key_ordinals`](crate::wire::Section::key_ordinals) | ✓ | ✓ | ✓ | |
//! | `columns` | the names of all columns, if they are known; `null` for an omitted column | ✓ | ✓ | ✓ | |
//! | `key` | the value of the key column; for a key of several columns, an array of values in key order | ✓ | ✓ | ✓ | ✓ |
//! | `before` | an object with the old values | | of the changed columns | the row | ✓ |
//! | `after` | an object with the new values | the row | of the changed columns | | ✓ |
//! | `changed` | the columns that the UPDATE changed | | ✓ | | ✓ |
//! | `indirect` | whether a trigger or a foreign key action made the change | ✓ | ✓ | ✓ | |
//!
//! Changes of a patchset have no `before`. A value that is not recorded is absent; NULL is `null`.
//!
//! In two cases, `before` or `after` contains a column that `changed` does not list:
//!
//! - `after` of an UPDATE contains a key column if the key changed to an
//!   [equal key](crate::_documentation::format#keys).
//! - If SQLite has rebased an UPDATE, both objects can contain a column that did not change.
//!
//! A column is identified by its name if the names are known: in typed changes, and with
//! [`Record::json`] or [`Changeset::json`](Set::json). Otherwise it is identified by its position,
//! counted from 0, as a string: `{"0": 1, "1": "Ada"}`. In JavaScript, `change.after[1]` reads such
//! a column as if from an array. An array could not omit a column.
//!
//! # Values
//!
//! Each value keeps its storage class, whatever software reads and writes the JSON in between:
//!
//! | value | JSON |
//! |---|---|
//! | NULL | `null` |
//! | an integer from −(2<sup>53</sup> − 1) to 2<sup>53</sup> − 1 | a number |
//! | any other integer | `{"int": "9007199254740993"}` |
//! | a real with a fraction, at most 15 digits, and at most 22 decimal places | a number: `19.99` |
//! | any other real | `{"real": "1.0"}`, `{"real": "0.30000000000000004"}`, `{"real": "Infinity"}` |
//! | text | a string |
//! | text that is not UTF-8 | `{"text": "ff00"}`, the bytes in hexadecimal |
//! | a blob | `{"blob": "00ff"}`, the bytes in hexadecimal |
//!
//! The tags are needed because JSON readers differ. JavaScript and others have a single type of
//! number: they write 1.0 as `1`, and lose the last digits of large integers. Fast readers round
//! numbers of more than 15 digits to a neighbor; serde_json without its feature `float_roundtrip`
//! is one of them.
//!
//! In JavaScript, `Number(value.real)` and `BigInt(value.int)` return the value. In SQLite,
//! `unhex(…)` returns the blob.
//!
//! # A changeset or patchset
//!
//! ```json
//! {"format": "changeset", "changes": [{"op": "insert", …}, …]}
//! ```
//!
//! # Hidden columns
//!
//! Rows can skip columns, for example with `#[tracked(skip)]` or `#[serde(skip)]`. JSON
//! omits the values and names of these columns if the tables of the rows are given, for typed and
//! untyped changes. [`TableInfo::with_hidden`] does the same for tables without rows.
//!
//! A table that is not among the given tables is written with all columns. With
//! `#[serde(serialize_with = …)]`, untyped changes contain the original value.
//!
//! ```
//! use diesel_sqlite_session::Changeset;
//! use diesel_sqlite_session::wire::TableInfo;
//!
//! const USERS: TableInfo = TableInfo::new("users", &[1, 0, 0])
//!     .with_columns(&["id", "name", "password"])
//!     .with_hidden(&["password"]);
//!
//! let bob = [2.into(), "Bob".into(), "hunter2".into()];
//! let robert = [2.into(), "Robert".into(), "correct horse".into()];
//! let changeset = Changeset::builder().update_values(USERS, &bob, &robert).build()?;
//! let text = serde_json::to_string(&changeset.json([USERS]))?;
//! assert_eq!(
//!     text,
//!     r#"{"format":"changeset","changes":[{"op":"update","table":"users","key_ordinals":[1,0,0],"#.to_string()
//!         + r#""columns":["id","name",null],"key":2,"before":{"name":"Bob"},"after":{"name":"Robert"},"changed":["name"],"#
//!         + r#""indirect":false}]}"#,
//! );
//! // incomplete changes cannot be read, and thus not be applied by mistake
//! let error = serde_json::from_str::<Changeset>(&text).unwrap_err();
//! assert!(error.to_string().starts_with("change 0, table users: column 2 was omitted when the JSON was written"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An omitted key column is `null`. Typed changes cannot be read from JSON with an omitted column
//! either, unless the row skips this column.
//!
//! # Reading
//!
//! Reading applies the [same checks](crate::_documentation::format#what-is-refused) as to bytes.
//! The JSON must also be consistent: `format` matches the type, `key` and `changed` match the
//! values, and no column occurs twice.
//!
//! Some parts are optional:
//!
//! - `key`, if `after` of an INSERT or `before` of a changeset's DELETE contains the row
//! - `changed` and `indirect`
//! - absent objects may be `null`
//! - a value may be a plain number where this means the same (`9007199254740993`, `1.0`), if the
//!   JSON reader preserves it
//!
//! Members that the table above does not contain are ignored.
//!
//! Writing and reading JSON restores the same bytes for everything that a session writes. For other
//! input, these bytes change:
//!
//! | bytes | result |
//! |---|---|
//! | varints that are longer than needed | the shortest varint |
//! | an indirect flag above 1 | 1 |
//! | a NaN | NULL |
//! | an old value without a new value, outside the key of an UPDATE | not recorded |
//! | an empty section | dropped |
//! | consecutive sections of one table with the same key ordinals | one section |
//!
//! Changes can be read only from self-describing formats, such as JSON and CBOR.

pub(crate) mod read;
pub(crate) mod value;
pub(crate) mod write;

pub use write::{Json, RecordJson};

use super::sql::find_table;
use crate::wire::codec::record::Record;
#[cfg(doc)]
use crate::wire::codec::set::{Changeset, Patchset};
use crate::wire::codec::set::{Set, SetFormat, SetRef};
use crate::wire::codec::table_info::TableInfo;

/// The names of a change's members.
pub(crate) const OP: &str = "op";
pub(crate) const TABLE: &str = "table";
pub(crate) const KEY_ORDINALS: &str = "key_ordinals";
pub(crate) const COLUMNS: &str = "columns";
pub(crate) const KEY: &str = "key";
pub(crate) const BEFORE: &str = "before";
pub(crate) const AFTER: &str = "after";
pub(crate) const CHANGED: &str = "changed";
pub(crate) const INDIRECT: &str = "indirect";
/// The names of a set's members.
pub(crate) const FORMAT: &str = "format";
pub(crate) const CHANGES: &str = "changes";

impl<'a> Record<'a> {
    /// Returns the change for `Serialize`, with the names of the columns: see [the format](self).
    ///
    /// [`Changeset::json`](Set::json) describes `tables`.
    ///
    /// ```
    /// # use diesel_sqlite_session::Changeset;
    /// # use diesel_sqlite_session::wire::TableInfo;
    /// # let changeset = Changeset::try_from(b"T\x02\x01\0users\0\x12\0\x01\0\0\0\0\0\0\0\x01\x03\x03Ada".to_vec())?;
    /// for record in &changeset {
    ///     let line = serde_json::to_value(record.json([TableInfo::from_columns("users", &["id", "name"])]))?;
    ///     assert_eq!(line["after"]["name"], "Ada");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn json<'n, N: Into<TableInfo<'n>>>(&self, tables: impl IntoIterator<Item = N>) -> RecordJson<'a, 'n> {
        RecordJson::new(*self, find_table(tables, self.table()))
    }
}

impl<F: SetFormat> Set<F> {
    /// Returns the set for `Serialize`, with the names of the columns: see [the format](self).
    ///
    /// `tables` contains the names of the columns, as for [`to_sql`](Set::to_sql). With the derive,
    /// pass `Blog::TABLES`: JSON then omits the columns that the rows [skip](self#hidden-columns).
    /// Changes to a table that is not in `tables` use the positions of the columns as names.
    ///
    /// If a table has more names than the changes have columns, the changes are older than the last
    /// columns. The names of these columns are ignored. If a table has fewer names, serializing
    /// fails.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1, 0]).with_columns(&["id", "name"]);
    /// let changes = Changeset::builder().insert_values(users, &[1.into(), "Ada".into()]).build()?;
    /// let json = serde_json::to_value(changes.json([users]))?;
    /// assert_eq!(json["changes"][0]["after"]["name"], "Ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn json<'s, N: Into<TableInfo<'s>>>(&'s self, tables: impl IntoIterator<Item = N>) -> Json<'s> {
        self.as_borrowed().json(tables)
    }
}

impl<'a, F: SetFormat> SetRef<'a, F> {
    /// Returns the set for `Serialize`, with the names of the columns: see [`Set::json`].
    pub fn json<'s, N: Into<TableInfo<'s>>>(self, tables: impl IntoIterator<Item = N>) -> Json<'s>
    where
        'a: 's,
    {
        Json::new(self.records(), tables.into_iter().map(Into::into).collect())
    }
}
