//! The structs and enums of a schema. The code of their rows is that of [`Row::expand`].

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{DeriveInput, Ident, Path};

use super::Schema;
use super::table_macro::Table;
use crate::row::{self, Row};
use crate::set;

impl Schema<'_> {
    /// Returns the struct of a row.
    pub(super) fn row_struct(&self, table: &Table, row: &Row) -> TokenStream {
        let (visibility, name, path) = (&row.visibility, &row.name, &row.table);
        let derives = match &self.options.derives {
            Some(paths) => quote!(#(#paths),*),
            None => quote!(::core::fmt::Debug, ::core::clone::Clone, ::core::cmp::PartialEq),
        };
        let row_derives = &self.options.row_derives;
        let diesel =
            (!row_derives.is_empty()).then(|| quote!(#[derive(#(#row_derives),*)] #[diesel(table_name = #path)]));
        let doc = format!("A row of `{}`.", table.name.unraw());
        let more = &table.docs;
        let fields = row.columns.iter().map(|column| {
            let row::Column { visibility, field, ty, .. } = column;
            let known = table.columns.iter().find(|known| known.name.unraw() == column.column.unraw());
            let docs: Vec<TokenStream> = match known {
                Some(known) if !known.docs.is_empty() => known.docs.iter().map(|doc| quote!(#doc)).collect(),
                _ => {
                    let doc = format!("`{}`.", field.unraw());
                    vec![quote!(#[doc = #doc])]
                }
            };
            quote!(#(#docs)* #visibility #field: #ty)
        });
        quote! {
            #[doc = #doc]
            #[doc = ""]
            #(#more)*
            #[allow(dead_code, non_snake_case)]
            #[derive(#derives)]
            #diesel
            #visibility struct #name { #(#fields,)* }
        }
    }

    /// Returns the enum that is the set of all tables.
    pub(super) fn set(&self, name: &Ident, kind: &str, of: &str, rows: &[(Ident, &Table, Row)]) -> TokenStream {
        let (visibility, krate) = (&self.item.vis, &self.options.krate);
        let kind = Ident::new(kind, Span::call_site());
        let variants = rows.iter().map(|(base, table, row)| {
            let (path, row_name) = (&row.table, &row.name);
            let of = if row.is_the_tables() { quote!(#path::table) } else { quote!(#row_name) };
            let doc = format!("A change of `{}`.", table.name.unraw());
            quote_spanned!(base.span()=> #[doc = #doc] #base(#krate::#kind<#of>))
        });
        let derivable = ["Debug", "Clone", "PartialEq"];
        let derives: Vec<Path> = match &self.options.derives {
            Some(paths) => {
                let ours = |path: &&Path| {
                    path.segments.last().is_some_and(|last| derivable.iter().any(|name| last.ident == name))
                };
                paths.iter().filter(ours).cloned().collect()
            }
            None => vec![
                syn::parse_quote!(::core::fmt::Debug),
                syn::parse_quote!(::core::clone::Clone),
                syn::parse_quote!(::core::cmp::PartialEq),
            ],
        };
        let doc = format!("A change of a {of}, of any table of `{}`.", self.item.ident);
        let item: DeriveInput = syn::parse_quote! {
            #[doc = #doc]
            #[allow(dead_code)]
            #[derive(#(#derives),*)]
            #visibility enum #name { #(#variants,)* }
        };
        let derived = match &item.data {
            syn::Data::Enum(data) => set::expand_checked(&item, data, krate),
            _ => TokenStream::new(),
        };
        quote!(#item #derived)
    }
}
