//! The code of a row with a mistake: the same items, so that code which uses the row has no further
//! errors.

use proc_macro2::TokenStream;
use quote::quote;

use super::scope;
use crate::row::Row;

impl Row {
    pub(crate) fn stub(&self) -> TokenStream {
        let companions = self.companions();
        let tracked = self.implement(
            &quote!(__p::table_info("", &[], &[], 0, &[])),
            &self.table.as_ref().map_or_else(|| quote!(()), |_| self.key_type()),
        );
        let name = &self.name;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        let generics = self.decode_generics();
        let (decode_generics, _, _) = generics.split_for_impl();
        let has_columns = match (&self.table, &self.key) {
            (Some(_), None) => self.has_columns(),
            _ => TokenStream::new(),
        };
        let key = self.table.as_ref().map(|_| self.key_names());
        let changed = self.changed_of(|_| quote!(__p::core::iter::empty()));
        let traits = self.traits();
        let body = quote! {
            #key
            #tracked
            #has_columns
            #[automatically_derived]
            impl #decode_generics __p::DecodeRow<'__de> for #name #ty_generics #where_clause {
                const SQL_TYPES: __p::SqlTypes = &[];
                fn inserted(_: &__p::Reader<'_, '__de>) -> __p::Result<Self, __p::DecodeError> { loop {} }
                fn deleted(_: &__p::Reader<'_, '__de>) -> __p::Result<Self, __p::DecodeError> { loop {} }
                fn updated(_: &__p::Reader<'_, '__de>) -> __p::Result<Self::Update, __p::DecodeError> { loop {} }
                fn patched(_: &__p::Reader<'_, '__de>) -> __p::Result<Self::Patch, __p::DecodeError> { loop {} }
                fn key(_: &__p::Reader<'_, '__de>) -> __p::Result<Self::Key, __p::DecodeError> { loop {} }
            }
            #[automatically_derived]
            impl #impl_generics __p::KeyedRow for #name #ty_generics #where_clause {
                fn key_of_row(&self) -> Self::Key { loop {} }
                fn key_of_update(_: &Self::Update) -> Self::Key { loop {} }
                fn key_of_patch(_: &Self::Patch) -> Self::Key { loop {} }
            }
            #[automatically_derived]
            impl #impl_generics __p::EncodeRow for #name #ty_generics #where_clause {
                const INFO: __p::TableInfo = <Self as __p::Tracked>::TABLE;
                const UNWRITABLE: __p::Option<&'static __p::str> = __p::Option::None;
                #[inline(always)]
                fn encode<__R>(
                    &self,
                    _: impl __p::core::ops::FnOnce(&[__p::Value<'_>]) -> __R,
                ) -> __p::Result<__R, (__p::usize, __p::ValueError)> { loop {} }
            }
            #changed
            #traits
        };
        let scope = scope(&self.krate, body);
        quote!(#companions #scope)
    }
}
