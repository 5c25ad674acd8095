//! Reading and copying the primary key.
//!
//! With `#[diesel(primary_key(…))]`, and in a schema, its fields are known. Otherwise each field
//! implements traits for its column, and the compiler picks those of the table's `PrimaryKey`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Generics;
use syn::spanned::Spanned;

use super::propagate;
use crate::at;
use crate::row::{Column, Row};

impl Row {
    /// Returns the expression that reads the key: a `Result`.
    pub(super) fn read_key(&self) -> TokenStream {
        let Some(key) = self.key_columns() else {
            let table = self.table_type();
            return quote_spanned! {at(self.name.span())=>
                <__KeyColumns as __p::ReadKey<'__de, <#table as __p::diesel::Table>::PrimaryKey, Self>>::read(__reader, &__old)
            };
        };
        let field = |column: &Column| self.columns.iter().position(|known| known.field == column.field);
        let values: Vec<_> = key
            .iter()
            .filter_map(|column| field(column))
            .map(|field| self.read_value(field, &quote!(&__old)))
            .collect();
        match &values[..] {
            [value] => value.clone(),
            values => {
                let values = values.iter().map(propagate);
                quote!(__p::Result::Ok((#(#values,)*)))
            }
        }
    }

    /// Returns the types of all columns.
    pub(super) fn has_columns(&self) -> TokenStream {
        let name = &self.name;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let has_columns = self.columns.iter().map(|column| {
            let (ty, path) = (&column.ty, self.column(&column.column));
            // the compiler rejects a private type here
            quote_spanned! {at(ty.span())=>
                #[automatically_derived]
                impl #impl_generics __p::HasColumn<#path> for #name #ty_generics #where_clause {
                    type Type = #ty;
                }
            }
        });
        quote!(#(#has_columns)*)
    }

    /// Returns the functions that read each column.
    pub(super) fn read_columns(&self, generics: &Generics) -> TokenStream {
        let name = &self.name;
        let (_, ty_generics, where_clause) = self.generics.split_for_impl();
        let (decode_generics, _, _) = generics.split_for_impl();
        let read_columns = self.columns.iter().enumerate().map(|(field, column)| {
            let (ty, path) = (&column.ty, self.column(&column.column));
            let value = self.read_value(field, &quote!(__old));
            quote! {
                #[automatically_derived]
                impl #decode_generics __p::ReadColumn<'__de, #path> for #name #ty_generics #where_clause {
                    fn read<const __N: __p::usize>(
                        __reader: &__p::Reader<'_, '__de>,
                        __old: &__p::Side<'__de, __N>,
                    ) -> __p::Result<#ty, __p::DecodeError> {
                        #value
                    }
                }
            }
        });
        quote!(#(#read_columns)*)
    }

    /// Returns the trait that copies the key out of a row and of its companions, for a key whose
    /// types have `Clone`.
    pub(super) fn keyed(&self) -> TokenStream {
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
                // with `for` the compiler accepts a bound that does not hold
                let bounds = key
                    .iter()
                    .filter(|column| !column.is_plain())
                    .map(|Column { ty, .. }| quote!(for<'__any> #ty: __p::core::clone::Clone))
                    .collect();
                let update = quote!(__update);
                (TokenStream::new(), bounds, [copy(&quote!(self)), copy(&update), copy(&update)])
            }
            None => {
                let table = self.table_type();
                let copy = |method: &str, from: &str| {
                    let (method, from) = (Ident::new(method, Span::call_site()), Ident::new(from, Span::call_site()));
                    quote!(<__KeyColumns as __p::CloneKey<__PrimaryKey, Self, Self::Key>>::#method(#from))
                };
                let key = quote!(<#name #ty_generics as __p::Tracked>::Key);
                let bound = quote! {
                    for<'__any> __KeyColumns: __p::CloneKey<__PrimaryKey, #name #ty_generics, #key>
                };
                let columns = self.give_columns();
                (
                    quote!(type __PrimaryKey = <#table as __p::diesel::Table>::PrimaryKey; #columns),
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

    /// Returns the functions that return the field of each column.
    fn give_columns(&self) -> TokenStream {
        let name = &self.name;
        let names = &self.names;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let columns = self.columns.iter().enumerate().map(|(place, column)| {
            let (field, ty, path) = (&column.field, &column.ty, self.column(&column.column));
            let is_key = self.is_key_type(place, column);
            let method = |method: &str, companion: &Ident, of: &str| {
                let (method, of) = (format_ident!("{}", method), format_ident!("{}", of));
                quote! {
                    fn #method<'__update>(
                        __update: &'__update #companion #ty_generics,
                    ) -> &'__update <#is_key as __p::InUpdate<#ty>>::#of { &__update.#field }
                }
            };
            let (update, patch) =
                (method("of_update", &names.update, "Update"), method("of_patch", &names.patch, "Patch"));
            quote! {
                #[automatically_derived]
                impl #impl_generics __p::KeyColumn<#path> for #name #ty_generics #where_clause {
                    type Is = #is_key;
                    fn of_row(&self) -> &#ty { &self.#field }
                    #update
                    #patch
                }
            }
        });
        quote!(#(#columns)*)
    }
}
