//! The trait `Tracked` of a row and of its table.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::at;
use crate::row::{Names, Row};

impl Row {
    pub(super) fn tracked(&self) -> TokenStream {
        let (table, optional) = (self.table_type(), self.optional());
        self.implement(
            &quote!(__p::table_info(<#table as __p::TableName>::NAME, &__COLUMNS, &__ORDINALS, #optional, __HIDDEN)),
            &self.key_type(),
        )
    }

    /// Returns the implementations for the row, and for the table if the row can be the table's.
    pub(super) fn implement(&self, info: &TokenStream, key: &TokenStream) -> TokenStream {
        let Self { name, .. } = self;
        let Names { update, patch } = &self.names;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let table = (self.table.is_some() && self.is_the_tables()).then(|| self.table_type());
        let of_table = table.map(|table| {
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

    /// Returns the type of the key.
    pub(super) fn key_type(&self) -> TokenStream {
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
                    <__KeyColumns as __p::KeyOf<<#table as __p::diesel::Table>::PrimaryKey, #name #ty_generics>>::Key
                }
            }
        }
    }
}
