//! `#[derive(Tracked)]`, which [`diesel-sqlite-session`](https://docs.rs/diesel-sqlite-session) re-exports beside its trait
//! of the same name. [The guide](https://docs.rs/diesel-sqlite-session/latest/diesel_sqlite_session/_documentation/derive/index.html)
//! covers items, attributes and errors.
//!
//! What is derived for is told by the item: `row` for a struct with fields, `set` for an enum, `schema` for a unit struct.
//! Each goes the same way: the item and its attributes are read (`attributes`), with all mistakes collected (`errors`), and
//! what is left is written out (`expand`). After a mistake a stub is written, so that what uses the item makes no more errors.

mod attributes;
mod errors;
mod expand;
mod place;
mod row;
mod schema;
mod set;
#[cfg(test)]
mod snapshots;
mod table_macro;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{Data, DeriveInput, Fields};

/// Typed changes of a row, a set of tables or a schema.
///
/// [The guide](https://docs.rs/diesel-sqlite-session/latest/diesel_sqlite_session/_documentation/derive/index.html) covers
/// items, attributes and errors.
#[proc_macro_derive(Tracked, attributes(tracked, diesel, serde))]
pub fn derive_tracked(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = syn::parse_macro_input!(item as DeriveInput);
    derive(&item).into()
}

fn derive(item: &DeriveInput) -> TokenStream {
    let refused = |tokens: TokenStream, message: &str| syn::Error::new_spanned(tokens, message).into_compile_error();
    match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => row::derive(item, fields),
            Fields::Unit => schema::derive(item),
            Fields::Unnamed(fields) => refused(
                fields.to_token_stream(),
                "a row needs fields with names: `struct User { id: i32, name: String }`",
            ),
        },
        Data::Enum(data) => set::derive(item, data),
        Data::Union(data) => refused(
            data.union_token.to_token_stream(),
            "`Tracked` is derived for a struct (a row), an enum (a set of tables) or a unit struct (a schema)",
        ),
    }
}

/// The place of the user's code, for an error to point at, with names as the derive's own: those that a `macro_rules!` of the
/// user has made would not see the derive's locals.
fn at(place: Span) -> Span {
    Span::call_site().located_at(place)
}
