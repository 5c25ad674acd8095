//! A set of tables: an enum whose variants each hold a `Change` or each a `Patch`.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DataEnum, DeriveInput, Fields, GenericParam, Generics, Ident, Lifetime, Path, PathArguments, Type};

use crate::at;
use crate::attributes::{each, path, unknown};
use crate::errors::Errors;
use crate::expand::scope;
use crate::row::default_crate;

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

    /// Returns the trait that reads such a set.
    fn from(self) -> Ident {
        Ident::new(if self == Self::Change { "FromChanges" } else { "FromPatches" }, Span::call_site())
    }
}

/// The model of a set.
struct Set<'a> {
    item: &'a DeriveInput,
    krate: Path,
    kind: Kind,
    variants: Vec<(&'a Ident, &'a Type)>,
}

const ONE: &str = "a variant of a set holds one `Change<…>` or one `Patch<…>`: `Users(Change<users::table>)`";

pub(crate) fn derive(item: &DeriveInput, data: &DataEnum) -> TokenStream {
    let mut errors = Errors::default();
    let set = read(item, data, &mut errors);
    errors.finish(|| set.expand(), || set.stub())
}

fn read<'a>(item: &'a DeriveInput, data: &'a DataEnum, errors: &mut Errors) -> Set<'a> {
    let mut krate = default_crate();
    each(&item.attrs, "tracked", errors, |meta, errors| {
        if meta.path.is_ident("crate") {
            krate = path(meta.value()?)?;
            Ok(())
        } else {
            unknown(meta, &["crate"], errors)
        }
    });
    for parameter in &item.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            errors.at(parameter, "a set of tables can have lifetimes, but no other parameters");
        }
    }
    let mut kind = None;
    let mut variants: Vec<(&Ident, &Type)> = Vec::new();
    for variant in &data.variants {
        let field = match &variant.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => fields.unnamed.first(),
            _ => None,
        };
        let Some(field) = field else {
            errors.at(variant, ONE);
            continue;
        };
        let Some((this, table)) = kind_of(&field.ty) else {
            errors.at(&field.ty, ONE);
            continue;
        };
        let first = *kind.get_or_insert(this);
        if first != this {
            errors.at(
                &field.ty,
                format!(
                    "a set is of `{}` or of `{}` alone, and this one began with `{}`: a changeset and a patchset are read as \
                     two sets",
                    Kind::Change.name(),
                    Kind::Patch.name(),
                    first.name(),
                ),
            );
        }
        let name = quote!(#table).to_string();
        match variants.iter().find(|(_, ty)| kind_of(ty).is_some_and(|(_, known)| quote!(#known).to_string() == name)) {
            Some((before, _)) => {
                errors.at(&field.ty, format!("this table is in the set already: the variant `{before}` has it"));
            }
            None => variants.push((&variant.ident, &field.ty)),
        }
    }
    if data.variants.is_empty() {
        errors.at(&item.ident, "a set has a variant for each table: `Users(Change<users::table>)`");
    }
    Set { item, krate, kind: kind.unwrap_or(Kind::Change), variants }
}

/// Returns the code of an enum that the schema derive wrote.
pub(crate) fn expand_checked(item: &DeriveInput, data: &DataEnum, krate: &Path) -> TokenStream {
    Set { krate: krate.clone(), ..read(item, data, &mut Errors::default()) }.expand()
}

/// Returns the code of an enum that stands for a set with a mistake.
pub(crate) fn stub(item: &DeriveInput, krate: &Path) -> TokenStream {
    Set { item, krate: krate.clone(), kind: Kind::Change, variants: Vec::new() }.stub()
}

/// Returns whether a type is a `Change` or a `Patch`, and of what.
fn kind_of(ty: &Type) -> Option<(Kind, &PathArguments)> {
    let path = match ty {
        Type::Path(path) => path,
        // as a `macro_rules!` passes it
        Type::Group(group) => return kind_of(&group.elem),
        Type::Paren(paren) => return kind_of(&paren.elem),
        _ => return None,
    };
    let last = path.path.segments.last()?;
    let kind = match last.ident.to_string().as_str() {
        "Change" => Kind::Change,
        "Patch" => Kind::Patch,
        _ => return None,
    };
    Some((kind, &last.arguments))
}

/// Replaces these lifetimes by `'static`: a constant outside of an item cannot name them.
fn with_static(tokens: TokenStream, lifetimes: &[&Lifetime]) -> TokenStream {
    let mut replaced = TokenStream::new();
    let mut after_quote = false;
    for token in tokens {
        let token = match token {
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), with_static(group.stream(), lifetimes));
                inner.set_span(group.span());
                inner.into()
            }
            TokenTree::Ident(name) if after_quote && lifetimes.iter().any(|lifetime| lifetime.ident == name) => {
                Ident::new("static", name.span()).into()
            }
            token => token,
        };
        after_quote = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'');
        replaced.extend([token]);
    }
    replaced
}

