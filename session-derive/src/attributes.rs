//! The attributes: `#[tracked(…)]`, which is ours, and of Diesel's `#[diesel(…)]` what concerns columns.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Attribute, Ident, LitStr, Path, Token, Type, parenthesized};

use crate::errors::Errors;

/// What `#[diesel(…)]` on a struct says.
#[derive(Default)]
pub(crate) struct DieselItem {
    pub(crate) table_name: Option<Path>,
    pub(crate) primary_key: Option<Vec<Ident>>,
}

/// What `#[diesel(…)]` on a field says.
#[derive(Default)]
pub(crate) struct DieselField {
    pub(crate) column_name: Option<Ident>,
    pub(crate) deserialize_as: Option<Type>,
    pub(crate) serialize_as: Option<Type>,
    pub(crate) embed: Option<Ident>,
}

/// Reads the attributes of a name, entry by entry; what Diesel knows and we need not is skipped.
pub(crate) fn each(
    attributes: &[Attribute],
    name: &str,
    errors: &mut Errors,
    mut entry: impl FnMut(&ParseNestedMeta<'_>) -> syn::Result<()>,
) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        errors.take(attribute.parse_nested_meta(|meta| entry(&meta)));
    }
}

/// Skips `= …` or `(…)`.
fn skip(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(syn::token::Paren) {
        let content;
        parenthesized!(content in meta.input);
        content.parse::<TokenStream>()?;
    } else if meta.input.peek(Token![=]) {
        meta.input.parse::<Token![=]>()?;
        while !meta.input.is_empty() && !meta.input.peek(Token![,]) {
            meta.input.parse::<proc_macro2::TokenTree>()?;
        }
    }
    Ok(())
}

/// A name, as a word or, as Diesel still takes it, in quotes.
fn name(input: ParseStream<'_>) -> syn::Result<Ident> {
    if input.peek(LitStr) {
        input.parse::<LitStr>()?.parse_with(Ident::parse_any)
    } else {
        input.call(Ident::parse_any)
    }
}

/// `(a, b)`: names of columns.
pub(crate) fn names(meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<Ident>> {
    let content;
    parenthesized!(content in meta.input);
    Ok(Punctuated::<Ident, Token![,]>::parse_terminated_with(&content, Ident::parse_any)?.into_iter().collect())
}

pub(crate) fn diesel_item(attributes: &[Attribute], errors: &mut Errors) -> DieselItem {
    let mut item = DieselItem::default();
    each(attributes, "diesel", errors, |meta| {
        if meta.path.is_ident("table_name") {
            let value = meta.value()?;
            item.table_name =
                Some(if value.peek(LitStr) { value.parse::<LitStr>()?.parse()? } else { value.parse()? });
            Ok(())
        } else if meta.path.is_ident("primary_key") {
            item.primary_key = Some(names(meta)?);
            Ok(())
        } else {
            skip(meta)
        }
    });
    item
}

pub(crate) fn diesel_field(attributes: &[Attribute], errors: &mut Errors) -> DieselField {
    let mut field = DieselField::default();
    each(attributes, "diesel", errors, |meta| {
        if meta.path.is_ident("column_name") {
            field.column_name = Some(name(meta.value()?)?);
        } else if meta.path.is_ident("deserialize_as") {
            field.deserialize_as = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("serialize_as") {
            field.serialize_as = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("embed") {
            field.embed = meta.path.get_ident().cloned();
        } else {
            skip(meta)?;
        }
        Ok(())
    });
    field
}

/// The error of an entry that is not known, with those that are.
pub(crate) fn unknown(meta: &ParseNestedMeta<'_>, known: &[&str]) -> syn::Error {
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let written = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
    let near = known.iter().find(|name| distance(name, &written) <= 2);
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    meta.error(format!("`{written}` is no entry of `#[tracked(…)]` here, which takes {list}{hint}"))
}

/// How many letters two words differ by.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
