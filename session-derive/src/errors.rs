//! All the mistakes of one item at once.

use std::fmt::Display;

use proc_macro2::TokenStream;
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

    /// What `good` writes, if there is no mistake; else the mistakes, and what `stub` writes in its place, so that the code that
    /// uses the item compiles.
    pub(crate) fn finish(self, good: impl FnOnce() -> TokenStream, stub: impl FnOnce() -> TokenStream) -> TokenStream {
        match self.first {
            None => good(),
            Some(error) => {
                let mut tokens = error.into_compile_error();
                tokens.extend(stub());
                tokens
            }
        }
    }
}
