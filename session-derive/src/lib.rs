//! `#[derive(Tracked)]`, which [`diesel-sqlite-session`](https://docs.rs/diesel-sqlite-session)
//! `#[derive(Tracked)]`, which [`diesel-sqlite-session`](https://docs.rs/diesel-sqlite-session)
//! re-exports together with its trait of the same name. [The
//! guide](https://docs.rs/diesel-sqlite-session/latest/diesel_sqlite_session/_documentation/derive/index.html)
//! covers items, attributes and errors.
//!
//! The kind of the item selects the module: `row` for a struct with fields, `set` for an enum,
//! `schema` for a unit struct. Each passes the same stages: it reads the item and its attributes
//! (`attributes`), checks them and collects all mistakes (`errors`), and writes the code
//! (`expand`). After a mistake it writes a stub instead, so that code which uses the item has no
//! further errors.

mod attributes;
mod errors;
mod expand;
mod row;
mod schema;
mod set;
#[cfg(test)]
mod snapshots;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{Data, DeriveInput, Fields};

/// Derives the trait `Tracked` and its companions for a row, a set of tables or a whole schema.
///
/// [The
/// guide](https://docs.rs/diesel-sqlite-session/latest/diesel_sqlite_session/_documentation/derive/index.html)
/// covers items, attributes and errors.
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

/// Returns the place of the user's code, so that an error points at it, with the name resolution of
/// the derive. The span of a `macro_rules!` of the user would not see the derive's locals.
fn at(place: Span) -> Span {
    Span::call_site().located_at(place)
}
