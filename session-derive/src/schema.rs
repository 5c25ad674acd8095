//! A whole schema: a unit struct that names the file of its `table!`s.

use std::path::PathBuf;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::{DeriveInput, Ident, LitStr, Path, Token, Type, Visibility, parenthesized};

use crate::attributes::{each, names, unknown};
use crate::errors::Errors;
use crate::row::{self, Names, Row};
use crate::set;
use crate::table_macro::{self, Table};

/// What `#[tracked(…)]` says.
struct Options {
    file: Option<LitStr>,
    module: Option<Path>,
    include: Option<Vec<Ident>>,
    exclude: Vec<Ident>,
    rename: Vec<(Ident, Ident)>,
    types: Vec<(Ident, Type)>,
    skip: Vec<Path>,
    generated: Vec<Path>,
    default: Vec<Path>,
    change: Ident,
    patch: Ident,
    derives: Option<Vec<Path>>,
    row_derives: Vec<Path>,
    rowids: bool,
    row_only: bool,
    krate: Path,
}

const KNOWN: [&str; 15] = [
    "schema",
    "module",
    "include",
    "exclude",
    "rename",
    "types",
    "skip",
    "generated",
    "default",
    "change",
    "patch",
    "derive",
    "row_derive",
    "rowids",
    "row_only",
];

