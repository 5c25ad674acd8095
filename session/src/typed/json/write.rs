//! Writing typed changes as JSON.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::super::change::{Change, Patch, Tracked};
use super::super::field;
use super::super::private::{Columns, HasColumn, InUpdate, IsKey, KeyOf, of_tuples};
use crate::wire::json::write::{key_order, operation_name};
use crate::wire::json::{AFTER, BEFORE, CHANGED, KEY, OP, TABLE};
use crate::wire::{Format, Operation};

/// The part of an UPDATE that a value belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Key,
    Old,
    New,
}

/// The values of a column in an UPDATE.
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

/// Returns the values of a column of type `T` in an UPDATE, for key columns and other columns.
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
    note = "the type of each field must implement `Serialize`, or have `#[serde(with = …)]`"
)]
pub trait WriteJson: Tracked<Row = Self> + Sized {
    /// The column of each field; `None` for a field that is never written.
    const COLUMNS: &'static [Option<usize>];

    fn write_row<S: Serializer>(&self, field: usize, serializer: S) -> Result<S::Ok, S::Error>;
    /// Writes the field of an UPDATE, or null if it has no value.
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

/// The fields of a row or companion.
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

/// Returns the index and name of each field that is written.
fn written_fields<R: WriteJson>() -> impl Iterator<Item = (usize, &'static str)> {
    let names = R::TABLE.columns();
    R::COLUMNS.iter().enumerate().filter_map(|(field, column)| Some((field, *names.get((*column)?)?)))
}

/// Serializes one field.
struct OneField<'a, F>(&'a F, usize, Side);

impl<F: Fields> Serialize for OneField<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(self.1, self.2, serializer)
    }
}

/// Serializes `before` or `after`.
struct Values<'a, F, R>(&'a F, Side, core::marker::PhantomData<R>);

impl<F: Fields, R: WriteJson> Serialize for Values<'_, F, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, name) in written_fields::<R>().filter(|(field, _)| self.0.has(*field, self.1)) {
            map.serialize_entry(name, &OneField(self.0, field, self.1))?;
        }
        map.end()
    }
}

/// Serializes `changed`.
struct Changed<'a, F, R>(&'a F, core::marker::PhantomData<R>);

impl<F: Fields, R: WriteJson> Serialize for Changed<'_, F, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let changed = written_fields::<R>().filter(|(field, _)| self.0.has(*field, Side::New));
        serializer.collect_seq(changed.map(|(_, name)| name))
    }
}

/// Serializes `key` of a row or an UPDATE.
struct Key<'a, F, R>(&'a F, core::marker::PhantomData<R>);

impl<F: Fields, R: WriteJson> Serialize for Key<'_, F, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = R::TABLE;
        let order = key_order(table.key_ordinals());
        // a hidden column has no field here, and is written as null
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
                Some(field) => seq.serialize_element(&OneField(self.0, field, Side::Key))?,
                None => seq.serialize_element(&())?,
            }
        }
        seq.end()
    }
}

/// Serializes `key` of a DELETE in a patchset.
struct DeletedKey<'a, R: Tracked>(&'a R::Key);

impl<R: WriteJson> Serialize for DeletedKey<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        R::write_key(self.0, serializer)
    }
}

/// Writes a change.
fn write<R: WriteJson, F: Fields, S: Serializer>(
    operation: Operation,
    fields: &F,
    format: Format,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let this = core::marker::PhantomData::<R>;
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry(OP, operation_name(operation))?;
    map.serialize_entry(TABLE, R::TABLE.table())?;
    map.serialize_entry(KEY, &Key(fields, this))?;
    if format == Format::Changeset && operation != Operation::Insert {
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

/// Writes [the JSON format](crate::wire::json).
impl<T: Tracked> Serialize for Change<T>
where
    T::Row: WriteJson<Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Insert(row) => write::<T::Row, _, _>(Operation::Insert, &Row(row), Format::Changeset, serializer),
            Self::Update(update) => {
                write::<T::Row, _, _>(Operation::Update, &Update::<T::Row>(update), Format::Changeset, serializer)
            }
            Self::Delete(row) => write::<T::Row, _, _>(Operation::Delete, &Row(row), Format::Changeset, serializer),
        }
    }
}

/// Writes [the JSON format](crate::wire::json).
impl<T: Tracked> Serialize for Patch<T>
where
    T::Row: WriteJson<Update = T::Update, Patch = T::Patch, Key = T::Key>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Insert(row) => write::<T::Row, _, _>(Operation::Insert, &Row(row), Format::Patchset, serializer),
            Self::Update(patch) => {
                write::<T::Row, _, _>(Operation::Update, &Patched::<T::Row>(patch), Format::Patchset, serializer)
            }
            Self::Delete(key) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry(OP, operation_name(Operation::Delete))?;
                map.serialize_entry(TABLE, T::TABLE.table())?;
                map.serialize_entry(KEY, &DeletedKey::<T::Row>(key))?;
                map.end()
            }
        }
    }
}

// Keys whose columns only the compiler knows.

/// Writes the field for the column `C`.
pub trait WriteColumn<C>: HasColumn<C> {
    fn write<S: Serializer>(value: &Self::Type, serializer: S) -> Result<S::Ok, S::Error>;
}

/// Serializes the field for the column `C` of the row `R`.
struct KeyColumn<'a, C, R: HasColumn<C>>(&'a R::Type);

impl<C, R: WriteColumn<C>> Serialize for KeyColumn<'_, C, R> {
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
                $(seq.serialize_element(&KeyColumn::<$C, R>($C))?;)*
                seq.end()
            }
        }
    )*};
}
of_tuples!(keys);
