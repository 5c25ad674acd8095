//! The two errors of the format: bytes that cannot be read, and changes that cannot be written.

use alloc::boxed::Box;
#[cfg(feature = "std")]
use alloc::sync::Arc;
use core::fmt;
#[cfg(feature = "std")]
use std::io;

use super::kind::Format;
use super::value::{MAX_VALUE_LENGTH, cut};

/// Bytes that are not a well-formed changeset or patchset, or a source that cannot be read on.
///
/// The error has a [kind](ParseErrorKind), the offset of the faulty byte, and the table and column
/// where they are known.
///
/// ```
/// use diesel_sqlite_session::Changeset;
/// use diesel_sqlite_session::wire::ParseErrorKind;
///
/// let error = Changeset::try_from(b"T\x01\x01users\0\x63\x00".to_vec()).unwrap_err();
/// assert_eq!((error.kind(), error.offset()), (ParseErrorKind::Operation(0x63), 9));
/// assert_eq!(
///     error.to_string(),
///     "at byte 9, table users: 0x63 is not an operation (INSERT is 0x12, UPDATE 0x17, DELETE 0x09)"
/// );
/// ```
#[derive(Clone)]
pub struct ParseError {
    kind: ParseErrorKind,
    offset: usize,
    column: Option<usize>,
    table: Option<Box<str>>,
    #[cfg(feature = "std")]
    io: Option<Arc<io::Error>>,
}

/// The longest table or column name that an error keeps, in bytes: it can come from an untrusted
/// source.
pub(in crate::wire) const LONGEST_NAME: usize = 200;

impl ParseError {
    pub(in crate::wire) fn new(
        kind: ParseErrorKind,
        offset: usize,
        column: Option<usize>,
        table: Option<&str>,
    ) -> Self {
        Self {
            kind,
            offset,
            column,
            table: table.map(|name| Box::from(cut(name, LONGEST_NAME))),
            #[cfg(feature = "std")]
            io: None,
        }
    }

    /// Creates the error of a source that failed at `offset`.
    #[cfg(feature = "std")]
    #[cold]
    pub(super) fn of_source(error: io::Error, offset: usize) -> Self {
        Self { io: Some(Arc::new(error)), ..Self::new(ParseErrorKind::Io, offset, None, None) }
    }

    /// Returns the kind of error.
    pub fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// Returns the offset, counted from 0, at which the faulty element starts, or at which a
    /// missing element should start.
    ///
    /// In a stream, offsets beyond `usize::MAX` are `usize::MAX`.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the name of the table, if its header has been read: at most the first 200 bytes.
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// Returns the position of the column, counted from 0, whose value is faulty.
    pub fn column(&self) -> Option<usize> {
        self.column
    }

    /// Returns the error of the source, if the source failed.
    #[cfg(feature = "std")]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.io.as_deref()
    }

    /// Returns the error of the source, or else `self`.
    #[cfg(feature = "sqlite")]
    pub(crate) fn into_io_error(self) -> Result<io::Error, Self> {
        match self.io {
            Some(error) => Ok(Arc::try_unwrap(error).unwrap_or_else(|shared| io::Error::new(shared.kind(), shared))),
            None => Err(self),
        }
    }
}

/// Two errors are equal if their kinds, offsets, tables and columns are. The errors of their
/// sources are not compared.
impl PartialEq for ParseError {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.offset, self.column, &self.table) == (other.kind, other.offset, other.column, &other.table)
    }
}

impl Eq for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}", self.offset)?;
        if let Some(table) = &self.table {
            write!(f, ", table {}", table.escape_debug())?;
        }
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.kind)
    }
}

impl fmt::Debug for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParseError({self})")
    }
}

