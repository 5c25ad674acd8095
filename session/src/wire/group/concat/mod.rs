//! Whole changesets and patchsets put together: what the [builders](super::builder) have of SQLite's
//! [changegroup](https://www.sqlite.org/session/changegroup.html) beyond single changes.
//!
//! Inputs in memory are read [side by side](mod@zip) where one of two stands in an order, else found by [the hashes of their
//! keys](mod@join); the builder takes what has no answer there. All three give the same bytes.

mod bits;
mod join;
mod output;
mod sections;
mod zip;

use alloc::vec::Vec;
#[cfg(feature = "std")]
use core::fmt;
#[cfg(feature = "std")]
use std::io::{self, Read, Write};

use self::join::join;
use self::zip::zip;
use crate::wire::codec::kind::Format;
use super::builder::{ChangesetBuilder, Core, PatchsetBuilder, TableSchema};
use crate::wire::codec::encode::WrongIn;
use crate::wire::codec::error::{BuildError, BuildErrorKind};
use super::pad::Defaults;
use crate::wire::codec::record::Records;
use crate::wire::codec::set::{Changeset, ChangesetRef, Patchset, PatchsetRef};
#[cfg(feature = "std")]
use crate::wire::codec::reader::{ChangesetReader, PatchsetReader, ReadError};
use crate::wire::codec::header::Header;
use crate::wire::codec::value::Value;

impl Core {
    fn declare(&mut self, table: TableSchema<'_>, defaults: &[Value<'_>]) {
        self.guard(table.name(), table.columns(), |core| {
            let (columns, values) = (table.column_count(), defaults.len());
            let Some(before) = columns.checked_sub(values) else {
                return Err(WrongIn::of(BuildErrorKind::ValueCount { columns, values }));
            };
            let defaults = Defaults::new(before, defaults)?;
            core.fold.declare(Header { name: table.name(), key: table.key_ordinals() }, defaults)
        });
    }

    fn all(&mut self, mut records: Records<'_>) {
        while let (None, Some(record)) = (&self.error, records.next()) {
            self.record(&record);
        }
    }

    #[cfg(feature = "std")]
    fn build_to(self, writer: impl Write) -> Result<(), WriteError> {
        /// Changes that do not stand together are so put together before they are written.
        const PIECE: usize = 64 * 1024;
        if let Some(error) = self.error {
            return Err(WriteError::Build(*error));
        }
        let mut writer = io::BufWriter::with_capacity(PIECE, writer);
        self.fold.write_to(|bytes| writer.write_all(bytes).map_err(WriteError::Io))?;
        Ok(writer.flush()?)
    }
}

/// Why a changeset or patchset was not written.
#[cfg(feature = "std")]
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// The writer failed. Some of the bytes may have been written.
    Io(io::Error),
    /// It cannot be built. Nothing has been written.
    Build(BuildError),
}

#[cfg(feature = "std")]
impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io(_) => "the changes could not be written",
            Self::Build(_) => "the changes could not be put together",
        })
    }
}

#[cfg(feature = "std")]
impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Build(error) => Some(error),
        }
    }
}

#[cfg(feature = "std")]
impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(feature = "std")]
impl From<BuildError> for WriteError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

/// Puts inputs together whose bytes have been checked, in this memory. There is no answer for those that take a builder.
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

