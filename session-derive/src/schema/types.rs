//! The SQL types of Diesel whose Rust type is known here.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Ident, Path, Type};

use super::table_macro;

/// Returns the type that the trait `RustType` maps a SQL type to. The fields then have a familiar
/// type, and the compiler has nothing to look up.
pub(super) fn rust_type(sql: &Ident, krate: &Path) -> Option<Type> {
    Some(match sql.to_string().as_str() {
        "SmallInt" | "Int2" => syn::parse_quote!(::core::primitive::i16),
        "Integer" | "Int4" => syn::parse_quote!(::core::primitive::i32),
        "BigInt" | "Int8" => syn::parse_quote!(::core::primitive::i64),
        "Bool" => syn::parse_quote!(::core::primitive::bool),
        "Float" | "Float4" => syn::parse_quote!(::core::primitive::f32),
        "Double" | "Float8" => syn::parse_quote!(::core::primitive::f64),
        "Text" | "VarChar" | "Date" | "Time" | "Timestamp" | "TimestamptzSqlite" => {
            syn::parse_quote!(#krate::__private::String)
        }
        "Binary" | "Blob" => syn::parse_quote!(#krate::__private::Vec<::core::primitive::u8>),
        _ => return None,
    })
}

/// Returns Diesel's SQL type of a column, as derived code names it.
pub(super) fn plain_sql_type(column: &table_macro::Column) -> Option<TokenStream> {
    let sql = column.plain_type()?;
    let sql = Ident::new(&sql.to_string(), Span::call_site());
    let types = quote!(__p::diesel::sql_types);
    Some(if column.is_nullable() { quote!(#types::Nullable<#types::#sql>) } else { quote!(#types::#sql) })
}
