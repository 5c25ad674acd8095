//! What `diesel::table!` takes, as `diesel print-schema` writes it or a person.

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, GenericArgument, Ident, Item, ItemUse, PathArguments, Token, Type, UseTree, braced, parenthesized,
};

/// A table of a file.
pub(crate) struct Table {
    /// The modules of the file that it is in.
    pub(crate) modules: Vec<Ident>,
    pub(crate) name: Ident,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) key: Vec<Ident>,
    pub(crate) columns: Vec<Column>,
}

pub(crate) struct Column {
    pub(crate) name: Ident,
    pub(crate) docs: Vec<Attribute>,
    ty: Type,
    /// Whether a `use` of the table brings the name of the type in, which is then not Diesel's.
    imported: bool,
}

impl Table {
    /// Whether this is a table without a key, to which print-schema gives its rowid.
    pub(crate) fn by_rowid(&self) -> bool {
        self.key.len() == 1 && self.key.iter().all(|name| name == "rowid")
    }
}

impl Column {
    pub(crate) fn is_nullable(&self) -> bool {
        self.nullable().is_some()
    }

    /// What is inside a `Nullable`.
    fn nullable(&self) -> Option<&Type> {
        let Type::Path(path) = &self.ty else { return None };
        let last = path.path.segments.last().filter(|last| last.ident == "Nullable")?;
        let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
        match arguments.args.first()? {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        }
    }

    /// The name of the SQL type, if it is one of Diesel's where it is one of their names.
    pub(crate) fn plain_type(&self) -> Option<Ident> {
        match self.nullable().unwrap_or(&self.ty) {
            Type::Path(path) if path.path.segments.len() == 1 && !self.imported => path.path.get_ident().cloned(),
            _ => None,
        }
    }

    /// The name of the SQL type, without `Nullable`.
    pub(crate) fn sql_type(&self) -> Option<Ident> {
        match self.nullable().unwrap_or(&self.ty) {
            Type::Path(path) => path.path.segments.last().map(|last| last.ident.clone()),
            _ => None,
        }
    }
}

/// All `table!`s of a file, in its modules too as far as they are in the file itself.
pub(crate) fn tables_of(text: &str) -> syn::Result<Vec<Table>> {
    let file = syn::parse_file(text)?;
    let mut tables = Vec::new();
    collect(&file.items, &[], &mut tables)?;
    Ok(tables)
}

fn collect(items: &[Item], modules: &[Ident], tables: &mut Vec<Table>) -> syn::Result<()> {
    for item in items {
        match item {
            Item::Macro(item) if item.mac.path.segments.last().is_some_and(|last| last.ident == "table") => {
                let mut table: Table = item.mac.parse_body().map_err(|error| {
                    let start = item.mac.tokens.to_string().chars().take(60).collect::<String>();
                    syn::Error::new(error.span(), format!("{error}, in `table! {{ {start} …`"))
                })?;
                table.modules = modules.to_vec();
                tables.push(table);
            }
            Item::Mod(item) => {
                if let Some((_, items)) = &item.content {
                    let modules: Vec<Ident> = modules.iter().chain([&item.ident]).cloned().collect();
                    collect(items, &modules, tables)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names that a `use` brings in one by one.
fn names_of(tree: &UseTree, names: &mut Vec<Ident>) {
    match tree {
        UseTree::Path(path) => names_of(&path.tree, names),
        UseTree::Name(name) => names.push(name.ident.clone()),
        UseTree::Rename(rename) => names.push(rename.rename.clone()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| names_of(tree, names)),
        UseTree::Glob(_) => {}
    }
}

fn docs(attributes: Vec<Attribute>) -> Vec<Attribute> {
    attributes.into_iter().filter(|attribute| attribute.path().is_ident("doc")).collect()
}

impl Parse for Table {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut imported = Vec::new();
        while input.peek(Token![use]) {
            names_of(&input.parse::<ItemUse>()?.tree, &mut imported);
        }
        let docs = docs(input.call(Attribute::parse_outer)?);
        let mut name = input.call(Ident::parse_any)?;
        if input.peek(Token![.]) {
            input.parse::<Token![.]>()?;
            name = input.call(Ident::parse_any)?;
        }
        let key = if input.peek(syn::token::Paren) {
            let content;
            parenthesized!(content in input);
            Punctuated::<Ident, Token![,]>::parse_terminated_with(&content, Ident::parse_any)?.into_iter().collect()
        } else {
            vec![Ident::new("id", name.span())]
        };
        let content;
        braced!(content in input);
        let mut columns: Vec<_> = Punctuated::<Column, Token![,]>::parse_terminated(&content)?.into_iter().collect();
        for column in &mut columns {
            column.imported = column.sql_type().is_some_and(|name| imported.contains(&name));
        }
        Ok(Self { modules: Vec::new(), name, docs, key, columns })
    }
}

impl Parse for Column {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let docs = docs(input.call(Attribute::parse_outer)?);
        let name = input.call(Ident::parse_any)?;
        input.parse::<Token![->]>()?;
        Ok(Self { name, docs, ty: input.parse()?, imported: false })
    }
}
