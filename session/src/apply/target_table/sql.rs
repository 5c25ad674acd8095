//! The SQL of the statements of a table.
//!
//! Invariant: every statement names the schema, the table and the columns, and gives each value a
//! parameter of its own. A row is found by `=` on its key; other values are compared in a form that
//! SQLite does not look up in an index, because a plan that depends on bound values would be made
//! again for each change.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::{BATCH, Target};

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Joins SQL fragments.
pub(super) fn joined(parts: impl IntoIterator<Item = String>, separator: &str) -> String {
    parts.into_iter().collect::<Vec<_>>().join(separator)
}

impl Target {
    /// Returns the recorded columns that the changes contain.
    pub(super) fn changed_columns(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let columns = self.columns.iter().take(self.ordinals.len()).enumerate();
        columns.map(|(column, (name, key))| (column, name.as_str(), *key != 0))
    }

    /// Returns the SQL of the parameter with this number as a value of a column.
    ///
    /// In `sqlite_stat1`, the index of a table without an index is NULL. Changes contain an empty
    /// blob instead, because a primary key is not NULL.
    pub(super) fn parameter(&self, column: usize, number: usize) -> String {
        if self.is_stat1 && column == 1 { format!("nullif(?{number}, X'')") } else { format!("?{number}") }
    }

    /// Returns the condition that a key column has the value of a parameter.
    pub(super) fn is_key(&self, column: usize, name: &str, number: usize) -> String {
        let operator = if self.is_stat1 && column == 1 { "IS" } else { "=" };
        format!("{name} {operator} {}", self.parameter(column, number))
    }

    /// Returns the condition that columns have the values of parameters, which no index is used
    /// for. `columns` are names and numbers.
    pub(super) fn are_equal(columns: &[(&str, usize)]) -> Option<String> {
        match columns {
            [] => None,
            [(name, number)] => Some(format!("NOT ({name} IS NOT ?{number})")),
            columns => {
                // one comparison of two rows, since the depth of an expression is limited
                let names = joined(columns.iter().map(|(name, _)| String::from(*name)), ", ");
                let values = joined(columns.iter().map(|(_, number)| format!("?{number}")), ", ");
                Some(format!("NOT (({names}) IS NOT ({values}))"))
            }
        }
    }

    pub(super) fn insert_sql(&self) -> String {
        let names = joined(self.changed_columns().map(|(_, name, _)| name.into()), ", ");
        let values = joined(self.changed_columns().map(|(column, ..)| self.parameter(column, column + 1)), ", ");
        format!("INSERT{} INTO {} ({names}) VALUES ({values})", self.or, self.table)
    }

    pub(super) fn insert_batch_sql(&self) -> String {
        let names = joined(self.changed_columns().map(|(_, name, _)| name.into()), ", ");
        let row = format!("({})", joined(self.changed_columns().map(|_| String::from("?")), ", "));
        let rows = joined(core::iter::repeat_n(row, BATCH), ", ");
        let or = if self.fails_between_rows { " OR FAIL" } else { self.or };
        format!("INSERT{or} INTO {} ({names}) VALUES {rows}", self.table)
    }

    /// Returns the condition on the key, with a parameter for each of its columns in order.
    pub(super) fn has_key(&self) -> String {
        let keys = self.columns.iter().enumerate().filter(|(_, (_, key))| *key != 0);
        joined(keys.zip(1..).map(|((column, (name, _)), number)| self.is_key(column, name, number)), " AND ")
    }

    pub(super) fn delete_by_key_sql(&self) -> String {
        format!("DELETE FROM {} WHERE {}", self.table, self.has_key())
    }

    /// Returns a DELETE with a parameter for each column of the changes.
    pub(super) fn delete_sql(&self) -> String {
        let (mut conditions, mut others) = (Vec::new(), Vec::new());
        for (column, name, is_key) in self.changed_columns() {
            if is_key {
                conditions.push(self.is_key(column, name, column + 1));
            } else {
                others.push((name, column + 1));
            }
        }
        conditions.extend(Self::are_equal(&others));
        format!("DELETE FROM {} WHERE {}", self.table, conditions.join(" AND "))
    }

    /// Returns an UPDATE of a set of columns. Its parameters are, in the order of the columns, the
    /// key, and for each column of the set the new value and, if it is compared, the old value.
    pub(super) fn update_sql(&self, set: &[u64]) -> String {
        let (mut assignments, mut conditions, mut old_values, mut number) = (Vec::new(), Vec::new(), Vec::new(), 1);
        for (column, name, is_key) in self.changed_columns() {
            if is_key {
                conditions.push(self.is_key(column, name, number));
                number += 1;
            } else if is_in(set, 0, column) {
                assignments.push(format!("{name} = ?{number}"));
                number += 1;
                if is_in(set, 1, column) {
                    old_values.push((name, number));
                    number += 1;
                }
            }
        }
        conditions.extend(Self::are_equal(&old_values));
        let (assignments, conditions) = (assignments.join(", "), conditions.join(" AND "));
        format!("UPDATE{} {} SET {assignments} WHERE {conditions}", self.or, self.table)
    }

    /// Returns an UPDATE whose parameters are those of `assignments` and then the key.
    pub(in crate::apply) fn update_by_key_sql(&self, assignments: &str, count: usize) -> String {
        let keys = self.columns.iter().filter(|(_, key)| *key != 0).zip(count + 1..);
        let conditions = joined(keys.map(|((name, _), number)| format!("{name} = ?{number}")), " AND ");
        format!("UPDATE OR ABORT {} SET {assignments} WHERE {conditions}", self.table)
    }

    pub(super) fn select_sql(&self) -> String {
        let columns = self.columns.iter().enumerate().map(|(column, (name, _))| {
            if self.is_stat1 && column == 1 { format!("ifnull({name}, X'')") } else { name.clone() }
        });
        format!("SELECT {} FROM {} WHERE {}", joined(columns, ", "), self.table, self.has_key())
    }
}

/// Returns whether a column is in the first or the second of two sets of columns.
fn is_in(sets: &[u64], which: usize, column: usize) -> bool {
    sets.get(column / 64 * 2 + which).is_some_and(|word| word & 1 << (column % 64) != 0)
}
