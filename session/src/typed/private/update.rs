//! The type that a column has in an UPDATE: the plain value for a column of the primary key,
//! otherwise the change of the value.

use crate::typed::reader::{Reader, Side};
use crate::typed::{DecodeError, Field, ValueError};
use crate::wire::Value;

/// Whether a column belongs to the primary key.
pub struct IsKey<const KEY: bool>;

/// The type that a column of the type `T` has in an UPDATE.
pub trait InUpdate<T> {
    type Update;
    type Patch;
    /// Returns whether an UPDATE of a changeset changes the column.
    fn is_updated(update: &Self::Update) -> bool;
    /// Returns whether an UPDATE of a patchset changes the column.
    fn is_patched(patch: &Self::Patch) -> bool;
}

impl<T> InUpdate<T> for IsKey<true> {
    type Update = T;
    type Patch = T;

    #[inline(always)]
    fn is_updated(_: &T) -> bool {
        false
    }

    #[inline(always)]
    fn is_patched(_: &T) -> bool {
        false
    }
}

impl<T> InUpdate<T> for IsKey<false> {
    type Update = Field<T>;
    type Patch = Option<T>;

    #[inline(always)]
    fn is_updated(update: &Field<T>) -> bool {
        update.is_changed()
    }

    #[inline(always)]
    fn is_patched(patch: &Option<T>) -> bool {
        patch.is_some()
    }
}

/// Which fields of a group of four belong to the key: bit `n` stands for the field `n` of the
/// group.
pub struct Keys<const BITS: u8>;

/// [`IsKey`] of each of the four fields.
pub trait Four {
    type K0;
    type K1;
    type K2;
    type K3;
}

macro_rules! keys {
    ($($bits:literal: $k3:literal $k2:literal $k1:literal $k0:literal;)*) => {$(
        impl Four for Keys<$bits> {
            type K0 = IsKey<$k0>;
            type K1 = IsKey<$k1>;
            type K2 = IsKey<$k2>;
            type K3 = IsKey<$k3>;
        }
    )*};
}
keys! {
    0b0000: false false false false;
    0b0001: false false false true;
    0b0010: false false true false;
    0b0011: false false true true;
    0b0100: false true false false;
    0b0101: false true false true;
    0b0110: false true true false;
    0b0111: false true true true;
    0b1000: true false false false;
    0b1001: true false false true;
    0b1010: true false true false;
    0b1011: true false true true;
    0b1100: true true false false;
    0b1101: true true false true;
    0b1110: true true true false;
    0b1111: true true true true;
}

/// A row whose key only the compiler knows: the fields of its group `GROUP` of four that belong to
/// the key.
///
/// A constant in a type is expensive to compile, so four fields share one.
pub trait KeyColumns<const GROUP: usize> {
    type Are: Four;
}

macro_rules! key_or {
    ($($KeyOrField:ident $KeyOrOption:ident $K:ident)*) => {$(
        /// `T` for a column of the primary key, otherwise `Field<T>`. The column has this position
        /// in its group of the row `R`.
        pub type $KeyOrField<T, R, const GROUP: usize> =
            <<<R as KeyColumns<GROUP>>::Are as Four>::$K as InUpdate<T>>::Update;

        /// `T` for a column of the primary key, otherwise `Option<T>`. The column has this position
        /// in its group of the row `R`.
        pub type $KeyOrOption<T, R, const GROUP: usize> =
            <<<R as KeyColumns<GROUP>>::Are as Four>::$K as InUpdate<T>>::Patch;
    )*};
}
key_or! { KeyOrField0 KeyOrOption0 K0 KeyOrField1 KeyOrOption1 K1 KeyOrField2 KeyOrOption2 K2 KeyOrField3 KeyOrOption3 K3 }

/// Returns the names of the changed columns, in the order of the table. `at` is the column of each
/// field.
pub fn changed<const N: usize, const F: usize>(
    columns: &'static [&'static str; N],
    at: &'static [usize; F],
    changed: [bool; F],
) -> impl Iterator<Item = &'static str> {
    let mut of_column = [false; N];
    for (at, changed) in at.iter().zip(changed) {
        if let Some(slot) = of_column.get_mut(*at) {
            *slot = changed;
        }
    }
    columns.iter().zip(of_column).filter_map(|(name, is_changed)| is_changed.then_some(*name))
}

/// Writes a companion as `#[derive(Debug)]` does.
pub fn debug(
    formatter: &mut core::fmt::Formatter<'_>,
    name: &str,
    fields: &[&str],
    values: &[&dyn core::fmt::Debug],
) -> core::fmt::Result {
    let mut shown = formatter.debug_struct(name);
    for (field, value) in fields.iter().zip(values) {
        shown.field(field, value);
    }
    shown.finish()
}

/// Reads a column of an UPDATE.
pub trait ReadUpdate<'de, T>: InUpdate<T> {
    fn update<const N: usize>(
        reader: &Reader<'_, 'de>,
        sides: (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        read: fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Self::Update, DecodeError>;

    fn patch<const N: usize>(
        reader: &Reader<'_, 'de>,
        sides: (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        read: fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Self::Patch, DecodeError>;
}

impl<'de, T> ReadUpdate<'de, T> for IsKey<true> {
    #[inline(always)]
    fn update<const N: usize>(
        reader: &Reader<'_, 'de>,
        (old, _): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        read: fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        reader.value(old, column, read)
    }

    #[inline(always)]
    fn patch<const N: usize>(
        reader: &Reader<'_, 'de>,
        (old, _): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        read: fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        reader.value(old, column, read)
    }
}

impl<'de, T> ReadUpdate<'de, T> for IsKey<false> {
    #[inline(always)]
    fn update<const N: usize>(
        reader: &Reader<'_, 'de>,
        sides: (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        read: fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Field<T>, DecodeError> {
        reader.field(sides, column, read)
    }

    #[inline(always)]
    fn patch<const N: usize>(
        reader: &Reader<'_, 'de>,
        (_, new): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        read: fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Option<T>, DecodeError> {
        reader.patch(new, column, read)
    }
}
