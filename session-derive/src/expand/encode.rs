//! Writing a row.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Generics, Ident};

use super::sql_alias;
use crate::row::{Column, Row};

impl Row {
    pub(super) fn encode(&self) -> TokenStream {
        // the values of skipped columns would be lost
        if !self.skipped.is_empty() {
            return TokenStream::new();
        }
        let (name, count) = (&self.name, self.columns.len());
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let can_write =
            self.columns.iter().enumerate().filter(|(_, column)| !column.is_plain()).map(|(field, column)| {
                let (sql, shown, ty) = (sql_alias(field), column.field.unraw().to_string(), &column.ty);
                let written = column.serialize_as.as_ref().unwrap_or(ty);
                let is_made = column.serialize_as.as_ref().map(|other| quote!(&& __p::CanMake::<#ty, #other>::MADE));
                quote! {
                    ((__p::CanWrite::<#written, #sql>::OURS || __p::CanWrite::<#written, #sql>::DIESELS) #is_made, #shown)
                }
            });
        let writers = self.columns.iter().enumerate().map(|(field, column)| self.writer(field, column));
        let values = self.columns.iter().enumerate().map(|(field, column)| {
            let (name, position) = (&column.field, self.position(field));
            if column.is_plain() {
                quote!(__row.put(#position, __p::Plain::write(&self.#name));)
            } else if column.serialize_as.is_some() {
                let (make, write, made) = (function("make", field), function("write", field), function("made", field));
                quote! {
                    let #made = #make(&self.#name);
                    __row.put_made(#position, &#made, #write);
                }
            } else {
                let write = function("write", field);
                quote!(__row.put(#position, #write(&self.#name));)
            }
        });
        quote! {
            #(#writers)*

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
                    let mut __row = __p::Writer::<#count>::new();
                    #(#values)*
                    __row.finish(__then)
                }
            }
        }
    }

    /// Returns the function that makes a value of a field, and the one that converts the field
    /// before.
    ///
    /// The compiler checks many small functions faster than a large one: in a large function, it
    /// checks each open question again at each expression.
    fn writer(&self, field: usize, column: &Column) -> TokenStream {
        if column.is_plain() {
            return TokenStream::new();
        }
        let (write, sql, ty) = (function("write", field), sql_alias(field), &column.ty);
        let (generics, where_clause) = (self.value_generics(), &self.generics.where_clause);
        let (value_generics, _, _) = generics.split_for_impl();
        let (impl_generics, _, _) = self.generics.split_for_impl();
        let written = column.serialize_as.as_ref().unwrap_or(ty);
        let convert = column.serialize_as.as_ref().map(|other| {
            let make = function("make", field);
            quote! {
                #[allow(unused_lifetimes)]
                #[inline]
                fn #make #impl_generics (__value: &#ty) -> __p::Result<#other, __p::ValueError> #where_clause {
                    #[allow(unused_imports)]
                    use __p::{MakeByInto as _, MakeNot as _};
                    (&&__p::Make::<#ty, #other>::NEW).make(__value)
                }
            }
        });
        quote! {
            #convert
            #[allow(unused_lifetimes)]
            #[inline]
            fn #write #value_generics (__value: &'__value #written) -> __p::Result<__p::CowValue<'__value>, __p::ValueError> #where_clause {
                #[allow(unused_imports)]
                use __p::{EncodeDiesel as _, EncodeNot as _, EncodeOurs as _};
                (&&&__p::Via::<#written, #sql>::NEW).encode(__value)
            }
        }
    }

    /// Returns the generics with the lifetime `'__value` of a field in front.
    fn value_generics(&self) -> Generics {
        let mut generics = self.generics.clone();
        generics.params.insert(0, syn::parse_quote!('__value));
        generics
    }
}

fn function(what: &str, field: usize) -> Ident {
    format_ident!("__{}_{}", what, field)
}
