//! Concatenation of whole sets: the methods of [`Builder`] and [`Set`] beyond single changes.
//!
//! Three algorithms return the same bytes. Two inputs in memory, one of which is in order, are
//! merged by the [zip](mod@zip). Other inputs in memory are merged by the [hash join](mod@join). A
//! builder merges everything that these leave to it, and reports the errors.

mod bit_set;
mod join;
mod output;
mod sections;
mod zip;

use alloc::vec::Vec;
#[cfg(feature = "std")]
use std::io::{self, Read, Write};

use self::join::join;
use self::zip::zip;
use super::builder::{Builder, Core};
use super::pad::Defaults;
use crate::wire::codec::encode::EncodeError;
#[cfg(feature = "std")]
use crate::wire::codec::error::ParseError;
use crate::wire::codec::error::{BuildError, BuildErrorKind};
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::Format;
#[cfg(feature = "std")]
use crate::wire::codec::reader::Reader;
use crate::wire::codec::record::Records;
#[cfg(doc)]
use crate::wire::codec::set::Changeset;
use crate::wire::codec::set::{Set, SetFormat, SetRef};
use crate::wire::codec::table_info::TableInfo;
use crate::wire::codec::value::Value;

impl Core {
    fn declare(&mut self, table: TableInfo<'_>, defaults: &[Value<'_>]) {
        self.guard(table.table(), table.columns(), |core| {
            let (columns, values) = (table.column_count(), defaults.len());
            let Some(before) = columns.checked_sub(values) else {
                return Err(EncodeError::new(BuildErrorKind::ValueCount { columns, values }));
            };
            let defaults = Defaults::new(before, defaults)?;
            core.fold.declare(Header { name: table.table(), key: table.key_ordinals() }, defaults)
        });
    }

    /// Adds records until one of them is an error.
    fn add_all(&mut self, mut records: Records<'_>) {
        while let (None, Some(record)) = (&self.error, records.next()) {
            self.record(&record);
        }
    }

    #[cfg(feature = "std")]
    fn write_to(self, writer: impl Write) -> Result<(), BuildError> {
        /// The buffer that collects pieces before they are written.
        const PIECE: usize = 64 * 1024;
        if let Some(error) = self.error {
            return Err(*error);
        }
        let mut writer = io::BufWriter::with_capacity(PIECE, writer);
        self.fold.write_to(|bytes| writer.write_all(bytes).map_err(BuildError::of_writer))?;
        writer.flush().map_err(BuildError::of_writer)
    }
}

/// Concatenates inputs whose bytes have been checked into `out`. Returns `None` for inputs that
/// require a builder.
fn without_builder(inputs: &[&[u8]], format: Format, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    if let [first, second] = inputs {
        if zip(first, second, format, out).is_some() {
            return Some(());
        }
        out.clear();
    }
    join(inputs, format, out)
}

impl<F: SetFormat> Builder<F> {
    /// Declares the columns of a table that has grown since some of the changes were recorded.
    ///
    /// `defaults` contains a value for each of the last columns. Changes that lack as many columns,
    /// or fewer, are accepted: an INSERT, and the DELETE of a changeset, get the defaults; an
    /// UPDATE does not record the missing columns. The result has all columns. This is
    /// [`sqlite3changegroup_schema`](https://www.sqlite.org/session/sqlite3changegroup_schema.html)
    /// without a database.
    ///
    /// A change that has more columns than declared, or lacks a column of the key, is an error, as
    /// in SQLite. Declare a table before its first change, unless that change has all columns. The
    /// last declaration of a table counts. SQLite takes the values after `DEFAULT` in the
    /// declaration of the table, without the affinity of the column, and NULL if there is none.
    ///
    /// ```
    /// use diesel_sqlite_session::wire::TableInfo;
    /// use diesel_sqlite_session::{Changeset, Value};
    ///
    /// // CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)
    /// let old = Changeset::builder()
    ///     .insert_values(TableInfo::new("users", &[1, 0]), &[1.into(), "Ada".into()])
    ///     .build()?;
    /// // ALTER TABLE users ADD COLUMN email TEXT; ALTER TABLE users ADD COLUMN visits INTEGER DEFAULT 0
    /// let users = TableInfo::new("users", &[1, 0, 0, 0]);
    /// let new = Changeset::builder()
    ///     .insert_values(users, &[2.into(), "Bob".into(), "bob@example.org".into(), 7.into()])
    ///     .build()?;
    ///
    /// let both = Changeset::builder().declare(users, &[Value::Null, 0.into()]).add(&old).add(&new).build()?;
    /// let lines: Vec<String> = both.records().map(|record| record.to_string()).collect();
    /// assert_eq!(lines, ["INSERT users(1, 'Ada', NULL, 0)", "INSERT users(2, 'Bob', 'bob@example.org', 7)"]);
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn declare<'t>(mut self, table: impl Into<TableInfo<'t>>, defaults: &[Value<'_>]) -> Self {
        self.core.declare(table.into(), defaults);
        self
    }