/// `(a, b)`
fn list<T>(
    meta: &syn::meta::ParseNestedMeta<'_>,
    item: fn(syn::parse::ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<Vec<T>> {
    let content;
    parenthesized!(content in meta.input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated_with(&content, item)?.into_iter().collect())
}

/// `a = b`
fn pair<T: syn::parse::Parse>(input: syn::parse::ParseStream<'_>) -> syn::Result<(Ident, T)> {
    let name = input.call(Ident::parse_any)?;
    input.parse::<Token![=]>()?;
    Ok((name, input.parse()?))
}

fn read(item: &DeriveInput, errors: &mut Errors) -> Options {
    let mut options = Options {
        file: None,
        module: None,
        include: None,
        exclude: Vec::new(),
        rename: Vec::new(),
        types: Vec::new(),
        skip: Vec::new(),
        generated: Vec::new(),
        default: Vec::new(),
        change: format_ident!("{}Change", item.ident),
        patch: format_ident!("{}Patch", item.ident),
        derives: None,
        row_derives: Vec::new(),
        rowids: false,
        row_only: false,
        krate: row::default_crate(),
    };
    each(&item.attrs, "tracked", errors, |meta| {
        let name = meta.path.get_ident().map(|ident| ident.unraw().to_string()).unwrap_or_default();
        match name.as_str() {
            "schema" => options.file = Some(meta.value()?.parse()?),
            "module" => options.module = Some(meta.value()?.parse()?),
            "include" => options.include.get_or_insert_default().extend(names(meta)?),
            "exclude" => options.exclude.extend(names(meta)?),
            "rename" => options.rename.extend(list(meta, pair)?),
            "types" => options.types.extend(list(meta, pair)?),
            "skip" => options.skip.extend(list(meta, Path::parse_mod_style)?),
            "generated" => options.generated.extend(list(meta, Path::parse_mod_style)?),
            "default" => options.default.extend(list(meta, Path::parse_mod_style)?),
            "change" => options.change = meta.value()?.parse()?,
            "patch" => options.patch = meta.value()?.parse()?,
            "derive" => options.derives.get_or_insert_default().extend(list(meta, Path::parse_mod_style)?),
            "row_derive" => options.row_derives.extend(list(meta, Path::parse_mod_style)?),
            "rowids" => options.rowids = true,
            "row_only" => options.row_only = true,
            "crate" => options.krate = meta.value()?.parse()?,
            _ => return Err(unknown(meta, &KNOWN)),
        }
        Ok(())
    });
    options
}

pub(crate) fn derive(item: &DeriveInput) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    let options = read(item, &mut errors);
    let (Some(file), Some(module)) = (&options.file, &options.module) else {
        errors.at(
            &item.ident,
            "a schema needs its file and the module that it is: `#[tracked(schema = \"src/schema.rs\", module = crate::schema)]`; \
             a row needs fields",
        );
        errors.check()?;
        return Ok(TokenStream::new());
    };
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let path = root.join(file.value());
    let tables = match std::fs::read_to_string(&path) {
        Ok(text) => errors.take(
            table_macro::tables_of(&text)
                .map_err(|error| syn::Error::new_spanned(file, format!("{}: {error}", file.value()))),
        ),
        Err(error) => {
            errors.at(file, format!("{}: {error}; the path is from the folder of Cargo.toml", path.display()));
            None
        }
    };
    let schema = tables.map(|tables| Schema { item, options: &options, module, tables });
    let expanded = schema.map(|schema| schema.expand(&mut errors));
    errors.check()?;
    let path = path.to_string_lossy();
    // a change of the file compiles the crate again
    Ok(quote! {
        const _: &[u8] = include_bytes!(#path);
        #expanded
    })
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
        let (mut rows, mut left_out) = (Vec::new(), Vec::new());
        let mut used: Vec<String> = vec![self.options.change.to_string(), self.options.patch.to_string()];
        for table in self.tables.iter().filter(|table| self.is_wanted(table)) {
            if table.by_rowid() && !self.options.rowids {
                left_out.push(table.name.unraw().to_string());
                continue;
            }
            let base = self.base_name(table);
            let row = self.row(table, &base, errors);
            for name in [&row.name, &row.names.update, &row.names.patch] {
                if used.contains(&name.to_string()) {
                    let span = self.renamed(table).map_or(self.item.ident.span(), Ident::span);
                    errors.add(syn::Error::new(span, format!(
                        "two items would have the name `{name}`: give the table `{}` another with `#[tracked(rename(…))]`",
                        table.name,
                    )));
                }
                used.push(name.to_string());
            }
            rows.push((base, table, row));
        }
        if rows.is_empty() {
            errors.at(&self.item.ident, "the schema has no table to track");
            return TokenStream::new();
        }
        let structs = rows.iter().map(|(_, table, row)| self.row_struct(table, row));
        let expanded = rows.iter().map(|(_, _, row)| row.expand());
        let sets = [
            self.set(&self.options.change, "Change", "changeset", &rows, &left_out),
            self.set(&self.options.patch, "Patch", "patchset", &rows, &left_out),
        ];
        quote!(#(#structs)* #(#expanded)* #(#sets)*)
    }

    /// Every name that is said must be one of the file's.
    fn check_names(&self, errors: &mut Errors) {
        let options = self.options;
        let renamed = options.rename.iter().map(|(table, _)| table);
        for name in options.include.iter().flatten().chain(&options.exclude).chain(renamed) {
            if !self.tables.iter().any(|table| table.name == *name) {
                let all: Vec<_> = self.tables.iter().map(|table| table.name.to_string()).collect();
                errors.at(name, format!("the file has no table `{name}`, but {}", all.join(", ")));
            }
        }
        for path in options.skip.iter().chain(&options.generated).chain(&options.default) {
            let [table, column] = &path.segments.iter().map(|segment| &segment.ident).collect::<Vec<_>>()[..] else {
                errors.at(path, "a column is named with its table: `users::password`");
                continue;
            };
            match self.tables.iter().find(|found| found.name == **table) {
                None => errors.at(table, format!("the file has no table `{table}`")),
                Some(found) if !found.columns.iter().any(|known| known.name == **column) => {
                    let all: Vec<_> = found.columns.iter().map(|column| column.name.to_string()).collect();
                    errors.at(column, format!("the table `{table}` has no column `{column}`, but {}", all.join(", ")));
                }
                Some(found) if found.key.contains(column) => {
                    errors.at(column, format!("`{column}` is part of the key of `{table}` and cannot be left out"));
                }
                Some(_) => {}
            }
        }
        for (name, _) in &options.types {
            let is_used = |table: &Table| table.columns.iter().any(|column| column.sql_type() == Some(name.clone()));
            if !self.tables.iter().any(is_used) {
                errors.at(name, format!("no column of the file has the SQL type `{name}`"));
            }
        }
    }

    fn is_wanted(&self, table: &Table) -> bool {
        self.options.include.as_ref().is_none_or(|include| include.contains(&table.name))
            && !self.options.exclude.contains(&table.name)
    }

    fn renamed(&self, table: &Table) -> Option<&Ident> {
        self.options.rename.iter().find(|(name, _)| *name == table.name).map(|(_, new)| new)
    }

    /// What the names of a table's items begin with, which is its variant in the sets.
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

    fn path(&self, table: &Table) -> Path {
        let mut path = self.module.clone();
        for segment in table.modules.iter().chain([&table.name]) {
            path.segments.push(Ident::new_raw_if_needed(segment, self.item.ident.span()).into());
        }
        path
    }

    /// Whether a column of a table is in a list.
    fn has(list: &[Path], table: &Table, column: &Ident) -> bool {
        list.iter().any(|path| {
            let names: Vec<_> = path.segments.iter().map(|segment| &segment.ident).collect();
            names == [&table.name, column]
        })
    }

    fn row(&self, table: &Table, base: &Ident, _: &mut Errors) -> Row {
        let options = self.options;
        let path = self.path(table);
        let (mut columns, mut skipped, mut generated) = (Vec::new(), Vec::new(), Vec::new());
        for column in &table.columns {
            let name = Ident::new_raw_if_needed(&column.name, self.item.ident.span());
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
                });
            }
        }
        Row {
            visibility: self.item.vis.clone(),
            name: format_ident!("{base}Row"),
            generics: syn::Generics::default(),
            table: path,
            columns,
            skipped,
            generated,
            key: Some(table.key.iter().map(|name| Ident::new_raw_if_needed(name, self.item.ident.span())).collect()),
            names: Names { update: format_ident!("{base}Update"), patch: format_ident!("{base}Patch") },
            derives: options.derives.clone(),
            row_only: options.row_only,
            krate: options.krate.clone(),
        }
    }

    /// Fields are seen wherever the struct is.
    fn field_visibility(&self) -> Visibility {
        match &self.item.vis {
            Visibility::Inherited => Visibility::Inherited,
            _ => syn::parse_quote!(pub),
        }
    }

    fn field_type(&self, table: &Path, column: &table_macro::Column, name: &Ident) -> Type {
        let krate = &self.options.krate;
        let mapped = column.sql_type().and_then(|sql| self.options.types.iter().find(|(name, _)| *name == sql));
        match mapped {
            Some((_, ty)) if column.is_nullable() => syn::parse_quote!(::core::option::Option<#ty>),
            Some((_, ty)) => ty.clone(),
            None => syn::parse_quote! {
                <<#table::#name as #krate::__private::diesel::Expression>::SqlType as #krate::RustType>::Type
            },
        }
    }

    fn row_struct(&self, table: &Table, row: &Row) -> TokenStream {
        let (visibility, name, path) = (&row.visibility, &row.name, &row.table);
        let derives = match &self.options.derives {
            Some(paths) => quote!(#(#paths),*),
            None => quote!(::core::fmt::Debug, ::core::clone::Clone, ::core::cmp::PartialEq),
        };
        let row_derives = &self.options.row_derives;
        let diesel =
            (!row_derives.is_empty()).then(|| quote!(#[derive(#(#row_derives),*)] #[diesel(table_name = #path)]));
        let doc = format!("A row of `{}`.", table.name.unraw());
        let more = &table.docs;
        let fields = row.columns.iter().map(|column| {
            let row::Column { visibility, field, ty, .. } = column;
            let known = table.columns.iter().find(|known| known.name.unraw() == column.column.unraw());
            let docs: Vec<TokenStream> = match known {
                Some(known) if !known.docs.is_empty() => known.docs.iter().map(|doc| quote!(#doc)).collect(),
                _ => {
                    let doc = format!("`{}`.", field.unraw());
                    vec![quote!(#[doc = #doc])]
                }
            };
            quote!(#(#docs)* #visibility #field: #ty)
        });
        quote! {
            #[doc = #doc]
            #[doc = ""]
            #(#more)*
            #[derive(#derives)]
            #diesel
            #visibility struct #name { #(#fields,)* }
        }
    }

    fn set(
        &self,
        name: &Ident,
        kind: &str,
        of: &str,
        rows: &[(Ident, &Table, Row)],
        left_out: &[String],
    ) -> TokenStream {
        let (visibility, krate) = (&self.item.vis, &self.options.krate);
        let kind = Ident::new(kind, Span::call_site());
        let variants = rows.iter().map(|(base, table, row)| {
            let (path, row_name) = (&row.table, &row.name);
            let of = if row.is_the_tables() { quote!(#path::table) } else { quote!(#row_name) };
            let doc = format!("A change of `{}`.", table.name.unraw());
            quote_spanned!(base.span()=> #[doc = #doc] #base(#krate::#kind<#of>))
        });
        let derivable = ["Debug", "Clone", "PartialEq"];
        let derives: Vec<Path> = match &self.options.derives {
            Some(paths) => {
                let ours = |path: &&Path| {
                    path.segments.last().is_some_and(|last| derivable.iter().any(|name| last.ident == name))
                };
                paths.iter().filter(ours).cloned().collect()
            }
            None => vec![
                syn::parse_quote!(::core::fmt::Debug),
                syn::parse_quote!(::core::clone::Clone),
                syn::parse_quote!(::core::cmp::PartialEq),
            ],
        };
        let doc = format!("A change of a {of}, of any table of `{}`.", self.item.ident);
        let note = (!left_out.is_empty()).then(|| {
            let note = format!(
                "Left out, as they have no primary key: {}. `#[tracked(rowids)]` tracks them by their rowids.",
                left_out.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            );
            quote!(#[doc = ""] #[doc = #note])
        });
        let item: DeriveInput = syn::parse_quote! {
            #[doc = #doc]
            #note
            #[derive(#(#derives),*)]
            #visibility enum #name { #(#variants,)* }
        };
        let derived = match &item.data {
            syn::Data::Enum(data) => set::expand_checked(&item, data, krate),
            _ => TokenStream::new(),
        };
        quote!(#item #derived)
    }
}

/// Names of the file at a place of the user's: raw where they are keywords.
trait RawIfNeeded {
    fn new_raw_if_needed(name: &Ident, span: Span) -> Ident;
}

impl RawIfNeeded for Ident {
    fn new_raw_if_needed(name: &Ident, span: Span) -> Ident {
        let mut name = name.clone();
        name.set_span(span);
        name
    }
}