/// Writes what the builder and the two types of a format have.
macro_rules! concatenation {
    (
        $format:expr, $Set:ident, $Ref:ident, $Builder:ident, $Reader:ident, $add:ident, $name:literal,
        $(#[$concat_doc:meta])*
    ) => {
        impl $Builder {
            /// Says of a table how many columns it has, and what the last of them hold in rows that were recorded when it had
            /// not so many: changes that lack as many columns as there are defaults, or fewer, are then taken. It is
            /// [`sqlite3changegroup_schema`](https://www.sqlite.org/session/sqlite3changegroup_schema.html) without a database.
            ///
            /// An INSERT, and the DELETE of a changeset, get the defaults; in an UPDATE the columns are not recorded. The result
            /// has all columns, whichever came first. What has more columns than were declared, or lacks one of the key's, is
            /// an error, as it is in SQLite.
            ///
            /// SQLite takes the values of the expressions after DEFAULT in the table's declaration, as they are: without the
            /// column's affinity, and NULL where there is none. A table is to be declared before its first change, unless that
            /// had as many columns. Declared twice, the last time counts.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Set), ", TableSchema, Value};")]
            ///
            /// // CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)
            #[doc = concat!("let old = ", stringify!($Set), "::builder()")]
            ///     .insert_values(TableSchema::new("users", &[1, 0]), &[1.into(), "Ada".into()])
            ///     .build()?;
            /// // ALTER TABLE users ADD COLUMN email TEXT; ALTER TABLE users ADD COLUMN visits INTEGER DEFAULT 0
            /// let users = TableSchema::new("users", &[1, 0, 0, 0]);
            #[doc = concat!("let new = ", stringify!($Set), "::builder()")]
            ///     .insert_values(users, &[2.into(), "Bob".into(), "bob@example.org".into(), 7.into()])
            ///     .build()?;
            ///
            #[doc = concat!("let both = ", stringify!($Set), "::builder().declare(users, &[Value::Null, 0.into()]).", stringify!($add), "(&old).", stringify!($add), "(&new).build()?;")]
            /// let lines: Vec<String> = both.records().map(|record| record.to_string()).collect();
            /// assert_eq!(lines, ["INSERT users(1, 'Ada', NULL, 0)", "INSERT users(2, 'Bob', 'bob@example.org', 7)"]);
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            pub fn declare<'t>(mut self, table: impl Into<TableSchema<'t>>, defaults: &[Value<'_>]) -> Self {
                self.core.declare(table.into(), defaults);
                self
            }

            #[doc = concat!("Adds all changes of a ", $name, ", each with its own indirect flag:")]
            /// [`sqlite3changegroup_add`](https://www.sqlite.org/session/sqlite3changegroup_add.html).
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Set), ", TableSchema};")]
            ///
            /// let users = TableSchema::new("users", &[1, 0]);
            #[doc = concat!("let (ada, bob) = (")]
            #[doc = concat!("    ", stringify!($Set), "::builder().insert_values(users, &[1.into(), \"Ada\".into()]).build()?,")]
            #[doc = concat!("    ", stringify!($Set), "::builder().insert_values(users, &[2.into(), \"Bob\".into()]).build()?,")]
            /// );
            #[doc = concat!("let both = ", stringify!($Set), "::builder().", stringify!($add), "(&ada).", stringify!($add), "(&bob).build()?;")]
            /// assert_eq!(both.records().count(), 2);
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            pub fn $add<'a>(mut self, changes: impl Into<$Ref<'a>>) -> Self {
                self.core.all(changes.into().records());
                self
            }

            #[doc = concat!("Adds all changes of a ", $name, " that is read from a source:")]
            /// [`sqlite3changegroup_add_strm`](https://www.sqlite.org/session/sqlite3changegroup_add_strm.html). In memory are
            /// the rows that have changed, not what has been read.
            ///
            /// # Errors
            ///
            /// What the reader says. What has been added before is lost then. What does not fit together is told by
            /// [`build`](Self::build); the source is not read on.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Set), ", ", stringify!($Reader), ", TableSchema};")]
            ///
            /// let users = TableSchema::new("users", &[1, 0]);
            #[doc = concat!("let file = ", stringify!($Set), "::builder().insert_values(users, &[1.into(), \"Ada\".into()]).build()?;")]
            #[doc = concat!("let reader = ", stringify!($Reader), "::new(file.as_bytes()).max_bytes(1 << 20);")]
            #[doc = concat!("assert_eq!(", stringify!($Set), "::builder().read(reader)?.build()?, file);")]
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[cfg(feature = "std")]
            pub fn read<R: Read>(mut self, mut reader: $Reader<R>) -> Result<Self, ReadError> {
                while self.core.error.is_none() {
                    let Some(record) = reader.next_record()? else {
                        break;
                    };
                    self.core.record(&record);
                }
                Ok(self)
            }

            /// Writes what [`build`](Self::build) gives, without making it in memory first:
            /// [`sqlite3changegroup_output_strm`](https://www.sqlite.org/session/sqlite3changegroup_add_strm.html). The memory of
            /// each table is given up when it has been written. The writer is given large pieces, and is flushed.
            ///
            /// # Errors
            ///
            /// [`WriteError::Build`] if something was wrong with what was added, [`WriteError::Io`] if the writer fails.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Set), ", TableSchema};")]
            ///
            /// let users = TableSchema::new("users", &[1, 0]);
            #[doc = concat!("let builder = ", stringify!($Set), "::builder().insert_values(users, &[1.into(), \"Ada\".into()]);")]
            /// let mut file = Vec::new();
            /// builder.clone().build_to(&mut file)?;
            /// assert_eq!(file, builder.build()?.into_bytes());
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[cfg(feature = "std")]
            pub fn build_to<W: Write>(self, writer: W) -> Result<(), WriteError> {
                self.core.build_to(writer)
            }
        }

        impl $Set {
            $(#[$concat_doc])*
            pub fn concat(&self, other: &Self) -> Result<Self, BuildError> {
                self.as_borrowed().concat(other.as_borrowed())
            }

            #[doc = concat!("One ", $name, " that does what all of these do, one after another: see [`concat`](Self::concat).")]
            /// While it works, it takes 24 to 48 bytes for each change beside the result.
            ///
            /// # Errors
            ///
            /// The same as of [`concat`](Self::concat).
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Set), ", TableSchema};")]
            ///
            /// let users = TableSchema::new("users", &[1, 0]);
            /// let names = ["Ada", "Ada Lovelace", "Countess of Lovelace"].map(|name| [1.into(), name.into()]);
            /// let history = [
            #[doc = concat!("    ", stringify!($Set), "::builder().insert_values(users, &names[0]).build()?,")]
            #[doc = concat!("    ", stringify!($Set), "::builder().update_values(users, &names[0], &names[1]).build()?,")]
            #[doc = concat!("    ", stringify!($Set), "::builder().update_values(users, &names[1], &names[2]).build()?,")]
            /// ];
            #[doc = concat!("let all = ", stringify!($Set), "::concat_all(&history)?;")]
            /// assert_eq!(all.records().next().unwrap().to_string(), "INSERT users(1, 'Countess of Lovelace')");
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            pub fn concat_all<'a, I>(inputs: I) -> Result<Self, BuildError>
            where
                I: IntoIterator,
                I::Item: Into<$Ref<'a>>,
            {
                let inputs: Vec<$Ref<'a>> = inputs.into_iter().map(Into::into).collect();
                let bytes: Vec<&[u8]> = inputs.iter().map(|input| input.as_bytes()).collect();
                let mut out = Vec::new();
                if without_builder(&bytes, $format, &mut out).is_none() {
                    return inputs.into_iter().fold(Self::builder(), $Builder::$add).build();
                }
                out.shrink_to_fit();
                Ok(Self::from_checked(out))
            }

            #[doc = concat!("The same as [`concat`](Self::concat), in the memory of a ", $name, " that is no longer needed.")]
            #[doc = concat!("It is emptied first, and stays empty if there is an error; [`", stringify!($Set), "::new`] will do too.")]
            ///
            /// For tens of megabytes of new memory an operating system takes as long as the changes take. A hub that adds what comes
            /// to what it has saves that with two that take turns:
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Set), ", TableSchema};")]
            ///
            /// let users = TableSchema::new("users", &[1, 0]);
            #[doc = concat!("let user = |id: i64, name: &str| ", stringify!($Set), "::builder().insert_values(users, &[id.into(), name.into()]).build();")]
            #[doc = concat!("let (mut all, mut spare) = (", stringify!($Set), "::new(), ", stringify!($Set), "::new());")]
            /// for pushed in [user(1, "Ada")?, user(2, "Bob")?, user(3, "Eve")?] {
            ///     all.concat_into(&pushed, &mut spare)?;
            ///     std::mem::swap(&mut all, &mut spare);
            /// }
            /// assert_eq!(all.records().count(), 3);
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            ///
            /// Inputs that only a [builder](Self::builder) puts together take new memory all the same: 4 GiB and more, or flags
            /// that no session writes.
            ///
            /// # Errors
            ///
            /// The same as of [`concat`](Self::concat).
            pub fn concat_into(&self, other: &Self, target: &mut Self) -> Result<(), BuildError> {
                self.as_borrowed().concat_into(other.as_borrowed(), target)
            }
        }

        impl $Ref<'_> {
            #[doc = concat!("The same as [`concat`](Self::concat), in the memory of a ", $name, " that is no longer needed: see [`", stringify!($Set), "::concat_into`].")]
            ///
            /// # Errors
            ///
            #[doc = concat!("The same as of [`", stringify!($Set), "::concat`].")]
            pub fn concat_into(self, other: $Ref<'_>, target: &mut $Set) -> Result<(), BuildError> {
                let mut out = core::mem::take(target).into_bytes();
                *target = match without_builder(&[self.as_bytes(), other.as_bytes()], $format, &mut out) {
                    Some(()) => $Set::from_checked(out),
                    None => $Set::builder().$add(self).$add(other).build()?,
                };
                Ok(())
            }

            #[doc = concat!("One ", $name, " that does what this and then the other does: see [`", stringify!($Set), "::concat`].")]
            ///
            /// # Errors
            ///
            #[doc = concat!("The same as of [`", stringify!($Set), "::concat`].")]
            pub fn concat(self, other: $Ref<'_>) -> Result<$Set, BuildError> {
                $Set::concat_all([self, other])
            }
        }
    };
}

