//! What the code that the derive writes refers to. Nothing here is for users, and nothing of it is promised.

#![allow(clippy::missing_errors_doc, clippy::type_complexity)]

use core::marker::PhantomData;

pub use super::change::{DecodeRow, KeyedRow};
pub use super::encode::EncodeRow;
#[cfg(feature = "serde")]
pub use super::json;
pub use super::reader::{Reader, Side, UnreadRecord as Record};
pub use super::set::{FromChanges, FromPatches, TrackedSet};
pub use super::table::{ColumnList, KeyList, OneColumn, TableName};
pub use super::{Change, CowValue, DecodeError, Field, FromSqlValue, Patch, RustType, ToSqlValue, Tracked, ValueError};
pub use crate::__when_serde as when_serde;
pub use crate::wire::{Operation, Value};
pub use core;
pub use core::option::Option;
pub use core::primitive::{str, u8, usize};
pub use core::result::Result;
pub use diesel;
pub use std::string::String;
pub use std::vec::Vec;

/// The description of a table that a `table!` declares.
pub type TableInfo = crate::wire::TableInfo<'static>;

/// Code that is there with the feature `serde` of this crate, whatever the features of the user's.
#[cfg(feature = "serde")]
#[doc(hidden)]
#[macro_export]
macro_rules! __when_serde {
    ($($code:tt)*) => { $($code)* };
}

/// Code that is there with the feature `serde` of this crate, whatever the features of the user's.
#[cfg(not(feature = "serde"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __when_serde {
    ($($code:tt)*) => {};
}

/// Creates the description of a row's table.
pub const fn table_info(
    table: &'static str,
    columns: &'static [&'static str],
    key_ordinals: &'static [u8],
    optional: usize,
    hidden: &'static [&'static str],
) -> TableInfo {
    TableInfo::new(table, key_ordinals).with_columns(columns).with_hidden(hidden).with_optional(optional)
}

// What a constant can find out of names.

/// Whether two names are the same; but for the case of their letters, as SQLite compares the names of tables, if that is asked.
const fn same(a: &str, b: &str, but_for_case: bool) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] && !(but_for_case && a[i].eq_ignore_ascii_case(&b[i])) {
            return false;
        }
        i += 1;
    }
    true
}

/// Where a name is among others.
pub const fn position(names: &[&str], name: &str) -> Option<usize> {
    let mut i = 0;
    while i < names.len() {
        if same(names[i], name, false) {
            return Some(i);
        }
        i += 1;
    }
    None
}

