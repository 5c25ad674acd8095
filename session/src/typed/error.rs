//! What can go wrong when changes are read as typed values.

use std::boxed::Box;
use std::fmt;
use std::string::{String, ToString};

use crate::wire::{Format, Record, Value};

/// Why a value of a change is not a value of a Rust type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// The value is of a storage class that the type is not made of: what is expected, such as `"an integer"`.
    StorageClass {
        /// What is expected.
        expected: &'static str,
    },
    /// NULL, where the column is not `Nullable`.
    Null,
    /// A number that the type cannot hold.
    OutOfRange,
    /// Text that is not UTF-8.
    Utf8,
    /// The value is of the right class, but not what the type is made of, for this reason.
    Invalid {
        /// Why.
        message: String,
    },
    /// No value is recorded, where there has to be one.
    Missing,
}

impl ValueError {
    /// A value that is of the right class but not what the type is made of.
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

/// Why a change is not a value of the types that it was to be read as.
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
    place: Place,
}

/// Where a value or a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Byte(usize),
    /// In a change that was being applied.
    #[cfg(feature = "sqlite")]
    Applied,
    /// In a row of the database.
    #[cfg(feature = "sqlite")]
    Row,
}

/// What is wrong: see [`DecodeError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The table is none of the set's. [`skip_unknown_tables`](crate::typed::Changes::skip_unknown_tables) leaves such changes out.
    UnknownTable,
    /// The changes have another number of columns than the table.
    ColumnCount {
        /// How many the table has.
        expected: usize,
        /// How many the changes have.
        found: usize,
    },
    /// The changes have another primary key than the table: the column is in one of the two alone.
    PrimaryKey,
    /// The change is one of a patchset, where [`Change`](crate::Change)s are read, or the reverse.
    WrongFormat {
        /// What it is of.
        found: Format,
    },
    /// A value does not fit the column's type.
    Value(ValueError),
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTable => {
                f.write_str("not in the set that the changes are read as; `skip_unknown_tables` passes over it")
            }
            Self::ColumnCount { expected, found } => write!(f, "expected {expected} columns, found {found}"),
            Self::PrimaryKey => f.write_str("the changes have another primary key"),
            Self::WrongFormat { found } => write!(f, "a change of a {found}, read as one of a {}", found.other()),
            Self::Value(error) => error.fmt(f),
        }
    }
}

impl DecodeError {
    #[cold]
    pub(crate) fn of_table(record: &Record<'_>, column: Option<&'static str>, kind: DecodeErrorKind) -> Self {
        Self(Box::new(Inner {
            table: record.table().to_string(),
            column,
            sql_type: None,
            kind,
            found: None,
            place: Place::Byte(record.offset()),
        }))
    }

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
            place: Place::Byte(value.map_or(record.offset(), |(_, offset)| offset)),
        }))
    }

    /// An error of a change that is not there, which checked bytes do not have.
    #[cold]
    pub(crate) fn of_nothing(table: &str) -> Self {
        let (table, kind) = (table.to_string(), DecodeErrorKind::Value(ValueError::Missing));
        Self(Box::new(Inner { table, column: None, sql_type: None, kind, found: None, place: Place::Byte(0) }))
    }

    /// That the change is one that was being applied, and no longer stands among the bytes.
    #[cfg(feature = "sqlite")]
    pub(crate) fn in_applied(mut self) -> Self {
        self.0.place = Place::Applied;
        self
    }

    /// That it is not a change but a row of the database.
    #[cfg(feature = "sqlite")]
    pub(crate) fn in_row(mut self) -> Self {
        self.0.place = Place::Row;
        self
    }

    /// What is wrong.
    pub fn kind(&self) -> &DecodeErrorKind {
        &self.0.kind
    }

    /// The table's name, as the changes have it.
    pub fn table(&self) -> &str {
        &self.0.table
    }

    /// The column, if it is one that is wrong.
    pub fn column(&self) -> Option<&str> {
        self.0.column
    }

    /// The name of the column's SQL type, such as `Text`, if it is a value that is wrong.
    pub fn sql_type(&self) -> Option<String> {
        self.0.sql_type.map(short_type)
    }

    /// The byte, counted from 0, at which the value that is wrong begins, or else the change. `None` for a change that was in a
    /// conflict, and for a row of the database.
    pub fn offset(&self) -> Option<usize> {
        match self.0.place {
            Place::Byte(offset) => Some(offset),
            #[cfg(feature = "sqlite")]
            Place::Applied | Place::Row => None,
        }
    }
}

/// A type's name without the modules: `Nullable<Text>` for `diesel::sql_types::Nullable<diesel::sql_types::Text>`.
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
        let Inner { table, column, kind, found, place, .. } = &*self.0;
        write!(f, "table {}", table.escape_debug())?;
        if let Some(column) = column {
            write!(f, ", column {}", column.escape_debug())?;
        }
        if let Some(sql_type) = self.sql_type() {
            write!(f, " ({sql_type})")?;
        }
        match place {
            Place::Byte(offset) => write!(f, ", at byte {offset}")?,
            #[cfg(feature = "sqlite")]
            Place::Applied => f.write_str(", in the change")?,
            #[cfg(feature = "sqlite")]
            Place::Row => f.write_str(", in the row of the database")?,
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

/// Without a source: what it says has all of its [`kind`](DecodeError::kind).
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
