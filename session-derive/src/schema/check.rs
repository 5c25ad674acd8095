//! The names in the attributes of a schema must be names of its file.

use syn::Ident;
use syn::ext::IdentExt;

use super::Schema;
use super::table_macro::Table;
use crate::attributes::distance;
use crate::errors::Errors;
use crate::row::same;

impl Schema<'_> {
    /// Reports each name in the attributes that the file does not contain.
    pub(super) fn check_names(&self, errors: &mut Errors) {
        let options = self.options;
        let renamed = options.rename.iter().map(|(table, _)| table);
        let tables: Vec<&Ident> = self.tables.iter().map(|table| &table.name).collect();
        for name in options.include.iter().flatten().chain(&options.exclude).chain(renamed) {
            if !tables.iter().any(|table| same(table, name)) {
                errors.at(name, format!("the file has no table `{name}`{}", nearest(name, &tables)));
            }
        }
        for path in options.skip.iter().chain(&options.generated).chain(&options.default) {
            let [table, column] = &path.segments.iter().map(|segment| &segment.ident).collect::<Vec<_>>()[..] else {
                errors.at(path, "a column is named with its table: `users::password`");
                continue;
            };
            let Some(found) = self.tables.iter().find(|found| same(&found.name, table)) else {
                errors.at(table, format!("the file has no table `{table}`{}", nearest(table, &tables)));
                continue;
            };
            let columns: Vec<&Ident> = found.columns.iter().map(|column| &column.name).collect();
            if !columns.iter().any(|known| same(known, column)) {
                errors.at(column, format!("the table `{table}` has no column `{column}`{}", nearest(column, &columns)));
            }
        }
        for (name, _) in &options.types {
            let is_used = |table: &Table| table.columns.iter().any(|column| column.sql_type() == Some(name.clone()));
            if !self.tables.iter().any(is_used) {
                errors.at(name, format!("no column of the file has the SQL type `{name}`"));
            }
        }
    }
}

/// Returns the known name that is most similar to an unknown name, or all known names, as the end
/// of a message.
fn nearest(name: &Ident, known: &[&Ident]) -> String {
    let written = name.unraw().to_string();
    let near =
        known.iter().map(|known| (distance(&known.unraw().to_string(), &written), known)).min_by_key(|near| near.0);
    match near {
        Some((..=3, known)) => format!("; did you mean `{known}`?"),
        _ if known.len() <= 20 => {
            let all: Vec<_> = known.iter().map(|known| format!("`{known}`")).collect();
            format!(", but {}", all.join(", "))
        }
        _ => String::new(),
    }
}
