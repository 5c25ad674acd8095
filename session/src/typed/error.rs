//! The errors of reading changes as typed values.

use std::boxed::Box;
use std::fmt;
use std::string::{String, ToString};

use crate::wire::{Format, Record, Value};

/// The error of a value that does not fit a Rust type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// The value has a storage class that the type cannot be read from.
    StorageClass {
        /// The expected storage class, such as `"an integer"`.
        expected: &'static str,
    },
    /// The value is NULL, but the column is not `Nullable`.
    Null,
    /// The number is out of the range of the type.
    OutOfRange,
    /// The text is not UTF-8.
    Utf8,
    /// The value has the right storage class, but the type rejects it.
    Invalid {
        /// The reason.
        message: String,
    },
    /// No value is recorded, but the type requires a value.
    Missing,
}

impl ValueError {
    /// Creates the error of a value that has the right storage class, but that the type rejects for
    /// `reason`.
    pub fn invalid(reason: impl fmt::Display) -> Self {
        Self::Invalid { message: reason.to_string() }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StorageClass { expected } => write!(f, "expected {expected}"),
            Self::Null => f.write_str("NULL in a column that is not Nullable"),
            Self::OutOfRange => f.write_str("the number is out of range"),
            Self::Utf8 => f.write_str("the text is not UTF-8"),
            Self::Invalid { message } => f.write_str(message),
            Self::Missing => f.write_str("no value is recorded"),
        }
    }
}

impl std::error::Error for ValueError {}

/// The error of a change that cannot be read as a typed value.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use diesel_sqlite_session::{Change, Changeset, Tracked};
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
/// // an INSERT of (1, 2)
/// let bytes = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x01\0\0\0\0\0\0\0\x02";
/// let changeset = Changeset::try_from(bytes.to_vec()).unwrap();
/// let error = changeset.changes::<Change<users::table>>().next().unwrap().unwrap_err();
/// assert_eq!((error.table(), error.column(), error.offset()), ("users", Some("name"), Some(21)));
/// assert_eq!(error.to_string(), "table users, column name (Text), at byte 21: expected text, found integer 2");
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    table: String,
    column: Option<&'static str>,
    sql_type: Option<&'static str>,
    kind: DecodeErrorKind,
    found: Option<String>,
    location: Location,
}

/// The location of a value or a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Location {
    Byte(usize),
    /// In a change in conflict.
    #[cfg(feature = "sqlite")]
    Conflict,
    /// In a row of the database.
    #[cfg(feature = "sqlite")]
    Row,
}

/// The kind of a [`DecodeError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The table is not part of the set.
    /// [`skip_unknown_tables`](crate::typed::Changes::skip_unknown_tables) skips such changes.
    UnknownTable,
    /// The changes have another number of columns than the table.
    ColumnCount {
        /// The number of columns in the table.
        expected: usize,
        /// The number of columns in the changes.
        found: usize,
    },
    /// The changes have another primary key than the table. The error's column is part of only one
    /// of the two keys.
    PrimaryKey,
    /// A record of a patchset was read as a [`Change`](crate::Change), or a record of a changeset
    /// as a [`Patch`](crate::Patch).
    WrongFormat {
        /// The format of the record.
        found: Format,
    },
    /// A value does not fit the type of the column.
    Value(ValueError),
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTable => {
                f.write_str("the table is not part of the set; `skip_unknown_tables` skips such changes")
            }
            Self::ColumnCount { expected, found } => write!(f, "expected {expected} columns, found {found}"),
            Self::PrimaryKey => f.write_str("the changes have another primary key"),
            Self::WrongFormat { found } => {
                write!(f, "expected a change of a {}, found a change of a {found}", found.other())
            }
            Self::Value(error) => error.fmt(f),
        }
    }
}

impl DecodeError {
    /// Creates the error of a change.
    #[cold]
    pub(crate) fn of_table(record: &Record<'_>, column: Option<&'static str>, kind: DecodeErrorKind) -> Self {
        Self(Box::new(Inner {
            table: record.table().to_string(),
            column,
            sql_type: None,
            kind,
            found: None,
            location: Location::Byte(record.offset()),
        }))
    }

