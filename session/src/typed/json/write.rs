//! Typed changes to JSON.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::super::change::{Change, Patch, Tracked};
use super::super::field;
use super::super::private::{Columns, HasColumn, InUpdate, IsKey, KeyOf, of_tuples};
use crate::wire::Operation;
use crate::wire::json::write::{key_order, operation_name};
use crate::wire::json::{AFTER, BEFORE, CHANGED, KEY, OP, TABLE};

/// Which value of a column of an UPDATE.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Key,
    Old,
    New,
}

/// What an UPDATE has of a column.
pub struct Part<'a, T> {
    key: Option<&'a T>,
    old: Option<&'a T>,
    new: Option<&'a T>,
}

impl<'a, T> Part<'a, T> {
    pub fn get(&self, side: Side) -> Option<&'a T> {
        match side {
            Side::Key => self.key,
            Side::Old => self.old,
            Side::New => self.new,
        }
    }
}

/// What an UPDATE has of a column of the type `T`, be it of the key or not.
pub trait Parts<T>: InUpdate<T> {
    fn update(field: &Self::Update) -> Part<'_, T>;
    fn patch(field: &Self::Patch) -> Part<'_, T>;
}

impl<T> Parts<T> for IsKey<true> {
    fn update(field: &T) -> Part<'_, T> {
        Part { key: Some(field), old: None, new: None }
    }

    fn patch(field: &T) -> Part<'_, T> {
        Self::update(field)
    }
}

impl<T> Parts<T> for IsKey<false> {
    fn update(field: &field::Field<T>) -> Part<'_, T> {
        Part { key: None, old: field.old_value(), new: field.new_value() }
    }

    fn patch(field: &Option<T>) -> Part<'_, T> {
        Part { key: None, old: None, new: field.as_ref() }
    }
}

/// Writes the fields of a row and its companions.
#[diagnostic::on_unimplemented(
    message = "the changes of `{Self}` cannot be serialized",
    note = "each field needs a type with `Serialize`, or `#[serde(with = …)]`"
)]
pub trait WriteJson: Tracked<Row = Self> + Sized {
    /// For each field its column; `None` for one that is never shown.
    const COLUMNS: &'static [Option<usize>];

    fn write_row<S: Serializer>(&self, field: usize, serializer: S) -> Result<S::Ok, S::Error>;
    /// The field of an UPDATE; an error is not thought of where it is not there, but a null.
    fn write_update<S: Serializer>(
        update: &Self::Update,
        field: usize,
        side: Side,
        serializer: S,
    ) -> Result<S::Ok, S::Error>;
    fn update_has(update: &Self::Update, field: usize, side: Side) -> bool;
    fn write_patch<S: Serializer>(
        patch: &Self::Patch,
        field: usize,
        side: Side,
        serializer: S,
    ) -> Result<S::Ok, S::Error>;
    fn patch_has(patch: &Self::Patch, field: usize, side: Side) -> bool;
    fn write_key<S: Serializer>(key: &Self::Key, serializer: S) -> Result<S::Ok, S::Error>;
}

/// A row or a companion, field by field.
trait Fields {
    fn has(&self, field: usize, side: Side) -> bool;
    fn write<S: Serializer>(&self, field: usize, side: Side, serializer: S) -> Result<S::Ok, S::Error>;
}

struct Row<'a, R>(&'a R);
struct Update<'a, R: Tracked>(&'a R::Update);
struct Patched<'a, R: Tracked>(&'a R::Patch);

impl<R: WriteJson> Fields for Row<'_, R> {
    fn has(&self, _: usize, _: Side) -> bool {
        true
    }

    fn write<S: Serializer>(&self, field: usize, _: Side, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write_row(field, serializer)
    }
}

impl<R: WriteJson> Fields for Update<'_, R> {
    fn has(&self, field: usize, side: Side) -> bool {
        R::update_has(self.0, field, side)
    }

    fn write<S: Serializer>(&self, field: usize, side: Side, serializer: S) -> Result<S::Ok, S::Error> {
        R::write_update(self.0, field, side, serializer)
    }
}

impl<R: WriteJson> Fields for Patched<'_, R> {
    fn has(&self, field: usize, side: Side) -> bool {
        R::patch_has(self.0, field, side)
    }

    fn write<S: Serializer>(&self, field: usize, side: Side, serializer: S) -> Result<S::Ok, S::Error> {
        R::write_patch(self.0, field, side, serializer)
    }
}

/// What is known of the fields: a name for each that is shown.
fn shown<R: WriteJson>() -> impl Iterator<Item = (usize, &'static str)> {
    let names = R::TABLE.columns();
    R::COLUMNS.iter().enumerate().filter_map(|(field, column)| Some((field, *names.get((*column)?)?)))
}

/// One field.
struct One<'a, F>(&'a F, usize, Side);

impl<F: Fields> Serialize for One<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(self.1, self.2, serializer)
    }
}

/// `before` or `after`.
struct Values<'a, F, R>(&'a F, Side, core::marker::PhantomData<R>);

impl<F: Fields, R: WriteJson> Serialize for Values<'_, F, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, name) in shown::<R>().filter(|(field, _)| self.0.has(*field, self.1)) {
            map.serialize_entry(name, &One(self.0, field, self.1))?;
        }
        map.end()
    }
}

