//! Reading typed changes from JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::super::change::{Change, Patch, Tracked};
use super::super::field;
use super::super::private::{Columns, HasColumn, InUpdate, IsKey, KeyOf, of_tuples};
use super::super::set::TrackedSet;
use super::{Error, Field, Tree};
use crate::wire::json::read::{Members, operation, read_once};
use crate::wire::json::write::key_order;
use crate::wire::json::{AFTER, BEFORE, CHANGED, COLUMNS, KEY, OP, TABLE};
use crate::wire::{Format, Operation, TableInfo};

/// Reads a field with `Deserialize`.
pub trait ReadSerde<T> {
    fn read(&self, tree: Tree) -> Result<T, Error>;
}

impl<T: Owned> ReadSerde<T> for Field<T> {
    fn read(&self, tree: Tree) -> Result<T, Error> {
        T::from_tree(tree)
    }
}

/// A type that implements `Deserialize` for every lifetime.
///
/// Unlike serde's `DeserializeOwned`, this trait has no supertrait. Two bounds for one type under
/// two names would be ambiguous.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Deserialize`, or borrows from the input",
    note = "changes are read from JSON as owned values; use `#[serde(deserialize_with = …)]` for other types"
)]
pub trait Owned: Sized {
    fn from_tree(tree: Tree) -> Result<Self, Error>;
}

impl<T: DeserializeOwned> Owned for T {
    fn from_tree(tree: Tree) -> Result<Self, Error> {
        T::deserialize(tree)
    }
}