concatenation! {
    Format::Changeset, Changeset, ChangesetRef, ChangesetBuilder, ChangesetReader, changeset, "changeset",
    /// One changeset that does what this and then the other does, with at most one change for each row:
    /// [`sqlite3changeset_concat`](https://www.sqlite.org/session/sqlite3changeset_concat.html). How two changes to one row
    /// become one, and what becomes of those that do not fit each other, says [`ChangesetBuilder`](ChangesetBuilder#folding).
    ///
    /// Concatenated with its own [inverse](Self::invert), a changeset that has one change for each row comes to nothing. Whether
    /// the first two of three are put together first or the last two makes no difference if each begins where the one before it
    /// ends, but for the indirect flag: the row of an UPDATE that is indirect, of a DELETE that is not and of an INSERT that is
    /// indirect again comes to an UPDATE that is not indirect if the first two are put together first, and else to one that is,
    /// where the INSERT brings back what was deleted. All of that is so in SQLite too.
    ///
    /// # Errors
    ///
    /// [`OtherColumns`](BuildErrorKind::OtherColumns) or [`OtherKey`](BuildErrorKind::OtherKey) if a table is not the same in
    /// both. Tables that have grown can be [declared](ChangesetBuilder::declare).
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, TableSchema};
    ///
    /// let users = TableSchema::new("users", &[1, 0]);
    /// let (bob, robert) = ([1.into(), "Bob".into()], [1.into(), "Robert".into()]);
    /// let morning = Changeset::builder().insert_values(users, &bob).build()?;
    /// let evening = Changeset::builder().update_values(users, &bob, &robert).build()?;
    ///
    /// let day = morning.concat(&evening)?;
    /// assert_eq!(day.records().next().unwrap().to_string(), "INSERT users(1, 'Robert')");
    /// assert!(day.concat(&day.invert())?.is_empty());
    /// # Ok::<(), diesel_sqlite_session::BuildError>(())
    /// ```
}