    /// Adds all changes of a set of the same format, each with its own indirect flag. See
    /// [`sqlite3changegroup_add`](https://www.sqlite.org/session/sqlite3changegroup_add.html).
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let ada = Changeset::builder().insert_values(users, &[1.into(), "Ada".into()]).build()?;
    /// let bob = Changeset::builder().insert_values(users, &[2.into(), "Bob".into()]).build()?;
    /// let both = Changeset::builder().add(&ada).add(&bob).build()?;
    /// assert_eq!(both.records().count(), 2);
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    #[allow(clippy::should_implement_trait, reason = "the builder collects; it is no number")]
    pub fn add<'a>(mut self, changes: impl Into<SetRef<'a, F>>) -> Self {
        self.core.add_all(changes.into().records());
        self
    }

    /// Adds all changes that `reader` reads. Memory use is proportional to the number of changed
    /// rows, not to the input. See
    /// [`sqlite3changegroup_add_strm`](https://www.sqlite.org/session/sqlite3changegroup_add_strm.html).
    ///
    /// # Errors
    ///
    /// Fails with the error of the reader; the builder is lost then. Changes that do not fit the
    /// changes before them are an error of [`build`](Self::build); the source is not read further.
    ///
    /// ```
    /// use diesel_sqlite_session::wire::TableInfo;
    /// use diesel_sqlite_session::{Changeset, ChangesetReader};
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let file = Changeset::builder().insert_values(users, &[1.into(), "Ada".into()]).build()?;
    /// let reader = ChangesetReader::new(file.as_bytes()).max_bytes(1 << 20);
    /// assert_eq!(Changeset::builder().read_from(reader)?.build()?, file);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn read_from<R: Read>(mut self, mut reader: Reader<F, R>) -> Result<Self, ParseError> {
        while self.core.error.is_none() {
            let Some(record) = reader.next_record()? else {
                break;
            };
            self.core.record(&record);
        }
        Ok(self)
    }

    /// Writes the result of [`build`](Self::build) to `writer` without building it in memory first.
    ///
    /// The memory of each table is freed after it has been written. The writer gets large pieces
    /// and is flushed. See
    /// [`sqlite3changegroup_output_strm`](https://www.sqlite.org/session/sqlite3changegroup_add_strm.html).
    ///
    /// # Errors
    ///
    /// Fails with [`BuildErrorKind::Io`] if the writer fails, and with the errors of
    /// [`build`](Self::build), in which case nothing is written.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let builder = Changeset::builder().insert_values(users, &[1.into(), "Ada".into()]);
    /// let mut file = Vec::new();
    /// builder.clone().write_to(&mut file)?;
    /// assert_eq!(file, builder.build()?.into_bytes());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn write_to<W: Write>(self, writer: W) -> Result<(), BuildError> {
        self.core.write_to(writer)
    }
}

impl<F: SetFormat> Set<F> {
    /// Concatenates two sets: returns the set that makes the changes of `self` and then those of
    /// `other`, with at most one change for each row. See
    /// [`sqlite3changeset_concat`](https://www.sqlite.org/session/sqlite3changeset_concat.html).
    ///
    /// [`Builder`](Builder#folding) lists how two changes to one row are merged, and what happens
    /// to changes that do not fit each other.
    ///
    /// Concatenating a changeset with its own [inverse](Changeset::invert) results in no change, if
    /// it has one change for each row.
    ///
    /// Concatenation is associative if each set begins where the set before it ends, except for the
    /// indirect flag. For example, a row has an indirect UPDATE, a direct DELETE and an indirect
    /// INSERT. If the first two are merged first, the result is a direct UPDATE. If the last two
    /// are merged first, the result is an indirect UPDATE. SQLite does the same.
    ///
    /// # Errors
    ///
    /// Fails with [`OtherColumns`](BuildErrorKind::OtherColumns) or
    /// [`OtherKey`](BuildErrorKind::OtherKey) if a table differs between the two. For tables that
    /// have grown, use a builder and [`declare`](Builder::declare).
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let (bob, robert) = ([1.into(), "Bob".into()], [1.into(), "Robert".into()]);
    /// let morning = Changeset::builder().insert_values(users, &bob).build()?;
    /// let evening = Changeset::builder().update_values(users, &bob, &robert).build()?;
    ///
    /// let day = morning.concat(&evening)?;
    /// assert_eq!(day.records().next().unwrap().to_string(), "INSERT users(1, 'Robert')");
    /// assert!(day.concat(&day.invert())?.is_empty());
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn concat(&self, other: &Self) -> Result<Self, BuildError> {
        self.as_borrowed().concat(other.as_borrowed())
    }