/// `changed`.
struct Changed<'a, F, R>(&'a F, core::marker::PhantomData<R>);

impl<F: Fields, R: WriteJson> Serialize for Changed<'_, F, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let changed = shown::<R>().filter(|(field, _)| self.0.has(*field, Side::New));
        serializer.collect_seq(changed.map(|(_, name)| name))
    }
}

/// `key`, of a row or an UPDATE.
struct Key<'a, F, R>(&'a F, core::marker::PhantomData<R>);

impl<F: Fields, R: WriteJson> Serialize for Key<'_, F, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = R::TABLE;
        let order = key_order(table.key_ordinals());
        // a hidden one has no place, but is among the fields, and is written as null
        let fields = order.iter().map(|column| R::COLUMNS.iter().position(|known| *known == Some(*column)));
        if let [column] = order[..] {
            return match R::COLUMNS.iter().position(|known| *known == Some(column)) {
                Some(field) => self.0.write(field, Side::Key, serializer),
                None => serializer.serialize_unit(),
            };
        }
        let mut seq = serializer.serialize_seq(Some(order.len()))?;
        for field in fields {
            match field {
                Some(field) => seq.serialize_element(&One(self.0, field, Side::Key))?,
                None => seq.serialize_element(&())?,
            }
        }
        seq.end()
    }
}

/// The key of a DELETE of a patchset.
struct KeyAlone<'a, R: Tracked>(&'a R::Key);

impl<R: WriteJson> Serialize for KeyAlone<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        R::write_key(self.0, serializer)
    }
}

/// What of a row or companion a change shows.
fn write<R: WriteJson, F: Fields, S: Serializer>(
    operation: Operation,
    fields: &F,
    before: bool,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let this = core::marker::PhantomData::<R>;
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry(OP, operation_name(operation))?;
    map.serialize_entry(TABLE, R::TABLE.table())?;
    map.serialize_entry(KEY, &Key(fields, this))?;
    if before && operation != Operation::Insert {
        map.serialize_entry(BEFORE, &Values(fields, Side::Old, this))?;
    }
    if operation != Operation::Delete {
        map.serialize_entry(AFTER, &Values(fields, Side::New, this))?;
    }
    if operation == Operation::Update {
        map.serialize_entry(CHANGED, &Changed(fields, this))?;
    }
    map.end()
}

/// As JSON: see [the form](crate::wire::json).
impl<T: Tracked> Serialize for Change<T>
where
    T::Row: WriteJson<Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Insert(row) => write::<T::Row, _, _>(Operation::Insert, &Row(row), true, serializer),
            Self::Update(update) => {
                write::<T::Row, _, _>(Operation::Update, &Update::<T::Row>(update), true, serializer)
            }
            Self::Delete(row) => write::<T::Row, _, _>(Operation::Delete, &Row(row), true, serializer),
        }
    }
}

/// As JSON: see [the form](crate::wire::json).
impl<T: Tracked> Serialize for Patch<T>
where
    T::Row: WriteJson<Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Insert(row) => write::<T::Row, _, _>(Operation::Insert, &Row(row), false, serializer),
            Self::Update(patch) => {
                write::<T::Row, _, _>(Operation::Update, &Patched::<T::Row>(patch), false, serializer)
            }
            Self::Delete(key) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry(OP, operation_name(Operation::Delete))?;
                map.serialize_entry(TABLE, T::TABLE.table())?;
                map.serialize_entry(KEY, &KeyAlone::<T::Row>(key))?;
                map.end()
            }
        }
    }
}

// The key, where its columns are known to the compiler alone.

/// Writes the field for the column `C`.
pub trait WriteColumn<C>: HasColumn<C> {
    fn write<S: Serializer>(value: &Self::Type, serializer: S) -> Result<S::Ok, S::Error>;
}

/// The field for the column `C` of the row `R`.
struct OfColumn<'a, C, R: HasColumn<C>>(&'a R::Type);

impl<C, R: WriteColumn<C>> Serialize for OfColumn<'_, C, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        R::write(self.0, serializer)
    }
}

/// Writes the key.
pub trait WriteKey<P, R>: KeyOf<P, R> {
    fn write<S: Serializer>(key: &Self::Key, serializer: S) -> Result<S::Ok, S::Error>;
}

impl<P, R> WriteKey<P, R> for Columns<0> {
    fn write<S: Serializer>((): &(), serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<C, R: WriteColumn<C>> WriteKey<C, R> for Columns<1> {
    fn write<S: Serializer>(key: &R::Type, serializer: S) -> Result<S::Ok, S::Error> {
        R::write(key, serializer)
    }
}

macro_rules! keys {
    ($($count:literal: $($C:ident)*;)*) => {$(
        impl<$($C,)* R> WriteKey<($($C,)*), R> for Columns<$count>
        where
            R: $(WriteColumn<$C> +)*
        {
            #[allow(non_snake_case)]
            fn write<__S: Serializer>(key: &Self::Key, serializer: __S) -> Result<__S::Ok, __S::Error> {
                let ($($C,)*) = key;
                let mut seq = serializer.serialize_seq(Some($count))?;
                $(seq.serialize_element(&OfColumn::<$C, R>($C))?;)*
                seq.end()
            }
        }
    )*};
}
of_tuples!(keys);
