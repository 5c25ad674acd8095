//! A row: a struct with a field for each column of its table.
//!
//! | file | stage |
//! |---|---|
//! | `mod` | the model |
//! | `read` | reads it from the struct |
//! | `check` | checks it |
//!
//! [`expand`](crate::expand) writes the code. For a struct, the derive does not know the position
//! of a column, or whether the column belongs to the primary key. The compiler finds both in
//! constants, from the types that `table!` generates.

mod check;
mod read;

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::{Attribute, DeriveInput, FieldsNamed, Generics, Ident, Path, Type, Visibility};

use crate::attributes::SerdeField;
use crate::errors::Errors;

/// The model of a row.
pub(crate) struct Row {
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) generics: Generics,
    /// The user's attributes that set lint levels. They apply to the companions too.
    pub(crate) lints: Vec<Attribute>,
    /// The path of the table's module, such as `schema::users`.
    pub(crate) table: Option<Path>,
    pub(crate) columns: Vec<Column>,
    /// Columns that are not read.
    pub(crate) skipped: Vec<Ident>,
    /// Generated columns, which changes do not contain.
    pub(crate) generated: Vec<Ident>,
    /// The fields of columns that are skipped or generated: each has its default.
    pub(crate) defaults: Vec<(Ident, Type)>,
    /// All columns in the order of the table, if a schema file lists them.
    pub(crate) listed: Option<Vec<Ident>>,
    /// The columns of the primary key, if `primary_key` or a schema file names them.
    pub(crate) key: Option<Vec<Ident>>,
    pub(crate) names: Names,
    /// The traits that the companions derive instead of the standard ones.
    pub(crate) derives: Option<Vec<Path>>,
    pub(crate) row_only: bool,
    pub(crate) krate: Path,
}

/// The names of the companions.
pub(crate) struct Names {
    pub(crate) update: Ident,
    pub(crate) patch: Ident,
}

/// A field and its column.
pub(crate) struct Column {
    pub(crate) visibility: Visibility,
    pub(crate) field: Ident,
    pub(crate) ty: Type,
    pub(crate) column: Ident,
    /// Whether older changes may lack the column.
    pub(crate) optional: bool,
    pub(crate) deserialize_as: Option<Type>,
    pub(crate) serialize_as: Option<Type>,
    pub(crate) serde: SerdeField,
    /// The SQL type, if the field has the type that the schema derive maps it to. Then the compiler
    /// has no trait to select.
    pub(crate) sql_type: Option<TokenStream>,
}

impl Column {
    /// Returns whether the type of the field is one of the schema derive.
    pub(crate) fn is_plain(&self) -> bool {
        self.sql_type.is_some()
    }
}

/// Returns whether two names denote the same column: a keyword can be raw in one place and not in
/// another.
pub(crate) fn same(a: &Ident, b: &Ident) -> bool {
    a.unraw() == b.unraw()
}

pub(crate) fn default_crate() -> Path {
    syn::parse_quote!(::diesel_sqlite_session)
}

pub(crate) fn derive(item: &DeriveInput, fields: &FieldsNamed) -> TokenStream {
    let mut errors = Errors::default();
    let mut row = read::read(item, fields, &mut errors);
    check::check(&mut row, &mut errors);
    errors.finish(|| row.expand(), || row.stub())
}

impl Row {
    /// Returns whether a column belongs to the primary key, if that is known here.
    pub(crate) fn is_key(&self, column: &Column) -> Option<bool> {
        self.key.as_ref().map(|key| key.iter().any(|name| same(name, &column.column)))
    }

    /// Returns whether the row can stand for its table: whether `Tracked` is implemented for
    /// `users::table` too.
    pub(crate) fn is_the_tables(&self) -> bool {
        matches!(self.visibility, Visibility::Public(_)) && !self.row_only && self.generics.params.is_empty()
    }

    /// Returns the columns of the primary key, if they are known here.
    pub(crate) fn key_columns(&self) -> Option<Vec<&Column>> {
        let key = self.key.as_ref()?;
        key.iter().map(|name| self.columns.iter().find(|column| same(&column.column, name))).collect()
    }
}
