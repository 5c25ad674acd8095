//! Changes to JSON.

use alloc::vec::Vec;
use core::fmt;

use serde::ser::{Error, SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

use super::{AFTER, BEFORE, CHANGED, CHANGES, COLUMNS, FORMAT, INDIRECT, KEY, KEY_ORDINALS, OP, TABLE};
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::{Record, Records};
use crate::wire::codec::set::{Set, SetFormat, SetRef};
use crate::wire::codec::table_info::TableInfo;
use crate::wire::codec::value::Value;
use crate::wire::text::sql::find;

/// A change for `Serialize`, with the names of its columns: from [`Record::json`].
#[derive(Clone, Copy)]
pub struct RecordJson<'a, 'n> {
    record: Record<'a>,
    columns: Option<TableInfo<'n>>,
}

impl fmt::Debug for RecordJson<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordJson").field("table", &self.record.table()).finish_non_exhaustive()
    }
}

impl<'a, 'n> RecordJson<'a, 'n> {
    pub(super) fn new(record: Record<'a>, columns: Option<TableInfo<'n>>) -> Self {
        Self { record, columns }
    }
}

/// What the columns of a change are called, if that is known.
#[derive(Clone, Copy)]
struct Names<'n>(Option<TableInfo<'n>>);

impl<'n> Names<'n> {
    /// Those of a change, or why they cannot be.
    fn new<E: Error>(columns: Option<TableInfo<'n>>, record: Record<'_>) -> Result<Self, E> {
        if let Some(columns) = columns {
            let (names, table, count) = (columns.columns(), record.table().escape_debug(), record.column_count());
            if names.len() < count {
                return Err(E::custom(format_args!("table {table}: {} names for {count} columns", names.len())));
            }
            if let Some(other) = columns.hidden().iter().find(|hidden| !has(names, hidden)) {
                return Err(E::custom(format_args!("table {table}: no column {other:?} to hide")));
            }
        }
        Ok(Self(columns))
    }

    /// Whether a column is left out.
    fn hides(self, place: usize) -> bool {
        self.0.is_some_and(|table| table.columns().get(place).is_some_and(|name| has(table.hidden(), name)))
    }
}

/// Whether a column is among these; SQLite takes the letters A to Z and a to z for the same.
fn has(names: &[&str], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// What a column is called.
struct Column<'n> {
    place: usize,
    names: Names<'n>,
}

impl Serialize for Column<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.names.0.and_then(|table| table.columns().get(self.place).copied()) {
            Some(name) => serializer.serialize_str(name),
            None => serializer.collect_str(&self.place),
        }
    }
}

/// The name of an operation.
pub(crate) fn op(operation: Operation) -> &'static str {
    match operation {
        Operation::Insert => "insert",
        Operation::Update => "update",
        Operation::Delete => "delete",
    }
}

pub(super) fn name(format: Format) -> &'static str {
    match format {
        Format::Changeset => "changeset",
        Format::Patchset => "patchset",
    }
}

/// The places of the key's columns, in the order of the key.
pub(crate) fn key_order(ordinals: &[u8]) -> Vec<usize> {
    let mut places: Vec<(u8, usize)> =
        ordinals.iter().enumerate().filter(|(_, place)| **place != 0).map(|(column, place)| (*place, column)).collect();
    places.sort_unstable();
    places.into_iter().map(|(_, column)| column).collect()
}

/// A key: a value, or an array of several.
struct Key<'a, 'n> {
    record: Record<'a>,
    names: Names<'n>,
}

impl Serialize for Key<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.record.key_ordinals().iter().enumerate().filter(|(_, ordinal)| **ordinal != 0);
        let mut values = columns
            .zip(self.record.key_values())
            .map(|((place, ordinal), value)| (*ordinal, Some(value).filter(|_| !self.names.hides(place))));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => value.serialize(serializer),
            (first, second) => {
                let mut values: Vec<_> = first.into_iter().chain(second).chain(values).collect();
                values.sort_by_key(|(ordinal, _)| *ordinal);
                serializer.collect_seq(values.into_iter().map(|(_, value)| value))
            }
        }
    }
}

/// The values of one side.
struct Side<'a, 'n> {
    record: Record<'a>,
    names: Names<'n>,
    new: bool,
}

