//! Checks of a row that need no types: each column once, and a field for each column of the key.

use syn::Ident;
use syn::ext::IdentExt;

use super::{Row, same};
use crate::errors::Errors;

/// Adds the mistakes of a row to `errors`, and removes what a stub cannot contain.
pub(super) fn check(row: &mut Row, errors: &mut Errors) {
    let mut seen: Vec<(Ident, String, bool)> = Vec::new();
    let fields = row.columns.iter().map(|column| (&column.column, format!("the field `{}`", column.field), None));
    let skipped = row.skipped.iter().map(|column| (column, "`skip`".to_owned(), Some("skip")));
    let generated = row.generated.iter().map(|column| (column, "`generated`".to_owned(), Some("generated")));
    for (column, place, attribute) in fields.chain(skipped).chain(generated) {
        match seen.iter().find(|(known, ..)| same(known, column)) {
            Some((_, before, is_field)) => {
                let name = column.unraw();
                let message = match attribute.filter(|_| *is_field) {
                    Some(attribute) => {
                        format!(
                            "the column `{name}` has a field: remove it here, and write `#[tracked({attribute})]` above {before}"
                        )
                    }
                    None => format!("the column `{name}` is named twice in this row, also by {before}"),
                };
                errors.at(column, message);
            }
            None => seen.push((column.clone(), place, attribute.is_none())),
        }
    }
    if row.columns.is_empty() {
        errors.at(&row.name, "a row requires a field for each column of its table");
    }
    for name in row.key.iter().flatten() {
        if !row.columns.iter().any(|field| same(&field.column, name)) {
            let is_skipped = row.skipped.iter().chain(&row.generated).any(|column| same(column, name));
            let why = if is_skipped { "cannot be skipped" } else { "has no field" };
            errors.at(name, format!("the key's column `{name}` {why}"));
        }
    }
    // what is left can go into a stub
    let mut kept: Vec<Ident> = Vec::new();
    row.columns.retain(|column| {
        let is_new = !kept.iter().any(|known| same(known, &column.column));
        kept.push(column.column.clone());
        is_new
    });
    if let Some(key) = &row.key {
        if !key.iter().all(|name| row.columns.iter().any(|field| same(&field.column, name))) {
            row.key = None;
        }
    }
}
