//! Changes as JSON, and back, with [serde](https://serde.rs): the feature `serde`.
//!
//! One change is one JSON object, in the manner of [Debezium](https://debezium.io): what was done to which row, and what it held
//! before and after. [`Record`], [`Changeset`], [`Patchset`] and their borrowed forms have `Serialize`; `Changeset` and `Patchset`
//! have `Deserialize`. Typed changes have the same form, with both.
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
//! | member | is | INSERT | UPDATE | DELETE | typed |
//! |---|---|---|---|---|---|
//! | `op` | `"insert"`, `"update"` or `"delete"` | ✓ | ✓ | ✓ | ✓ |
//! | `table` | the table's name | ✓ | ✓ | ✓ | ✓ |
//! | `key_ordinals` | for each column its place in the primary key, or 0: see [`Section::key_ordinals`](crate::wire::Section::key_ordinals) | ✓ | ✓ | ✓ | |
//! | `columns` | the names of all columns, where they were said; `null` for one that is left out | ✓ | ✓ | ✓ | |
//! | `key` | the value of the key's column; of several, an array of them in the order of the key | ✓ | ✓ | ✓ | ✓ |
//! | `before` | an object with the old values | | of the columns that changed | the row | ✓ |
//! | `after` | an object with the new values | the row | of the columns that changed | | ✓ |
//! | `changed` | the columns that the UPDATE changed | | ✓ | | ✓ |
//! | `indirect` | whether a trigger or a foreign key action made it | ✓ | ✓ | ✓ | |
//!
//! A patchset's changes have no `before`. What is not recorded is absent; NULL is `null`. An UPDATE has a column of the key in `after`
//! where the key changed to an [equal one](crate::_documentation::format#keys), and an unchanged column on both sides where SQLite has rebased it:
//! `changed` does not list that.
//!
//! A column is called by its name where the names are known: in typed changes, and with [`Record::json`] or
//! [`Changeset::json`]. Otherwise its name is its place, counted from 0, as a string: `{"0": 1, "1": "Ada"}`, so that
//! `change.after[1]` is the same in JavaScript as with an array, which could not leave a column out.
//!
//! # Values
//!
//! Each keeps its storage class, whoever reads and writes the JSON in between:
//!
//! | value | JSON |
//! |---|---|
//! | NULL | `null` |
//! | an integer from −(2<sup>53</sup> − 1) to 2<sup>53</sup> − 1 | a number |
//! | any other integer | `{"int": "9007199254740993"}` |
//! | a real with a fraction, of at most 15 digits, the last of them at most the 22nd place after the point | a number: `19.99` |
//! | any other real | `{"real": "1.0"}`, `{"real": "0.30000000000000004"}`, `{"real": "Infinity"}` |
//! | text | a string |
//! | text that is not UTF-8 | `{"text": "ff00"}`, its bytes in hexadecimal digits |
//! | a blob | `{"blob": "00ff"}`, its bytes in hexadecimal digits |
//!
//! JavaScript and others know but one kind of number: they write 1.0 as `1` and lose the last digits of large integers. Numbers
//! with more than 15 digits are read as a neighbour by fast readers, serde_json without its feature `float_roundtrip` among
//! them. `Number(value.real)` and `BigInt(value.int)` are the values in JavaScript, `unhex(…)` is the blob in SQLite.
//!
//! # A changeset or patchset
//!
//! ```json
//! {"format": "changeset", "changes": [{"op": "insert", …}, …]}
//! ```
//!
//! # Hidden columns
//!
//! The columns that rows skip, as with `#[tracked(skip(password))]` or `#[serde(skip)]`, are in no JSON that is written by the
//! rows' tables, typed or untyped: neither values nor names. [`TableInfo::with_hidden`] does it for tables without rows. A table that is not found by its name is
//! written whole, as are all if no tables are given, and with `#[serde(serialize_with = …)]` a value is what it was.
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
//! // nobody applies it by mistake, without what is not there
//! let error = serde_json::from_str::<Changeset>(&text).unwrap_err();
//! assert!(error.to_string().starts_with("change 0, table users: the column 2 was left out when this was written"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A key that is left out is `null`. Typed changes are not read of it either, unless the rows have not those columns.
//!
//! # Reading
//!
//! What is read passes the [same checks](crate::_documentation::format#what-is-refused) as bytes do, and must not contradict itself: `format` is that of the
//! type, `key` and `changed` are what the rows say, each column is there once. Where an INSERT or a changeset's DELETE has the row, `key`
//! need not be there, nor `changed` and `indirect` anywhere; `null` stands for an absent object, and members that are not in the table
//! above are passed over. Values may be written plainly where that says the same (`9007199254740993`, `1.0`), as far as the reader
//! of the JSON keeps them.
//!
//! The way to JSON and back gives the same bytes for all that a session writes. For what others write, the same but for these:
//!
//! | bytes | become |
//! |---|---|
//! | varints that are longer than needed | the shortest |
//! | an indirect flag above 1 | 1 |
//! | a NaN | NULL |
//! | an old value without a new one, outside the key of an UPDATE | not recorded |
//! | a section without changes | nothing |
//! | sections of one table next to each other, with the same key ordinals | one section |
//!
//! Only self-describing formats can be read: JSON, and others such as CBOR.

pub(crate) mod read;
pub(crate) mod value;
pub(crate) mod write;

pub use write::{Json, RecordJson};

use super::sql::find;
use crate::wire::codec::record::Record;
#[cfg(doc)]
use crate::wire::codec::set::{Changeset, Patchset};
use crate::wire::codec::set::{Set, SetFormat, SetRef};
use crate::wire::codec::table_info::TableInfo;

/// The members of a change.
pub(crate) const OP: &str = "op";
pub(crate) const TABLE: &str = "table";
pub(crate) const KEY_ORDINALS: &str = "key_ordinals";
pub(crate) const COLUMNS: &str = "columns";
pub(crate) const KEY: &str = "key";
pub(crate) const BEFORE: &str = "before";
pub(crate) const AFTER: &str = "after";
pub(crate) const CHANGED: &str = "changed";
pub(crate) const INDIRECT: &str = "indirect";
/// Those of a changeset or patchset.
pub(crate) const FORMAT: &str = "format";
pub(crate) const CHANGES: &str = "changes";

impl<'a> Record<'a> {
    /// The change for `Serialize`, with the names of columns: see [the form](self), and [`Changeset::json`] about `tables`.
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
        RecordJson::new(*self, find(tables, self.table()))
    }
}

impl<F: SetFormat> Set<F> {
    /// Returns the set for `Serialize`, with the names of the columns: see [the format](self).
    ///
    /// `tables` has the names of the columns, as for [`to_sql`](Set::to_sql). With the derive, pass
    /// `Blog::TABLES`: JSON then omits the columns that the rows [skip](self#hidden-columns). Changes to a table
    /// that is not in `tables` have the positions of the columns in the place of names.
    ///
    /// If a table has more names than the changes have columns, the changes are older than the last columns,
    /// and their names are ignored. If it has fewer, serializing fails.
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
