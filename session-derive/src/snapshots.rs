//! Compares the generated code of a row, a set and a schema with files, so that a diff shows the
//! effect of a change to the derive.
//! `UPDATE_SNAPSHOTS=1 cargo test -p diesel-sqlite-session-derive` writes the files again.

use std::path::Path;

use proc_macro2::TokenStream;
use syn::{DeriveInput, parse_quote};

fn hold(name: &str, tokens: TokenStream) {
    let file = syn::parse2(tokens).unwrap();
    let written = prettyplease::unparse(&file);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/snapshots").join(name).with_extension("txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, written).unwrap();
    } else {
        let held = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(held == written, "{} is another now; UPDATE_SNAPSHOTS=1 writes it anew:\n{written}", path.display());
    }
}

#[test]
fn a_row() {
    let item: DeriveInput = parse_quote! {
        #[diesel(table_name = users)]
        #[tracked(skip(password))]
        pub struct User {
            id: i32,
            #[tracked(default)]
            email: Option<String>,
        }
    };
    hold("row", crate::derive(&item));
}

#[test]
fn a_row_that_says_its_key() {
    let item: DeriveInput = parse_quote! {
        #[diesel(table_name = schema::seats, primary_key(row, flight))]
        #[tracked(crate = again)]
        struct Seat<'a> {
            flight: &'a str,
            row: i32,
        }
    };
    hold("row_with_key", crate::derive(&item));
}

#[test]
fn a_set() {
    let item: DeriveInput = parse_quote! {
        enum Blog<'a> {
            Users(Change<users::table>),
            Posts(Change<Post<'a>>),
        }
    };
    hold("set", crate::derive(&item));
}

#[test]
fn a_schema() {
    let item: DeriveInput = parse_quote! {
        #[tracked(schema = "schema.rs", module = crate::schema, exclude(log))]
        pub struct Shop;
    };
    let text = "diesel::table! { use crate::types::Color; items (id) { id -> BigInt, /// What it costs.\n price -> Nullable<Double>, color -> Color, } }
                diesel::table! { log (rowid) { rowid -> BigInt, line -> Text, } }";
    hold("schema", crate::schema::expand_text(&item, text));
}

#[test]
fn a_mistake() {
    let item: DeriveInput = parse_quote! {
        #[diesel(table_name = users)]
        pub struct User {
            id: i32,
            #[tracked(skp)]
            name: String,
        }
    };
    hold("mistake", crate::derive(&item));
}

#[test]
fn mistakes_in_what_is_said_of_a_schema() {
    let item: DeriveInput = parse_quote! {
        #[tracked(schema = "schema.rs", module = crate::schema, exclud(log), include(log, user, users_))]
        #[tracked(rename(users_ = Log), skip(users::pasword, name), types(Colour = i32))]
        pub struct Shop;
    };
    let text = "diesel::table! { users (id) { id -> BigInt, password -> Text, } }
                diesel::table! { users_ (id) { id -> BigInt, } }
                diesel::table! { log (id) { id -> BigInt, } }";
    hold("schema_mistakes", crate::schema::expand_text(&item, text));
}