macro_rules! blobs {
    ($($T:ty),*) => {$(
        impl Field<$T> {
            pub fn read(&self, tree: Tree) -> Result<$T, Error> {
                Ok(tree.blob()?.into())
            }
        }

        impl Field<Option<$T>> {
            pub fn read(&self, tree: Tree) -> Result<Option<$T>, Error> {
                if tree == Tree::Null { Ok(None) } else { Ok(Some(tree.blob()?.into())) }
            }
        }
    )*};
}
blobs!(Vec<u8>, Cow<'_, [u8]>);

/// The members of a change whose table has not been determined yet.
#[derive(Default)]
pub struct Unread {
    op: Option<String>,
    table: Option<String>,
    columns: Option<Option<Vec<Option<String>>>>,
    key: Option<Tree>,
    before: Option<Option<Members<Tree>>>,
    after: Option<Option<Members<Tree>>>,
    changed: Option<Option<Vec<String>>>,
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UnreadVisitor;

        impl<'de> Visitor<'de> for UnreadVisitor {
            type Value = Unread;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a change")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unread, A::Error> {
                let mut unread = Unread::default();
                while let Some(member) = map.next_key::<String>()? {
                    match member.as_str() {
                        OP => read_once(&mut unread.op, OP, &mut map)?,
                        TABLE => read_once(&mut unread.table, TABLE, &mut map)?,
                        COLUMNS => read_once(&mut unread.columns, COLUMNS, &mut map)?,
                        KEY => read_once(&mut unread.key, KEY, &mut map)?,
                        BEFORE => read_once(&mut unread.before, BEFORE, &mut map)?,
                        AFTER => read_once(&mut unread.after, AFTER, &mut map)?,
                        CHANGED => read_once(&mut unread.changed, CHANGED, &mut map)?,
                        _ => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(unread)
            }
        }

        deserializer.deserialize_map(UnreadVisitor)
    }
}

impl Unread {
    /// Returns the position of the change's table in `tables`.
    pub fn find(&self, tables: &[&TableInfo]) -> Result<usize, Error> {
        let name = self.table.as_deref().ok_or_else(|| Error::missing_field(TABLE))?;
        let position = tables.iter().position(|table| table.table().eq_ignore_ascii_case(name));
        position.ok_or_else(|| Error::custom(format_args!("table {name:?} is not part of the set")))
    }

    /// Returns the operation, and the values by column.
    fn parse(self, table: &'static TableInfo<'static>, format: Format) -> Result<(Operation, Parsed), Error> {
        self.find(&[table])?;
        let names = self.columns.flatten().unwrap_or_default();
        let mut omitted = table.columns().iter().zip(&names).filter(|(_, name)| name.is_none());
        if let Some((column, _)) = omitted.find(|(column, _)| !table.hidden().contains(column)) {
            return Err(Error::custom(format_args!("column {column} was omitted when the JSON was written")));
        }
        let operation = operation::<Error>(self.op.as_deref().ok_or_else(|| Error::missing_field(OP))?)?;
        let (before, after, changed) = (self.before.flatten(), self.after.flatten(), self.changed.flatten());
        if before.is_some() && (operation == Operation::Insert || format == Format::Patchset) {
            return Err(Error::custom(format_args!("{operation} in a {format} cannot have {BEFORE}")));
        }
        if after.is_some() && operation == Operation::Delete {
            return Err(Error::custom(format_args!("{operation} in a {format} cannot have {AFTER}")));
        }
        let mut parsed = Parsed {
            table,
            key: by_column(table, None)?,
            old: by_column(table, before)?,
            new: by_column(table, after)?,
        };
        if let Some(key) = self.key {
            parsed.set_key(key)?;
        }
        let row = match operation {
            Operation::Insert => &parsed.new,
            Operation::Update | Operation::Delete => &parsed.old,
        };
        for (key, in_row) in parsed.key.iter().zip(row) {
            if key.is_some() && in_row.is_some() && key != in_row {
                return Err(Error::custom("key differs from the key in the row"));
            }
        }
        if let Some(changed) = changed {
            parsed.check_changed(&changed)?;
        }
        Ok((operation, parsed))
    }
}

/// Values by column, `None` where no value is recorded.
type ByColumn = Vec<Option<Tree>>;

/// Returns the values of an object by column.
fn by_column(table: &TableInfo, members: Option<Members<Tree>>) -> Result<ByColumn, Error> {
    let mut values: ByColumn = table.columns().iter().map(|_| None).collect();
    for (name, value) in members.into_iter().flat_map(|members| members.0) {
        match table.columns().iter().position(|known| *known == name).and_then(|column| values.get_mut(column)) {
            Some(empty @ None) => *empty = Some(value),
            Some(_) => return Err(Error::custom(format_args!("column {name:?} occurs twice"))),
            None => return Err(Error::custom(format_args!("table {} has no column {name:?}", table.table()))),
        }
    }
    Ok(values)
}

/// The values of a change by column. Reading a field takes its value.
pub struct Parsed {
    table: &'static TableInfo<'static>,
    key: ByColumn,
    old: ByColumn,
    new: ByColumn,
}

impl Parsed {
    /// Sets the values of the member `key`.
    fn set_key(&mut self, key: Tree) -> Result<(), Error> {
        let order = key_order(self.table.key_ordinals());
        let values = match key {
            Tree::Array(values) if order.len() != 1 => values,
            key => vec![key],
        };
        if values.len() != order.len() {
            return Err(Error::invalid_length(values.len(), &"a value for each column of the key"));
        }
        for (column, value) in order.into_iter().zip(values) {
            if let Some(target) = self.key.get_mut(column) {
                *target = Some(value);
            }
        }
        Ok(())
    }

    /// Checks that the member `changed` matches the values.
    fn check_changed(&self, changed: &[String]) -> Result<(), Error> {
        let columns = self.table.columns();
        let unknown = changed.iter().find(|name| !columns.contains(&name.as_str()));
        let differ = columns.iter().zip(self.old.iter().zip(&self.new)).find(|(name, (old, new))| {
            let is_listed = changed.iter().any(|listed| listed == *name);
            // a column whose values are equal may be listed or not
            let has_new = new.is_some();
            is_listed != has_new && !(has_new && old == new)
        });
        match unknown.map(String::as_str).or(differ.map(|(name, _)| *name)) {
            Some(name) => Err(Error::custom(format_args!("changed does not match the values of column {name:?}"))),
            None => Ok(()),
        }
    }

    /// Adds the table and column to an error.
    fn with_column(&self, column: usize, error: &Error) -> Error {
        let (table, name) = (self.table.table(), self.table.columns().get(column).copied().unwrap_or_default());
        Error::custom(format_args!("table {table}, column {name}: {error}"))
    }

    fn read<T>(
        &self,
        column: usize,
        value: Option<Tree>,
        read: impl FnOnce(Tree) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let read = value.ok_or_else(|| Error::custom("the value is missing")).and_then(read);
        read.map_err(|error| self.with_column(column, &error))
    }

    /// Reads a column of a row from `after` or `before`.
    pub fn row<T>(&mut self, column: usize, read: impl FnOnce(Tree) -> Result<T, Error>) -> Result<T, Error> {
        let value = take(&mut self.new, column).or_else(|| take(&mut self.old, column));
        self.read(column, value, read)
    }

    /// Reads a column of a row, or returns the default if the column is missing.
    pub fn row_or_default<T: Default>(
        &mut self,
        column: usize,
        read: impl FnOnce(Tree) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match take(&mut self.new, column).or_else(|| take(&mut self.old, column)) {
            None => Ok(T::default()),
            value => self.read(column, value, read),
        }
    }

    /// Reads a key column.
    fn key<T>(&mut self, column: usize, read: impl FnOnce(Tree) -> Result<T, Error>) -> Result<T, Error> {
        let value = take(&mut self.key, column).or_else(|| take(&mut self.old, column));
        self.read(column, value, read)
    }
}

fn take(values: &mut ByColumn, column: usize) -> Option<Tree> {
    values.get_mut(column).and_then(Option::take)
}

/// Reads a column of an UPDATE.
pub trait ReadParts<T>: InUpdate<T> {
    fn update(
        parsed: &mut Parsed,
        column: usize,
        read: impl Fn(Tree) -> Result<T, Error>,
    ) -> Result<Self::Update, Error>;

    fn patch(parsed: &mut Parsed, column: usize, read: impl Fn(Tree) -> Result<T, Error>)
    -> Result<Self::Patch, Error>;
}

impl<T> ReadParts<T> for IsKey<true> {
    fn update(parsed: &mut Parsed, column: usize, read: impl Fn(Tree) -> Result<T, Error>) -> Result<T, Error> {
        parsed.key(column, read)
    }

    fn patch(parsed: &mut Parsed, column: usize, read: impl Fn(Tree) -> Result<T, Error>) -> Result<T, Error> {
        parsed.key(column, read)
    }
}

impl<T> ReadParts<T> for IsKey<false> {
    fn update(
        parsed: &mut Parsed,
        column: usize,
        read: impl Fn(Tree) -> Result<T, Error>,
    ) -> Result<field::Field<T>, Error> {
        match (take(&mut parsed.old, column), take(&mut parsed.new, column)) {
            (None, None) => Ok(field::Field::Unchanged),
            (Some(old), Some(new)) if old == new => Ok(field::Field::Unchanged),
            (old, new) => Ok(field::Field::Changed {
                old: parsed.read(column, old, &read)?,
                new: parsed.read(column, new, &read)?,
            }),
        }
    }

    fn patch(parsed: &mut Parsed, column: usize, read: impl Fn(Tree) -> Result<T, Error>) -> Result<Option<T>, Error> {
        match take(&mut parsed.new, column) {
            None => Ok(None),
            value => parsed.read(column, value, read).map(Some),
        }
    }
}

/// Reads a row and its companions.
#[diagnostic::on_unimplemented(
    message = "the changes of `{Self}` cannot be deserialized",
    note = "the type of each field must implement `Deserialize` and be owned, or have `#[serde(with = …)]`"
)]
pub trait ReadJson: Tracked<Row = Self> + Sized {
    fn read_row(parsed: &mut Parsed) -> Result<Self, Error>;
    fn read_update(parsed: &mut Parsed) -> Result<Self::Update, Error>;
    fn read_patch(parsed: &mut Parsed) -> Result<Self::Patch, Error>;
    fn read_key(parsed: &mut Parsed) -> Result<Self::Key, Error>;
}

