//! A whole schema: a unit struct that names the file of its `table!`s.
//!
//! | file | stage |
//! |---|---|
//! | `attributes` | the attribute of the struct |
//! | `table_macro` | the tables of the file; `place`: the line of a mistake in it |
//! | `mod` | a row for each table |
//! | `check` | the names in the attribute |
//! | `types` | the types of the fields |
//! | `expand` | the items |

mod attributes;
mod check;
mod expand;
mod place;
mod table_macro;
mod types;

use std::path::PathBuf;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, Ident, Path, Type, Visibility};

use self::attributes::{Options, read};
use self::table_macro::{Mistake, Table};
use self::types::{plain_sql_type, rust_type};
use crate::attributes::SerdeField;
use crate::errors::Errors;
use crate::row::{self, Names, Row, same};
use crate::set;

pub(crate) fn derive(item: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let options = read(item, &mut errors);
    let (Some(file), Some(module)) = (&options.file, &options.module) else {
        let message = match (&options.file, &options.module) {
            (Some(_), None) => "a schema needs the module that the file is: `module = crate::schema`",
            (None, Some(_)) => "a schema needs the file of its `table!`s: `schema = \"src/schema.rs\"`",
            _ => {
                "a row needs fields, and a whole schema its file and module: \
                 `#[tracked(schema = \"src/schema.rs\", module = crate::schema)]`"
            }
        };
        errors.at(&item.ident, message);
        return errors.finish(TokenStream::new, || stub(item, &options));
    };
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let path = root.join(file.value());
    let tables = match std::fs::read_to_string(&path) {
        Ok(text) => errors.take(table_macro::tables_of(&text).map_err(|Mistake { line, message }| {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            syn::Error::new_spanned(file, format!("{}{line}: {message}", file.value()))
        })),
        Err(error) => {
            errors.at(file, format!("{error}; the path is relative to the folder of Cargo.toml"));
            None
        }
    };
    let Some(tables) = tables else {
        return errors.finish(TokenStream::new, || stub(item, &options));
    };
    let expanded = expand(item, &options, module, tables, &mut errors);
    let path = path.to_string_lossy();
    // a change to the file makes cargo compile the crate again
    let again = quote!(
        const _: &[::core::primitive::u8] = ::core::include_bytes!(#path);
    );
    errors.finish(|| quote!(#again #expanded), || quote!(#again #expanded))
}

/// Returns the code for the tables of a file.
fn expand(
    item: &DeriveInput,
    options: &Options,
    module: &Path,
    tables: Vec<Table>,
    errors: &mut Errors,
) -> TokenStream {
    let expanded = Schema { item, options, module, tables }.expand(errors);
    let name = &item.ident;
    let (impl_generics, ty_generics, where_clause) = item.generics.split_for_impl();
    quote! {
        // the struct only stands for the schema, and is never used
        #[allow(dead_code)]
        const _: () = { impl #impl_generics #name #ty_generics #where_clause { const __TRACKED: Self = Self; } };
        #expanded
    }
}

#[cfg(test)]
pub(crate) fn expand_text(item: &DeriveInput, text: &str) -> TokenStream {
    let mut errors = Errors::default();
    let options = read(item, &mut errors);
    let module = options.module.clone().unwrap_or_else(|| syn::parse_quote!(crate::schema));
    let tables = table_macro::tables_of(text).unwrap_or_default();
    let expanded = expand(item, &options, &module, tables, &mut errors);
    errors.finish(|| expanded, TokenStream::new)
}

/// Returns the sets of a schema that could not be read, so that code which uses them has no further
/// errors.
fn stub(item: &DeriveInput, options: &Options) -> TokenStream {
    let visibility = &item.vis;
    let sets = [&options.change, &options.patch].map(|name| {
        let set: DeriveInput = syn::parse_quote!(#visibility enum #name {});
        let stub = set::stub(&set, &options.krate);
        quote!(#[allow(missing_docs)] #[derive(Debug, Clone, PartialEq)] #set #stub)
    });
    quote!(#(#sets)*)
}

struct Schema<'a> {
    item: &'a DeriveInput,
    options: &'a Options,
    module: &'a Path,
    tables: Vec<Table>,
}

impl Schema<'_> {
    fn expand(&self, errors: &mut Errors) -> TokenStream {
        self.check_names(errors);
        let (mut rows, mut keyless) = (Vec::new(), Vec::new());
        let own = [&self.item.ident, &self.options.change, &self.options.patch];
        let mut used: Vec<String> = own.map(ToString::to_string).into();
        for table in self.tables.iter().filter(|table| self.is_wanted(table)) {
            if table.by_rowid() && !self.options.rowids {
                match self.options.include.iter().flatten().find(|name| same(name, &table.name)) {
                    Some(name) => errors
                        .at(name, format!("the table `{name}` has no primary key; `rowids` tracks it by its rowids")),
                    None => keyless.push(table.name.to_string()),
                }
                continue;
            }
            let base = self.base_name(table);
            let row = self.row(table, &base);
            let names = [&row.name, &row.names.update, &row.names.patch].map(ToString::to_string);
            if let Some(name) = names.iter().find(|name| used.contains(name)) {
                let span = self.renamed(table).map_or(self.item.ident.span(), Ident::span);
                let table = &table.name;
                errors.add(syn::Error::new(
                    span,
                    format!(
                        "two items would have the name `{name}`: rename the table `{table}` with `rename({table} = …)`"
                    ),
                ));
                continue;
            }
            used.extend(names);
            rows.push((base, table, row));
        }
        if !keyless.is_empty() {
            let names = keyless.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let list = keyless.join(", ");
            errors.at(
                &self.item.ident,
                format!(
                    "SQLite does not record tables without a primary key: {names}. Leave them out with \
                     `exclude({list})`, or track them by their rowids with `rowids`"
                ),
            );
        }
        if rows.is_empty() {
            // the reason may have been reported
            if errors.is_empty() {
                errors.at(&self.item.ident, "the schema has no table to track");
            }
            return stub(self.item, self.options);
        }
        let structs = rows.iter().map(|(_, table, row)| self.row_struct(table, row));
        let expanded = rows.iter().map(|(_, _, row)| row.expand());
        let sets = [
            self.set(&self.options.change, "Change", "changeset", &rows),
            self.set(&self.options.patch, "Patch", "patchset", &rows),
        ];
        quote!(#(#structs)* #(#expanded)* #(#sets)*)
    }

    fn is_wanted(&self, table: &Table) -> bool {
        self.options.include.as_ref().is_none_or(|include| include.iter().any(|name| same(name, &table.name)))
            && !self.options.exclude.iter().any(|name| same(name, &table.name))
    }

    fn renamed(&self, table: &Table) -> Option<&Ident> {
        self.options.rename.iter().find(|(name, _)| same(name, &table.name)).map(|(_, new)| new)
    }

    /// Returns the beginning of the names of a table's items, which is also its variant in the
    /// sets.
    fn base_name(&self, table: &Table) -> Ident {
        if let Some(name) = self.renamed(table) {
            return name.clone();
        }
        let mut camel = String::new();
        for word in table.name.unraw().to_string().split('_').filter(|word| !word.is_empty()) {
            let mut letters = word.chars();
            camel.extend(letters.next().into_iter().flat_map(char::to_uppercase));
            camel.push_str(letters.as_str());
        }
        if camel.is_empty() || camel.starts_with(|c: char| c.is_ascii_digit()) {
            camel.insert(0, 'T');
        }
        Ident::new(&camel, self.item.ident.span())
    }

    /// Returns a name of the file with the place of the item.
    fn here(&self, name: &Ident) -> Ident {
        let mut name = name.clone();
        name.set_span(self.item.ident.span());
        name
    }

    fn path(&self, table: &Table) -> Path {
        let mut path = self.module.clone();
        for segment in table.modules.iter().chain([&table.name]) {
            path.segments.push(self.here(segment).into());
        }
        path
    }

    /// Returns whether a list contains a column of a table.
    fn has(list: &[Path], table: &Table, column: &Ident) -> bool {
        list.iter().any(|path| {
            let names = path.segments.iter().map(|segment| segment.ident.unraw());
            names.eq([table.name.unraw(), column.unraw()])
        })
    }

    fn row(&self, table: &Table, base: &Ident) -> Row {
        let options = self.options;
        let path = self.path(table);
        let (mut columns, mut skipped, mut generated) = (Vec::new(), Vec::new(), Vec::new());
        for column in &table.columns {
            let name = self.here(&column.name);
            if Self::has(&options.skip, table, &column.name) {
                skipped.push(name);
            } else if Self::has(&options.generated, table, &column.name) {
                generated.push(name);
            } else {
                columns.push(row::Column {
                    visibility: self.field_visibility(),
                    ty: self.field_type(&path, column, &name),
                    field: name.clone(),
                    column: name,
                    optional: Self::has(&options.default, table, &column.name),
                    deserialize_as: None,
                    serialize_as: None,
                    serde: SerdeField::default(),
                    sql_type: self.plain_type(column).and_then(|_| plain_sql_type(column)),
                });
            }
        }
        Row {
            visibility: self.item.vis.clone(),
            name: format_ident!("{base}Row"),
            generics: syn::Generics::default(),
            lints: Vec::new(),
            table: Some(path),
            columns,
            skipped,
            generated,
            defaults: Vec::new(),
            listed: Some(table.columns.iter().map(|column| self.here(&column.name)).collect()),
            key: Some(table.key.iter().map(|name| self.here(name)).collect()),
            names: Names { update: format_ident!("{base}Update"), patch: format_ident!("{base}Patch") },
            derives: options.derives.clone(),
            row_only: options.row_only,
            krate: options.krate.clone(),
        }
    }

    /// Returns the visibility of the fields: that of the struct.
    fn field_visibility(&self) -> Visibility {
        match &self.item.vis {
            Visibility::Inherited => Visibility::Inherited,
            _ => syn::parse_quote!(pub),
        }
    }

    fn field_type(&self, table: &Path, column: &table_macro::Column, name: &Ident) -> Type {
        let krate = &self.options.krate;
        let sql = column.sql_type();
        let mapped = sql.as_ref().and_then(|sql| self.options.types.iter().find(|(name, _)| same(name, sql)));
        let known = match mapped {
            Some((_, ty)) => Some(ty.clone()),
            None => self.plain_type(column),
        };
        match known {
            // a mistake in a type is shown where the user has written it
            Some(ty) if column.is_nullable() => {
                syn::parse_quote_spanned!(crate::at(ty.span())=> #krate::__private::Option<#ty>)
            }
            Some(ty) => ty,
            None => syn::parse_quote! {
                <<#table::#name as #krate::__private::diesel::Expression>::SqlType as #krate::typed::RustType>::Type
            },
        }
    }

    /// Returns the type of a column with one of Diesel's SQL types, unless `types` names another.
    fn plain_type(&self, column: &table_macro::Column) -> Option<Type> {
        let sql = column.plain_type()?;
        let is_mapped = self.options.types.iter().any(|(name, _)| same(name, &sql));
        if is_mapped { None } else { rust_type(&sql, &self.options.krate) }
    }
}
