//! The structs of an UPDATE, their methods and their standard traits.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;

use super::{different_types, plain};
use crate::row::{Column, Names, Row};

impl Row {
    pub(super) fn companions(&self) -> TokenStream {
        let Self { visibility, generics, krate, lints, .. } = self;
        let Names { update, patch } = &self.names;
        let derives = self.derives.as_ref().map(|paths| quote!(#[derive(#(#paths),*)]));
        let table = self.shown_table();
        let p = quote!(#krate::__private);
        let fields = |companion: &str, wrap: TokenStream| -> Vec<TokenStream> {
            let fields = self.columns.iter().enumerate();
            fields.map(|(place, column)| self.companion_field(place, column, companion, &wrap)).collect()
        };
        let update_fields = fields("Update", quote!(#p::Field));
        let patch_fields = fields("Patch", quote!(#p::Option));
        let update_doc =
            format!("An UPDATE of `{table}` in a changeset: the key, and for each other column whether it changed.");
        let patch_doc =
            format!("An UPDATE of `{table}` in a patchset: the key, and each other column that has a new value.");
        let where_clause = &generics.where_clause;
        let update = quote! {
            #(#lints)*
            #[doc = #update_doc]
            #[allow(dead_code, non_snake_case)]
            #derives
            #visibility struct #update #generics #where_clause { #(#update_fields,)* }
        };
        // two structs of one name would be a second error
        let patch = (plain(patch) != plain(&self.names.update)).then(|| {
            quote! {
                #(#lints)*
                #[doc = #patch_doc]
                #[allow(dead_code, non_snake_case)]
                #derives
                #visibility struct #patch #generics #where_clause { #(#patch_fields,)* }
            }
        });
        quote!(#update #patch)
    }

    /// Returns a field of the companion `Update` or `Patch`. `wrap` is the type around a column
    /// outside of the key.
    fn companion_field(&self, place: usize, column: &Column, companion: &str, wrap: &TokenStream) -> TokenStream {
        let Column { visibility, field, ty, column: name, .. } = column;
        let written = name.unraw();
        // a row without a table has an error already; most columns are not of the key
        let is_key = if self.table.is_some() { self.is_key(column) } else { Some(false) };
        let (doc, ty) = match is_key {
            Some(true) => (format!("`{written}`, of the key."), quote!(#ty)),
            Some(false) => {
                let when = if companion == "Update" { "if it changed" } else { "if it has a new value" };
                (format!("`{written}`, {when}."), quote!(#wrap<#ty>))
            }
            None => (format!("`{written}`."), self.in_update(place, column, companion)),
        };
        quote!(#[doc = #doc] #visibility #field: #ty)
    }

    /// Returns the type of a field if only the compiler knows whether the field belongs to the key.
    /// The type is an alias, because rustdoc prints it as it is written here.
    fn in_update(&self, place: usize, column: &Column, companion: &str) -> TokenStream {
        let (krate, row, ty) = (&self.krate, &self.name, &column.ty);
        let (_, ty_generics, _) = self.generics.split_for_impl();
        let (group, wrapper) = (place / 4, if companion == "Update" { "Field" } else { "Option" });
        let alias = format_ident!("KeyOr{}{}", wrapper, place % 4);
        quote!(#krate::__private::#alias<#ty, #row #ty_generics, #group>)
    }

    /// Returns the methods that tell which columns an UPDATE changes.
    pub(super) fn changed(&self) -> TokenStream {
        self.changed_of(|method| {
            let method = Ident::new(method, Span::call_site());
            let columns = self.columns.iter().enumerate().map(|(place, column)| {
                let (field, ty) = (&column.field, &column.ty);
                match (self.is_key(column), method == "is_updated") {
                    (Some(true), _) => quote!(false),
                    (Some(false), true) => quote!(self.#field.is_changed()),
                    (Some(false), false) => quote!(self.#field.is_some()),
                    (None, _) => {
                        let is_key = self.is_key_type(place, column);
                        quote!(<#is_key as __p::InUpdate<#ty>>::#method(&self.#field))
                    }
                }
            });
            quote!(__p::changed(&__COLUMNS, &__AT, [#(#columns),*]))
        })
    }

    /// Returns the methods of the companions. `columns` returns the body of `changed_columns`.
    pub(super) fn changed_of(&self, columns: impl Fn(&str) -> TokenStream) -> TokenStream {
        let Self { visibility, generics, .. } = self;
        let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
        // only a row with a mistake has other parameters than lifetimes
        let types = generics.type_params().map(|parameter| &parameter.ident);
        let parameters: Vec<_> = types.chain(generics.const_params().map(|parameter| &parameter.ident)).collect();
        let mut companions = vec![(&self.names.update, "is_updated"), (&self.names.patch, "is_patched")];
        companions.dedup_by_key(|(name, _)| plain(name));
        let companions = companions.into_iter().map(|(companion, method)| {
            let columns = columns(method);
            quote! {
                #[allow(dead_code)]
                impl #impl_generics #companion #ty_generics #where_clause {
                    /// Returns whether no column with a field here changed.
                    #[must_use]
                    #visibility fn is_unchanged(&self) -> __p::core::primitive::bool {
                        self.changed_columns().next().is_none()
                    }
                    /// Returns the names of the changed columns, in the order of the table, without columns that have no field.
                    #visibility fn changed_columns(
                        &self,
                    ) -> impl __p::core::iter::Iterator<Item = &'static __p::str> + use<#(#parameters),*> {
                        #columns
                    }
                }
            }
        });
        quote!(#(#companions)*)
    }

    /// Returns `Debug`, `Clone` and `PartialEq` of the companions, each if the types of all fields
    /// have it.
    pub(super) fn traits(&self) -> TokenStream {
        if self.derives.is_some() {
            return TokenStream::new();
        }
        let types = different_types(self.columns.iter().filter(|column| !column.is_plain()));
        let mut companions = vec![&self.names.update, &self.names.patch];
        companions.dedup_by_key(|name| plain(name));
        let companions = companions.into_iter().map(|companion| {
            let (impl_generics, ty_generics, _) = self.generics.split_for_impl();
            let fields: Vec<_> = self.columns.iter().map(|column| &column.field).collect();
            let shown = companion.unraw().to_string();
            let names = fields.iter().map(|field| field.unraw().to_string());
            let bounds = |bound: TokenStream| {
                let own = self.generics.where_clause.iter().flat_map(|clause| &clause.predicates);
                // with `for` the compiler accepts a bound that does not hold
                quote!(where #(for<'__any> #types: #bound,)* #(#own,)*)
            };
            let debug = bounds(quote!(__p::core::fmt::Debug));
            let clone = bounds(quote!(__p::core::clone::Clone));
            let eq = bounds(quote!(__p::core::cmp::PartialEq));
            quote! {
                #[automatically_derived]
                impl #impl_generics __p::core::fmt::Debug for #companion #ty_generics #debug {
                    fn fmt(&self, __f: &mut __p::core::fmt::Formatter<'_>) -> __p::core::fmt::Result {
                        __p::debug(__f, #shown, &[#(#names),*], &[#(&self.#fields),*])
                    }
                }
                #[automatically_derived]
                impl #impl_generics __p::core::clone::Clone for #companion #ty_generics #clone {
                    fn clone(&self) -> Self {
                        Self { #(#fields: __p::core::clone::Clone::clone(&self.#fields),)* }
                    }
                }
                // without `automatically_derived`: clippy would require a derived `Eq` too
                impl #impl_generics __p::core::cmp::PartialEq for #companion #ty_generics #eq {
                    fn eq(&self, __other: &Self) -> bool {
                        true #(&& self.#fields == __other.#fields)*
                    }
                }
            }
        });
        quote!(#(#companions)*)
    }
}