/// A change or set that can be read from JSON.
pub trait FromJson: TrackedSet + Sized {
    fn from_json(unread: Unread) -> Result<Self, Error>;
}

/// Reads a change, or a change of a set.
pub fn deserialize<'de, C: FromJson, D: Deserializer<'de>>(deserializer: D) -> Result<C, D::Error> {
    C::from_json(Unread::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl<T: Tracked> FromJson for Change<T>
where
    T::Row: ReadJson<Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    fn from_json(unread: Unread) -> Result<Self, Error> {
        let (operation, mut parsed) = unread.parse(const { &T::TABLE }, Format::Changeset)?;
        match operation {
            Operation::Insert => T::Row::read_row(&mut parsed).map(Self::Insert),
            Operation::Update => T::Row::read_update(&mut parsed).map(Self::Update),
            Operation::Delete => T::Row::read_row(&mut parsed).map(Self::Delete),
        }
    }
}

impl<T: Tracked> FromJson for Patch<T>
where
    T::Row: ReadJson<Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    fn from_json(unread: Unread) -> Result<Self, Error> {
        let (operation, mut parsed) = unread.parse(const { &T::TABLE }, Format::Patchset)?;
        match operation {
            Operation::Insert => T::Row::read_row(&mut parsed).map(Self::Insert),
            Operation::Update => T::Row::read_patch(&mut parsed).map(Self::Update),
            Operation::Delete => T::Row::read_key(&mut parsed).map(Self::Delete),
        }
    }
}