    /// Concatenates any number of sets: see [`concat`](Self::concat).
    ///
    /// In addition to the result, uses 24 to 48 bytes for each change.
    ///
    /// # Errors
    ///
    /// The same as [`concat`](Self::concat).
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let names = ["Ada", "Ada Lovelace", "Countess of Lovelace"].map(|name| [1.into(), name.into()]);
    /// let history = [
    ///     Changeset::builder().insert_values(users, &names[0]).build()?,
    ///     Changeset::builder().update_values(users, &names[0], &names[1]).build()?,
    ///     Changeset::builder().update_values(users, &names[1], &names[2]).build()?,
    /// ];
    /// let all = Changeset::concat_all(&history)?;
    /// assert_eq!(all.records().next().unwrap().to_string(), "INSERT users(1, 'Countess of Lovelace')");
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn concat_all<'a, I>(inputs: I) -> Result<Self, BuildError>
    where
        I: IntoIterator,
        I::Item: Into<SetRef<'a, F>>,
    {
        let inputs: Vec<SetRef<'a, F>> = inputs.into_iter().map(Into::into).collect();
        let bytes: Vec<&[u8]> = inputs.iter().map(|input| input.as_bytes()).collect();
        let mut out = Vec::new();
        if without_builder(&bytes, F::FORMAT, &mut out).is_none() {
            return inputs.into_iter().fold(Self::builder(), Builder::add).build();
        }
        out.shrink_to_fit();
        Ok(Self::from_checked(out))
    }

    /// Concatenates two sets into the memory of `target`: see [`concat`](Self::concat).
    ///
    /// `target` is a set that is no longer needed, or [`Set::new`]. It is empty after an error.
    ///
    /// Reusing memory saves time: for tens of megabytes, allocating new memory takes as long as
    /// concatenating. A hub that adds each batch to what it has can take turns with two sets:
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let user = |id: i64, name: &str| Changeset::builder().insert_values(users, &[id.into(), name.into()]).build();
    /// let (mut all, mut spare) = (Changeset::new(), Changeset::new());
    /// for pushed in [user(1, "Ada")?, user(2, "Bob")?, user(3, "Eve")?] {
    ///     all.concat_into(&pushed, &mut spare)?;
    ///     std::mem::swap(&mut all, &mut spare);
    /// }
    /// assert_eq!(all.records().count(), 3);
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    ///
    /// Inputs that only a [builder](Self::builder) can merge use new memory all the same: 4 GiB and
    /// more, or flags that no session writes.
    ///
    /// # Errors
    ///
    /// The same as [`concat`](Self::concat).
    pub fn concat_into(&self, other: &Self, target: &mut Self) -> Result<(), BuildError> {
        self.as_borrowed().concat_into(other.as_borrowed(), target)
    }
}

impl<F: SetFormat> SetRef<'_, F> {
    /// Concatenates two sets: see [`Set::concat`].
    ///
    /// # Errors
    ///
    /// The same as [`Set::concat`].
    pub fn concat(self, other: SetRef<'_, F>) -> Result<Set<F>, BuildError> {
        Set::concat_all([self, other])
    }

    /// Concatenates two sets into the memory of `target`: see [`Set::concat_into`].
    ///
    /// # Errors
    ///
    /// The same as [`Set::concat`].
    pub fn concat_into(self, other: SetRef<'_, F>, target: &mut Set<F>) -> Result<(), BuildError> {
        let mut out = core::mem::take(target).into_bytes();
        *target = match without_builder(&[self.as_bytes(), other.as_bytes()], F::FORMAT, &mut out) {
            Some(()) => Set::from_checked(out),
            None => Set::builder().add(self).add(other).build()?,
        };
        Ok(())
    }
}
