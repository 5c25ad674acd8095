//! A whole schema: a unit struct that names the file of its `table!`s.

use std::path::PathBuf;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, Ident, LitStr, Path, Token, Type, Visibility};

use crate::at;
use crate::attributes::{SerdeField, any, distance, each, list, names, path, unknown};
use crate::errors::Errors;
use crate::row::{self, Names, Row, same};
use crate::set;
use crate::table_macro::{self, Mistake, Table};

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

const KNOWN: [&str; 16] = [
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
    "crate",
];

/// `a = b`
fn pair<T: syn::parse::Parse>(input: syn::parse::ParseStream<'_>) -> syn::Result<(Ident, T)> {
    let name = any(input)?;
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
    each(&item.attrs, "tracked", errors, |meta, errors| {
        let name = meta.path.get_ident().map(|ident| ident.unraw().to_string()).unwrap_or_default();
        match name.as_str() {
            "schema" => options.file = Some(meta.value()?.parse()?),
            "module" => options.module = Some(path(meta.value()?)?),
            "include" => options.include.get_or_insert_default().extend(names(meta)?),
            "exclude" => options.exclude.extend(names(meta)?),
            "rename" => options.rename.extend(list(meta, pair)?),
            "types" => options.types.extend(list(meta, pair)?),
            "skip" => options.skip.extend(list(meta, path)?),
            "generated" => options.generated.extend(list(meta, path)?),
            "default" => options.default.extend(list(meta, path)?),
            "change" => options.change = meta.value()?.parse()?,
            "patch" => options.patch = meta.value()?.parse()?,
            "derive" => options.derives.get_or_insert_default().extend(list(meta, path)?),
            "row_derive" => options.row_derives.extend(list(meta, path)?),
            "rowids" => options.rowids = true,
            "row_only" => options.row_only = true,
            "crate" => options.krate = path(meta.value()?)?,
            _ => return unknown(meta, &KNOWN, errors),
        }
        Ok(())
    });
    options
}

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
    // a change of the file compiles the crate again
    let again = quote!(
        const _: &[::core::primitive::u8] = ::core::include_bytes!(#path);
    );
    errors.finish(|| quote!(#again #expanded), || quote!(#again #expanded))
}

/// The code for the tables of a file.
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
        // the struct stands for the schema, and is nowhere else
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

/// The sets of a schema that could not be read, so that what uses them makes no further errors.
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
        let (mut rows, mut left_out) = (Vec::new(), Vec::new());
        let mut used: Vec<String> = vec![self.options.change.to_string(), self.options.patch.to_string()];
        for table in self.tables.iter().filter(|table| self.is_wanted(table)) {
            if table.by_rowid() && !self.options.rowids {
                if let Some(name) = self.options.include.iter().flatten().find(|name| same(name, &table.name)) {
                    errors.at(name, format!("the table `{name}` has no primary key; `rowids` tracks it by its rowids"));
                }
                left_out.push(table.name.unraw().to_string());
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
                    format!("two items would have the name `{name}`: give one to the table `{table}` with `rename({table} = …)`"),
                ));
                continue;
            }
            used.extend(names);
            rows.push((base, table, row));
        }
        if rows.is_empty() {
            let why =
                if left_out.is_empty() { "" } else { ": `rowids` tracks tables without a primary key by their rowids" };
            errors.at(&self.item.ident, format!("the schema has no table to track{why}"));
            return stub(self.item, self.options);
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

    fn is_wanted(&self, table: &Table) -> bool {
        self.options.include.as_ref().is_none_or(|include| include.iter().any(|name| same(name, &table.name)))
            && !self.options.exclude.iter().any(|name| same(name, &table.name))
    }

    fn renamed(&self, table: &Table) -> Option<&Ident> {
        self.options.rename.iter().find(|(name, _)| same(name, &table.name)).map(|(_, new)| new)
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

    /// A name of the file at the place of the item.
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

    /// Whether a column of a table is in a list.
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
            listed: Some(table.columns.iter().map(|column| self.here(&column.name)).collect()),
            key: Some(table.key.iter().map(|name| self.here(name)).collect()),
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
        let sql = column.sql_type();
        let mapped = sql.as_ref().and_then(|sql| self.options.types.iter().find(|(name, _)| same(name, sql)));
        let known = match mapped {
            Some((_, ty)) => Some(ty.clone()),
            None => self.plain_type(column),
        };
        match known {
            // a mistake in a type is shown where the user has written it
            Some(ty) if column.is_nullable() => {
                syn::parse_quote_spanned!(at(ty.span())=> #krate::__private::Option<#ty>)
            }
            Some(ty) => ty,
            None => syn::parse_quote! {
                <<#table::#name as #krate::__private::diesel::Expression>::SqlType as #krate::typed::RustType>::Type
            },
        }
    }

    /// The type of a column of one of Diesel's SQL types, if no other is said.
    fn plain_type(&self, column: &table_macro::Column) -> Option<Type> {
        let sql = column.plain_type()?;
        let is_mapped = self.options.types.iter().any(|(name, _)| same(name, &sql));
        if is_mapped { None } else { rust_type(&sql, &self.options.krate) }
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
            #[allow(dead_code, non_snake_case)]
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
            #[allow(dead_code)]
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

/// The same as the trait `RustType` says: known here, fields have types that a reader knows, and that cost the compiler nothing.
fn rust_type(sql: &Ident, krate: &Path) -> Option<Type> {
    Some(match sql.to_string().as_str() {
        "SmallInt" | "Int2" => syn::parse_quote!(::core::primitive::i16),
        "Integer" | "Int4" => syn::parse_quote!(::core::primitive::i32),
        "BigInt" | "Int8" => syn::parse_quote!(::core::primitive::i64),
        "Bool" => syn::parse_quote!(::core::primitive::bool),
        "Float" | "Float4" => syn::parse_quote!(::core::primitive::f32),
        "Double" | "Float8" => syn::parse_quote!(::core::primitive::f64),
        "Text" | "VarChar" | "Date" | "Time" | "Timestamp" | "TimestamptzSqlite" => {
            syn::parse_quote!(#krate::__private::String)
        }
        "Binary" | "Blob" => syn::parse_quote!(#krate::__private::Vec<::core::primitive::u8>),
        _ => return None,
    })
}

/// Returns Diesel's SQL type of a column, as derived code names it.
fn plain_sql_type(column: &table_macro::Column) -> Option<TokenStream> {
    let sql = column.plain_type()?;
    let sql = Ident::new(&sql.to_string(), Span::call_site());
    let types = quote!(__p::diesel::sql_types);
    Some(if column.is_nullable() { quote!(#types::Nullable<#types::#sql>) } else { quote!(#types::#sql) })
}

/// The name that is most like one that is not known.
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
