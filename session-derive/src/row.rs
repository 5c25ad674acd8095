//! A row: a struct with a field for each column of its table.
//!
//! Where a column stands, and whether it is part of the key, is not known here: the code that is written lets the compiler find
//! it out, in constants, from the types that `table!` made.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, FieldsNamed, Generics, Ident, Path, Type, Visibility};

use crate::attributes::{diesel_field, diesel_item, each, names, unknown};
use crate::errors::Errors;

/// A row as it was read.
pub(crate) struct Row {
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) generics: Generics,
    /// The path of the table's module, such as `schema::users`.
    pub(crate) table: Path,
    pub(crate) columns: Vec<Column>,
    /// Columns that have no field.
    pub(crate) skipped: Vec<Ident>,
    /// Columns that no change has.
    pub(crate) generated: Vec<Ident>,
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
}

pub(crate) fn default_crate() -> Path {
    syn::parse_quote!(::diesel_sqlite_session)
}

pub(crate) fn derive(item: &DeriveInput, fields: &FieldsNamed) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    let row = read(item, fields, &mut errors);
    errors.check()?;
    // without a mistake there is a row
    Ok(row.map(|row| row.expand()).unwrap_or_default())
}

fn read(item: &DeriveInput, fields: &FieldsNamed, errors: &mut Errors) -> Option<Row> {
    let diesel = diesel_item(&item.attrs, errors);
    let mut row = Row {
        visibility: item.vis.clone(),
        name: item.ident.clone(),
        generics: item.generics.clone(),
        table: syn::parse_quote!(missing),
        columns: Vec::new(),
        skipped: Vec::new(),
        generated: Vec::new(),
        key: diesel.primary_key,
        names: Names { update: format_ident!("{}Update", item.ident), patch: format_ident!("{}Patch", item.ident) },
        derives: None,
        row_only: false,
        krate: default_crate(),
    };
    each(&item.attrs, "tracked", errors, |meta| {
        if meta.path.is_ident("crate") {
            row.krate = meta.value()?.parse()?;
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
            let content;
            syn::parenthesized!(content in meta.input);
            let paths = content.parse_terminated(Path::parse_mod_style, syn::Token![,])?;
            row.derives.get_or_insert_default().extend(paths);
        } else {
            let known = ["update", "patch", "derive", "skip", "generated", "row_only", "crate"];
            return Err(unknown(meta, &known));
        }
        Ok(())
    });
    for parameter in &item.generics.params {
        if !matches!(parameter, syn::GenericParam::Lifetime(_)) {
            errors.at(parameter, "a row can have lifetimes, but no other parameters");
        }
    }
    if row.names.update == row.names.patch {
        errors.at(&row.names.patch, "two items would have this name");
    }
    match diesel.table_name {
        Some(table) => row.table = table,
        None => errors.at(
            &item.ident,
            "a row needs `#[diesel(table_name = …)]`, with the path of its table's module, such as `schema::users`",
        ),
    }
    for field in &fields.named {
        row.columns.extend(read_field(field, errors));
    }
    check_columns(&row, errors);
    Some(row)
}