impl Serialize for Side<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = &self.record;
        let values = if self.new { record.new_values() } else { record.old_values() };
        // the old key of an UPDATE stands by itself
        let with_key = self.new || record.operation() != Operation::Update;
        let recorded = values.zip(record.key_ordinals()).enumerate();
        let shown = recorded.filter(|(place, (_, ordinal))| (with_key || **ordinal == 0) && !self.names.hides(*place));
        let mut map = serializer.serialize_map(None)?;
        for (place, (value, _)) in shown {
            if let Some(value) = value {
                map.serialize_entry(&Column { place, names: self.names }, &value)?;
            }
        }
        map.end()
    }
}

/// Whether an UPDATE changes a column from one value to the other.
pub(super) fn is_changed(old: Option<Value<'_>>, new: Option<Value<'_>>) -> bool {
    new.is_some() && old != new
}

/// All columns that the change has, which may be older than the last ones of the table.
struct All<'n> {
    count: usize,
    names: Names<'n>,
}

impl Serialize for All<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.names;
        serializer.collect_seq((0..self.count).map(|place| (!names.hides(place)).then_some(Column { place, names })))
    }
}

/// The columns that an UPDATE changes.
struct Changed<'a, 'n> {
    record: Record<'a>,
    names: Names<'n>,
}

impl Serialize for Changed<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let both = self.record.old_values().zip(self.record.new_values()).enumerate();
        let changed = both.filter(|(place, (old, new))| is_changed(*old, *new) && !self.names.hides(*place));
        serializer.collect_seq(changed.map(|(place, _)| Column { place, names: self.names }))
    }
}

impl Serialize for RecordJson<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { record, columns } = *self;
        let (operation, (_, format, _)) = (record.operation(), record.parts());
        let names = Names::new(columns, record)?;
        let side = |new| Side { record, names, new };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(OP, op(operation))?;
        map.serialize_entry(TABLE, record.table())?;
        map.serialize_entry(KEY_ORDINALS, record.key_ordinals())?;
        if columns.is_some() {
            map.serialize_entry(COLUMNS, &All { count: record.column_count(), names })?;
        }
        map.serialize_entry(KEY, &Key { record, names })?;
        if operation != Operation::Insert && format == Format::Changeset {
            map.serialize_entry(BEFORE, &side(false))?;
        }
        if operation != Operation::Delete {
            map.serialize_entry(AFTER, &side(true))?;
        }
        if operation == Operation::Update {
            map.serialize_entry(CHANGED, &Changed { record, names })?;
        }
        map.serialize_entry(INDIRECT, &record.indirect())?;
        map.end()
    }
}

/// As JSON, its columns by their places: see [the form](crate::wire::json).
impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RecordJson::new(*self, None).serialize(serializer)
    }
}

/// A changeset or patchset for `Serialize`, with the names of its columns: from [`Changeset::json`] and [`Patchset::json`].
#[derive(Clone)]
#[must_use = "it is written with `Serialize`"]
pub struct Json<'a> {
    records: Records<'a>,
    tables: Vec<TableInfo<'a>>,
}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").finish_non_exhaustive()
    }
}

impl<'a> Json<'a> {
    pub(super) fn new(records: Records<'a>, tables: Vec<TableInfo<'a>>) -> Self {
        Self { records, tables }
    }
}

/// The changes alone.
struct Changes<'j, 'a>(&'j Json<'a>);

impl Serialize for Changes<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Json { records, tables } = self.0;
        let mut last = ("", None);
        serializer.collect_seq(records.clone().enumerate().map(|(place, record)| {
            // the names are looked for once in each section
            if place == 0 || !core::ptr::eq(last.0, record.table()) {
                last = (record.table(), find(tables, record.table()));
            }
            RecordJson::new(record, last.1)
        }))
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_struct("Changes", 2)?;
        json.serialize_field(FORMAT, name(self.records.format))?;
        json.serialize_field(CHANGES, &Changes(self))?;
        json.end()
    }
}

/// As JSON, with the positions of the columns for names: see [the format](crate::wire::json).
impl<F: SetFormat> Serialize for Set<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_borrowed().serialize(serializer)
    }
}

/// As JSON, with the positions of the columns for names: see [the format](crate::wire::json).
impl<F: SetFormat> Serialize for SetRef<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Json::new(self.records(), Vec::new()).serialize(serializer)
    }
}
