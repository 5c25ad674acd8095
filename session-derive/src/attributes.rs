//! Attributes: this crate's `#[tracked(…)]`, and the entries of `#[diesel(…)]` and `#[serde(…)]`
//! that concern columns.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Attribute, Ident, LitStr, Path, Token, Type, parenthesized};

use crate::errors::Errors;

/// The entries of `#[diesel(…)]` on a struct.
#[derive(Default)]
pub(crate) struct DieselItem {
    pub(crate) table_name: Option<Path>,
    pub(crate) primary_key: Option<Vec<Ident>>,
}

/// The entries of `#[diesel(…)]` on a field.
#[derive(Default)]
pub(crate) struct DieselField {
    pub(crate) column_name: Option<Ident>,
    pub(crate) deserialize_as: Option<Type>,
    pub(crate) serialize_as: Option<Type>,
    pub(crate) embed: Option<Ident>,
}

/// Calls `entry` for each entry of the attributes with a name.
pub(crate) fn each(
    attributes: &[Attribute],
    name: &str,
    errors: &mut Errors,
    mut entry: impl FnMut(&ParseNestedMeta<'_>, &mut Errors) -> syn::Result<()>,
) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        let result = attribute.parse_nested_meta(|meta| entry(&meta, errors));
        errors.take(result);
    }
}

/// Skips the value of an entry that only Diesel or serde uses: `= …` or `(…)`.
fn skip(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    // a type can contain commas
    if meta.path.is_ident("select_expression_type") || meta.path.is_ident("sql_type") {
        meta.value()?.parse::<Type>()?;
    } else if meta.path.is_ident("select_expression") {
        meta.value()?.parse::<syn::Expr>()?;
    }
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

/// Parses a name. Diesel also accepts it in quotes.
fn name(input: ParseStream<'_>) -> syn::Result<Ident> {
    if input.peek(LitStr) { input.parse::<LitStr>()?.parse_with(any) } else { any(input) }
}

/// Parses a name. A keyword becomes raw: `type` is `r#type`.
pub(crate) fn any(input: ParseStream<'_>) -> syn::Result<Ident> {
    let name = input.call(Ident::parse_any)?;
    let is_keyword = syn::parse_str::<Ident>(&name.to_string()).is_err();
    let can_be_raw = !["self", "Self", "super", "crate", "_"].contains(&name.to_string().as_str());
    Ok(if is_keyword && can_be_raw { Ident::new_raw(&name.to_string(), name.span()) } else { name })
}

/// Parses the path of a module.
pub(crate) fn path(input: ParseStream<'_>) -> syn::Result<Path> {
    input.call(Path::parse_mod_style)
}

/// Parses a list in parentheses.
pub(crate) fn list<T>(meta: &ParseNestedMeta<'_>, item: fn(ParseStream<'_>) -> syn::Result<T>) -> syn::Result<Vec<T>> {
    let content;
    parenthesized!(content in meta.input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated_with(&content, item)?.into_iter().collect())
}

/// Parses a list of column names.
pub(crate) fn names(meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<Ident>> {
    list(meta, any)
}

pub(crate) fn diesel_item(attributes: &[Attribute], errors: &mut Errors) -> DieselItem {
    let mut item = DieselItem::default();
    each(attributes, "diesel", errors, |meta, _| {
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
    each(attributes, "diesel", errors, |meta, _| {
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

/// The entries of `#[serde(…)]` on a field that change its JSON value.
#[derive(Clone, Default)]
pub(crate) struct SerdeField {
    /// Whether no JSON contains the field.
    pub(crate) hidden: bool,
    pub(crate) serialize_with: Option<Path>,
    pub(crate) deserialize_with: Option<Path>,
}

pub(crate) fn serde_field(attributes: &[Attribute]) -> SerdeField {
    let mut field = SerdeField::default();
    // serde reports mistakes in its attributes
    each(attributes, "serde", &mut Errors::default(), |meta, _| {
        let path = |meta: &ParseNestedMeta<'_>| meta.value()?.parse::<LitStr>()?.parse::<Path>();
        if meta.path.is_ident("skip") || meta.path.is_ident("skip_serializing") {
            field.hidden = true;
        } else if meta.path.is_ident("serialize_with") {
            field.serialize_with = Some(path(meta)?);
        } else if meta.path.is_ident("deserialize_with") {
            field.deserialize_with = Some(path(meta)?);
        } else if meta.path.is_ident("with") {
            let module = path(meta)?;
            field.serialize_with = Some(syn::parse_quote!(#module::serialize));
            field.deserialize_with = Some(syn::parse_quote!(#module::deserialize));
        } else {
            skip(meta)?;
        }
        Ok(())
    });
    field
}

/// Reports an unknown entry with the known ones, and skips it.
pub(crate) fn unknown(meta: &ParseNestedMeta<'_>, known: &[&str], errors: &mut Errors) -> syn::Result<()> {
    let written = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
    let near = known.iter().map(|name| (distance(name, &written), name)).min();
    let message = match (near, elsewhere(&written, known)) {
        (Some((..=2, near)), _) => format!("`{written}` is not known here; did you mean `{near}`?"),
        (_, Some(elsewhere)) => format!("`{written}` does not belong here, but {elsewhere}"),
        _ => {
            let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            format!("`{written}` is not known here; there are {list}")
        }
    };
    errors.add(meta.error(message));
    skip(meta)
}

/// Returns the place where a misplaced entry belongs, if the entry is known elsewhere.
fn elsewhere(written: &str, known: &[&str]) -> Option<&'static str> {
    let schema = ["schema", "module", "include", "exclude", "rename", "types", "row_derive", "rowids"];
    match written {
        "default" if known.contains(&"update") => Some("on a field: the last columns can have it"),
        "update" | "patch" | "derive" | "row_only" | "crate" if known.first() == Some(&"default") => {
            Some("above the struct")
        }
        "update" | "patch" | "skip" | "generated" | "row_only" | "default" if known == ["crate"] => {
            Some("on a row: the struct that this set has a `Change` or a `Patch` of")
        }
        "table_name" | "column_name" | "primary_key" => Some("in `#[diesel(…)]`"),
        _ if schema.contains(&written) => Some(
            "on a unit struct that stands for a whole schema: `#[tracked(schema = \"src/schema.rs\", module = crate::schema)]`",
        ),
        _ => None,
    }
}

/// Returns the edit distance of two words.
pub(crate) fn distance(a: &str, b: &str) -> usize {
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
