//! The code of a [`Row`]: its companions, what the compiler finds out about its columns, how it is read and written.
//!
//! Nothing in it depends on the names that are in scope where it stands: paths begin at the crate's `__private` as `__p`, locals
//! and constants with `__`. The user's tokens are where errors about them shall point ([`at`]).

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Generics, Ident, Type};

use crate::at;
use crate::row::{Column, Names, Row};

/// The constant with the code of an item. It is written in the user's module, where lints may be strict.
pub(crate) fn scope(krate: &syn::Path, body: TokenStream) -> TokenStream {
    quote! {
        #[allow(unused_qualifications, non_snake_case, deprecated, clippy::all, clippy::pedantic, clippy::nursery)]
        const _: () = {
            use #krate::__private as __p;
            #body
        };
    }
}

/// The names of a column's reader and of its SQL type.
fn locals(place: usize) -> (Ident, Ident) {
    (format_ident!("__read_{}", place), format_ident!("__Sql{}", place))
}

impl Row {
    pub(crate) fn expand(&self) -> TokenStream {
        let companions = self.companions();
        let body = [
            self.constants(),
            self.tracked(),
            self.decode(),
            self.keyed(),
            self.changed(),
            self.encode(),
            self.traits(),
            self.json(),
        ];
        let scope = scope(&self.krate, quote!(#(#body)*));
        quote!(#companions #scope)
    }

    /// What a row with a mistake gets, so that what uses it makes no further errors.
    pub(crate) fn stub(&self) -> TokenStream {
        let companions = self.companions();
        let tracked = self.implement(
            &quote!(__p::table_info("", &[], &[], 0, &[])),
            &self.table.as_ref().map_or_else(|| quote!(()), |_| self.key_type()),
        );
        let name = &self.name;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let generics = self.decode_generics();
        let (decode_generics, _, _) = generics.split_for_impl();
        let methods = quote! {
            fn inserted(_: &__p::Reader<'_, '__de>) -> __p::Result<Self, __p::DecodeError> { loop {} }
            fn deleted(_: &__p::Reader<'_, '__de>) -> __p::Result<Self, __p::DecodeError> { loop {} }
            fn updated(_: &__p::Reader<'_, '__de>) -> __p::Result<Self::Update, __p::DecodeError> { loop {} }
            fn patched(_: &__p::Reader<'_, '__de>) -> __p::Result<Self::Patch, __p::DecodeError> { loop {} }
            fn key(_: &__p::Reader<'_, '__de>) -> __p::Result<Self::Key, __p::DecodeError> { loop {} }
        };
        let has_columns = match (&self.table, &self.key) {
            (Some(_), None) => self.has_columns(),
            _ => TokenStream::new(),
        };
        let key = self.table.as_ref().map(|_| self.key_names());
        let changed = self.changed_of(|_| quote!(__p::core::iter::empty()));
        let traits = self.traits();
        let body = quote! {
            #key
            #tracked
            #has_columns
            #[automatically_derived]
            impl #decode_generics __p::DecodeRow<'__de> for #name #ty_generics #where_clause { #methods }
            #[automatically_derived]
            impl #impl_generics __p::KeyedRow for #name #ty_generics #where_clause {
                fn key_of_row(&self) -> Self::Key { loop {} }
                fn key_of_update(_: &Self::Update) -> Self::Key { loop {} }
                fn key_of_patch(_: &Self::Patch) -> Self::Key { loop {} }
            }
            #[automatically_derived]
            impl #impl_generics __p::EncodeRow for #name #ty_generics #where_clause {
                const INFO: __p::TableInfo = <Self as __p::Tracked>::TABLE;
                const UNWRITABLE: __p::Option<&'static __p::str> = __p::Option::None;
                #[inline(always)]
                fn encode<__R>(
                    &self,
                    _: impl __p::core::ops::FnOnce(&[__p::Value<'_>]) -> __R,
                ) -> __p::Result<__R, (__p::usize, __p::ValueError)> { loop {} }
            }
            #changed
            #traits
        };
        let scope = scope(&self.krate, body);
        quote!(#companions #scope)
    }

    /// The type of the table, at the place where the user has named it.
    pub(crate) fn table_type(&self) -> TokenStream {
        let table = &self.table;
        quote_spanned!(at(table.span())=> #table::table)
    }

    /// The same, if this is the table's row.
    fn tables_type(&self) -> Option<TokenStream> {
        (self.table.is_some() && self.is_the_tables()).then(|| self.table_type())
    }

    /// The type of a column, at the place where the user has named it.
    pub(crate) fn column(&self, column: &Ident) -> TokenStream {
        let table = &self.table;
        quote_spanned!(at(column.span())=> #table::#column)
    }

    /// The name of a column in the database.
    fn column_name(&self, column: &Ident, p: &TokenStream) -> TokenStream {
        let path = self.column(column);
        quote_spanned!(at(column.span())=> <#path as #p::diesel::Column>::NAME)
    }

    /// The structs of UPDATEs.
    fn companions(&self) -> TokenStream {
        let Self { visibility, generics, krate, lints, .. } = self;
        let Names { update, patch } = &self.names;
        let derives = self.derives.as_ref().map(|paths| quote!(#[derive(#(#paths),*)]));
        let table = self.shown_table();
        let p = quote!(#krate::__private);
        let fields = |companion: &str, wrap: TokenStream| -> Vec<TokenStream> {
            let of_column = |column: &Column| {
                let Column { visibility, field, ty, column: name, .. } = column;
                let written = name.unraw();
                // without a table a mistake has been said; what is not in the key is the most
                let is_key = if self.table.is_some() { self.is_key(column) } else { Some(false) };
                let (doc, ty) = match is_key {
                    Some(true) => (format!("`{written}`, of the key."), quote!(#ty)),
                    Some(false) => {
                        let when = if companion == "Update" { "if it changed" } else { "if it has a new value" };
                        (format!("`{written}`, {when}."), quote!(#wrap<#ty>))
                    }
                    None => {
                        let (companion, name) = (Ident::new(companion, Span::call_site()), self.column_name(name, &p));
                        let table = self.table_type();
                        let ty = quote! {
                            <#p::IsKey<{
                                #[allow(unused_imports)]
                                use #p::OneColumn as _;
                                #p::position(
                                    #p::KeyList::<<#table as #p::diesel::Table>::PrimaryKey>::NAMES,
                                    #name,
                                ).is_some()
                            }> as #p::InUpdate<#ty>>::#companion
                        };
                        (format!("`{written}`."), ty)
                    }
                };
                quote!(#[doc = #doc] #visibility #field: #ty)
            };
            self.columns.iter().map(of_column).collect()
        };
        let update_fields = fields("Update", quote!(#p::Field));
        let patch_fields = fields("Patch", quote!(#p::Option));
        let update_doc =
            format!("An UPDATE of `{table}` in a changeset: the key, and for each other column whether it changed.");
        let patch_doc =
            format!("An UPDATE of `{table}` in a patchset: the key, and each other column that has a new value.");
        let where_clause = &generics.where_clause;
        let update = quote! {
            #(#lints)*
            #[doc = #update_doc]
            #[allow(dead_code, non_snake_case)]
            #derives
            #visibility struct #update #generics #where_clause { #(#update_fields,)* }
        };
        // under the same name there can be one alone
        let patch = (plain(patch) != plain(&self.names.update)).then(|| {
            quote! {
                #(#lints)*
                #[doc = #patch_doc]
                #[allow(dead_code, non_snake_case)]
                #derives
                #visibility struct #patch #generics #where_clause { #(#patch_fields,)* }
            }
        });
        quote!(#update #patch)
    }

    fn shown_table(&self) -> String {
        let last = self.table.iter().filter_map(|table| table.segments.last()).next();
        last.map(|segment| segment.ident.unraw().to_string()).unwrap_or_default()
    }

    /// The names of the key's columns, and of those that have a field.
    fn key_names(&self) -> TokenStream {
        let table = self.table_type();
        let count = self.columns.len();
        let fields = self.columns.iter().map(|column| self.column_name(&column.column, &quote!(__p)));
        quote! {
            const __KEY: &[&__p::str] = {
                #[allow(unused_imports)]
                use __p::OneColumn as _;
                __p::KeyList::<<#table as __p::diesel::Table>::PrimaryKey>::NAMES
            };
            const __FIELDS: [&__p::str; #count] = [#(#fields),*];
        }
    }

    /// What the compiler finds out about the columns.
    fn constants(&self) -> TokenStream {
        let p = quote!(__p);
        let names = |columns: &[Ident]| -> TokenStream {
            let names = columns.iter().map(|column| self.column_name(column, &p));
            quote!(&[#(#names),*])
        };
        let (skipped, generated) = (names(&self.skipped), names(&self.generated));
        let unshown = self.columns.iter().filter(|column| column.serde.hidden).map(|column| column.column.clone());
        let hidden = names(&self.skipped.iter().cloned().chain(unshown).collect::<Vec<_>>());
        let (fields_count, count) = (self.columns.len(), self.columns.len() + self.skipped.len());
        let (row, shown) = (self.name.unraw().to_string(), self.shown_table());
        let table = self.table_type();
        let missing = quote_spanned! {at(self.name.span())=>
            const _: () = __p::check_columns(__ALL, &[&__FIELDS, __SKIPPED, __GENERATED], #shown, #row);
        };
        let left_out = self.skipped.iter().chain(&self.generated).map(|column| {
            let (name, shown) = (self.column_name(column, &p), column.unraw().to_string());
            quote_spanned!(at(column.span())=> const _: () = __p::check_left_out(__KEY, #name, #shown);)
        });
        let optional = self.optional();
        let trailing = self.columns.iter().enumerate().filter(|(_, column)| column.optional).map(|(place, column)| {
            let field = column.field.unraw().to_string();
            quote_spanned! {at(column.field.span())=>
                const _: () = __p::check_default(&__ORDINALS, __AT[#place], #optional, #field);
            }
        });
        let key = self.key.as_ref().map(|key| {
            let names = names(key);
            let shown: Vec<_> = self.columns.iter().map(|column| column.column.unraw().to_string()).collect();
            let span = key.first().map_or_else(|| self.name.span(), Ident::span);
            quote_spanned!(at(span)=> const _: () = __p::check_key(#names, __KEY, &__FIELDS, &[#(#shown),*]);)
        });
        let sql_types = self.columns.iter().enumerate().map(|(place, column)| {
            let ((_, alias), path) = (locals(place), self.column(&column.column));
            let span = at(column.column.span());
            quote_spanned!(span=> type #alias = <#path as __p::diesel::Expression>::SqlType;)
        });
        let key_names = self.key_names();
        quote! {
            const __ALL: &[&__p::str] = <<#table as __p::diesel::Table>::AllColumns as __p::ColumnList>::NAMES;
            #key_names
            const __SKIPPED: &[&__p::str] = #skipped;
            const __GENERATED: &[&__p::str] = #generated;
            const __HIDDEN: &[&__p::str] = #hidden;
            #missing
            const __COLUMNS: [&__p::str; #count] = __p::without(__ALL, __GENERATED);
            const __ORDINALS: [__p::u8; #count] = __p::ordinals(&__COLUMNS, __KEY);
            const __AT: [__p::usize; #fields_count] = __p::positions(&__FIELDS, &__COLUMNS);
            #(#left_out)*
            #(#trailing)*
            #key
            #(#sql_types)*
        }
    }

    /// How many of the last columns older changes may lack.
    fn optional(&self) -> usize {
        self.columns.iter().filter(|column| column.optional).count()
    }

    /// The type of the key.
    fn key_type(&self) -> TokenStream {
        match self.key_columns().as_deref() {
            Some([column]) => {
                let ty = &column.ty;
                quote!(#ty)
            }
            Some(columns) => {
                let types = columns.iter().map(|column| &column.ty);
                quote!((#(#types,)*))
            }
            None => {
                let (table, name) = (self.table_type(), &self.name);
                let (_, ty_generics, _) = self.generics.split_for_impl();
                quote_spanned! {at(name.span())=>
                    <__p::Columns<{ __p::key_columns(__KEY, &__FIELDS) }> as __p::KeyOf<
                        <#table as __p::diesel::Table>::PrimaryKey,
                        #name #ty_generics,
                    >>::Key
                }
            }
        }
    }

    fn tracked(&self) -> TokenStream {
        let (table, optional) = (self.table_type(), self.optional());
        self.implement(
            &quote!(__p::table_info(<#table as __p::TableName>::NAME, &__COLUMNS, &__ORDINALS, #optional, __HIDDEN)),
            &self.key_type(),
        )
    }

    /// `Tracked`.
    fn implement(&self, info: &TokenStream, key: &TokenStream) -> TokenStream {
        let Self { name, .. } = self;
        let Names { update, patch } = &self.names;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let of_table = self.tables_type().map(|table| {
            quote_spanned! {at(self.table.span())=>
                #[automatically_derived]
                impl __p::Tracked for #table {
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
                const TABLE: __p::TableInfo = #info;
                type Row = #name #ty_generics;
                type Update = #update #ty_generics;
                type Patch = #patch #ty_generics;
                type Key = #key;
            }
            #of_table
        }
    }

    /// Generics with the lifetime of what is read in front.
    fn decode_generics(&self) -> Generics {
        let mut generics = self.generics.clone();
        let lifetimes = self.generics.lifetimes().map(|lifetime| &lifetime.lifetime);
        generics.params.insert(0, syn::parse_quote!('__de: #(#lifetimes)+*));
        generics
    }

    /// What makes a field of a value.
    fn reader(place: usize, column: &Column) -> TokenStream {
        let ((read, sql), ty) = (locals(place), &column.ty);
        // the same function for all columns of a type is compiled once
        if column.plain { quote!(<#ty as __p::FromSqlValue<'__de, #sql>>::from_sql_value) } else { quote!(#read) }
    }

    /// A function for each column that makes a field of its value.
    fn readers(&self, decode_generics: &syn::ImplGenerics<'_>) -> TokenStream {
        let where_clause = &self.generics.where_clause;
        let readers = self.columns.iter().enumerate().filter(|(_, column)| !column.plain).map(|(place, column)| {
            let ((read, sql), ty) = (locals(place), &column.ty);
            let decoded = column.deserialize_as.as_ref().unwrap_or(ty);
            // a mistake in the type is shown where the type is
            let call = quote_spanned!(at(decoded.span())=> (&&&__p::Via::<#decoded, #sql>::NEW).decode(__value));
            let converted = match &column.deserialize_as {
                None => call,
                Some(other) => quote_spanned!(at(other.span())=> __p::convert::<#other, #ty>(#call)),
            };
            quote! {
                #[inline]
                fn #read #decode_generics (__value: __p::Value<'__de>) -> __p::Result<#ty, __p::ValueError> #where_clause {
                    #[allow(unused_imports)]
                    use __p::{DecodeDiesel as _, DecodeNot as _, DecodeOurs as _};
                    #converted
                }
            }
        });
        quote!(#(#readers)*)
    }

    /// The fields of a companion, read.
    fn read_companion(&self, method: &str) -> TokenStream {
        let method = Ident::new(method, Span::call_site());
        let fields = self.columns.iter().enumerate().map(|(place, column)| {
            let ((_, sql), field) = (locals(place), &column.field);
            let read = Self::reader(place, column);
            match self.is_key(column) {
                Some(true) => quote!(#field: __reader.value(&__old, __AT[#place], __p::type_name::<#sql>, #read)?),
                Some(false) if method == "update" => {
                    quote!(#field: __reader.field((&__old, &__new), __AT[#place], __p::type_name::<#sql>, #read)?)
                }
                Some(false) => quote!(#field: __reader.patch(&__new, __AT[#place], __p::type_name::<#sql>, #read)?),
                None => quote! {
                    #field: <__p::IsKey<{ __p::position(__KEY, __FIELDS[#place]).is_some() }> as __p::ReadUpdate<'__de, _>>::#method(
                        __reader, (&__old, &__new), __AT[#place], __p::type_name::<#sql>, #read,
                    )?
                },
            }
        });
        quote!(#(#fields,)*)
    }

    fn decode(&self) -> TokenStream {
        let Self { name, .. } = self;
        let Names { update, patch } = &self.names;
        let count = self.columns.len() + self.skipped.len();
        let (_, ty_generics, where_clause) = self.generics.split_for_impl();
        let generics = self.decode_generics();
        let (decode_generics, _, _) = generics.split_for_impl();
        let readers = self.readers(&decode_generics);
        let of_row = self.columns.iter().enumerate().map(|(place, column)| {
            let ((_, sql), field) = (locals(place), &column.field);
            let read = Self::reader(place, column);
            if column.optional {
                quote_spanned! {at(column.ty.span())=>
                    #field: __reader.value_or_default(__side, __AT[#place], __p::type_name::<#sql>, #read)?
                }
            } else {
                quote!(#field: __reader.value(__side, __AT[#place], __p::type_name::<#sql>, #read)?)
            }
        });
        let (updates, patches) = (self.read_companion("update"), self.read_companion("patch"));
        let read_key = self.read_key();
        let has_columns = if self.key.is_none() { self.has_columns() } else { TokenStream::new() };
        let read_columns = if self.key.is_none() { self.read_columns(&generics) } else { TokenStream::new() };
        quote! {
            #readers

            #[inline(always)]
            fn __row #decode_generics (
                __reader: &__p::Reader<'_, '__de>,
                __side: &__p::Side<'__de, #count>,
            ) -> __p::Result<#name #ty_generics, __p::DecodeError> #where_clause {
                __p::Result::Ok(#name { #(#of_row,)* })
            }

            #has_columns
            #read_columns

            #[automatically_derived]
            impl #decode_generics __p::DecodeRow<'__de> for #name #ty_generics #where_clause {
                #[inline(always)]
                fn inserted(__reader: &__p::Reader<'_, '__de>) -> __p::Result<Self, __p::DecodeError> {
                    __row(__reader, &__reader.new_values())
                }
                #[inline]
                fn deleted(__reader: &__p::Reader<'_, '__de>) -> __p::Result<Self, __p::DecodeError> {
                    __row(__reader, &__reader.old())
                }
                #[inline]
                fn updated(__reader: &__p::Reader<'_, '__de>) -> __p::Result<Self::Update, __p::DecodeError> {
                    let (__old, __new): (__p::Side<'__de, #count>, __p::Side<'__de, #count>) =
                        (__reader.old(), __reader.new_values());
                    __p::Result::Ok(#update { #updates })
                }
                #[inline]
                fn patched(__reader: &__p::Reader<'_, '__de>) -> __p::Result<Self::Patch, __p::DecodeError> {
                    let (__old, __new): (__p::Side<'__de, #count>, __p::Side<'__de, #count>) =
                        (__reader.old(), __reader.new_values());
                    __p::Result::Ok(#patch { #patches })
                }
                #[inline]
                fn key(__reader: &__p::Reader<'_, '__de>) -> __p::Result<Self::Key, __p::DecodeError> {
                    let __old: __p::Side<'__de, #count> = __reader.old();
                    #read_key
                }
            }
        }
    }

    /// How the key is read.
    fn read_key(&self) -> TokenStream {
        let Some(key) = self.key_columns() else {
            let table = self.table_type();
            return quote_spanned! {at(self.name.span())=>
                <__p::Columns<{ __p::key_columns(__KEY, &__FIELDS) }> as __p::ReadKey<
                    '__de,
                    <#table as __p::diesel::Table>::PrimaryKey,
                    Self,
                >>::read(__reader, &__old)
            };
        };
        let place = |column: &Column| self.columns.iter().position(|known| known.field == column.field);
        let values: Vec<_> = key
            .iter()
            .filter_map(|column| place(column))
            .map(|place| {
                let ((_, sql), read) = (locals(place), Self::reader(place, &self.columns[place]));
                quote!(__reader.value(&__old, __AT[#place], __p::type_name::<#sql>, #read)?)
            })
            .collect();
        match &values[..] {
            [value] => quote!(__p::Result::Ok(#value)),
            values => quote!(__p::Result::Ok((#(#values,)*))),
        }
    }

    /// The types of all columns, where the compiler alone knows which are of the key.
    fn has_columns(&self) -> TokenStream {
        let name = &self.name;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let has_columns = self.columns.iter().map(|column| {
            let (ty, path) = (&column.ty, self.column(&column.column));
            // here a private type of a field would be in public
            quote_spanned! {at(ty.span())=>
                #[automatically_derived]
                impl #impl_generics __p::HasColumn<#path> for #name #ty_generics #where_clause {
                    type Type = #ty;
                }
            }
        });
        quote!(#(#has_columns)*)
    }

    fn read_columns(&self, generics: &Generics) -> TokenStream {
        let name = &self.name;
        let (_, ty_generics, where_clause) = self.generics.split_for_impl();
        let (decode_generics, _, _) = generics.split_for_impl();
        let read_columns = self.columns.iter().enumerate().map(|(place, column)| {
            let ((_, sql), ty, path) = (locals(place), &column.ty, self.column(&column.column));
            let read = Self::reader(place, column);
            quote! {
                #[automatically_derived]
                impl #decode_generics __p::ReadColumn<'__de, #path> for #name #ty_generics #where_clause {
                    fn read<const __N: __p::usize>(
                        __reader: &__p::Reader<'_, '__de>,
                        __old: &__p::Side<'__de, __N>,
                    ) -> __p::Result<#ty, __p::DecodeError> {
                        __reader.value(__old, __AT[#place], __p::type_name::<#sql>, #read)
                    }
                }
            }
        });
        quote!(#(#read_columns)*)
    }

    /// How the key is copied out of a row and of its companions, if its columns can be.
    fn keyed(&self) -> TokenStream {
        let name = &self.name;
        let (impl_generics, ty_generics, _) = self.generics.split_for_impl();
        let own = self.generics.where_clause.iter().flat_map(|clause| &clause.predicates);
        let (columns, bounds, [row, update, patch]) = match self.key_columns() {
            Some(key) => {
                let copy = |from: &TokenStream| {
                    let fields = key.iter().map(|column| &column.field);
                    let mut values: Vec<_> =
                        fields.map(|field| quote!(__p::core::clone::Clone::clone(&#from.#field))).collect();
                    if values.len() == 1 { values.remove(0) } else { quote!((#(#values,)*)) }
                };
                // `for` keeps the compiler from refusing a bound that does not hold
                let bounds =
                    key.iter().map(|Column { ty, .. }| quote!(for<'__any> #ty: __p::core::clone::Clone)).collect();
                let update = quote!(__update);
                (TokenStream::new(), bounds, [copy(&quote!(self)), copy(&update), copy(&update)])
            }
            None => {
                let table = self.table_type();
                let copy = |method: &str, from: &str| {
                    let (method, from) = (Ident::new(method, Span::call_site()), Ident::new(from, Span::call_site()));
                    quote!(<__KeyColumns as __p::CloneKey<__PrimaryKey, Self, Self::Key>>::#method(#from))
                };
                let columns = quote! {
                    type __KeyColumns = __p::Columns<{ __p::key_columns(__KEY, &__FIELDS) }>;
                    type __PrimaryKey = <#table as __p::diesel::Table>::PrimaryKey;
                };
                let key = quote!(<#name #ty_generics as __p::Tracked>::Key);
                let bound = quote! {
                    for<'__any> __KeyColumns: __p::CloneKey<__PrimaryKey, #name #ty_generics, #key>
                };
                let key_columns = self.give_columns();
                (
                    quote!(#columns #key_columns),
                    vec![bound],
                    [copy("of_row", "self"), copy("of_update", "__update"), copy("of_patch", "__update")],
                )
            }
        };
        quote! {
            #columns

            #[automatically_derived]
            impl #impl_generics __p::KeyedRow for #name #ty_generics where #(#bounds,)* #(#own,)* {
                fn key_of_row(&self) -> Self::Key { #row }
                fn key_of_update(__update: &Self::Update) -> Self::Key { #update }
                fn key_of_patch(__update: &Self::Patch) -> Self::Key { #patch }
            }
        }
    }

    /// The fields of all columns, where the compiler alone knows which are of the key.
    fn give_columns(&self) -> TokenStream {
        let name = &self.name;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let columns = self.columns.iter().enumerate().map(|(place, column)| {
            let (field, ty, path) = (&column.field, &column.ty, self.column(&column.column));
            let is_key = quote!(__p::IsKey<{ __p::position(__KEY, __FIELDS[#place]).is_some() }>);
            quote! {
                #[automatically_derived]
                impl #impl_generics __p::KeyColumn<#path> for #name #ty_generics #where_clause {
                    type Is = #is_key;
                    fn of_row(&self) -> &#ty { &self.#field }
                    fn of_update(__update: &Self::Update) -> &<Self::Is as __p::InUpdate<#ty>>::Update { &__update.#field }
                    fn of_patch(__update: &Self::Patch) -> &<Self::Is as __p::InUpdate<#ty>>::Patch { &__update.#field }
                }
            }
        });
        quote!(#(#columns)*)
    }

    /// Which columns an UPDATE changes.
    fn changed(&self) -> TokenStream {
        let count = self.columns.len() + self.skipped.len();
        self.changed_of(|method| {
            let method = Ident::new(method, Span::call_site());
            let columns = self.columns.iter().enumerate().filter_map(|(place, column)| {
                let (field, ty) = (&column.field, &column.ty);
                let is_key = match self.is_key(column) {
                    Some(true) => return None,
                    Some(false) => quote!(false),
                    None => quote!({ __p::position(__KEY, __FIELDS[#place]).is_some() }),
                };
                Some(quote! {
                    __changed[__AT[#place]] = <__p::IsKey<#is_key> as __p::InUpdate<#ty>>::#method(&self.#field);
                })
            });
            quote! {
                #[allow(unused_mut)]
                let mut __changed = [false; #count];
                #(#columns)*
                __p::changed(&__COLUMNS, __changed)
            }
        })
    }

    /// The methods of the companions, with what gives the names of the columns.
    fn changed_of(&self, columns: impl Fn(&str) -> TokenStream) -> TokenStream {
        let Self { visibility, generics, .. } = self;
        let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
        // a row has none but lifetimes, a mistake may
        let types = generics.type_params().map(|parameter| &parameter.ident);
        let parameters: Vec<_> = types.chain(generics.const_params().map(|parameter| &parameter.ident)).collect();
        let mut companions = vec![(&self.names.update, "is_updated"), (&self.names.patch, "is_patched")];
        companions.dedup_by_key(|(name, _)| plain(name));
        let companions = companions.into_iter().map(|(companion, method)| {
            let columns = columns(method);
            quote! {
                #[allow(dead_code)]
                impl #impl_generics #companion #ty_generics #where_clause {
                    /// Whether no column that has a field here changed.
                    #[must_use]
                    #visibility fn is_unchanged(&self) -> __p::core::primitive::bool {
                        self.changed_columns().next().is_none()
                    }
                    /// The names of the columns that changed, in the order of the table. Columns without a field are not among them.
                    #visibility fn changed_columns(
                        &self,
                    ) -> impl __p::core::iter::Iterator<Item = &'static __p::str> + use<#(#parameters),*> {
                        #columns
                    }
                }
            }
        });
        quote!(#(#companions)*)
    }

    fn encode(&self) -> TokenStream {
        // what is skipped would be lost
        if !self.skipped.is_empty() {
            return TokenStream::new();
        }
        let (name, count) = (&self.name, self.columns.len());
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let can_write = self.columns.iter().enumerate().filter(|(_, column)| !column.plain).map(|(place, column)| {
            let ((_, sql), field, ty) = (locals(place), column.field.unraw().to_string(), &column.ty);
            let written = column.serialize_as.as_ref().unwrap_or(ty);
            let is_made = column.serialize_as.as_ref().map(|other| quote!(&& __p::CanMake::<#ty, #other>::MADE));
            quote! {
                ((__p::CanWrite::<#written, #sql>::OURS || __p::CanWrite::<#written, #sql>::DIESELS) #is_made, #field)
            }
        });
        let values = self.columns.iter().enumerate().map(|(place, column)| {
            let ((_, sql), field, ty) = (locals(place), &column.field, &column.ty);
            if column.plain {
                return quote! {
                    __values[__AT[#place]] = <#ty as __p::ToSqlValue<#sql>>::to_sql_value(&self.#field)
                        .map_err(|__error| (__AT[#place], __error))?;
                };
            }
            let written = column.serialize_as.as_ref().unwrap_or(ty);
            let (bound, value) = match &column.serialize_as {
                None => (TokenStream::new(), quote!(&self.#field)),
                Some(other) => {
                    let temporary = format_ident!("__field_{}", place);
                    let made = quote! {
                        let #temporary = (&&__p::Make::<#ty, #other>::NEW)
                            .make(&self.#field)
                            .map_err(|__error| (__AT[#place], __error))?;
                    };
                    (made, quote!(&#temporary))
                }
            };
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
                const UNWRITABLE: __p::Option<&'static __p::str> = {
                    #[allow(unused_imports)]
                    use __p::{NotDiesels as _, NotMade as _, NotOurs as _};
                    __p::unwritable(&[#(#can_write),*])
                };

                #[inline(always)]
                fn encode<__R>(
                    &self,
                    __then: impl __p::core::ops::FnOnce(&[__p::Value<'_>]) -> __R,
                ) -> __p::Result<__R, (__p::usize, __p::ValueError)> {
                    #[allow(unused_imports)]
                    use __p::{EncodeDiesel as _, EncodeNot as _, EncodeOurs as _, MakeByInto as _, MakeNot as _};
                    let mut __values = [const { __p::CowValue::Null }; #count];
                    #(#values)*
                    __p::Result::Ok(__then(&__p::core::array::from_fn::<_, #count, _>(|__place| __values[__place].as_value())))
                }
            }
        }
    }

    /// `Debug`, `Clone` and `PartialEq` of the companions, as far as the fields have them.
    fn traits(&self) -> TokenStream {
        if self.derives.is_some() {
            return TokenStream::new();
        }
        let types = self.different_types();
        let mut companions = vec![&self.names.update, &self.names.patch];
        companions.dedup_by_key(|name| plain(name));
        let companions = companions.into_iter().map(|companion| {
            let (impl_generics, ty_generics, _) = self.generics.split_for_impl();
            let fields: Vec<_> = self.columns.iter().map(|column| &column.field).collect();
            let shown = companion.unraw().to_string();
            let names = fields.iter().map(|field| field.unraw().to_string());
            let bounds = |bound: TokenStream| {
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
                // not as derived: clippy would have `Eq` derived beside it
                impl #impl_generics __p::core::cmp::PartialEq for #companion #ty_generics #eq {
                    fn eq(&self, __other: &Self) -> bool {
                        true #(&& self.#fields == __other.#fields)*
                    }
                }
            }
        });
        quote!(#(#companions)*)
    }

    /// The types of the fields, each once.
    fn different_types(&self) -> Vec<&Type> {
        let mut seen = Vec::new();
        self.columns
            .iter()
            .map(|column| &column.ty)
            .filter(|ty| {
                let written = quote!(#ty).to_string();
                let is_new = !seen.contains(&written);
                seen.push(written);
                is_new
            })
            .collect()
    }
}

/// A name to compare.
fn plain(name: &Ident) -> String {
    name.unraw().to_string()
}
