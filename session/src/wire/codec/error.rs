//! What can be wrong with bytes that should be a changeset or a patchset, and where; and with what one is built of.

use alloc::boxed::Box;
use core::fmt;

use super::kind::Format;
use super::value::{MAX_VALUE_LENGTH, cut};

/// Bytes that are not a well-formed changeset or patchset: [what](ParseErrorKind) is wrong and at which byte.
///
/// ```
/// use diesel_sqlite_session::{Changeset, ParseErrorKind};
///
/// let error = Changeset::try_from(b"T\x01\x01users\0\x63\x00".to_vec()).unwrap_err();
/// assert_eq!((error.kind(), error.offset()), (ParseErrorKind::Operation(0x63), 9));
/// assert_eq!(
///     error.to_string(),
///     "at byte 9, table users: 0x63 is not an operation (INSERT is 0x12, UPDATE 0x17, DELETE 0x09)"
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ParseError {
    kind: ParseErrorKind,
    offset: usize,
    column: Option<usize>,
    table: Option<Box<str>>,
}

/// How much of a table's name an error keeps: a stranger chooses it.
pub(in crate::wire) const LONGEST_NAME: usize = 200;

impl ParseError {
    pub(in crate::wire) fn new(kind: ParseErrorKind, offset: usize, column: Option<usize>, table: Option<&str>) -> Self {
        Self { kind, offset, column, table: table.map(|name| Box::from(cut(name, LONGEST_NAME))) }
    }

    /// What is wrong.
    pub fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// The byte, counted from 0, at which the thing that is wrong starts; where it is missing, at which it should. In a
    /// stream, `usize::MAX` for everything beyond.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The table that the bytes belong to, once its header has been read: the first 200 bytes of its name.
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// The column, counted from 0, whose value is wrong.
    pub fn column(&self) -> Option<usize> {
        self.column
    }
}

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

impl core::error::Error for ParseError {}

/// What is wrong with the bytes. For what SQLite's own iterator would read, [the module's docs](super#what-is-refused) say
/// why it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The input ends inside a table header or a change.
    UnexpectedEnd,
    /// A section has the header of the other format: a patchset where a changeset belongs, or the reverse.
    WrongFormat {
        /// What the header says.
        found: Format,
    },
    /// The bytes begin with something that is no table header.
    MissingHeader,
    /// A table of so many columns; SQLite reads 1 to 65,536.
    ColumnCount(u64),
    /// No column of the table is part of its primary key.
    NoPrimaryKey,
    /// The table's name is not UTF-8.
    TableName,
    /// This byte is not an operation.
    Operation(u8),
    /// This byte is not an operation that rebase data have.
    RebaseOperation(u8),
    /// This byte is not a type of a value.
    ValueType(u8),
    /// A text or blob of more than [`MAX_VALUE_LENGTH`] bytes.
    ValueLength(u64),
    /// A value is not recorded where every value must be: in an INSERT, a DELETE, or a key.
    MissingValue,
    /// NULL, or a NaN, which SQLite takes for NULL, in a column of the primary key.
    NullKey,
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedEnd => f.write_str("the input ends inside a table header or a change"),
            Self::WrongFormat { found } => write!(f, "the header of a {found} in a {}", found.other()),
            Self::MissingHeader => f.write_str("neither a changeset nor a patchset: no table header (0x54 or 0x50)"),
            Self::ColumnCount(count) => write!(f, "a table of {count} columns (1 to 65536 are possible)"),
            Self::NoPrimaryKey => f.write_str("no column of the table is part of a primary key"),
            Self::TableName => f.write_str("the table's name is not UTF-8"),
            Self::Operation(byte) => {
                write!(f, "0x{byte:02x} is not an operation (INSERT is 0x12, UPDATE 0x17, DELETE 0x09)")
            }
            Self::RebaseOperation(byte) => {
                write!(f, "0x{byte:02x} is not an operation of rebase data (INSERT is 0x12, DELETE 0x09)")
            }
            Self::ValueType(byte) => write!(f, "0x{byte:02x} is not a type of a value (0 to 5 are)"),
            Self::ValueLength(length) => {
                write!(f, "a value of {length} bytes (SQLite reads at most {MAX_VALUE_LENGTH})")
            }
            Self::MissingValue => f.write_str("a value is not recorded that must be"),
            Self::NullKey => f.write_str("NULL in a column of the primary key"),
        }
    }
}

