//! Reading a struct and its attributes.

use quote::format_ident;
use syn::ext::IdentExt;
use syn::{Attribute, DeriveInput, FieldsNamed};

use super::{Column, Names, Row, default_crate};
use crate::attributes::{diesel_field, diesel_item, each, list, names, path, serde_field, unknown};
use crate::errors::Errors;

/// Reads a struct. Its mistakes are added to `errors`.
pub(super) fn read(item: &DeriveInput, fields: &FieldsNamed, errors: &mut Errors) -> Row {
    let diesel = diesel_item(&item.attrs, errors);
    let mut row = Row {
        visibility: item.vis.clone(),
        name: item.ident.clone(),
        generics: item.generics.clone(),
        lints: lints(&item.attrs),
        table: diesel.table_name,
        columns: Vec::new(),
        skipped: Vec::new(),
        generated: Vec::new(),
        defaults: Vec::new(),
        listed: None,
        key: diesel.primary_key,
        names: Names {
            update: format_ident!("{}Update", item.ident.unraw(), span = item.ident.span()),
            patch: format_ident!("{}Patch", item.ident.unraw(), span = item.ident.span()),
        },
        derives: None,
        row_only: false,
        krate: default_crate(),
    };
    each(&item.attrs, "tracked", errors, |meta, errors| {
        if meta.path.is_ident("crate") {
            row.krate = path(meta.value()?)?;
        } else if meta.path.is_ident("update") {
            row.names.update = meta.value()?.parse()?;
        } else if meta.path.is_ident("patch") {
            row.names.patch = meta.value()?.parse()?;
        } else if meta.path.is_ident("row_only") {
            row.row_only = true;
        } else if meta.path.is_ident("skip") {
            row.skipped.extend(names(meta)?);
        } else if meta.path.is_ident("generated") {
            row.generated.extend(names(meta)?);
        } else if meta.path.is_ident("derive") {
            row.derives.get_or_insert_default().extend(list(meta, path)?);
        } else {
            let known = ["update", "patch", "derive", "skip", "generated", "row_only", "crate"];
            return unknown(meta, &known, errors);
        }
        Ok(())
    });
    for parameter in &item.generics.params {
        if !matches!(parameter, syn::GenericParam::Lifetime(_)) {
            errors.at(parameter, "a row can have lifetimes, but no other parameters");
        }
    }
    for name in [&row.names.update, &row.names.patch] {
        if *name == row.name {
            errors.at(name, format!("the row itself has the name `{name}`: choose another name for the companion"));
        }
    }
    if row.names.update == row.names.patch {
        let name = &row.names.patch;
        errors.at(name, format!("two items would have the name `{name}`: `update` and `patch` are two structs"));
    }
    if row.table.is_none() {
        errors.at(
            &item.ident,
            "a row needs `#[diesel(table_name = …)]` with the module of its table, such as `users` or `crate::schema::users`",
        );
    }
    for field in &fields.named {
        let column = read_field(field, &mut row, errors);
        row.columns.extend(column);
    }
    row
}

/// Returns the column of a field, or adds the field to those that have their defaults.
fn read_field(field: &syn::Field, row: &mut Row, errors: &mut Errors) -> Option<Column> {
    let name = field.ident.clone()?;
    let diesel = diesel_field(&field.attrs, errors);
    if let Some(embed) = diesel.embed {
        errors.at(embed, "a row of changes has a field for each column; one with `embed` is none");
        return None;
    }
    let (mut optional, mut skipped, mut generated) = (false, false, false);
    each(&field.attrs, "tracked", errors, |meta, errors| {
        if meta.path.is_ident("default") {
            optional = true;
        } else if meta.path.is_ident("skip") {
            skipped = true;
        } else if meta.path.is_ident("generated") {
            generated = true;
        } else {
            return unknown(meta, &["default", "skip", "generated"], errors);
        }
        Ok(())
    });
    let column = diesel.column_name.unwrap_or_else(|| name.clone());
    if skipped || generated {
        if optional || (skipped && generated) {
            errors.at(&name, "use only one of `skip`, `generated` and `default` on a field: a skipped or generated field already uses `Default::default()`");
        }
        if generated {
            row.generated.push(column)
        } else {
            row.skipped.push(column)
        }
        row.defaults.push((name, field.ty.clone()));
        return None;
    }
    Some(Column {
        visibility: field.vis.clone(),
        column,
        field: name,
        ty: field.ty.clone(),
        optional,
        deserialize_as: diesel.deserialize_as,
        serialize_as: diesel.serialize_as,
        serde: serde_field(&field.attrs),
        sql_type: None,
    })
}

/// Returns the attributes that set lint levels.
fn lints(attributes: &[Attribute]) -> Vec<Attribute> {
    let levels = ["allow", "warn", "deny", "forbid"];
    let is_level = |attribute: &&Attribute| levels.iter().any(|level| attribute.path().is_ident(level));
    attributes.iter().filter(is_level).cloned().collect()
}
