//! Checks of a row that need no types: each column once, and a field for each column of the key.

use syn::Ident;
use syn::ext::IdentExt;

use super::{Row, same};
use crate::errors::Errors;

/// Adds the mistakes of a row to `errors`, and removes what a stub cannot contain.
pub(super) fn check(row: &mut Row, errors: &mut Errors) {
    let mut seen: Vec<(Ident, String)> = Vec::new();
    let fields = row.columns.iter().map(|column| (&column.column, format!("the field `{}`", column.field)));
    let skipped = row.skipped.iter().map(|column| (column, "`skip`".to_owned()));
    let generated = row.generated.iter().map(|column| (column, "`generated`".to_owned()));
    for (column, place) in fields.chain(skipped).chain(generated) {
        match seen.iter().find(|(known, _)| same(known, column)) {
            Some((_, before)) => {
                errors.at(column, format!("the column `{}` is twice in this row: {before} is it too", column.unraw()));
            }
            None => seen.push((column.clone(), place)),
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
