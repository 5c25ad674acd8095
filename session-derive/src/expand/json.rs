//! The JSON code of a row and its companions.
//!
//! A build can contain two versions of the main crate, but only one version of this crate. The code
//! is written if any of them has its feature `serde`. The macro `when_serde` keeps the code only if
//! the user's version of the main crate has the feature.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Generics, Ident, Type};

use super::different_types;
use crate::at;
use crate::row::{Column, Row};

/// Returns the names of the functions that write and read a field.
fn functions(place: usize) -> (Ident, Ident) {
    (format_ident!("__to_json_{}", place), format_ident!("__from_json_{}", place))
}

/// Whether code for JSON is written.
pub(crate) const WRITTEN: bool = cfg!(any(feature = "serde", test));

impl Row {
    pub(crate) fn json(&self) -> TokenStream {
        if !WRITTEN {
            return TokenStream::new();
        }
        let functions = self.columns.iter().enumerate().map(|(place, column)| self.json_functions(place, column));
        let (columns, write, read) = (self.json_key_columns(), self.write_json(), self.read_json());
        quote! {
            __p::when_serde! {
                #(#functions)*
                #columns
                #write
                #read
            }
        }
    }

    /// Returns the bounds of the types of these fields. With `for` the compiler accepts a bound
    /// that does not hold.
    fn json_bounds<'c>(
        &'c self,
        columns: impl Iterator<Item = &'c Column>,
        has_any: impl Fn(&Column) -> bool,
        bound: &TokenStream,
    ) -> TokenStream {
        let types = different_types(columns.filter(|column| has_any(column)));
        let own = self.generics.where_clause.iter().flat_map(|clause| &clause.predicates);
        quote!(where #(for<'__any> #types: #bound,)* #(#own,)*)
    }

    fn write_bounds<'c>(&'c self, columns: impl Iterator<Item = &'c Column>) -> TokenStream {
        let has = |column: &Column| !column.serde.hidden && column.serde.serialize_with.is_none();
        self.json_bounds(columns, has, &quote!(__p::json::serde::Serialize))
    }

    fn read_bounds<'c>(&'c self, columns: impl Iterator<Item = &'c Column>) -> TokenStream {
        let has = |column: &Column| !column.serde.hidden && column.serde.deserialize_with.is_none();
        self.json_bounds(columns, has, &quote!(__p::json::read::Owned))
    }

    /// Returns the functions that write and read a field.
    fn json_functions(&self, place: usize, column: &Column) -> TokenStream {
        let ((to, from), ty) = (functions(place), &column.ty);
        let span = at(syn::spanned::Spanned::span(ty));
        let (written, read) = if column.serde.hidden {
            let unit = quote!(__p::json::serde::Serializer::serialize_unit(__serializer));
            (unit, quote!(__p::Result::Ok(__p::core::default::Default::default())))
        } else {
            let written = match &column.serde.serialize_with {
                Some(path) => quote!(#path(__value, __p::json::Plainly(__serializer))),
                None => quote_spanned!(span=> __p::json::Field::<#ty>::NEW.write(__value, __serializer)),
            };
            let read = match &column.serde.deserialize_with {
                Some(path) => quote!(#path(__tree)),
                None => quote_spanned!(span=> __p::json::Field::<#ty>::NEW.read(__tree)),
            };
            (written, read)
        };
        let generics = with_serializer(&self.generics);
        let (to_generics, _, _) = generics.split_for_impl();
        let (from_generics, _, _) = self.generics.split_for_impl();
        let write_bounds = self.write_bounds(std::iter::once(column));
        let read_bounds = self.hidden_bounds(self.read_bounds(std::iter::once(column)), std::iter::once(column));
        quote! {
            #[allow(unused_lifetimes)]
            fn #to #to_generics (
                __value: &#ty,
                __serializer: __S,
            ) -> __p::Result<__S::Ok, __S::Error> #write_bounds {
                #[allow(unused_imports)]
                use __p::json::plain::WriteSerde as _;
                #written
            }
            #[allow(unused_lifetimes)]
            fn #from #from_generics (__tree: __p::json::Tree) -> __p::Result<#ty, __p::json::Error> #read_bounds {
                #[allow(unused_imports)]
                use __p::json::read::ReadSerde as _;
                #read
            }
        }
    }

    /// Adds the bound that reading a hidden field requires.
    fn hidden_bounds<'c>(&self, bounds: TokenStream, columns: impl Iterator<Item = &'c Column>) -> TokenStream {
        let types: Vec<&Type> = columns.filter(|column| column.serde.hidden).map(|column| &column.ty).collect();
        quote!(#bounds #(for<'__any> #types: __p::core::default::Default,)*)
    }

    /// Returns the traits of the key's columns; of all columns, if only the compiler knows the key.
    fn json_key_columns(&self) -> TokenStream {
        let name = &self.name;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let columns = self.columns.iter().enumerate().filter(|(_, column)| self.is_key(column) != Some(false));
        let impls = columns.map(|(place, column)| {
            let ((to, from), ty, path) = (functions(place), &column.ty, self.column(&column.column));
            let write_bounds = self.write_bounds(std::iter::once(column));
            let read_bounds = self.hidden_bounds(self.read_bounds(std::iter::once(column)), std::iter::once(column));
            let has_column = self.key.as_ref().map(|_| {
                quote_spanned! {at(syn::spanned::Spanned::span(ty))=>
                    #[automatically_derived]
                    impl #impl_generics __p::HasColumn<#path> for #name #ty_generics #where_clause {
                        type Type = #ty;
                    }
                }
            });
            quote! {
                #has_column
                #[automatically_derived]
                impl #impl_generics __p::json::write::WriteColumn<#path> for #name #ty_generics #write_bounds {
                    fn write<__S: __p::json::serde::Serializer>(
                        __value: &#ty,
                        __serializer: __S,
                    ) -> __p::Result<__S::Ok, __S::Error> {
                        #to(__value, __serializer)
                    }
                }
                #[automatically_derived]
                impl #impl_generics __p::json::read::ReadKeyColumn<#path> for #name #ty_generics #read_bounds {
                    fn read(__parsed: &mut __p::json::Parsed) -> __p::Result<#ty, __p::json::Error> {
                        __p::json::read::key(__parsed, __AT[#place], #from)
                    }
                }
            }
        });
        quote!(#(#impls)*)
    }

    /// Returns the key as the types that write and read it.
    fn json_key(&self) -> (TokenStream, TokenStream) {
        let Some(key) = &self.key else {
            let table = self.table_type();
            return (quote!(__KeyColumns), quote!(<#table as __p::diesel::Table>::PrimaryKey));
        };
        // a constant checks elsewhere that this is the key of the table
        let (count, columns) = (key.len(), key.iter().map(|column| self.column(column)).collect::<Vec<_>>());
        match &columns[..] {
            [column] => (quote!(__p::Columns<1>), column.clone()),
            columns => (quote!(__p::Columns<#count>), quote!((#(#columns,)*))),
        }
    }

    fn write_json(&self) -> TokenStream {
        let name = &self.name;
        let (impl_generics, ty_generics, _) = self.generics.split_for_impl();
        let bounds = self.write_bounds(self.columns.iter());
        let places = self.columns.iter().enumerate().map(|(place, column)| {
            if column.serde.hidden { quote!(__p::Option::None) } else { quote!(__p::Option::Some(__AT[#place])) }
        });
        let rows = self.columns.iter().enumerate().map(|(place, column)| {
            let ((to, _), field) = (functions(place), &column.field);
            quote!(#place => #to(&self.#field, __serializer))
        });
        let companion = |method: &str| {
            let method = format_ident!("{}", method);
            let parts = move |place: usize, column: &Column| {
                let (is_key, ty, field) = (self.is_key_type(place, column), &column.ty, &column.field);
                quote!(<#is_key as __p::json::Parts<#ty>>::#method(&__companion.#field).get(__side))
            };
            let written: Vec<_> = self
                .columns
                .iter()
                .enumerate()
                .map(|(place, column)| {
                    let ((to, _), part) = (functions(place), parts(place, column));
                    quote! {
                        #place => match #part {
                            __p::Option::Some(__value) => #to(__value, __serializer),
                            __p::Option::None => __p::json::serde::Serializer::serialize_unit(__serializer),
                        }
                    }
                })
                .collect();
            let has: Vec<_> = self
                .columns
                .iter()
                .enumerate()
                .map(|(place, column)| {
                    let part = parts(place, column);
                    quote!(#place => #part.is_some())
                })
                .collect();
            (written, has)
        };
        let ((update, update_has), (patch, patch_has)) = (companion("update"), companion("patch"));
        let (columns, primary_key) = self.json_key();
        quote! {
            #[automatically_derived]
            impl #impl_generics __p::json::WriteJson for #name #ty_generics #bounds {
                const COLUMNS: &'static [__p::Option<__p::usize>] = &[#(#places),*];

                fn write_row<__S: __p::json::serde::Serializer>(
                    &self,
                    __field: __p::usize,
                    __serializer: __S,
                ) -> __p::Result<__S::Ok, __S::Error> {
                    match __field {
                        #(#rows,)*
                        _ => __p::json::serde::Serializer::serialize_unit(__serializer),
                    }
                }
                fn write_update<__S: __p::json::serde::Serializer>(
                    __companion: &Self::Update,
                    __field: __p::usize,
                    __side: __p::json::Side,
                    __serializer: __S,
                ) -> __p::Result<__S::Ok, __S::Error> {
                    match __field {
                        #(#update,)*
                        _ => __p::json::serde::Serializer::serialize_unit(__serializer),
                    }
                }
                fn update_has(__companion: &Self::Update, __field: __p::usize, __side: __p::json::Side) -> __p::core::primitive::bool {
                    match __field { #(#update_has,)* _ => false }
                }
                fn write_patch<__S: __p::json::serde::Serializer>(
                    __companion: &Self::Patch,
                    __field: __p::usize,
                    __side: __p::json::Side,
                    __serializer: __S,
                ) -> __p::Result<__S::Ok, __S::Error> {
                    match __field {
                        #(#patch,)*
                        _ => __p::json::serde::Serializer::serialize_unit(__serializer),
                    }
                }
                fn patch_has(__companion: &Self::Patch, __field: __p::usize, __side: __p::json::Side) -> __p::core::primitive::bool {
                    match __field { #(#patch_has,)* _ => false }
                }
                fn write_key<__S: __p::json::serde::Serializer>(
                    __key: &Self::Key,
                    __serializer: __S,
                ) -> __p::Result<__S::Ok, __S::Error> {
                    <#columns as __p::json::write::WriteKey<#primary_key, Self>>::write(__key, __serializer)
                }
            }
        }
    }

    fn read_json(&self) -> TokenStream {
        let (name, names) = (&self.name, &self.names);
        let (update, patch) = (&names.update, &names.patch);
        let (impl_generics, ty_generics, _) = self.generics.split_for_impl();
        let bounds = self.hidden_bounds(self.read_bounds(self.columns.iter()), self.columns.iter());
        let rows = self.columns.iter().enumerate().map(|(place, column)| {
            let ((_, from), field) = (functions(place), &column.field);
            if column.serde.hidden {
                quote!(#field: __p::core::default::Default::default())
            } else if column.optional {
                quote!(#field: __parsed.row_or_default(__AT[#place], #from)?)
            } else {
                quote!(#field: __parsed.row(__AT[#place], #from)?)
            }
        });
        let companion = |method: &str| -> Vec<TokenStream> {
            let method = format_ident!("{}", method);
            let of_column = |(place, column): (usize, &Column)| {
                let (is_key, ty, field) = (self.is_key_type(place, column), &column.ty, &column.field);
                let (_, from) = functions(place);
                quote!(#field: <#is_key as __p::json::read::ReadParts<#ty>>::#method(__parsed, __AT[#place], #from)?)
            };
            self.columns.iter().enumerate().map(of_column).collect()
        };
        let (updates, patches, defaults) = (companion("update"), companion("patch"), self.read_defaults());
        let (columns, primary_key) = self.json_key();
        quote! {
            #[automatically_derived]
            impl #impl_generics __p::json::ReadJson for #name #ty_generics #bounds {
                fn read_row(__parsed: &mut __p::json::Parsed) -> __p::Result<Self, __p::json::Error> {
                    __p::Result::Ok(#name { #(#rows,)* #defaults })
                }
                fn read_update(__parsed: &mut __p::json::Parsed) -> __p::Result<Self::Update, __p::json::Error> {
                    __p::Result::Ok(#update { #(#updates,)* })
                }
                fn read_patch(__parsed: &mut __p::json::Parsed) -> __p::Result<Self::Patch, __p::json::Error> {
                    __p::Result::Ok(#patch { #(#patches,)* })
                }
                fn read_key(__parsed: &mut __p::json::Parsed) -> __p::Result<Self::Key, __p::json::Error> {
                    <#columns as __p::json::read::ReadKeyOf<#primary_key, Self>>::read(__parsed)
                }
            }
        }
    }
}

/// Generics with a serializer `__S` at their end.
fn with_serializer(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    generics.params.push(syn::parse_quote!(__S: __p::json::serde::Serializer));
    generics
}