impl core::error::Error for ParseError {
    #[cfg(feature = "std")]
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.io.as_deref().map(|error| error as &(dyn core::error::Error + 'static))
    }
}

/// The kind of a [`ParseError`].
///
/// [The format's documentation](crate::_documentation::format#what-is-refused) explains why some
/// bytes are rejected that SQLite's own iterator reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The input ends inside a table header or a change.
    UnexpectedEnd,
    /// A section has a header of the other format: a patchset where a changeset is expected, or the
    /// reverse.
    WrongFormat {
        /// The format of the header.
        found: Format,
    },
    /// The bytes do not begin with a table header.
    MissingHeader,
    /// The column count of a table is out of range; SQLite reads 1 to 65,536 columns.
    ColumnCount(u64),
    /// No column of the table is part of its primary key.
    NoPrimaryKey,
    /// The name of the table is not UTF-8.
    TableName,
    /// The byte is not an operation.
    Operation(u8),
    /// The byte is not an operation of rebase data.
    RebaseOperation(u8),
    /// The byte is not the type of a value.
    ValueType(u8),
    /// A text or blob has more than [`MAX_VALUE_LENGTH`] bytes.
    ValueLength(u64),
    /// A value is not recorded that an INSERT, a DELETE or a key requires.
    MissingValue,
    /// A column of the primary key is NULL, or a NaN, which SQLite reads as NULL.
    NullKey,
    /// The input exceeds a limit of the reader.
    Limit {
        /// The limited quantity.
        limit: Limit,
        /// The largest number that the reader accepts.
        max: u64,
    },
    /// The source of a stream failed: see [`ParseError::io_error`].
    #[cfg(feature = "std")]
    Io,
}

/// A quantity that a reader or an apply can limit, for bytes from an untrusted source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// The bytes of the whole changeset or patchset.
    Bytes,
    /// The number of changes.
    Changes,
    /// The bytes of one text or blob.
    ValueBytes,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bytes => "bytes",
            Self::Changes => "changes",
            Self::ValueBytes => "bytes in one value",
        })
    }
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedEnd => f.write_str("the input ends inside a table header or a change"),
            Self::WrongFormat { found } => write!(f, "the header of a {found} in a {}", found.other()),
            Self::MissingHeader => f.write_str("neither a changeset nor a patchset: no table header (0x54 or 0x50)"),
            Self::ColumnCount(count) => write!(f, "a table of {count} columns (SQLite reads 1 to 65536)"),
            Self::NoPrimaryKey => f.write_str("no column of the table is part of a primary key"),
            Self::TableName => f.write_str("the table's name is not UTF-8"),
            Self::Operation(byte) => {
                write!(f, "0x{byte:02x} is not an operation (INSERT is 0x12, UPDATE 0x17, DELETE 0x09)")
            }
            Self::RebaseOperation(byte) => {
                write!(f, "0x{byte:02x} is not an operation of rebase data (INSERT is 0x12, DELETE 0x09)")
            }
            Self::ValueType(byte) => write!(f, "0x{byte:02x} is not the type of a value (the types are 0 to 5)"),
            Self::ValueLength(length) => {
                write!(f, "a value of {length} bytes (SQLite reads at most {MAX_VALUE_LENGTH})")
            }
            Self::MissingValue => f.write_str("a required value is not recorded"),
            Self::NullKey => f.write_str("NULL in a column of the primary key"),
            Self::Limit { limit, max } => write!(f, "more than {max} {limit}"),
            #[cfg(feature = "std")]
            Self::Io => f.write_str("the source of the changes failed"),
        }
    }
}

/// Changes that cannot be built, merged, rebased or written.
///
/// The error has a [kind](BuildErrorKind), and the table and column where they are known.
///
/// ```
/// use diesel_sqlite_session::wire::{BuildErrorKind, TableInfo};
/// use diesel_sqlite_session::{Changeset, Value};
///
/// let users = TableInfo::new("users", &[1, 0]);
/// let error = Changeset::builder().insert_values(users, &[Value::Null, "Ada".into()]).build().unwrap_err();
/// assert_eq!((error.kind(), error.table(), error.column()), (BuildErrorKind::NullKey, Some("users"), Some(0)));
/// assert_eq!(error.to_string(), "table users, column 0: NULL in a column of the primary key");
/// ```
#[derive(Clone)]
pub struct BuildError {
    kind: BuildErrorKind,
    table: Option<Box<str>>,
    column: Option<usize>,
    column_name: Option<Box<str>>,
    reason: Option<Box<str>>,
    #[cfg(feature = "std")]
    source: Option<Arc<dyn core::error::Error + Send + Sync>>,
}

