//! A table that differs from its declaration.

use std::fmt;
use std::string::String;

/// A table that is not what it should be: what was expected, and what the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaMismatch {
    pub(crate) table: String,
    pub(crate) column: Option<String>,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl SchemaMismatch {
    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The first column that differs, if it is a column that does.
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// What `table!` or the changeset says.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What the database has.
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
