//! Tables as `table!` declares them.

use std::string::{String, ToString};
use std::vec::Vec;

use diesel::query_builder::QueryFragment;
use diesel::sqlite::Sqlite;
use diesel::{Table, debug_query};

use crate::wire::TableInfo;

/// A table as `table!` declares it.
pub(crate) struct TableDeclaration {
    pub(crate) table: String,
    pub(super) columns: Vec<String>,
    pub(super) key: Vec<String>,
    /// Whether the columns belong to a row that is read from changes. A `table!` may also list columns
    /// that no change contains.
    pub(super) is_of_row: bool,
}

impl From<&TableInfo<'_>> for TableDeclaration {
    fn from(table: &TableInfo<'_>) -> Self {
        let columns = || table.columns().iter().map(ToString::to_string);
        let key = columns().zip(table.key_ordinals()).filter(|(_, ordinal)| **ordinal != 0);
        Self {
            table: table.table().to_string(),
            columns: columns().collect(),
            key: key.map(|(name, _)| name).collect(),
            is_of_row: true,
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A table of `diesel::table!`, which a session can attach. Every such table implements the trait.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "expected a table of `diesel::table!`, such as `users::table`"
)]
pub trait TrackableTable: sealed::Sealed {
    #[doc(hidden)]
    fn declared() -> DeclaredTable;
}

/// The declaration of a [`TrackableTable`].
#[doc(hidden)]
pub struct DeclaredTable(pub(crate) TableDeclaration);

impl<T> sealed::Sealed for T where T: Table {}

impl<T> TrackableTable for T
where
    T: Table + Default,
    T::AllColumns: QueryFragment<Sqlite>,
    T::PrimaryKey: QueryFragment<Sqlite>,
{
    fn declared() -> DeclaredTable {
        let columns = names(&debug_query::<Sqlite, _>(&T::all_columns()).to_string());
        let key = names(&debug_query::<Sqlite, _>(&T::default().primary_key()).to_string());
        let table = columns.first().and_then(|path| path.iter().rev().nth(1).cloned()).unwrap_or_default();
        let last = |paths: Vec<Vec<String>>| paths.into_iter().filter_map(|mut path| path.pop()).collect();
        DeclaredTable(TableDeclaration { table, columns: last(columns), key: last(key), is_of_row: false })
    }
}

/// Returns the paths of names in SQL such as "`users`.`id`, `users`.`name` -- binds: []". Diesel
/// quotes every name with backticks, and doubles backticks inside.
fn names(sql: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut chars = sql.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '`' => {
                let mut name = String::new();
                while let Some(char) = chars.next() {
                    if char != '`' {
                        name.push(char);
                    } else if chars.next_if_eq(&'`').is_some() {
                        name.push('`');
                    } else {
                        break;
                    }
                }
                path.push(name);
            }
            ',' => paths.push(core::mem::take(&mut path)),
            '-' => break,
            _ => {}
        }
    }
    if !path.is_empty() {
        paths.push(path);
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    diesel::table! {
        #[sql_name = "odd `name`"]
        odd (first, second) {
            first -> Integer,
            #[sql_name = "a, b.c -- d"]
            second -> Text,
        }
    }

    #[test]
    fn names_come_out_of_diesels_sql_as_they_went_in() {
        let DeclaredTable(declared) = odd::table::declared();
        assert_eq!(declared.table, "odd `name`");
        assert_eq!(declared.columns, ["first", "a, b.c -- d"]);
        assert_eq!(declared.key, ["first", "a, b.c -- d"]);
    }
}