/// What a changeset or patchset cannot be built of: [what](BuildErrorKind) is wrong, and in which table and column.
///
/// ```
/// use diesel_sqlite_session::{BuildErrorKind, Changeset, TableSchema, Value};
///
/// let users = TableSchema::new("users", &[1, 0]);
/// let error = Changeset::builder().insert_values(users, &[Value::Null, "Ada".into()]).build().unwrap_err();
/// assert_eq!((error.kind(), error.table(), error.column()), (BuildErrorKind::NullKey, "users", Some(0)));
/// assert_eq!(error.to_string(), "table users, column 0: NULL in a column of the primary key");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BuildError {
    kind: BuildErrorKind,
    table: Box<str>,
    column: Option<usize>,
    column_name: Option<Box<str>>,
    reason: Option<Box<str>>,
}

impl BuildError {
    pub(in crate::wire) fn new(kind: BuildErrorKind, table: &str, column: Option<usize>) -> Self {
        Self { kind, table: Box::from(cut(table, LONGEST_NAME)), column, column_name: None, reason: None }
    }

    /// With the name of its column, if these are the names of all of them.
    pub(in crate::wire) fn named(self, columns: &[&str]) -> Self {
        let name = self.column.and_then(|column| columns.get(column));
        Self { column_name: name.map(|name| Box::from(cut(name, LONGEST_NAME))), ..self }
    }

    /// A value of a typed row that has no form in SQLite, for this reason.
    #[cfg(feature = "typed")]
    pub(crate) fn of_value(table: &str, columns: &[&str], column: usize, reason: &dyn fmt::Display) -> Self {
        let reason = Some(alloc::format!("{reason}").into_boxed_str());
        Self { reason, ..Self::new(BuildErrorKind::Value, table, Some(column)).named(columns) }
    }

    /// What is wrong.
    pub fn kind(&self) -> BuildErrorKind {
        self.kind
    }

    /// The table whose change it was: the first 200 bytes of its name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The column, counted from 0, whose value is wrong.
    pub fn column(&self) -> Option<usize> {
        self.column
    }

    /// The name of that column, where it is known: of a typed row, and of `User::TABLE`.
    pub fn column_name(&self) -> Option<&str> {
        self.column_name.as_deref()
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.table.escape_debug())?;
        match (&self.column_name, self.column) {
            (Some(name), _) => write!(f, ", column {}", name.escape_debug())?,
            (None, Some(column)) => write!(f, ", column {column}")?,
            (None, None) => {}
        }
        write!(f, ": {}", self.kind)?;
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

impl core::error::Error for BuildError {}

/// What is wrong with what a changeset or patchset is built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildErrorKind {
    /// A table of so many columns; SQLite reads 1 to 65,536.
    ColumnCount(usize),
    /// No column of the table is part of its primary key.
    NoPrimaryKey,
    /// The table's name has a NUL in it.
    TableName,
    /// The table had another number of columns before.
    OtherColumns {
        /// In the first change to it.
        before: usize,
        /// In this one.
        now: usize,
    },
    /// The table had other key ordinals before.
    OtherKey,
    /// A row of another number of values than the table has columns.
    ValueCount {
        /// How many columns the table has.
        columns: usize,
        /// How many values there were.
        values: usize,
    },
    /// NULL, or a NaN, which SQLite takes for NULL, in a column of the primary key.
    NullKey,
    /// An UPDATE whose rows differ in a column of the primary key.
    MovedKey,
    /// A text or blob of so many bytes: more than [`MAX_VALUE_LENGTH`].
    ValueLength(usize),
    /// A value of a typed row that has no form in SQLite.
    Value,
    /// A record of the other format: of a patchset where a changeset is built, or the reverse.
    WrongFormat {
        /// The record's format.
        found: Format,
    },
    /// More than 3,221,225,472 rows of one table, or as many tables.
    TooMany,
}

impl fmt::Display for BuildErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ColumnCount(count) => write!(f, "a table of {count} columns (1 to 65536 are possible)"),
            Self::NoPrimaryKey => f.write_str("no column of the table is part of a primary key"),
            Self::TableName => f.write_str("the table's name has a NUL in it"),
            Self::OtherColumns { before, now } => write!(f, "a table of {now} columns, which had {before} before"),
            Self::OtherKey => f.write_str("a table whose key was declared otherwise before"),
            Self::ValueCount { columns, values } => write!(f, "{values} values for {columns} columns"),
            Self::NullKey => f.write_str("NULL in a column of the primary key"),
            Self::MovedKey => {
                f.write_str("an UPDATE cannot change the primary key: delete the old row and insert the new one")
            }
            Self::ValueLength(length) => {
                write!(f, "a value of {length} bytes (SQLite reads at most {MAX_VALUE_LENGTH})")
            }
            Self::Value => f.write_str("the value has no form in SQLite"),
            Self::WrongFormat { found } => write!(f, "a {found}'s record, where a {} is built", found.other()),
            Self::TooMany => f.write_str("more rows or tables than can be kept apart (3221225472)"),
        }
    }
}