impl BuildError {
    pub(in crate::wire) fn new(kind: BuildErrorKind, table: &str, column: Option<usize>) -> Self {
        Self { table: Some(Box::from(cut(table, LONGEST_NAME))), column, ..Self::of_kind(kind) }
    }

    fn of_kind(kind: BuildErrorKind) -> Self {
        Self {
            kind,
            table: None,
            column: None,
            column_name: None,
            reason: None,
            #[cfg(feature = "std")]
            source: None,
        }
    }

    /// Creates the error of a writer that failed.
    #[cfg(feature = "std")]
    #[cold]
    pub(in crate::wire) fn of_writer(error: io::Error) -> Self {
        Self { source: Some(Arc::new(error)), ..Self::of_kind(BuildErrorKind::Io) }
    }

    /// Adds the name of the column, if `columns` are the names of all columns.
    pub(in crate::wire) fn named(self, columns: &[&str]) -> Self {
        let name = self.column.and_then(|column| columns.get(column));
        Self { column_name: name.map(|name| Box::from(cut(name, LONGEST_NAME))), ..self }
    }

    /// Creates the error of a value in a typed row that has no representation in SQLite.
    #[cfg(feature = "typed")]
    pub(crate) fn of_value(table: &str, columns: &[&str], column: usize, reason: &dyn fmt::Display) -> Self {
        let reason = Some(alloc::format!("{reason}").into_boxed_str());
        Self { reason, ..Self::new(BuildErrorKind::Value, table, Some(column)).named(columns) }
    }

    /// Returns the kind of error.
    pub fn kind(&self) -> BuildErrorKind {
        self.kind
    }

    /// Returns the name of the table, if the error concerns a table: at most the first 200 bytes.
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// Returns the position of the column, counted from 0, if the error concerns a column.
    pub fn column(&self) -> Option<usize> {
        self.column
    }

    /// Returns the name of the column, if it is known from a typed row or a
    /// [`TableInfo`](crate::wire::TableInfo).
    pub fn column_name(&self) -> Option<&str> {
        self.column_name.as_deref()
    }
}

/// Two errors are equal if their kinds, tables, columns and reasons are. The errors of readers and
/// writers are not compared.
impl PartialEq for BuildError {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.table, self.column, &self.column_name, &self.reason)
            == (other.kind, &other.table, other.column, &other.column_name, &other.reason)
    }
}

impl Eq for BuildError {}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(table) = &self.table {
            write!(f, "table {}", table.escape_debug())?;
            match (&self.column_name, self.column) {
                (Some(name), _) => write!(f, ", column {}", name.escape_debug())?,
                (None, Some(column)) => write!(f, ", column {column}")?,
                (None, None) => {}
            }
            f.write_str(": ")?;
        }
        write!(f, "{}", self.kind)?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildError({self})")
    }
}