fn read_field(field: &syn::Field, errors: &mut Errors) -> Option<Column> {
    let name = field.ident.clone()?;
    let diesel = diesel_field(&field.attrs, errors);
    if let Some(embed) = diesel.embed {
        errors.at(embed, "a row of changes has a field for each column; one with `embed` is none");
    }
    let mut optional = false;
    each(&field.attrs, "tracked", errors, |meta| {
        if meta.path.is_ident("default") {
            optional = true;
            Ok(())
        } else if meta.path.is_ident("skip") || meta.path.is_ident("generated") {
            let what = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            Err(meta.error(format!(
                "such a column has no field: remove this one, and write `#[tracked({what}({name}))]` above the struct"
            )))
        } else {
            Err(unknown(meta, &["default"]))
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
    })
}

/// No column twice.
fn check_columns(row: &Row, errors: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    let fields = row.columns.iter().map(|column| (&column.column, "a field"));
    let others = row.skipped.iter().chain(&row.generated).map(|column| (column, "an entry"));
    for (column, what) in fields.chain(others) {
        let name = column.unraw().to_string();
        if seen.contains(&name) {
            errors.at(
                column,
                format!("the column `{name}` has {what} already")
                    .replace("an entry already", "a field or an entry already"),
            );
        }
        seen.push(name);
    }
    if row.columns.is_empty() {
        errors.at(&row.name, "a row needs a field for each column of its table");
    }
    let Some(key) = &row.key else { return };
    for column in key {
        if !row.columns.iter().any(|field| field.column == *column) {
            errors.at(column, format!("the key's column `{column}` has no field"));
        }
    }
}

impl Row {
    /// The path of a column's type, with the place of the name that the user wrote.
    fn column(&self, column: &Ident) -> TokenStream {
        let table = &self.table;
        let table = quote_spanned!(column.span()=> #table);
        quote_spanned!(column.span()=> #table::#column)
    }

    fn sql_type(&self, column: &Ident) -> TokenStream {
        let path = self.column(column);
        quote_spanned!(column.span()=> <#path as __p::diesel::Expression>::SqlType)
    }

    /// Whether a column is of the key, where that is said.
    fn is_key(&self, column: &Column) -> Option<bool> {
        self.key.as_ref().map(|key| key.contains(&column.column))
    }

    /// Whether the table can have this row as its own.
    pub(crate) fn is_the_tables(&self) -> bool {
        matches!(self.visibility, Visibility::Public(_)) && !self.row_only && self.generics.params.is_empty()
    }

    pub(crate) fn expand(&self) -> TokenStream {
        let companions = self.companions();
        let (krate, body) =
            (&self.krate, [self.constants(), self.tracked(), self.decode(), self.encode(), self.traits()]);
        quote! {
            #companions

            const _: () = {
                use #krate::__private as __p;
                #(#body)*
            };
        }
    }

    /// The structs of UPDATEs.
    fn companions(&self) -> TokenStream {
        let Self { visibility, generics, krate, .. } = self;
        let Names { update, patch } = &self.names;
        let derives = self.derives.as_ref().map(|paths| quote!(#[derive(#(#paths),*)]));
        let table = self.table.segments.last().map(|segment| segment.ident.unraw().to_string()).unwrap_or_default();
        let private = quote!(#krate::__private);
        let p = &private;
        let fields = |companion: &str, wrap: TokenStream| -> Vec<TokenStream> {
            self.columns
                .iter()
                .map(|column| {
                    let Column { visibility, field, ty, column: name, .. } = column;
                    let written = name.unraw().to_string();
                    match self.is_key(column) {
                        Some(true) => {
                            let doc = format!("`{written}`, of the key.");
                            quote!(#[doc = #doc] #visibility #field: #ty)
                        }
                        Some(false) => {
                            let doc = match companion {
                                "Update" => format!("`{written}`, if it changed."),
                                _ => format!("`{written}`, if it has a new value."),
                            };
                            quote!(#[doc = #doc] #visibility #field: #wrap<#ty>)
                        }
                        None => {
                            let doc = format!("`{written}`.");
                            let (companion, path) = (Ident::new(companion, Span::call_site()), self.column(name));
                            let table = &self.table;
                            quote! {
                                #[doc = #doc]
                                #visibility #field: <#p::IsKey<{
                                    use #p::OneColumn as _;
                                    #p::position(
                                        #p::KeyList::<<#table::table as #p::diesel::Table>::PrimaryKey>::NAMES,
                                        <#path as #p::diesel::Column>::NAME,
                                    ).is_some()
                                }> as #p::InUpdate<#ty>>::#companion
                            }
                        }
                    }
                })
                .collect()
        };
        let update_fields = fields("Update", quote!(#p::Field));
        let patch_fields = fields("Patch", quote!(#p::core::option::Option));
        let update_doc =
            format!("An UPDATE of `{table}` in a changeset: the key, and for each other column whether it changed.");
        let patch_doc =
            format!("An UPDATE of `{table}` in a patchset: the key, and each other column that has a new value.");
        let where_clause = &generics.where_clause;
        quote! {
            #[doc = #update_doc]
            #derives
            #visibility struct #update #generics #where_clause { #(#update_fields,)* }

            #[doc = #patch_doc]
            #derives
            #visibility struct #patch #generics #where_clause { #(#patch_fields,)* }
        }
    }

    /// What the compiler finds out about the columns.
    fn constants(&self) -> TokenStream {
        let table = &self.table;
        let fields: Vec<_> = self.columns.iter().map(|column| self.column(&column.column)).collect();
        let (fields_count, count) = (self.columns.len(), self.columns.len() + self.skipped.len());
        let skipped: Vec<_> = self.skipped.iter().map(|column| self.column(column)).collect();
        let generated: Vec<_> = self.generated.iter().map(|column| self.column(column)).collect();
        let optional = self.columns.iter().filter(|column| column.optional).count();
        let row = self.name.to_string();
        let shown = quote!(#table).to_string().replace(' ', "");
        let before = "the column `";
        let after = format!(
            "` of `{shown}` has no field in `{row}`: write one, or `#[tracked(skip(…))]`, or for a generated column \
             `#[tracked(generated(…))]`"
        );
        let missing = quote_spanned! {self.name.span()=>
            const _: () = if __MISSING.is_some() { panic!("{}", __p::as_text(&__MESSAGE)) };
        };
        let skipped_keys = self.skipped.iter().chain(&self.generated).map(|column| {
            let path = self.column(column);
            quote_spanned! {column.span()=>
                const _: () = if __p::position(__KEY, <#path as __p::diesel::Column>::NAME).is_some() {
                    panic!("a column of the key cannot be left out")
                };
            }
        });
        let trailing = self.columns.iter().enumerate().filter(|(_, column)| column.optional).map(|(place, column)| {
            quote_spanned! {column.field.span()=>
                const _: () = if __AT[#place] < #count - #optional {
                    panic!("only the last columns of a table can have `#[tracked(default)]`: older changes lack those alone")
                };
            }
        });
        let key = self.key.as_ref().map(|key| {
            let paths = key.iter().map(|column| self.column(column));
            let span = key.first().map_or_else(Span::call_site, Ident::span);
            quote_spanned! {span=>
                const _: () = if __p::missing(&[#(<#paths as __p::diesel::Column>::NAME),*], __KEY).is_some()
                    || __KEY.len() != [#(stringify!(#key)),*].len()
                {
                    panic!("`primary_key` is not that of `table!`")
                };
            }
        });
        let sql_types = self.columns.iter().enumerate().map(|(place, column)| {
            let (alias, ty) = (format_ident!("__Sql{}", place), self.sql_type(&column.column));
            quote!(type #alias = #ty;)
        });
        quote! {
            const __ALL: &[&str] = <<#table::table as __p::diesel::Table>::AllColumns as __p::ColumnList>::NAMES;
            const __FIELDS: &[&str; #fields_count] = &[#(<#fields as __p::diesel::Column>::NAME),*];
            const __GENERATED: &[&str] = &[#(<#generated as __p::diesel::Column>::NAME),*];
            const __MAPPED: &[&str] = &[
                #(<#fields as __p::diesel::Column>::NAME,)*
                #(<#skipped as __p::diesel::Column>::NAME,)*
                #(<#generated as __p::diesel::Column>::NAME,)*
            ];
            const __MISSING: __p::core::option::Option<&str> = __p::missing(__ALL, __MAPPED);
            const __PARTS: &[&str] = &[#before, match __MISSING { Some(name) => name, None => "" }, #after];
            const __MESSAGE: [u8; __p::length(__PARTS)] = __p::join(__PARTS);
            #missing
            const __COLUMNS: [&str; #count] = __p::without(__ALL, __GENERATED);
            const __KEY: &[&str] = {
                use __p::OneColumn as _;
                __p::KeyList::<<#table::table as __p::diesel::Table>::PrimaryKey>::NAMES
            };
            const __ORDINALS: [u8; #count] = __p::ordinals(&__COLUMNS, __KEY);
            const __AT: [usize; #fields_count] = __p::positions(__FIELDS, &__COLUMNS);
            #(#skipped_keys)*
            #(#trailing)*
            #key
            #(#sql_types)*
        }
    }

    /// The type of the key.
    fn key_type(&self) -> TokenStream {
        let (table, name) = (&self.table, &self.name);
        let (_, ty_generics, _) = self.generics.split_for_impl();
        match self.key_columns().as_deref() {
            Some([column]) => {
                let ty = &column.ty;
                quote!(#ty)
            }
            Some(columns) => {
                let types = columns.iter().map(|column| &column.ty);
                quote!((#(#types,)*))
            }
            None => quote! {
                <__p::Columns<{ __KEY.len() }> as __p::KeyOf<
                    <#table::table as __p::diesel::Table>::PrimaryKey,
                    #name #ty_generics,
                >>::Key
            },
        }
    }

    fn key_columns(&self) -> Option<Vec<&Column>> {
        let key = self.key.as_ref()?;
        key.iter().map(|name| self.columns.iter().find(|column| column.column == *name)).collect()
    }

    fn tracked(&self) -> TokenStream {
        let Self { name, table, .. } = self;
        let Names { update, patch } = &self.names;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let (key, optional) = (self.key_type(), self.columns.iter().filter(|column| column.optional).count());
        let of_table = self.is_the_tables().then(|| {
            quote_spanned! {table.span()=>
                #[automatically_derived]
                impl __p::Tracked for #table::table {
                    const TABLE: __p::TableInfo = <#name as __p::Tracked>::TABLE;
                    type Row = #name;
                    type Update = #update;
                    type Patch = #patch;
                    type Key = <#name as __p::Tracked>::Key;
                }
            }
        });
        quote! {
            #[automatically_derived]
            impl #impl_generics __p::Tracked for #name #ty_generics #where_clause {
                const TABLE: __p::TableInfo =
                    __p::TableInfo::new(<#table::table as __p::TableName>::NAME, &__COLUMNS, &__ORDINALS, #optional);
                type Row = #name #ty_generics;
                type Update = #update #ty_generics;
                type Patch = #patch #ty_generics;
                type Key = #key;
            }
            #of_table
        }
    }

    /// Generics with the lifetime of what is read in front.
    fn decode_generics(&self) -> (Generics, TokenStream) {
        let mut generics = self.generics.clone();
        let lifetimes: Vec<_> = self.generics.lifetimes().map(|lifetime| lifetime.lifetime.clone()).collect();
        generics.params.insert(0, syn::parse_quote!('__de: #(#lifetimes)+*));
        (generics.clone(), quote!(#(#lifetimes),*))
    }

    fn decode(&self) -> TokenStream {
        let Self { name, .. } = self;
        let Names { update, patch } = &self.names;
        let count = self.columns.len() + self.skipped.len();
        let (_, ty_generics, where_clause) = self.generics.split_for_impl();
        let (generics, _) = self.decode_generics();
        let (decode_generics, _, _) = generics.split_for_impl();
        let result = quote!(__p::core::result::Result);
        let readers = self.columns.iter().enumerate().map(|(place, column)| {
            let (read, sql, ty) = (format_ident!("__read_{}", place), format_ident!("__Sql{}", place), &column.ty);
            let decoded = column.deserialize_as.as_ref().unwrap_or(ty);
            // a mistake in the type is shown where the type is
            let call = quote_spanned!(decoded.span()=> (&&&__p::Via::<#decoded, #sql>::NEW).decode(__value));
            let converted = match &column.deserialize_as {
                None => quote!(#call),
                Some(_) => quote! {
                    #call.and_then(|__value| {
                        __p::core::convert::TryInto::try_into(__value).map_err(__p::ValueError::invalid)
                    })
                },
            };
            quote! {
                #[inline]
                fn #read #decode_generics (__value: __p::Value<'__de>) -> #result<#ty, __p::ValueError> #where_clause {
                    #[allow(unused_imports)]
                    use __p::{DecodeDiesel as _, DecodeNot as _, DecodeOurs as _};
                    #converted
                }
            }
        });
        let of_row = self.columns.iter().enumerate().map(|(place, column)| {
            let (field, read, sql) =
                (&column.field, format_ident!("__read_{}", place), format_ident!("__Sql{}", place));
            let value = if column.optional { quote!(value_or_default) } else { quote!(value) };
            quote!(#field: __reader.#value(__side, __AT[#place], __p::type_name::<#sql>, #read)?)
        });
        let of_update = |method: &str| -> Vec<TokenStream> {
            let method = Ident::new(method, Span::call_site());
            self.columns
                .iter()
                .enumerate()
                .map(|(place, column)| {
                    let (field, read, sql) =
                        (&column.field, format_ident!("__read_{}", place), format_ident!("__Sql{}", place));
                    let key = match self.is_key(column) {
                        Some(is_key) => quote!(#is_key),
                        None => quote!({ __p::position(__KEY, __FIELDS[#place]).is_some() }),
                    };
                    quote! {
                        #field: <__p::IsKey<#key> as __p::ReadUpdate<'__de, _>>::#method(
                            __reader, (&__old, &__new), __AT[#place], __p::type_name::<#sql>, #read,
                        )?
                    }
                })
                .collect()
        };
        let (updates, patches) = (of_update("update"), of_update("patch"));
        let (read_key, has_columns) = self.read_key(&generics);
        let of_table = self.is_the_tables().then(|| {
            let table = &self.table;
            quote_spanned! {table.span()=>
                #[automatically_derived]
                impl<'__de> __p::DecodeRow<'__de> for #table::table {
                    #[inline]
                    fn inserted(__reader: &__p::Reader<'_, '__de>) -> #result<#name, __p::DecodeError> {
                        <#name as __p::DecodeRow<'__de>>::inserted(__reader)
                    }
                    #[inline]
                    fn deleted(__reader: &__p::Reader<'_, '__de>) -> #result<#name, __p::DecodeError> {
                        <#name as __p::DecodeRow<'__de>>::deleted(__reader)
                    }
                    #[inline]
                    fn updated(__reader: &__p::Reader<'_, '__de>) -> #result<#update, __p::DecodeError> {
                        <#name as __p::DecodeRow<'__de>>::updated(__reader)
                    }
                    #[inline]
                    fn patched(__reader: &__p::Reader<'_, '__de>) -> #result<#patch, __p::DecodeError> {
                        <#name as __p::DecodeRow<'__de>>::patched(__reader)
                    }
                    #[inline]
                    fn key(__reader: &__p::Reader<'_, '__de>) -> #result<Self::Key, __p::DecodeError> {
                        <#name as __p::DecodeRow<'__de>>::key(__reader)
                    }
                }
            }
        });
        quote! {
            #(#readers)*

            #[inline]
            fn __row #decode_generics (
                __reader: &__p::Reader<'_, '__de>,
                __side: &__p::Side<'__de, #count>,
            ) -> #result<#name #ty_generics, __p::DecodeError> #where_clause {
                Ok(#name { #(#of_row,)* })
            }

            #has_columns

            #[automatically_derived]
            impl #decode_generics __p::DecodeRow<'__de> for #name #ty_generics #where_clause {
                #[inline]
                fn inserted(__reader: &__p::Reader<'_, '__de>) -> #result<Self::Row, __p::DecodeError> {
                    __row(__reader, &__reader.new_values())
                }
                #[inline]
                fn deleted(__reader: &__p::Reader<'_, '__de>) -> #result<Self::Row, __p::DecodeError> {
                    __row(__reader, &__reader.old())
                }
                #[inline]
                fn updated(__reader: &__p::Reader<'_, '__de>) -> #result<Self::Update, __p::DecodeError> {
                    let (__old, __new): (__p::Side<'__de, #count>, __p::Side<'__de, #count>) =
                        (__reader.old(), __reader.new_values());
                    Ok(#update { #(#updates,)* })
                }
                #[inline]
                fn patched(__reader: &__p::Reader<'_, '__de>) -> #result<Self::Patch, __p::DecodeError> {
                    let (__old, __new): (__p::Side<'__de, #count>, __p::Side<'__de, #count>) =
                        (__reader.old(), __reader.new_values());
                    Ok(#patch { #(#patches,)* })
                }
                #[inline]
                fn key(__reader: &__p::Reader<'_, '__de>) -> #result<Self::Key, __p::DecodeError> {
                    let __old: __p::Side<'__de, #count> = __reader.old();
                    #read_key
                }
            }
            #of_table
        }
    }

    /// How the key is read, and what that takes.
    fn read_key(&self, generics: &Generics) -> (TokenStream, TokenStream) {
        let value = |place: usize| {
            let (read, sql) = (format_ident!("__read_{}", place), format_ident!("__Sql{}", place));
            quote!(__reader.value(&__old, __AT[#place], __p::type_name::<#sql>, #read)?)
        };
        if let Some(key) = &self.key {
            let place =
                |name: &Ident| self.columns.iter().position(|column| column.column == *name).unwrap_or_default();
            let values: Vec<_> = key.iter().map(|name| value(place(name))).collect();
            let key = match &values[..] {
                [value] => quote!(Ok(#value)),
                values => quote!(Ok((#(#values,)*))),
            };
            return (key, TokenStream::new());
        }
        let (name, table) = (&self.name, &self.table);
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let (decode_generics, _, _) = generics.split_for_impl();
        let has_columns = self.columns.iter().enumerate().map(|(place, column)| {
            let (ty, path) = (&column.ty, self.column(&column.column));
            let (read, sql) = (format_ident!("__read_{}", place), format_ident!("__Sql{}", place));
            quote! {
                impl #impl_generics __p::HasColumn<#path> for #name #ty_generics #where_clause {
                    type Type = #ty;
                }
                impl #decode_generics __p::ReadColumn<'__de, #path> for #name #ty_generics #where_clause {
                    fn read<const __N: usize>(
                        __reader: &__p::Reader<'_, '__de>,
                        __old: &__p::Side<'__de, __N>,
                    ) -> __p::core::result::Result<#ty, __p::DecodeError> {
                        __reader.value(__old, __AT[#place], __p::type_name::<#sql>, #read)
                    }
                }
            }
        });
        let read_key = quote! {
            <__p::Columns<{ __KEY.len() }> as __p::ReadKey<
                '__de,
                <#table::table as __p::diesel::Table>::PrimaryKey,
                Self,
            >>::read(__reader, &__old)
        };
        (read_key, quote!(#(#has_columns)*))
    }

    fn encode(&self) -> TokenStream {
        if !self.skipped.is_empty() {
            return TokenStream::new();
        }
        let (name, count) = (&self.name, self.columns.len());
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let mut unwritable = quote!(__p::core::option::Option::None);
        for (place, column) in self.columns.iter().enumerate().rev() {
            let (sql, ty) = (format_ident!("__Sql{}", place), column.serialize_as.as_ref().unwrap_or(&column.ty));
            let field = column.field.unraw().to_string();
            unwritable = quote! {
                if !(__p::CanWrite::<#ty, #sql>::OURS || __p::CanWrite::<#ty, #sql>::DIESELS) {
                    __p::core::option::Option::Some(#field)
                } else {
                    #unwritable
                }
            };
        }
        let values = self.columns.iter().enumerate().map(|(place, column)| {
            let (sql, field, ty) = (format_ident!("__Sql{}", place), &column.field, &column.ty);
            let (bound, value) = match &column.serialize_as {
                None => (TokenStream::new(), quote!(&self.#field)),
                Some(other) => {
                    let temporary = format_ident!("__field_{}", place);
                    let into = quote!(__p::core::convert::Into::<#other>::into(<#ty as __p::core::clone::Clone>::clone(&self.#field)));
                    (quote!(let #temporary = #into;), quote!(&#temporary))
                }
            };
            let written = column.serialize_as.as_ref().unwrap_or(ty);
            quote! {
                #bound
                __values[__AT[#place]] = (&&&__p::Via::<#written, #sql>::NEW)
                    .encode(#value)
                    .map_err(|__error| (__AT[#place], __error))?;
            }
        });
        quote! {
            #[automatically_derived]
            impl #impl_generics __p::EncodeRow for #name #ty_generics #where_clause {
                const INFO: __p::TableInfo = <Self as __p::Tracked>::TABLE;
                const UNWRITABLE: __p::core::option::Option<&'static str> = {
                    #[allow(unused_imports)]
                    use __p::{NotDiesels as _, NotOurs as _};
                    #unwritable
                };

                fn encode<__R>(
                    &self,
                    __then: impl __p::core::ops::FnOnce(&[__p::Value<'_>]) -> __R,
                ) -> __p::core::result::Result<__R, (usize, __p::ValueError)> {
                    #[allow(unused_imports)]
                    use __p::{EncodeDiesel as _, EncodeNot as _, EncodeOurs as _};
                    let mut __values = [const { __p::CowValue::Null }; #count];
                    #(#values)*
                    Ok(__then(&__p::core::array::from_fn::<_, #count, _>(|__place| __values[__place].as_value())))
                }
            }
        }
    }

    /// `Debug`, `Clone` and `PartialEq` of the companions, as far as the fields have them.
    fn traits(&self) -> TokenStream {
        if self.derives.is_some() {
            return TokenStream::new();
        }
        let companions = [&self.names.update, &self.names.patch].map(|companion| {
            let (impl_generics, ty_generics, _) = self.generics.split_for_impl();
            let fields: Vec<_> = self.columns.iter().map(|column| &column.field).collect();
            let shown = companion.to_string();
            let names = fields.iter().map(|field| field.unraw().to_string());
            let bounds = |bound: TokenStream| {
                let types = self.columns.iter().map(|column| &column.ty);
                let own = self.generics.where_clause.iter().flat_map(|clause| &clause.predicates);
                // `for` keeps the compiler from refusing a bound that does not hold
                quote!(where #(for<'__any> #types: #bound,)* #(#own,)*)
            };
            let debug = bounds(quote!(__p::core::fmt::Debug));
            let clone = bounds(quote!(__p::core::clone::Clone));
            let eq = bounds(quote!(__p::core::cmp::PartialEq));
            quote! {
                #[automatically_derived]
                impl #impl_generics __p::core::fmt::Debug for #companion #ty_generics #debug {
                    fn fmt(&self, __f: &mut __p::core::fmt::Formatter<'_>) -> __p::core::fmt::Result {
                        __f.debug_struct(#shown) #(.field(#names, &self.#fields))* .finish()
                    }
                }
                #[automatically_derived]
                impl #impl_generics __p::core::clone::Clone for #companion #ty_generics #clone {
                    fn clone(&self) -> Self {
                        Self { #(#fields: __p::core::clone::Clone::clone(&self.#fields),)* }
                    }
                }
                #[automatically_derived]
                impl #impl_generics __p::core::cmp::PartialEq for #companion #ty_generics #eq {
                    fn eq(&self, __other: &Self) -> bool {
                        #(self.#fields == __other.#fields)&&*
                    }
                }
            }
        });
        quote!(#(#companions)*)
    }
}