impl Set<'_> {
    fn decode_generics(&self) -> Generics {
        let mut generics = self.item.generics.clone();
        let outlived = self.item.generics.lifetimes().map(|lifetime| &lifetime.lifetime);
        generics.params.insert(0, syn::parse_quote!('__de: #(#outlived)+*));
        generics
    }

    /// Returns the checks that no table occurs twice. Only the compiler can detect two paths to one
    /// table.
    fn doubles(&self) -> TokenStream {
        let lifetimes: Vec<&Lifetime> = self.item.generics.lifetimes().map(|lifetime| &lifetime.lifetime).collect();
        let types: Vec<TokenStream> =
            self.variants.iter().map(|(_, ty)| with_static(quote!(#ty), &lifetimes)).collect();
        let names = self.variants.iter().map(|(name, _)| name.unraw().to_string());
        let checks = self.variants.iter().enumerate().skip(1).map(|(place, (_, ty))| {
            quote_spanned!(at(ty.span())=> const _: () = __p::check_table(__TABLES, __VARIANTS, #place);)
        });
        quote! {
            const __TABLES: &[&[&__p::TableInfo]] = &[#(<#types as __p::TrackedSet>::TABLES),*];
            const __VARIANTS: &[&__p::str] = &[#(#names),*];
            #(#checks)*
        }
    }

    fn expand(&self) -> TokenStream {
        let name = &self.item.ident;
        let (impl_generics, ty_generics, where_clause) = self.item.generics.split_for_impl();
        let generics = self.decode_generics();
        let (decode_generics, _, _) = generics.split_for_impl();
        let from = self.kind.from();
        let (variants, types): (Vec<_>, Vec<_>) = self.variants.iter().copied().unzip();
        let count = types.len();
        // the last variant matches all other positions
        let last = count.saturating_sub(1);
        let places = (0..count).map(|place| if place < last { quote!(#place) } else { quote!(_) });
        let doubles = self.doubles();
        let of_variants =
            self.variants.iter().map(|(_, ty)| quote_spanned!(at(ty.span())=> <#ty as __p::TrackedSet>::TABLES));
        let json = self.json();
        scope(
            &self.krate,
            quote! {
                #doubles

                #[automatically_derived]
                impl #impl_generics __p::TrackedSet for #name #ty_generics #where_clause {
                    const TABLES: &'static [&'static __p::TableInfo] = &__p::tables([#(#of_variants),*]);

                    fn table_info(&self) -> &'static __p::TableInfo {
                        match self {
                            #(Self::#variants(__change) => <#types as __p::TrackedSet>::table_info(__change),)*
                        }
                    }

                    fn operation(&self) -> __p::Operation {
                        match self {
                            #(Self::#variants(__change) => <#types as __p::TrackedSet>::operation(__change),)*
                        }
                    }
                }

                #[automatically_derived]
                impl #decode_generics __p::#from<'__de> for #name #ty_generics #where_clause {
                    #[inline]
                    fn read<__R>(
                        __table: __p::usize,
                        __record: &__p::Record<'_, '__de>,
                        __into: impl __p::core::ops::FnOnce(Self) -> __R,
                    ) -> __p::Result<__R, __p::DecodeError> {
                        match __table {
                            #(
                                // names the type, so that the compiler reports a mistake in it
                                // once, and at its place
                                #places => <#types as __p::#from<'__de>>::read(
                                    0,
                                    __record,
                                    |__change: #types| __into(Self::#variants(__change)),
                                ),
                            )*
                        }
                    }
                }

                #json
            },
        )
    }

    /// Returns the JSON code of a set. The JSON of a set is that of the change that it contains.
    fn json(&self) -> TokenStream {
        if !crate::expand::json::WRITTEN {
            return TokenStream::new();
        }
        let name = &self.item.ident;
        let (impl_generics, ty_generics, _) = self.item.generics.split_for_impl();
        let mut generics = self.item.generics.clone();
        generics.params.insert(0, syn::parse_quote!('__de));
        let (de_generics, _, _) = generics.split_for_impl();
        let (variants, types): (Vec<_>, Vec<_>) = self.variants.iter().copied().unzip();
        let own: Vec<_> = self.item.generics.where_clause.iter().flat_map(|clause| &clause.predicates).collect();
        // with `for` the compiler accepts a bound that does not hold
        let bounds = |bound: TokenStream| {
            let types = types.iter().map(|ty| quote_spanned!(at(ty.span())=> for<'__any> #ty: #bound));
            quote!(where #(#types,)* #(#own,)*)
        };
        let write = bounds(quote!(__p::json::serde::Serialize));
        let read = bounds(quote!(__p::json::FromJson));
        let last = types.len().saturating_sub(1);
        let places = (0..types.len()).map(|place| if place < last { quote!(#place) } else { quote!(_) });
        quote! {
            __p::when_serde! {
                #[automatically_derived]
                impl #impl_generics __p::json::serde::Serialize for #name #ty_generics #write {
                    fn serialize<__S: __p::json::serde::Serializer>(
                        &self,
                        __serializer: __S,
                    ) -> __p::Result<__S::Ok, __S::Error> {
                        match self {
                            #(Self::#variants(__change) => <#types as __p::json::serde::Serialize>::serialize(__change, __serializer),)*
                        }
                    }
                }
                #[automatically_derived]
                impl #impl_generics __p::json::FromJson for #name #ty_generics #read {
                    fn from_json(__unread: __p::json::Unread) -> __p::Result<Self, __p::json::Error> {
                        match __unread.find(<Self as __p::TrackedSet>::TABLES)? {
                            #(#places => <#types as __p::json::FromJson>::from_json(__unread).map(Self::#variants),)*
                        }
                    }
                }
                #[automatically_derived]
                impl #de_generics __p::json::serde::Deserialize<'__de> for #name #ty_generics #read {
                    fn deserialize<__D: __p::json::serde::Deserializer<'__de>>(
                        __deserializer: __D,
                    ) -> __p::Result<Self, __D::Error> {
                        __p::json::read::deserialize(__deserializer)
                    }
                }
            }
        }
    }

    /// Returns the code of a set with a mistake, so that code which uses it has no further errors.
    fn stub(&self) -> TokenStream {
        let name = &self.item.ident;
        let (impl_generics, ty_generics, where_clause) = self.item.generics.split_for_impl();
        let generics = self.decode_generics();
        let (decode_generics, _, _) = generics.split_for_impl();
        let froms = [Kind::Change.from(), Kind::Patch.from()];
        scope(
            &self.krate,
            quote! {
                #[automatically_derived]
                impl #impl_generics __p::TrackedSet for #name #ty_generics #where_clause {
                    const TABLES: &'static [&'static __p::TableInfo] = &[];
                    fn table_info(&self) -> &'static __p::TableInfo { loop {} }
                    fn operation(&self) -> __p::Operation { loop {} }
                }
                #(
                    #[automatically_derived]
                    impl #decode_generics __p::#froms<'__de> for #name #ty_generics #where_clause {
                        fn read<__R>(
                            _: __p::usize,
                            _: &__p::Record<'_, '__de>,
                            _: impl __p::core::ops::FnOnce(Self) -> __R,
                        ) -> __p::Result<__R, __p::DecodeError> { loop {} }
                    }
                )*
            },
        )
    }
}