/// Reads [the JSON format](crate::wire::json).
impl<'de, T: Tracked> Deserialize<'de> for Change<T>
where
    Self: FromJson,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        self::deserialize(deserializer)
    }
}

/// Reads [the JSON format](crate::wire::json).
impl<'de, T: Tracked> Deserialize<'de> for Patch<T>
where
    Self: FromJson,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        self::deserialize(deserializer)
    }
}

// Keys whose columns only the compiler knows.

/// Reads the field for the column `C`.
pub trait ReadKeyColumn<C>: HasColumn<C> {
    fn read(parsed: &mut Parsed) -> Result<Self::Type, Error>;
}

/// Reads the key.
pub trait ReadKeyOf<P, R>: KeyOf<P, R> {
    fn read(parsed: &mut Parsed) -> Result<Self::Key, Error>;
}

impl<P, R> ReadKeyOf<P, R> for Columns<0> {
    fn read(_: &mut Parsed) -> Result<(), Error> {
        Ok(())
    }
}

impl<C, R: ReadKeyColumn<C>> ReadKeyOf<C, R> for Columns<1> {
    fn read(parsed: &mut Parsed) -> Result<R::Type, Error> {
        R::read(parsed)
    }
}

macro_rules! keys {
    ($($count:literal: $($C:ident)*;)*) => {$(
        impl<$($C,)* R> ReadKeyOf<($($C,)*), R> for Columns<$count>
        where
            R: $(ReadKeyColumn<$C> +)*
        {
            fn read(parsed: &mut Parsed) -> Result<Self::Key, Error> {
                Ok(($(<R as ReadKeyColumn<$C>>::read(parsed)?,)*))
            }
        }
    )*};
}
of_tuples!(keys);

/// Reads a key column.
pub fn key<T>(parsed: &mut Parsed, column: usize, read: impl FnOnce(Tree) -> Result<T, Error>) -> Result<T, Error> {
    parsed.key(column, read)
}
