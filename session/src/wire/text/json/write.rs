//! Writing changes as JSON.

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
use crate::wire::text::sql::{contains_name, find_table};

/// A record with the names of its columns, which implements `Serialize`. [`Record::json`] returns
/// it.
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

/// The names of the columns of a change, if they are known.
#[derive(Clone, Copy)]
struct Names<'n>(Option<TableInfo<'n>>);

impl<'n> Names<'n> {
    /// Fails if the names do not match the columns of the change.
    fn new<E: Error>(columns: Option<TableInfo<'n>>, record: Record<'_>) -> Result<Self, E> {
        if let Some(columns) = columns {
            let (names, table, count) = (columns.columns(), record.table().escape_debug(), record.column_count());
            if names.len() < count {
                return Err(E::custom(format_args!("table {table}: {} names for {count} columns", names.len())));
            }
            if let Some(other) = columns.hidden().iter().find(|hidden| !contains_name(names, hidden)) {
                return Err(E::custom(format_args!("table {table}: the hidden column {other:?} does not exist")));
            }
        }
        Ok(Self(columns))
    }

    /// Returns whether a column is hidden.
    fn hides(self, position: usize) -> bool {
        self.0
            .is_some_and(|table| table.columns().get(position).is_some_and(|name| contains_name(table.hidden(), name)))
    }
}

/// Serializes the name of a column, or its position if the name is not known.
struct ColumnName<'n> {
    position: usize,
    names: Names<'n>,
}

impl Serialize for ColumnName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.names.0.and_then(|table| table.columns().get(self.position).copied()) {
            Some(name) => serializer.serialize_str(name),
            None => serializer.collect_str(&self.position),
        }
    }
}

/// Returns the name of an operation in JSON.
pub(crate) fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Insert => "insert",
        Operation::Update => "update",
        Operation::Delete => "delete",
    }
}

/// Returns the name of a format in JSON.
pub(super) fn format_name(format: Format) -> &'static str {
    match format {
        Format::Changeset => "changeset",
        Format::Patchset => "patchset",
    }
}

/// Returns the positions of the key columns, in the order of the key.
pub(crate) fn key_order(ordinals: &[u8]) -> Vec<usize> {
    let mut columns: Vec<(u8, usize)> = ordinals
        .iter()
        .enumerate()
        .filter(|(_, ordinal)| **ordinal != 0)
        .map(|(column, ordinal)| (*ordinal, column))
        .collect();
    columns.sort_unstable();
    columns.into_iter().map(|(_, column)| column).collect()
}

/// Serializes a key: a value, or an array of values for a key of several columns.
struct Key<'a, 'n> {
    record: Record<'a>,
    names: Names<'n>,
}

impl Serialize for Key<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.record.key_ordinals().iter().enumerate().filter(|(_, ordinal)| **ordinal != 0);
        let mut values = columns
            .zip(self.record.key_values())
            .map(|((position, ordinal), value)| (*ordinal, Some(value).filter(|_| !self.names.hides(position))));
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

/// Serializes `before` or `after`.
struct RowValues<'a, 'n> {
    record: Record<'a>,
    names: Names<'n>,
    is_new: bool,
}

impl Serialize for RowValues<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = &self.record;
        let values = if self.is_new { record.new_values() } else { record.old_values() };
        // the old key of an UPDATE is the member `key`
        let with_key = self.is_new || record.operation() != Operation::Update;
        let recorded = values.zip(record.key_ordinals()).enumerate();
        let shown =
            recorded.filter(|(position, (_, ordinal))| (with_key || **ordinal == 0) && !self.names.hides(*position));
        let mut map = serializer.serialize_map(None)?;
        for (position, (value, _)) in shown {
            if let Some(value) = value {
                map.serialize_entry(&ColumnName { position, names: self.names }, &value)?;
            }
        }
        map.end()
    }
}

/// Returns whether an UPDATE changes a column with these values.
pub(super) fn is_changed(old: Option<Value<'_>>, new: Option<Value<'_>>) -> bool {
    new.is_some() && old != new
}

/// Serializes `columns`: all columns of the change, which can be older than the last columns of the
/// table.
struct AllColumns<'n> {
    count: usize,
    names: Names<'n>,
}

impl Serialize for AllColumns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.names;
        serializer.collect_seq(
            (0..self.count).map(|position| (!names.hides(position)).then_some(ColumnName { position, names })),
        )
    }
}

/// Serializes `changed`: the columns that an UPDATE changes.
struct ChangedColumns<'a, 'n> {
    record: Record<'a>,
    names: Names<'n>,
}

impl Serialize for ChangedColumns<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let both = self.record.old_values().zip(self.record.new_values()).enumerate();
        let changed = both.filter(|(position, (old, new))| is_changed(*old, *new) && !self.names.hides(*position));
        serializer.collect_seq(changed.map(|(position, _)| ColumnName { position, names: self.names }))
    }
}

impl Serialize for RecordJson<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { record, columns } = *self;
        let (operation, (_, format, _)) = (record.operation(), record.parts());
        let names = Names::new(columns, record)?;
        let row_values = |is_new| RowValues { record, names, is_new };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(OP, operation_name(operation))?;
        map.serialize_entry(TABLE, record.table())?;
        map.serialize_entry(KEY_ORDINALS, record.key_ordinals())?;
        if columns.is_some() {
            map.serialize_entry(COLUMNS, &AllColumns { count: record.column_count(), names })?;
        }
        map.serialize_entry(KEY, &Key { record, names })?;
        if operation != Operation::Insert && format == Format::Changeset {
            map.serialize_entry(BEFORE, &row_values(false))?;
        }
        if operation != Operation::Delete {
            map.serialize_entry(AFTER, &row_values(true))?;
        }
        if operation == Operation::Update {
            map.serialize_entry(CHANGED, &ChangedColumns { record, names })?;
        }
        map.serialize_entry(INDIRECT, &record.indirect())?;
        map.end()
    }
}

/// Writes [the JSON format](crate::wire::json), with the positions of the columns as names.
impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RecordJson::new(*self, None).serialize(serializer)
    }
}

/// A set with the names of its columns, which implements `Serialize`.
/// [`Changeset::json`](Set::json) returns it.
#[derive(Clone)]
#[must_use = "a `Json` does nothing until it is serialized"]
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

/// Serializes `changes`.
struct Changes<'j, 'a>(&'j Json<'a>);

impl Serialize for Changes<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Json { records, tables } = self.0;
        let mut last = ("", None);
        serializer.collect_seq(records.clone().enumerate().map(|(position, record)| {
            // the names are searched once for each section
            if position == 0 || !core::ptr::eq(last.0, record.table()) {
                last = (record.table(), find_table(tables, record.table()));
            }
            RecordJson::new(record, last.1)
        }))
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_struct("Changes", 2)?;
        json.serialize_field(FORMAT, format_name(self.records.format))?;
        json.serialize_field(CHANGES, &Changes(self))?;
        json.end()
    }
}

/// Writes [the JSON format](crate::wire::json), with the positions of the columns as names.
impl<F: SetFormat> Serialize for Set<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_borrowed().serialize(serializer)
    }
}

/// Writes [the JSON format](crate::wire::json), with the positions of the columns as names.
impl<F: SetFormat> Serialize for SetRef<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Json::new(self.records(), Vec::new()).serialize(serializer)
    }
}