concatenation! {
    Format::Patchset, Patchset, PatchsetRef, PatchsetBuilder, PatchsetReader, patchset, "patchset",
    /// One patchset that does what this and then the other does, with at most one change for each row:
    /// [`sqlite3changeset_concat`](https://www.sqlite.org/session/sqlite3changeset_concat.html). How two changes to one row
    /// become one, and what becomes of those that do not fit each other, says [`ChangesetBuilder`](ChangesetBuilder#folding).
    ///
    /// # Errors
    ///
    /// [`OtherColumns`](BuildErrorKind::OtherColumns) or [`OtherKey`](BuildErrorKind::OtherKey) if a table is not the same in
    /// both. Tables that have grown can be [declared](PatchsetBuilder::declare).
    ///
    /// ```
    /// use diesel_sqlite_session::{Patchset, TableSchema};
    ///
    /// let users = TableSchema::new("users", &[1, 0]);
    /// let (bob, robert) = ([1.into(), "Bob".into()], [1.into(), "Robert".into()]);
    /// let morning = Patchset::builder().insert_values(users, &bob).build()?;
    /// let evening = Patchset::builder().update_values(users, &bob, &robert).build()?;
    /// assert_eq!(morning.concat(&evening)?, Patchset::builder().insert_values(users, &robert).build()?);
    /// # Ok::<(), diesel_sqlite_session::BuildError>(())
    /// ```
}
