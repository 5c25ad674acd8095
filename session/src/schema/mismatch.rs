//! A table that differs from its declaration.

use std::fmt;
use std::string::String;

/// A difference between a table of the database and its `table!` declaration, or the changes to
/// apply.
///
/// `Display` shows the table, the column, and what was expected and found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaMismatch {
    pub(crate) table: String,
    pub(crate) column: Option<String>,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl SchemaMismatch {
    /// Returns the name of the table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Returns the first column that differs, or `None` if the table itself differs.
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// Returns what `table!` or the changes require.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// Returns what the database contains.
    pub fn found(&self) -> &str {
        &self.found
    }
}

impl fmt::Display for SchemaMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.table.escape_debug())?;
        if let Some(column) = &self.column {
            write!(f, ", column {}", column.escape_debug())?;
        }
        write!(f, ": expected {}, but the database has {}", self.expected, self.found)
    }
}

impl std::error::Error for SchemaMismatch {}
