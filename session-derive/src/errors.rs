//! All the mistakes of one item at once.

use std::fmt::Display;

use quote::ToTokens;

/// Mistakes, as they are found.
#[derive(Default)]
pub(crate) struct Errors {
    first: Option<syn::Error>,
}

impl Errors {
    /// A mistake at some tokens.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.add(syn::Error::new_spanned(tokens, message));
    }

    pub(crate) fn add(&mut self, error: syn::Error) {
        match &mut self.first {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// The value, or a mistake more.
    pub(crate) fn take<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// Ends with all mistakes, if there are any.
    pub(crate) fn check(self) -> syn::Result<()> {
        self.first.map_or(Ok(()), Err)
    }
}