    /// Creates the error of a value.
    #[cold]
    pub(crate) fn of_value(
        record: &Record<'_>,
        column: &'static str,
        sql_type: &'static str,
        value: Option<(Value<'_>, usize)>,
        error: ValueError,
    ) -> Self {
        Self(Box::new(Inner {
            table: record.table().to_string(),
            column: Some(column),
            sql_type: Some(sql_type),
            kind: DecodeErrorKind::Value(error),
            found: value.map(|(value, _)| match value {
                Value::Null => String::from("NULL"),
                value => std::format!("{} {value:?}", value.storage_class()),
            }),
            location: Location::Byte(value.map_or(record.offset(), |(_, offset)| offset)),
        }))
    }

    /// Creates the error of a missing record, which checked bytes do not cause.
    #[cold]
    pub(crate) fn of_missing_record(table: &str) -> Self {
        let (table, kind) = (table.to_string(), DecodeErrorKind::Value(ValueError::Missing));
        Self(Box::new(Inner { table, column: None, sql_type: None, kind, found: None, location: Location::Byte(0) }))
    }

    /// Sets the location to a change in conflict, which has no offset.
    #[cfg(feature = "sqlite")]
    pub(crate) fn in_conflict(mut self) -> Self {
        self.0.location = Location::Conflict;
        self
    }

    /// Sets the location to a row of the database.
    #[cfg(feature = "sqlite")]
    pub(crate) fn in_row(mut self) -> Self {
        self.0.location = Location::Row;
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> &DecodeErrorKind {
        &self.0.kind
    }

    /// Returns the name of the table, as the changes contain it.
    pub fn table(&self) -> &str {
        &self.0.table
    }

    /// Returns the name of the column, if the error is about a column.
    pub fn column(&self) -> Option<&str> {
        self.0.column
    }

    /// Returns the name of the column's SQL type, such as `Text`, if the error is about a value.
    pub fn sql_type(&self) -> Option<String> {
        self.0.sql_type.map(short_type)
    }

    /// Returns the byte offset of the value, or of the change if the error is not about a value.
    ///
    /// Returns `None` for a change in conflict, and for a row of the database.
    pub fn offset(&self) -> Option<usize> {
        match self.0.location {
            Location::Byte(offset) => Some(offset),
            #[cfg(feature = "sqlite")]
            Location::Conflict | Location::Row => None,
        }
    }
}

/// Returns the name of a type without modules: `Nullable<Text>` for
/// `diesel::sql_types::Nullable<diesel::sql_types::Text>`.
fn short_type(path: &'static str) -> String {
    let mut short = String::new();
    let mut word = "";
    for piece in path.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_') {
        let (name, end) = match piece.char_indices().last() {
            Some((at, c)) if !c.is_alphanumeric() && c != '_' => piece.split_at(at),
            _ => (piece, ""),
        };
        if !name.is_empty() {
            word = name;
        }
        if end != ":" {
            short.push_str(word);
            short.push_str(end);
            word = "";
        }
    }
    short
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { table, column, kind, found, location, .. } = &*self.0;
        write!(f, "table {}", table.escape_debug())?;
        if let Some(column) = column {
            write!(f, ", column {}", column.escape_debug())?;
        }
        if let Some(sql_type) = self.sql_type() {
            write!(f, " ({sql_type})")?;
        }
        match location {
            Location::Byte(offset) => write!(f, ", at byte {offset}")?,
            #[cfg(feature = "sqlite")]
            Location::Conflict => f.write_str(", in the change")?,
            #[cfg(feature = "sqlite")]
            Location::Row => f.write_str(", in the database row")?,
        }
        write!(f, ": {kind}")?;
        found.iter().try_for_each(|found| write!(f, ", found {found}"))
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeError")
            .field("table", &self.0.table)
            .field("column", &self.0.column)
            .field("sql_type", &self.sql_type())
            .field("kind", &self.0.kind)
            .field("found", &self.0.found)
            .field("offset", &self.offset())
            .finish()
    }
}

/// Has no source: the message contains that of the [`kind`](DecodeError::kind).
impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::short_type;

    #[test]
    fn types_are_shown_without_their_modules() {
        assert_eq!(short_type("diesel::sql_types::Text"), "Text");
        assert_eq!(short_type("diesel::sql_types::Nullable<diesel::sql_types::Text>"), "Nullable<Text>");
        assert_eq!(short_type("Integer"), "Integer");
        assert_eq!(short_type("a::Pair<b::C, d_e::F>"), "Pair<C, F>");
    }
}
