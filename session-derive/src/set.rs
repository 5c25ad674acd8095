//! A set of tables: an enum whose variants each hold a `Change` or each a `Patch`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DataEnum, DeriveInput, Fields, GenericParam, Lifetime, Path, PathArguments, Type};

use crate::attributes::{each, unknown};
use crate::errors::Errors;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Change,
    Patch,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Change => "Change",
            Self::Patch => "Patch",
        }
    }
}

pub(crate) fn derive(item: &DeriveInput, data: &DataEnum) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    let mut krate: Path = syn::parse_quote!(::diesel_sqlite_session);
    each(&item.attrs, "tracked", &mut errors, |meta| {
        if meta.path.is_ident("crate") {
            krate = meta.value()?.parse()?;
            Ok(())
        } else {
            Err(unknown(meta, &["crate"]))
        }
    });
    for parameter in &item.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            errors.at(parameter, "a set of tables can have lifetimes, but no other parameters");
        }
    }
    let mut kind = None;
    let mut tables: Vec<String> = Vec::new();
    for variant in &data.variants {
        let Fields::Unnamed(fields) = &variant.fields else {
            errors.at(
                variant,
                "a variant of a set holds one `Change<table>` or one `Patch<table>`: `Users(Change<users::table>)`",
            );
            continue;
        };
        let (Some(field), 1) = (fields.unnamed.first(), fields.unnamed.len()) else {
            errors.at(
                variant,
                "a variant of a set holds one `Change<table>` or one `Patch<table>`: `Users(Change<users::table>)`",
            );
            continue;
        };
        let Some((this, table)) = kind_of(&field.ty) else {
            errors.at(
                &field.ty,
                "a variant of a set holds a `Change<table>` or a `Patch<table>`: `Change<users::table>`",
            );
            continue;
        };
        match kind {
            None => kind = Some(this),
            Some(kind) if kind != this => {
                errors.at(
                    &field.ty,
                    format!("this set has `{}`es; changes of changesets and of patchsets are two sets", kind.name(),)
                        .replace("Changees", "Changes"),
                );
            }
            Some(_) => {}
        }
        let name = quote!(#table).to_string();
        if tables.contains(&name) {
            errors.at(&field.ty, "this table is in the set already");
        }
        tables.push(name);
    }
    if data.variants.is_empty() {
        errors.at(&item.ident, "a set has a variant for each table: `Users(Change<users::table>)`");
    }
    errors.check()?;
    Ok(expand_checked(item, data, &krate))
}

/// The code for an enum that is a set.
pub(crate) fn expand_checked(item: &DeriveInput, data: &DataEnum, krate: &Path) -> TokenStream {
    let types: Vec<&Type> =
        data.variants.iter().filter_map(|variant| Some(&variant.fields.iter().next()?.ty)).collect();
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    match types.first().and_then(|ty| kind_of(ty)) {
        Some((kind, _)) => expand(item, krate, kind, &variants, &types),
        None => TokenStream::new(),
    }
}

/// Whether a type is a `Change` or a `Patch`, and of what.
fn kind_of(ty: &Type) -> Option<(Kind, &PathArguments)> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let kind = match last.ident.to_string().as_str() {
        "Change" => Kind::Change,
        "Patch" => Kind::Patch,
        _ => return None,
    };
    Some((kind, &last.arguments))
}

fn expand(item: &DeriveInput, krate: &Path, kind: Kind, variants: &[&syn::Ident], types: &[&Type]) -> TokenStream {
    let name = &item.ident;
    let (impl_generics, ty_generics, where_clause) = item.generics.split_for_impl();
    let (trait_name, count) = (
        format_ident!(
            "From{}",
            match kind {
                Kind::Change => "Changes",
                Kind::Patch => "Patches",
            }
        ),
        types.len(),
    );
    let mut generics = item.generics.clone();
    let outlived: Vec<&Lifetime> = item.generics.lifetimes().map(|lifetime| &lifetime.lifetime).collect();
    generics.params.insert(0, syn::parse_quote!('__de: #(#outlived)+*));
    let (decode_generics, _, _) = generics.split_for_impl();
    let last = types.last();
    let (first_variants, first_types) = (variants.iter().take(count - 1), types.iter().take(count - 1));
    let first_places = 0..count - 1;
    let last_variant = variants.last();
    // a table can be there under two names
    let doubles = types.iter().enumerate().skip(1).map(|(place, ty)| {
        let before = &types[..place];
        quote_spanned! {ty.span()=>
            const _: () = if __p::is_in(
                <#ty as __p::TrackedSet>::TABLES[0].name(),
                &[#(<#before as __p::TrackedSet>::TABLES),*],
            ) {
                panic!("this table is in the set already")
            };
        }
    });
    // lifetimes cannot be named in a constant; any will do there
    let doubles: Vec<TokenStream> = if outlived.is_empty() { doubles.collect() } else { Vec::new() };
    quote! {
        const _: () = {
            use #krate::__private as __p;
            #(#doubles)*

            #[automatically_derived]
            impl #impl_generics __p::TrackedSet for #name #ty_generics #where_clause {
                const TABLES: &'static [&'static __p::TableInfo] = {
                    &__p::tables([#(<#types as __p::TrackedSet>::TABLES),*])
                };
            }

            #[automatically_derived]
            impl #decode_generics __p::#trait_name<'__de> for #name #ty_generics #where_clause {
                #[inline]
                fn read(__table: usize, __record: &__p::Record<'__de>) -> __p::core::result::Result<Self, __p::DecodeError> {
                    match __table {
                        #(#first_places => <#first_types as __p::#trait_name<'__de>>::read(0, __record).map(Self::#first_variants),)*
                        _ => <#last as __p::#trait_name<'__de>>::read(0, __record).map(Self::#last_variant),
                    }
                }
            }
        };
    }
}
