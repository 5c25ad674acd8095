//! `#[derive(Tracked)]`, which [`diesel-sqlite-session`](https://docs.rs/diesel-sqlite-session) re-exports beside its trait
//! of the same name; the documentation is there.
//!
//! What is derived for is told by the item: [`row`] for a struct with fields, [`set`] for an enum, [`schema`] for a unit struct.
//! Each goes the same way: the item and its attributes are read ([`attributes`]), with all mistakes collected ([`errors`]), and
//! what is left is written out.

mod attributes;
mod errors;
mod row;
mod schema;
mod set;
mod table_macro;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Data, DeriveInput, Fields};

/// Typed changes: see the trait of the same name in `diesel_sqlite_session`.
#[proc_macro_derive(Tracked, attributes(tracked, diesel))]
pub fn derive_tracked(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = syn::parse_macro_input!(item as DeriveInput);
    expand(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn expand(item: &DeriveInput) -> syn::Result<TokenStream> {
    match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => row::derive(item, fields),
            Fields::Unit => schema::derive(item),
            Fields::Unnamed(_) => Err(syn::Error::new_spanned(
                &item.ident,
                "a row needs fields with names, as Diesel's own derives go by them or by their places",
            )),
        },
        Data::Enum(data) => set::derive(item, data),
        Data::Union(data) => Err(syn::Error::new_spanned(
            data.union_token.into_token_stream(),
            "`Tracked` is derived for a struct (a row), an enum (a set of tables) or a unit struct (a schema)",
        )),
    }
}