impl core::error::Error for BuildError {
    #[cfg(feature = "std")]
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.as_deref().map(|error| error as &(dyn core::error::Error + 'static))
    }
}

/// An input that cannot be read.
#[cfg(feature = "std")]
impl From<ParseError> for BuildError {
    fn from(error: ParseError) -> Self {
        let kind = BuildErrorKind::Parse(error.kind());
        Self { source: Some(Arc::new(error)), ..Self::of_kind(kind) }
    }
}

/// The kind of a [`BuildError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildErrorKind {
    /// The column count of a table is out of range; SQLite reads 1 to 65,536 columns.
    ColumnCount(usize),
    /// No column of the table is part of its primary key.
    NoPrimaryKey,
    /// The name of the table contains a NUL.
    TableName,
    /// The table has a different number of columns than in an earlier change.
    OtherColumns {
        /// The number of columns in the earlier change.
        before: usize,
        /// The number of columns in this change.
        now: usize,
    },
    /// The table has other key ordinals than in an earlier change.
    OtherKey,
    /// A row has a different number of values than the table has columns.
    ValueCount {
        /// The number of columns.
        columns: usize,
        /// The number of values.
        values: usize,
    },
    /// A column of the primary key is NULL, or a NaN, which SQLite reads as NULL.
    NullKey,
    /// The old and the new row of an UPDATE differ in a column of the primary key.
    KeyChanged,
    /// A text or blob of this many bytes exceeds [`MAX_VALUE_LENGTH`].
    ValueLength(usize),
    /// A value of a typed row has no representation in SQLite.
    Value,
    /// A record has the other format: a patchset's record where a changeset is built, or the
    /// reverse.
    WrongFormat {
        /// The format of the record.
        found: Format,
    },
    /// There are more than 3,221,225,472 rows of one table, or as many tables.
    TooMany,
    /// The table has a different number of columns than in the rebase data: one of the two was
    /// recorded before a column was added.
    RebaseColumns {
        /// The number of columns in the changes.
        columns: usize,
        /// The number of columns in the rebase data.
        rebased_on: usize,
    },
    /// The table has another primary key than in the rebase data.
    RebaseKey,
    /// An UPDATE or DELETE cannot be written as SQL without the names of the columns.
    NoColumnNames,
    /// There are fewer column names than columns.
    ColumnNameCount {
        /// The number of names.
        names: usize,
        /// The number of columns.
        columns: usize,
    },
    /// The name of a column contains a NUL, which would end the SQL text.
    ColumnName,
    /// A [hidden](crate::wire::TableInfo::with_hidden) column is not among the names of the columns.
    HiddenColumn,
    /// An input cannot be read: the [source](core::error::Error::source) is the [`ParseError`].
    Parse(ParseErrorKind),
    /// The writer failed: the [source](core::error::Error::source) is its error. Some of the bytes
    /// may have been written.
    #[cfg(feature = "std")]
    Io,
}

impl fmt::Display for BuildErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ColumnCount(count) => write!(f, "a table of {count} columns (SQLite reads 1 to 65536)"),
            Self::NoPrimaryKey => f.write_str("no column of the table is part of a primary key"),
            Self::TableName => f.write_str("the table's name contains a NUL"),
            Self::OtherColumns { before, now } => {
                write!(f, "the table has {now} columns, but {before} in an earlier change")
            }
            Self::OtherKey => f.write_str("the table has another primary key than in an earlier change"),
            Self::ValueCount { columns, values } => write!(f, "{values} values for {columns} columns"),
            Self::NullKey => f.write_str("NULL in a column of the primary key"),
            Self::KeyChanged => {
                f.write_str("an UPDATE cannot change the primary key: delete the old row and insert the new one")
            }
            Self::ValueLength(length) => {
                write!(f, "a value of {length} bytes (SQLite reads at most {MAX_VALUE_LENGTH})")
            }
            Self::Value => f.write_str("the value has no representation in SQLite"),
            Self::WrongFormat { found } => write!(f, "a record of a {found} cannot be added to a {}", found.other()),
            Self::RebaseColumns { columns, rebased_on } => {
                write!(f, "{columns} columns, but {rebased_on} in the rebase data")
            }
            Self::RebaseKey => f.write_str("the table has another primary key in the rebase data"),
            Self::NoColumnNames => f.write_str("an UPDATE or DELETE requires the names of the columns"),
            Self::ColumnNameCount { names, columns } => write!(f, "{names} names for {columns} columns"),
            Self::ColumnName => f.write_str("the name of a column contains a NUL"),
            Self::HiddenColumn => f.write_str("a hidden column is not among the names of the columns"),
            Self::Parse(_) => f.write_str("an input cannot be read"),
            #[cfg(feature = "std")]
            Self::Io => f.write_str("the changes cannot be written"),
            Self::TooMany => f.write_str("more than 3221225472 rows or tables"),
        }
    }
}