/// The names but for some, as far as there is room; what is left over is empty.
pub const fn without<const N: usize>(names: &[&'static str], some: &[&str]) -> [&'static str; N] {
    let mut kept = [""; N];
    let (mut i, mut n) = (0, 0);
    while i < names.len() && n < N {
        if position(some, names[i]).is_none() {
            kept[n] = names[i];
            n += 1;
        }
        i += 1;
    }
    kept
}

/// Where each name is among others; 0 where it is not.
pub const fn positions<const N: usize>(names: &[&str; N], among: &[&str]) -> [usize; N] {
    let mut found = [0; N];
    let mut i = 0;
    while i < N {
        if let Some(at) = position(among, names[i]) {
            found[i] = at;
        }
        i += 1;
    }
    found
}

/// The key ordinals of columns.
pub const fn ordinals<const N: usize>(columns: &[&str; N], key: &[&str]) -> [u8; N] {
    let mut ordinals = [0; N];
    let mut i = 0;
    while i < N {
        if let Some(at) = position(key, columns[i]) {
            ordinals[i] = at as u8 + 1;
        }
        i += 1;
    }
    ordinals
}

/// A text that a constant puts together, to panic with.
struct Text {
    bytes: [u8; 1024],
    length: usize,
}

impl Text {
    const fn new() -> Self {
        Self { bytes: [0; 1024], length: 0 }
    }

    /// With more at its end, as far as there is room.
    const fn and(mut self, more: &str) -> Self {
        if self.length + more.len() <= self.bytes.len() {
            let mut i = 0;
            while i < more.len() {
                self.bytes[self.length] = more.as_bytes()[i];
                self.length += 1;
                i += 1;
            }
        }
        self
    }

    const fn as_str(&self) -> &str {
        match core::str::from_utf8(self.bytes.split_at(self.length).0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

/// Refuses a row that leaves columns of its table out.
#[track_caller]
pub const fn check_columns(all: &[&'static str], named: &[&[&str]], table: &str, row: &str) {
    let (mut text, mut count, mut i) = (Text::new(), 0, 0);
    while i < all.len() {
        let (mut found, mut j) = (false, 0);
        while j < named.len() {
            found |= position(named[j], all[i]).is_some();
            j += 1;
        }
        if !found {
            text = text.and(if count == 0 { "`" } else { ", `" }).and(all[i]).and("`");
            count += 1;
        }
        i += 1;
    }
    if count > 0 {
        let (column, has, one) = if count == 1 { ("column", "has", "one") } else { ("columns", "have", "them") };
        let text = Text::new()
            .and("the ")
            .and(column)
            .and(" ")
            .and(text.as_str())
            .and(" of `")
            .and(table)
            .and("` ")
            .and(has)
            .and(" no field in `")
            .and(row)
            .and("`: write ")
            .and(one)
            .and(", or above the struct `#[tracked(skip(…))]`, or for a generated column `#[tracked(generated(…))]`");
        panic!("{}", text.as_str());
    }
}

/// How many columns the key has; 0 if one of them has no field.
pub const fn key_columns(key: &[&str], fields: &[&str]) -> usize {
    let mut i = 0;
    while i < key.len() {
        if position(fields, key[i]).is_none() {
            return 0;
        }
        i += 1;
    }
    key.len()
}

/// Refuses to leave out a column of the key.
#[track_caller]
pub const fn check_left_out(key: &[&str], name: &str, column: &str) {
    if position(key, name).is_some() {
        let text = Text::new()
            .and("`")
            .and(column)
            .and("` is of the primary key, which tells the rows apart: it needs a field and cannot be left out");
        panic!("{}", text.as_str());
    }
}

/// Refuses a default of a column that is not one of the last, or is of the key.
#[track_caller]
pub const fn check_default(ordinals: &[u8], at: usize, optional: usize, field: &str) {
    if ordinals[at] != 0 {
        let text = Text::new()
            .and("`")
            .and(field)
            .and("` is of the primary key, which every change holds: it needs no default");
        panic!("{}", text.as_str());
    }
    if at + optional < ordinals.len() {
        let text = Text::new()
            .and("`")
            .and(field)
            .and("` is not one of the table's last columns: older changes can lack those alone, and `#[tracked(default)]` is for \
                  them");
        panic!("{}", text.as_str());
    }
}

/// Refuses a `primary_key` that is not the table's.
#[track_caller]
pub const fn check_key(said: &[&str], key: &[&str], fields: &[&str], columns: &[&str]) {
    let (mut is_same, mut i) = (said.len() == key.len(), 0);
    while is_same && i < key.len() {
        is_same = same(said[i], key[i], false);
        i += 1;
    }
    if !is_same {
        let mut text = Text::new().and("this is not the primary key of `table!`: write `primary_key(");
        let mut i = 0;
        while i < key.len() {
            let name = match position(fields, key[i]) {
                Some(at) => columns[at],
                None => key[i],
            };
            text = text.and(if i == 0 { "" } else { ", " }).and(name);
            i += 1;
        }
        let text = text.and(")`");
        panic!("{}", text.as_str());
    }
}

/// Refuses a set that has a table twice.
#[track_caller]
pub const fn check_table(tables: &[&[&TableInfo]], variants: &[&str], at: usize) {
    let mut i = 0;
    while i < at {
        if same(tables[i][0].table(), tables[at][0].table(), true) {
            let text = Text::new()
                .and("the table `")
                .and(tables[at][0].table())
                .and("` is in the set already: the variant `")
                .and(variants[i])
                .and("` has it");
            panic!("{}", text.as_str());
        }
        i += 1;
    }
}

/// The first field that cannot be written.
pub const fn unwritable(fields: &[(bool, &'static str)]) -> Option<&'static str> {
    let mut i = 0;
    while i < fields.len() {
        if !fields[i].0 {
            return Some(fields[i].1);
        }
        i += 1;
    }
    None
}

/// The tables of sets of one table each.
pub const fn tables<const N: usize>(
    sets: [&'static [&'static TableInfo]; N],
) -> [&'static TableInfo; N] {
    let mut tables = [sets[0][0]; N];
    let mut i = 0;
    while i < N {
        tables[i] = sets[i][0];
        i += 1;
    }
    tables
}

/// The name of a type.
pub fn type_name<T>() -> &'static str {
    core::any::type_name::<T>()
}

// Whether a column is of the key, and what it is then in an UPDATE.

/// A column that is of the key, or is not.
pub struct IsKey<const KEY: bool>;

/// What a column of the type `T` is in an UPDATE.
pub trait InUpdate<T> {
    type Update;
    type Patch;
    /// Whether an UPDATE of a changeset changes the column.
    fn is_updated(update: &Self::Update) -> bool;
    /// Whether one of a patchset does.
    fn is_patched(patch: &Self::Patch) -> bool;
}

impl<T> InUpdate<T> for IsKey<true> {
    type Update = T;
    type Patch = T;

    #[inline]
    fn is_updated(_: &T) -> bool {
        false
    }

    #[inline]
    fn is_patched(_: &T) -> bool {
        false
    }
}

impl<T> InUpdate<T> for IsKey<false> {
    type Update = Field<T>;
    type Patch = Option<T>;

    #[inline]
    fn is_updated(update: &Field<T>) -> bool {
        update.is_changed()
    }

    #[inline]
    fn is_patched(patch: &Option<T>) -> bool {
        patch.is_some()
    }
}

/// The names of those columns that are changed.
pub fn changed<const N: usize>(
    columns: &'static [&'static str; N],
    changed: [bool; N],
) -> impl Iterator<Item = &'static str> {
    columns.iter().zip(changed).filter_map(|(name, is_changed)| is_changed.then_some(*name))
}

/// Reads a column of an UPDATE.
pub trait ReadUpdate<'de, T>: InUpdate<T> {
    fn update<const N: usize>(
        reader: &Reader<'_, 'de>,
        sides: (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Self::Update, DecodeError>;

    fn patch<const N: usize>(
        reader: &Reader<'_, 'de>,
        sides: (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Self::Patch, DecodeError>;
}

impl<'de, T> ReadUpdate<'de, T> for IsKey<true> {
    #[inline]
    fn update<const N: usize>(
        reader: &Reader<'_, 'de>,
        (old, _): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        reader.value(old, column, sql_type, decode)
    }

    #[inline]
    fn patch<const N: usize>(
        reader: &Reader<'_, 'de>,
        (old, _): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<T, DecodeError> {
        reader.value(old, column, sql_type, decode)
    }
}

impl<'de, T> ReadUpdate<'de, T> for IsKey<false> {
    #[inline]
    fn update<const N: usize>(
        reader: &Reader<'_, 'de>,
        sides: (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Field<T>, DecodeError> {
        reader.field(sides, column, sql_type, decode)
    }

    #[inline]
    fn patch<const N: usize>(
        reader: &Reader<'_, 'de>,
        (_, new): (&Side<'de, N>, &Side<'de, N>),
        column: usize,
        sql_type: fn() -> &'static str,
        decode: impl Fn(Value<'de>) -> Result<T, ValueError>,
    ) -> Result<Option<T>, DecodeError> {
        reader.patch(new, column, sql_type, decode)
    }
}

// The key, where its columns are known to the compiler alone.

/// A row that has a field for the column `C`.
pub trait HasColumn<C> {
    type Type;
}

/// Reads that field.
pub trait ReadColumn<'de, C>: HasColumn<C> {
    fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<Self::Type, DecodeError>;
}

/// Gives that field, of a row and of its companions.
pub trait KeyColumn<C>: HasColumn<C> + Tracked {
    /// [`IsKey`].
    type Is: InUpdate<Self::Type>;
    fn of_row(&self) -> &Self::Type;
    fn of_update(update: &Self::Update) -> &<Self::Is as InUpdate<Self::Type>>::Update;
    fn of_patch(patch: &Self::Patch) -> &<Self::Is as InUpdate<Self::Type>>::Patch;
}

/// So many columns.
pub struct Columns<const N: usize>;

/// The key of a row `R` of a table with the primary key `P`.
pub trait KeyOf<P, R> {
    type Key;
}

/// Reads the key.
pub trait ReadKey<'de, P, R>: KeyOf<P, R> {
    fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<Self::Key, DecodeError>;
}

/// Copies the key `K` out of a row and of its companions.
pub trait CloneKey<P, R: Tracked, K> {
    fn of_row(row: &R) -> K;
    fn of_update(update: &R::Update) -> K;
    fn of_patch(patch: &R::Patch) -> K;
}

// a row without all of them has a mistake, which is said elsewhere
impl<P, R> KeyOf<P, R> for Columns<0> {
    type Key = ();
}

impl<P, R: Tracked> CloneKey<P, R, ()> for Columns<0> {
    fn of_row(_: &R) {}
    fn of_update(_: &R::Update) {}
    fn of_patch(_: &R::Patch) {}
}

impl<'de, P, R> ReadKey<'de, P, R> for Columns<0> {
    fn read<const N: usize>(_: &Reader<'_, 'de>, _: &Side<'de, N>) -> Result<(), DecodeError> {
        Ok(())
    }
}

impl<C, R: HasColumn<C>> KeyOf<C, R> for Columns<1> {
    type Key = R::Type;
}

impl<'de, C, R: ReadColumn<'de, C>> ReadKey<'de, C, R> for Columns<1> {
    fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<R::Type, DecodeError> {
        R::read(reader, old)
    }
}

impl<C, K: Clone, R: KeyColumn<C, Type = K, Is = IsKey<true>>> CloneKey<C, R, K> for Columns<1> {
    fn of_row(row: &R) -> K {
        row.of_row().clone()
    }

    fn of_update(update: &R::Update) -> K {
        R::of_update(update).clone()
    }

    fn of_patch(patch: &R::Patch) -> K {
        R::of_patch(patch).clone()
    }
}

/// Calls a macro with the key tuples that there are: how many columns, and a name for each.
macro_rules! of_tuples {
    ($macro:ident) => {
        $macro! {
            2: A B;
            3: A B C;
            4: A B C D;
            5: A B C D E;
            6: A B C D E F;
            7: A B C D E F G;
            8: A B C D E F G H;
            9: A B C D E F G H I;
            10: A B C D E F G H I J;
            11: A B C D E F G H I J K;
            12: A B C D E F G H I J K L;
            13: A B C D E F G H I J K L M;
            14: A B C D E F G H I J K L M O;
            15: A B C D E F G H I J K L M O P;
            16: A B C D E F G H I J K L M O P Q;
        }
    };
}
#[cfg(feature = "serde")]
pub(in crate::typed) use of_tuples;

macro_rules! keys {
    ($($count:literal: $($C:ident)*;)*) => {$(
        impl<$($C,)* R> KeyOf<($($C,)*), R> for Columns<$count>
        where
            R: $(HasColumn<$C> +)*
        {
            type Key = ($(<R as HasColumn<$C>>::Type,)*);
        }

        impl<'de, $($C,)* R> ReadKey<'de, ($($C,)*), R> for Columns<$count>
        where
            R: $(ReadColumn<'de, $C> +)*
        {
            fn read<const N: usize>(reader: &Reader<'_, 'de>, old: &Side<'de, N>) -> Result<Self::Key, DecodeError> {
                Ok(($(<R as ReadColumn<'de, $C>>::read(reader, old)?,)*))
            }
        }

        impl<$($C,)* R: Tracked> CloneKey<($($C,)*), R, ($(<R as HasColumn<$C>>::Type,)*)> for Columns<$count>
        where
            R: $(KeyColumn<$C, Is = IsKey<true>> +)*,
            $(<R as HasColumn<$C>>::Type: Clone,)*
        {
            fn of_row(row: &R) -> ($(<R as HasColumn<$C>>::Type,)*) {
                ($(<R as KeyColumn<$C>>::of_row(row).clone(),)*)
            }

            fn of_update(update: &R::Update) -> ($(<R as HasColumn<$C>>::Type,)*) {
                ($(<R as KeyColumn<$C>>::of_update(update).clone(),)*)
            }

            fn of_patch(patch: &R::Patch) -> ($(<R as HasColumn<$C>>::Type,)*) {
                ($(<R as KeyColumn<$C>>::of_patch(patch).clone(),)*)
            }
        }
    )*};
}
of_tuples!(keys);

// How a field is read and written: by our traits, else by Diesel's. Which of the methods of one name is meant, the compiler
// decides by the number of references that it has to take.

/// A field of the type `T` for a column of the SQL type `ST`.
pub struct Via<T: ?Sized, ST>(PhantomData<(fn() -> ST, fn(&T))>);

impl<T: ?Sized, ST> Via<T, ST> {
    pub const NEW: Self = Self(PhantomData);
}

/// By [`FromSqlValue`].
pub trait DecodeOurs<'de, T> {
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError>;
}

impl<'de, T: FromSqlValue<'de, ST>, ST> DecodeOurs<'de, T> for &&Via<T, ST> {
    #[inline]
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError> {
        T::from_sql_value(value)
    }
}

/// By Diesel's `FromSqlRow`.
pub trait DecodeDiesel<'de, T> {
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError>;
}

#[cfg(feature = "sqlite")]
impl<'de, T, ST> DecodeDiesel<'de, T> for &Via<T, ST>
where
    T: diesel::deserialize::FromSqlRow<ST, diesel::sqlite::Sqlite> + 'static,
    ST: diesel::sql_types::SingleValue + diesel::query_builder::QueryId + 'static,
    diesel::sqlite::Sqlite: diesel::sql_types::HasSqlType<ST>,
{
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError> {
        super::via_diesel::decode::<T, ST>(value)
    }
}

/// By nothing: this is where the compiler says so.
pub trait DecodeNot<'de, T, ST> {
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError>
    where
        T: FromSqlValue<'de, ST>;
}

impl<'de, T, ST> DecodeNot<'de, T, ST> for Via<T, ST> {
    fn decode(&self, value: Value<'de>) -> Result<T, ValueError>
    where
        T: FromSqlValue<'de, ST>,
    {
        T::from_sql_value(value)
    }
}

/// A field by way of another type: `#[diesel(deserialize_as = …)]`.
#[inline]
pub fn convert<T, U>(value: Result<T, ValueError>) -> Result<U, ValueError>
where
    T: TryInto<U>,
    T::Error: core::fmt::Display,
{
    value.and_then(|value| value.try_into().map_err(ValueError::invalid))
}

/// By [`ToSqlValue`].
pub trait EncodeOurs<T: ?Sized> {
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError>;
}

impl<T: ToSqlValue<ST> + ?Sized, ST> EncodeOurs<T> for &&Via<T, ST> {
    #[inline]
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError> {
        value.to_sql_value()
    }
}

/// By Diesel's `ToSql`.
pub trait EncodeDiesel<T: ?Sized> {
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError>;
}

#[cfg(feature = "sqlite")]
impl<T, ST> EncodeDiesel<T> for &Via<T, ST>
where
    T: diesel::serialize::ToSql<ST, diesel::sqlite::Sqlite> + ?Sized,
    diesel::sqlite::Sqlite: diesel::sql_types::HasSqlType<ST>,
{
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError> {
        super::via_diesel::encode::<T, ST>(value)
    }
}

/// By nothing: [`CanWrite`] has refused to compile it before it can be called.
pub trait EncodeNot<T: ?Sized> {
    fn encode<'t>(&self, value: &'t T) -> Result<CowValue<'t>, ValueError>;
}

impl<T: ?Sized, ST> EncodeNot<T> for Via<T, ST> {
    fn encode<'t>(&self, _: &'t T) -> Result<CowValue<'t>, ValueError> {
        Err(ValueError::invalid("the type cannot be written"))
    }
}

/// Whether a field can be written: an associated constant goes before one of a trait.
pub struct CanWrite<T: ?Sized, ST>(PhantomData<(fn() -> ST, fn(&T))>);

impl<T: ToSqlValue<ST> + ?Sized, ST> CanWrite<T, ST> {
    pub const OURS: bool = true;
}

pub trait NotOurs {
    const OURS: bool = false;
}

impl<T: ?Sized, ST> NotOurs for CanWrite<T, ST> {}

#[cfg(feature = "sqlite")]
impl<T, ST> CanWrite<T, ST>
where
    T: diesel::serialize::ToSql<ST, diesel::sqlite::Sqlite> + ?Sized,
    diesel::sqlite::Sqlite: diesel::sql_types::HasSqlType<ST>,
{
    pub const DIESELS: bool = true;
}

pub trait NotDiesels {
    const DIESELS: bool = false;
}

impl<T: ?Sized, ST> NotDiesels for CanWrite<T, ST> {}

/// Whether a field can be made into the `U` of `#[diesel(serialize_as = U)]`, and how.
pub struct CanMake<T, U>(PhantomData<(fn() -> U, fn(T))>);

impl<T: Clone + Into<U>, U> CanMake<T, U> {
    pub const MADE: bool = true;
}

pub trait NotMade {
    const MADE: bool = false;
}

impl<T, U> NotMade for CanMake<T, U> {}

/// A field of the type `T` that is written as a `U`.
pub struct Make<T, U>(PhantomData<(fn() -> U, fn(T))>);

impl<T, U> Make<T, U> {
    pub const NEW: Self = Self(PhantomData);
}

/// By `Into`.
pub trait MakeByInto<T, U> {
    fn make(&self, value: &T) -> Result<U, ValueError>;
}

impl<T: Clone + Into<U>, U> MakeByInto<T, U> for &Make<T, U> {
    #[inline]
    fn make(&self, value: &T) -> Result<U, ValueError> {
        Ok(value.clone().into())
    }
}

/// By nothing: [`CanMake`] has refused to compile it before it can be called.
pub trait MakeNot<T, U> {
    fn make(&self, value: &T) -> Result<U, ValueError>;
}

impl<T, U> MakeNot<T, U> for Make<T, U> {
    fn make(&self, _: &T) -> Result<U, ValueError> {
        Err(ValueError::invalid("the type cannot be written"))
    }
}
