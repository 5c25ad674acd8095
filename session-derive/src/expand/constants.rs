//! Constants: column names, positions and keys, and the checks of them.
//!
//! A schema file lists the columns in the order of the table, with their SQL types: the constants
//! only check that the file and the module agree. A struct does not list them: the compiler finds
//! the position of each column, and whether it belongs to the key, from the types that `table!`
//! generates.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Ident;
use syn::ext::IdentExt;

use super::{key_alias, sql_alias};
use crate::at;
use crate::row::{Row, same};

impl Row {
    /// Returns the number of fields with `#[tracked(default)]`.
    pub(super) fn optional(&self) -> usize {
        self.columns.iter().filter(|column| column.optional).count()
    }

    pub(super) fn constants(&self) -> TokenStream {
        let p = quote!(__p);
        let positions = if self.listed.is_some() { self.listed_positions() } else { self.found_positions() };
        let left_out = self.skipped.iter().chain(&self.generated).map(|column| {
            let (name, shown) = (self.column_name(column, &p), column.unraw().to_string());
            quote_spanned!(at(column.span())=> const _: () = __p::check_skipped(__KEY, #name, #shown);)
        });
        let optional = self.optional();
        let defaults = self.columns.iter().enumerate().filter(|(_, column)| column.optional).map(|(field, column)| {
            let (position, name) = (self.position(field), column.field.unraw().to_string());
            quote_spanned! {at(column.field.span())=>
                const _: () = __p::check_default(&__ORDINALS, #position, #optional, #name);
            }
        });
        let unshown = self.columns.iter().filter(|column| column.serde.hidden).map(|column| column.column.clone());
        let hidden = self.names(&self.skipped.iter().cloned().chain(unshown).collect::<Vec<_>>());
        quote! {
            #positions
            const __HIDDEN: &[&__p::str] = #hidden;
            #(#left_out)*
            #(#defaults)*
        }
    }

    fn names(&self, columns: &[Ident]) -> TokenStream {
        let names = columns.iter().map(|column| self.column_name(column, &quote!(__p)));
        quote!(&[#(#names),*])
    }

    /// Returns the constants of a row whose columns a schema file lists.
    fn listed_positions(&self) -> TokenStream {
        let (table, shown) = (self.table_type(), self.shown_table());
        let recorded: Vec<Ident> = self.recorded_columns().into_iter().flatten().cloned().collect();
        let (names, count) = (self.names(&recorded), recorded.len());
        let listed = if self.generated.is_empty() {
            quote!(&__COLUMNS)
        } else {
            self.names(self.listed.as_deref().unwrap_or_default())
        };
        let key = self.key.as_deref().unwrap_or_default();
        let key_names = self.names(key);
        let ordinals = recorded.iter().map(|name| {
            let ordinal = key.iter().position(|key| same(key, name)).map_or(0, |place| place + 1);
            proc_macro2::Literal::u8_unsuffixed(u8::try_from(ordinal).unwrap_or(u8::MAX))
        });
        let (fields, positions) = (self.columns.len(), (0..self.columns.len()).map(|field| self.position(field)));
        // a type that differs between file and module is an error here
        let sql_types = self.columns.iter().enumerate().filter_map(|(field, column)| {
            let (alias, path) = (sql_alias(field), self.column(&column.column));
            match column.sql_type {
                Some(_) => None,
                None => Some(quote!(type #alias = <#path as __p::diesel::Expression>::SqlType;)),
            }
        });
        let of_file = self.listed.iter().flatten().map(|name| {
            let known = self.columns.iter().find(|column| same(&column.column, name));
            match known.and_then(|column| column.sql_type.as_ref()) {
                Some(sql_type) => sql_type.clone(),
                None => {
                    let path = self.column(name);
                    quote!(<#path as __p::diesel::Expression>::SqlType)
                }
            }
        });
        quote! {
            const __COLUMNS: [&__p::str; #count] = *#names;
            const _: () = __p::check_schema(<<#table as __p::diesel::Table>::AllColumns as __p::ColumnList>::NAMES, #listed, #shown);
            const _: __p::core::marker::PhantomData<(#(#of_file,)*)> =
                __p::core::marker::PhantomData::<<#table as __p::diesel::query_builder::AsQuery>::SqlType>;
            const __KEY: &[&__p::str] = {
                #[allow(unused_imports)]
                use __p::OneColumn as _;
                __p::KeyList::<<#table as __p::diesel::Table>::PrimaryKey>::NAMES
            };
            const _: () = __p::check_key(#key_names, __KEY, &[], &[]);
            const __ORDINALS: [__p::u8; #count] = [#(#ordinals),*];
            const __AT: [__p::usize; #fields] = [#(#positions),*];
            #(#sql_types)*
        }
    }

    /// Returns the constants of a row whose columns the compiler looks up.
    fn found_positions(&self) -> TokenStream {
        let (skipped, generated) = (self.names(&self.skipped), self.names(&self.generated));
        let (fields, count) = (self.columns.len(), self.recorded());
        let (row, shown) = (self.name.unraw().to_string(), self.shown_table());
        let table = self.table_type();
        let missing = quote_spanned! {at(self.name.span())=>
            const _: () = __p::check_columns(__ALL, &[&__FIELDS, __SKIPPED, __GENERATED], #shown, #row);
        };
        let key = self.key.as_ref().map(|key| {
            let names = self.names(key);
            let shown: Vec<_> = self.columns.iter().map(|column| column.column.unraw().to_string()).collect();
            let span = key.first().map_or_else(|| self.name.span(), Ident::span);
            quote_spanned!(at(span)=> const _: () = __p::check_key(#names, __KEY, &__FIELDS, &[#(#shown),*]);)
        });
        let sql_types = self.columns.iter().enumerate().map(|(field, column)| {
            let (alias, path) = (sql_alias(field), self.column(&column.column));
            let span = at(column.column.span());
            quote_spanned!(span=> type #alias = <#path as __p::diesel::Expression>::SqlType;)
        });
        let key_names = self.key_names();
        let recorded = if self.generated.is_empty() {
            quote!(__p::without(__ALL, &[]))
        } else {
            quote!(__p::without(__ALL, __GENERATED))
        };
        quote! {
            const __ALL: &[&__p::str] = <<#table as __p::diesel::Table>::AllColumns as __p::ColumnList>::NAMES;
            #key_names
            const __SKIPPED: &[&__p::str] = #skipped;
            const __GENERATED: &[&__p::str] = #generated;
            #missing
            const __COLUMNS: [&__p::str; #count] = #recorded;
            const __ORDINALS: [__p::u8; #count] = __p::ordinals(&__COLUMNS, __KEY);
            const __AT: [__p::usize; #fields] = __p::positions(&__FIELDS, &__COLUMNS);
            #key
            #(#sql_types)*
        }
    }

    /// Returns the names of the key columns and of the columns with a field. If only the compiler
    /// knows the key, also returns which fields belong to it.
    pub(super) fn key_names(&self) -> TokenStream {
        let table = self.table_type();
        let count = self.columns.len();
        let fields = self.columns.iter().map(|column| self.column_name(&column.column, &quote!(__p)));
        let groups = if self.key.is_none() { self.key_groups() } else { TokenStream::new() };
        quote! {
            const __KEY: &[&__p::str] = {
                #[allow(unused_imports)]
                use __p::OneColumn as _;
                __p::KeyList::<<#table as __p::diesel::Table>::PrimaryKey>::NAMES
            };
            const __FIELDS: [&__p::str; #count] = [#(#fields),*];
            #groups
        }
    }

    /// Returns which fields belong to the key, as types, in groups of four.
    fn key_groups(&self) -> TokenStream {
        let name = &self.name;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let groups = (0..self.columns.len().div_ceil(4)).map(|group| {
            let alias = format_ident!("__Keys{}", group);
            quote! {
                type #alias = __p::Keys<{ __p::key_bits(__KEY, &__FIELDS, #group) }>;
                #[automatically_derived]
                impl #impl_generics __p::KeyColumns<#group> for #name #ty_generics #where_clause {
                    type Are = #alias;
                }
            }
        });
        let fields = (0..self.columns.len()).map(|field| {
            let (alias, group) = (key_alias(field), format_ident!("__Keys{}", field / 4));
            let one = format_ident!("K{}", field % 4);
            quote!(type #alias = <#group as __p::Four>::#one;)
        });
        quote! {
            #(#groups)*
            #(#fields)*
            type __KeyColumns = __p::Columns<{ __p::key_columns(__KEY, &__FIELDS) }>;
        }
    }
}
