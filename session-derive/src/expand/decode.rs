//! Reading a row and its companions.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use super::{propagate, sql_alias};
use crate::at;
use crate::row::{Column, Names, Row};

impl Row {
    /// Returns the function that makes a field of a value.
    fn reader(field: usize, column: &Column) -> TokenStream {
        let (read, ty) = (format_ident!("__read_{}", field), &column.ty);
        // the function of a type is compiled once, the function of a column once for each column
        if column.is_plain() { quote!(<#ty as __p::Plain<'__de>>::read) } else { quote!(#read) }
    }

    /// Returns a function for each column that makes a field of its value.
    fn readers(&self, decode_generics: &syn::ImplGenerics<'_>) -> TokenStream {
        let where_clause = &self.generics.where_clause;
        let readers = self.columns.iter().enumerate().filter(|(_, column)| !column.is_plain()).map(|(field, column)| {
            let (read, sql, ty) = (format_ident!("__read_{}", field), sql_alias(field), &column.ty);
            let decoded = column.deserialize_as.as_ref().unwrap_or(ty);
            // an error in the type points at the type
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

    /// Returns the expression that reads a column of one side: a `Result`.
    pub(super) fn read_value(&self, field: usize, side: &TokenStream) -> TokenStream {
        let (column, position) = (&self.columns[field], self.position(field));
        if column.is_plain() {
            quote!(__reader.plain(#side, #position))
        } else {
            let read = Self::reader(field, column);
            quote!(__reader.value(#side, #position, #read))
        }
    }

    /// Returns the fields of the row.
    fn read_row(&self) -> TokenStream {
        let fields = self.columns.iter().enumerate().map(|(field, column)| {
            let name = &column.field;
            let value = if column.optional {
                let (position, read) = (self.position(field), Self::reader(field, column));
                quote_spanned!(at(column.ty.span())=> __reader.value_or_default(__side, #position, #read))
            } else {
                self.read_value(field, &quote!(__side))
            };
            let value = propagate(&value);
            quote!(#name: #value)
        });
        let defaults = self.read_defaults();
        quote!(#(#fields,)* #defaults)
    }

    /// Returns the fields of columns that are not read.
    pub(super) fn read_defaults(&self) -> TokenStream {
        let defaults = self.defaults.iter().map(|(field, ty)| {
            let value = quote_spanned!(at(ty.span())=> <#ty as __p::core::default::Default>::default());
            quote!(#field: #value)
        });
        quote!(#(#defaults,)*)
    }

    /// Returns the fields of a companion.
    fn read_companion(&self, method: &str) -> TokenStream {
        let method = Ident::new(method, Span::call_site());
        let fields = self.columns.iter().enumerate().map(|(field, column)| {
            let (name, ty, position) = (&column.field, &column.ty, self.position(field));
            let read = || Self::reader(field, column);
            let value = match (self.is_key(column), column.is_plain(), method == "update") {
                (Some(true), _, _) => self.read_value(field, &quote!(&__old)),
                (Some(false), true, true) => quote!(__reader.plain_field((&__old, &__new), #position)),
                (Some(false), true, false) => quote!(__reader.plain_patch(&__new, #position)),
                (Some(false), false, true) => {
                    let read = read();
                    quote!(__reader.field((&__old, &__new), #position, #read))
                }
                (Some(false), false, false) => {
                    let read = read();
                    quote!(__reader.patch(&__new, #position, #read))
                }
                (None, _, _) => {
                    let (is_key, read) = (self.is_key_type(field, column), read());
                    quote! {
                        <#is_key as __p::ReadUpdate<'__de, #ty>>::#method(__reader, (&__old, &__new), #position, #read)
                    }
                }
            };
            let value = propagate(&value);
            quote!(#name: #value)
        });
        quote!(#(#fields,)*)
    }

    /// Returns the table of SQL types, for error messages.
    fn sql_types(&self) -> TokenStream {
        let types = self.columns.iter().enumerate().map(|(field, column)| {
            let (position, alias) = (self.position(field), sql_alias(field));
            let sql_type = column.sql_type.clone().unwrap_or_else(|| quote!(#alias));
            quote!((#position, __p::type_name::<#sql_type>))
        });
        quote!(&[#(#types),*])
    }

    pub(super) fn decode(&self) -> TokenStream {
        let Self { name, .. } = self;
        let Names { update, patch } = &self.names;
        let count = self.recorded();
        let (_, ty_generics, where_clause) = self.generics.split_for_impl();
        let generics = self.decode_generics();
        let (decode_generics, _, _) = generics.split_for_impl();
        let (readers, sql_types, row) = (self.readers(&decode_generics), self.sql_types(), self.read_row());
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
                __p::Result::Ok(#name { #row })
            }

            #has_columns
            #read_columns

            #[automatically_derived]
            impl #decode_generics __p::DecodeRow<'__de> for #name #ty_generics #where_clause {
                const SQL_TYPES: __p::SqlTypes = #sql_types;

                #[inline(always)]
                fn inserted(__reader: &__p::Reader<'_, '__de>) -> __p::Result<Self, __p::DecodeError> {
                    __row(__reader, &__reader.new_values())
                }
                #[inline]
                fn deleted(__reader: &__p::Reader<'_, '__de>) -> __p::Result<Self, __p::DecodeError> {
                    __row(__reader, &__reader.old())
                }
                #[inline]
                fn updated(__reader: &__p::Reader<'_, '__de>) -> __p::Result<#update #ty_generics, __p::DecodeError> {
                    let (__old, __new): (__p::Side<'__de, #count>, __p::Side<'__de, #count>) =
                        (__reader.old(), __reader.new_values());
                    __p::Result::Ok(#update { #updates })
                }
                #[inline]
                fn patched(__reader: &__p::Reader<'_, '__de>) -> __p::Result<#patch #ty_generics, __p::DecodeError> {
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
}
