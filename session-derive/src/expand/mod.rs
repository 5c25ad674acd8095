//! The code of a [`Row`], one file for each part of it.
//!
//! | file | part |
//! |---|---|
//! | `companions` | the structs of an UPDATE, their methods and their standard traits |
//! | `constants` | column names, positions and keys, and the checks of them |
//! | `tracked` | the trait `Tracked` |
//! | `decode` | reading a row and its companions |
//! | `keys` | reading and copying the primary key |
//! | `encode` | writing a row |
//! | `json` | JSON, with the feature `serde` |
//! | `stub` | the code of a row with a mistake |
//!
//! The generated code does not depend on the names in scope: paths begin with the crate's
//! `__private`, called `__p`. Locals and constants begin with `__`. The user's tokens are used
//! where an error must point at them ([`at`]).
//!
//! A crate can have a hundred rows of twenty columns each, so every token of a column counts. The
//! code prefers what the compiler checks fast: `match` over `?` and closures, function pointers
//! over generic functions, one constant for all columns over one for each, and values known here
//! over constants.

mod companions;
mod constants;
mod decode;
mod encode;
pub(crate) mod json;
mod keys;
mod stub;
mod tracked;

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Generics, Ident, Type};

use crate::at;
use crate::row::{Column, Row};

/// Returns the constant that contains the code of an item. The user's module may have strict lints.
pub(crate) fn scope(krate: &syn::Path, body: TokenStream) -> TokenStream {
    quote! {
        #[allow(unused_qualifications, non_snake_case, deprecated, clippy::all, clippy::pedantic, clippy::nursery)]
        const _: () = {
            use #krate::__private as __p;
            #body
        };
    }
}

/// Returns the value of a `Result`, or returns its error from the function. The compiler checks
/// this faster than `?`.
fn propagate(result: &TokenStream) -> TokenStream {
    quote! {
        match #result {
            __p::Result::Ok(__value) => __value,
            __p::Result::Err(__error) => return __p::Result::Err(__error),
        }
    }
}

/// Returns the alias of a column's SQL type.
fn sql_alias(field: usize) -> Ident {
    format_ident!("__Sql{}", field)
}

/// Returns the alias of a column's `IsKey`, where only the compiler knows the key.
fn key_alias(field: usize) -> Ident {
    format_ident!("__Key{}", field)
}

/// Returns a name in a form that can be compared.
fn plain(name: &Ident) -> String {
    name.unraw().to_string()
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

    /// Returns the type of the table, with the place where the user named it.
    fn table_type(&self) -> TokenStream {
        let table = &self.table;
        quote_spanned!(at(table.span())=> #table::table)
    }

    /// Returns the type of a column, with the place where the user named it.
    fn column(&self, column: &Ident) -> TokenStream {
        let table = &self.table;
        quote_spanned!(at(column.span())=> #table::#column)
    }

    /// Returns the constant with the name of a column in the database.
    fn column_name(&self, column: &Ident, p: &TokenStream) -> TokenStream {
        let path = self.column(column);
        quote_spanned!(at(column.span())=> <#path as #p::diesel::Column>::NAME)
    }

    /// Returns the name of the table's module.
    fn shown_table(&self) -> String {
        let last = self.table.iter().filter_map(|table| table.segments.last()).next();
        last.map(|segment| segment.ident.unraw().to_string()).unwrap_or_default()
    }

    /// Returns the number of recorded columns: those with a field, and the skipped ones.
    fn recorded(&self) -> usize {
        self.columns.len() + self.skipped.len()
    }

    /// Returns the position of a field's column among the recorded columns.
    fn position(&self, field: usize) -> TokenStream {
        match self.known_position(field) {
            Some(position) => quote!(#position),
            None => quote!(__AT[#field]),
        }
    }

    /// Returns that position if the schema file has it.
    fn known_position(&self, field: usize) -> Option<usize> {
        let mut recorded = self.recorded_columns()?;
        recorded.position(|name| crate::row::same(name, &self.columns[field].column))
    }

    /// Returns the recorded columns, in the order of the schema file.
    fn recorded_columns(&self) -> Option<impl Iterator<Item = &Ident>> {
        let is_recorded = |name: &&Ident| !self.generated.iter().any(|column| crate::row::same(column, name));
        Some(self.listed.as_ref()?.iter().filter(is_recorded))
    }

    /// Returns `IsKey` of a column, as a type.
    fn is_key_type(&self, field: usize, column: &Column) -> TokenStream {
        match self.is_key(column) {
            Some(is_key) => quote!(__p::IsKey<#is_key>),
            None => key_alias(field).into_token_stream(),
        }
    }

    /// Returns the generics with the lifetime `'__de` of the changes in front.
    fn decode_generics(&self) -> Generics {
        let mut generics = self.generics.clone();
        let lifetimes = self.generics.lifetimes().map(|lifetime| &lifetime.lifetime);
        generics.params.insert(0, syn::parse_quote!('__de: #(#lifetimes)+*));
        generics
    }
}

/// Returns the types of these columns without repetition.
fn different_types<'c>(columns: impl Iterator<Item = &'c Column>) -> Vec<&'c Type> {
    let mut seen = Vec::new();
    columns
        .map(|column| &column.ty)
        .filter(|ty| {
            let written = quote!(#ty).to_string();
            let is_new = !seen.contains(&written);
            seen.push(written);
            is_new
        })
        .collect()
}
