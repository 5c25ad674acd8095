//! A row: a struct with a field for each column of its table, as it is written.
//!
//! Where a column stands, and whether it is part of the key, is not known here: the code that [`expand`](crate::expand) writes
//! lets the compiler find it out, in constants, from the types that `table!` made.

use proc_macro2::TokenStream;
use quote::format_ident;
use syn::ext::IdentExt;
use syn::{Attribute, DeriveInput, FieldsNamed, Generics, Ident, Path, Type, Visibility};

use crate::attributes::{SerdeField, diesel_field, diesel_item, each, list, names, path, serde_field, unknown};
use crate::errors::Errors;

/// A row as it was read.
pub(crate) struct Row {
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) generics: Generics,
    /// The user's `#[allow(…)]`s and the like, which hold for the companions too.
    pub(crate) lints: Vec<Attribute>,
    /// The path of the table's module, such as `schema::users`.
    pub(crate) table: Option<Path>,
    pub(crate) columns: Vec<Column>,
    /// Columns that have no field.
    pub(crate) skipped: Vec<Ident>,
    /// Columns that no change has.
    pub(crate) generated: Vec<Ident>,
    /// All columns in the order of the table, where a schema file lists them.
    pub(crate) listed: Option<Vec<Ident>>,
    /// The columns of the key, where they are said.
    pub(crate) key: Option<Vec<Ident>>,
    pub(crate) names: Names,
    /// What the companions derive, in the place of what they have by themselves.
    pub(crate) derives: Option<Vec<Path>>,
    pub(crate) row_only: bool,
    pub(crate) krate: Path,
}

/// The names of the companions.
pub(crate) struct Names {
    pub(crate) update: Ident,
    pub(crate) patch: Ident,
}

/// A field, and the column that it is for.
pub(crate) struct Column {
    pub(crate) visibility: Visibility,
    pub(crate) field: Ident,
    pub(crate) ty: Type,
    pub(crate) column: Ident,
    pub(crate) optional: bool,
    pub(crate) deserialize_as: Option<Type>,
    pub(crate) serialize_as: Option<Type>,
    pub(crate) serde: SerdeField,
    /// The SQL type of a column whose field has the type that this crate maps it to: the traits are known, and the compiler
    /// need not select them.
    pub(crate) sql_type: Option<TokenStream>,
}

impl Column {
    /// Returns whether the traits of the field's type are known.
    pub(crate) fn is_plain(&self) -> bool {
        self.sql_type.is_some()
    }
}

/// Whether two names are of the same column: a keyword can be raw in one place and not in another.
pub(crate) fn same(a: &Ident, b: &Ident) -> bool {
    a.unraw() == b.unraw()
}

pub(crate) fn default_crate() -> Path {
    syn::parse_quote!(::diesel_sqlite_session)
}

/// The attributes that say what the compiler shall warn about.
fn lints(attributes: &[Attribute]) -> Vec<Attribute> {
    let levels = ["allow", "warn", "deny", "forbid"];
    let is_level = |attribute: &&Attribute| levels.iter().any(|level| attribute.path().is_ident(level));
    attributes.iter().filter(is_level).cloned().collect()
}

pub(crate) fn derive(item: &DeriveInput, fields: &FieldsNamed) -> TokenStream {
    let mut errors = Errors::default();
    let row = read(item, fields, &mut errors);
    errors.finish(|| row.expand(), || row.stub())
}

fn read(item: &DeriveInput, fields: &FieldsNamed, errors: &mut Errors) -> Row {
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
            errors.at(name, format!("the row itself is called `{name}`: give the companion another name"));
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
        row.columns.extend(read_field(field, errors));
    }
    check_columns(&mut row, errors);
    row
}

fn read_field(field: &syn::Field, errors: &mut Errors) -> Option<Column> {
    let name = field.ident.clone()?;
    let diesel = diesel_field(&field.attrs, errors);
    if let Some(embed) = diesel.embed {
        errors.at(embed, "a row of changes has a field for each column; one with `embed` is none");
        return None;
    }
    let mut optional = false;
    each(&field.attrs, "tracked", errors, |meta, errors| {
        if meta.path.is_ident("default") {
            optional = true;
            Ok(())
        } else if meta.path.is_ident("skip") || meta.path.is_ident("generated") {
            let what = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            Err(meta.error(format!(
                "such a column has no field: remove this one, and write `#[tracked({what}({name}))]` above the struct"
            )))
        } else {
            unknown(meta, &["default"], errors)
        }
    });
    let column = diesel.column_name.unwrap_or_else(|| name.clone());
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

/// No column twice, and a field for each of the key.
fn check_columns(row: &mut Row, errors: &mut Errors) {
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
        errors.at(&row.name, "a row needs a field for each column of its table");
    }
    for name in row.key.iter().flatten() {
        if !row.columns.iter().any(|field| same(&field.column, name)) {
            let left_out = row.skipped.iter().chain(&row.generated).any(|column| same(column, name));
            let why = if left_out { "cannot be left out" } else { "has no field" };
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

impl Row {
    /// Whether the column is known to be of the key, or not to be.
    pub(crate) fn is_key(&self, column: &Column) -> Option<bool> {
        self.key.as_ref().map(|key| key.iter().any(|name| same(name, &column.column)))
    }

    /// Whether the row can be that of the table's type.
    pub(crate) fn is_the_tables(&self) -> bool {
        matches!(self.visibility, Visibility::Public(_)) && !self.row_only && self.generics.params.is_empty()
    }

    pub(crate) fn key_columns(&self) -> Option<Vec<&Column>> {
        let key = self.key.as_ref()?;
        key.iter().map(|name| self.columns.iter().find(|column| same(&column.column, name))).collect()
    }
}
