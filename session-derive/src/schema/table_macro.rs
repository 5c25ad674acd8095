//! Parses `diesel::table!`, as `diesel print-schema` or a person writes it.

use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, GenericArgument, Ident, Item, ItemMacro, ItemUse, PathArguments, Token, Type, UseTree, braced,
    parenthesized,
};

use super::place;

/// A table of a schema file.
pub(crate) struct Table {
    /// The modules of the file that contain the table.
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
    /// Whether a `use` of the table imports the name of the type, which is then not Diesel's.
    imported: bool,
}

impl Table {
    /// Returns whether `diesel print-schema` declared the rowid as the key, because the table has
    /// no primary key.
    pub(crate) fn by_rowid(&self) -> bool {
        self.key.len() == 1 && self.key.iter().all(|name| name == "rowid")
    }
}

impl Column {
    pub(crate) fn is_nullable(&self) -> bool {
        self.nullable().is_some()
    }

    /// Returns the type inside `Nullable`.
    fn nullable(&self) -> Option<&Type> {
        let Type::Path(path) = &self.ty else { return None };
        let last = path.path.segments.last().filter(|last| last.ident == "Nullable")?;
        let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
        match arguments.args.first()? {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        }
    }

    /// Returns the name of the SQL type without `Nullable`, if the name denotes Diesel's type.
    pub(crate) fn plain_type(&self) -> Option<Ident> {
        match self.nullable().unwrap_or(&self.ty) {
            Type::Path(path) if path.path.segments.len() == 1 && !self.imported => path.path.get_ident().cloned(),
            _ => None,
        }
    }

    /// Returns the name of the SQL type without `Nullable`.
    pub(crate) fn sql_type(&self) -> Option<Ident> {
        match self.nullable().unwrap_or(&self.ty) {
            Type::Path(path) => path.path.segments.last().map(|last| last.ident.clone()),
            _ => None,
        }
    }
}

/// A mistake in a schema file.
pub(crate) struct Mistake {
    /// The line in a `table!`. A file that is not Rust has no line: the compiler reports it with
    /// its location.
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

/// Returns all `table!`s of a file, including those of its inline modules.
pub(crate) fn tables_of(text: &str) -> Result<Vec<Table>, Mistake> {
    let file = syn::parse_file(text).map_err(|error| Mistake { line: None, message: error.to_string() })?;
    let mut tables = Vec::new();
    collect(text, &file.items, &[], &mut tables)?;
    Ok(tables)
}

fn collect(text: &str, items: &[Item], modules: &[Ident], tables: &mut Vec<Table>) -> Result<(), Mistake> {
    for item in items {
        match item {
            Item::Macro(item) if item.mac.path.segments.last().is_some_and(|last| last.ident == "table") => {
                let mut table = read(text, item)?;
                table.modules = modules.to_vec();
                tables.push(table);
            }
            Item::Mod(item) => {
                if let Some((_, items)) = &item.content {
                    let modules: Vec<Ident> = modules.iter().chain([&item.ident]).cloned().collect();
                    collect(text, items, &modules, tables)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The progress in reading a table, to find the line of a mistake.
#[derive(Default)]
struct Progress {
    name: Option<Ident>,
    /// The number of words that are not read yet.
    left: usize,
}

fn read(text: &str, item: &ItemMacro) -> Result<Table, Mistake> {
    let mut progress = Progress::default();
    let table = item.mac.parse_body_with(|input: ParseStream<'_>| {
        let table = Table::read(input, &mut progress);
        progress.left += left(input);
        table
    });
    table.map_err(|error| {
        let words = place::words(item.to_token_stream());
        // the macro's own delimiter, and perhaps a semicolon
        let left = progress.left + 1 + usize::from(item.semi_token.is_some());
        let line = words.len().checked_sub(left).and_then(|place| place::line(text, &words, place));
        let table = progress.name.map(|name| format!(", in the table `{name}`")).unwrap_or_default();
        Mistake { line, message: format!("{error}{table}") }
    })
}

/// Returns the number of words that are not read yet.
fn left(input: ParseStream<'_>) -> usize {
    place::words(input.cursor().token_stream()).len()
}

/// Adds the names that a `use` imports one by one.
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

impl Table {
    fn read(input: ParseStream<'_>, progress: &mut Progress) -> syn::Result<Self> {
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
        progress.name = Some(name.clone());
        let mut within = |content: ParseStream<'_>| progress.left = left(content) + 1;
        let key = if input.peek(syn::token::Paren) {
            let content;
            parenthesized!(content in input);
            let key = Punctuated::<Ident, Token![,]>::parse_terminated_with(&content, Ident::parse_any);
            key.inspect_err(|_| within(&content))?.into_iter().collect()
        } else {
            vec![Ident::new("id", name.span())]
        };
        let content;
        braced!(content in input);
        let columns = Punctuated::<Column, Token![,]>::parse_terminated(&content);
        let mut columns: Vec<_> = columns.inspect_err(|_| within(&content))?.into_iter().collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_said_with_its_line_and_table() {
        let said = |table: &str| {
            let text = format!(
                "//! table! {{ it (id) {{ id -> Integer, x Text }} }}\n\
                 diesel::table! {{ it (id) {{ id -> Integer, }} }}\n\
                 // diesel::table! {{ it (id) {{ id\n\
                 /* diesel::table! {{ it (id) {{ */\n\
                 pub mod inner {{\n\
                     /// It.\n\
                     diesel::table! {{\n\
                         use diesel::sql_types::*; // all\n\
                         /** What\n\
                         it is. */\n\
                         #[sql_name = \"it // }} it\"]\n\
                         {table}\n\
                     }}\n\
                     diesel::joinable!(it -> other (id));\n\
                 }}\n"
            );
            let Mistake { line, message } = tables_of(&text).err().expect("a mistake");
            (line, message)
        };
        for (table, line, message) in [
            ("it (id) {\n/// The key.\nid -> Integer,\nx Text,\n}", 15, "expected `->`, in the table `it`"),
            ("it (id) {\nid -> Integer,\nx -> Text\ny -> Text,\n}", 15, "expected `,`, in the table `it`"),
            ("it (id) {\nid -> Integer,\nx -> Nullable<Text>>,\n}", 14, "expected `,`, in the table `it`"),
            ("r#it (id,\n\n1) { id -> Integer }", 14, "expected ident, in the table `r#it`"),
            ("\n(id) { id -> Integer }", 13, "expected ident"),
            ("main.it (id)", 13, "unexpected end of input, expected curly braces, in the table `it`"),
            ("it (id) {\nid -> Integer,\nx\n}", 15, "expected `->`, in the table `it`"),
        ] {
            assert_eq!(said(table), (Some(line), message.to_owned()), "{table}");
        }
        assert_eq!(said("it (id) {").0, None, "the compiler says it");
    }
}
