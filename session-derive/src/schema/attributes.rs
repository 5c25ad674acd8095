//! The attribute `#[tracked(…)]` of a schema.

use quote::format_ident;
use syn::ext::IdentExt;
use syn::{DeriveInput, Ident, LitStr, Path, Token, Type};

use crate::attributes::{any, each, list, names, path, unknown};
use crate::errors::Errors;
use crate::row;

/// The entries of `#[tracked(…)]`.
pub(super) struct Options {
    pub(super) file: Option<LitStr>,
    pub(super) module: Option<Path>,
    pub(super) include: Option<Vec<Ident>>,
    pub(super) exclude: Vec<Ident>,
    pub(super) rename: Vec<(Ident, Ident)>,
    pub(super) types: Vec<(Ident, Type)>,
    pub(super) skip: Vec<Path>,
    pub(super) generated: Vec<Path>,
    pub(super) default: Vec<Path>,
    pub(super) change: Ident,
    pub(super) patch: Ident,
    pub(super) derives: Option<Vec<Path>>,
    pub(super) row_derives: Vec<Path>,
    pub(super) rowids: bool,
    pub(super) row_only: bool,
    pub(super) krate: Path,
}

const KNOWN: [&str; 16] = [
    "schema",
    "module",
    "include",
    "exclude",
    "rename",
    "types",
    "skip",
    "generated",
    "default",
    "change",
    "patch",
    "derive",
    "row_derive",
    "rowids",
    "row_only",
    "crate",
];

/// Reads `a = b`.
fn pair<T: syn::parse::Parse>(input: syn::parse::ParseStream<'_>) -> syn::Result<(Ident, T)> {
    let name = any(input)?;
    input.parse::<Token![=]>()?;
    Ok((name, input.parse()?))
}

/// Reads the attributes of the unit struct.
pub(super) fn read(item: &DeriveInput, errors: &mut Errors) -> Options {
    let mut options = Options {
        file: None,
        module: None,
        include: None,
        exclude: Vec::new(),
        rename: Vec::new(),
        types: Vec::new(),
        skip: Vec::new(),
        generated: Vec::new(),
        default: Vec::new(),
        change: format_ident!("{}Change", item.ident),
        patch: format_ident!("{}Patch", item.ident),
        derives: None,
        row_derives: Vec::new(),
        rowids: false,
        row_only: false,
        krate: row::default_crate(),
    };
    each(&item.attrs, "tracked", errors, |meta, errors| {
        let name = meta.path.get_ident().map(|ident| ident.unraw().to_string()).unwrap_or_default();
        match name.as_str() {
            "schema" => options.file = Some(meta.value()?.parse()?),
            "module" => options.module = Some(path(meta.value()?)?),
            "include" => options.include.get_or_insert_default().extend(names(meta)?),
            "exclude" => options.exclude.extend(names(meta)?),
            "rename" => options.rename.extend(list(meta, pair)?),
            "types" => options.types.extend(list(meta, pair)?),
            "skip" => options.skip.extend(list(meta, path)?),
            "generated" => options.generated.extend(list(meta, path)?),
            "default" => options.default.extend(list(meta, path)?),
            "change" => options.change = meta.value()?.parse()?,
            "patch" => options.patch = meta.value()?.parse()?,
            "derive" => options.derives.get_or_insert_default().extend(list(meta, path)?),
            "row_derive" => options.row_derives.extend(list(meta, path)?),
            "rowids" => options.rowids = true,
            "row_only" => options.row_only = true,
            "crate" => options.krate = path(meta.value()?)?,
            _ => return unknown(meta, &KNOWN, errors),
        }
        Ok(())
    });
    options
}
