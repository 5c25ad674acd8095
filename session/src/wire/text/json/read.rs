//! JSON to changesets and patchsets. Whatever it says, what becomes of it is checked as bytes are.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::value::{Item, Stored};
use super::write::{is_changed, key_order, name, op};
use super::{AFTER, BEFORE, CHANGED, CHANGES, COLUMNS, FORMAT, INDIRECT, KEY, KEY_ORDINALS, OP, TABLE};
use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::header::{Header, MAX_COLUMNS};
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::set::{Set, SetFormat};
use crate::wire::codec::value::{Value, write_field};

/// Puts a member's value where it belongs, if it is the first.
pub(crate) fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    place: &mut Option<T>,
    member: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if place.is_some() {
        return Err(A::Error::duplicate_field(member));
    }
    *place = Some(map.next_value()?);
    Ok(())
}

/// The operation of this name.
pub(crate) fn operation<E: Error>(text: &str) -> Result<Operation, E> {
    let operations = [Operation::Insert, Operation::Update, Operation::Delete];
    let known = operations.into_iter().find(|operation| op(*operation) == text);
    known.ok_or_else(|| E::unknown_variant(text, &["insert", "update", "delete"]))
}

/// An object's members, in their order.
pub(crate) struct Members<T>(pub(crate) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor<T>(core::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersVisitor<T> {
            type Value = Members<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a member for each column")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor(core::marker::PhantomData))
    }
}

/// A change as the JSON has it.
#[derive(Default)]
struct Parts {
    op: Option<String>,
    table: Option<String>,
    key_ordinals: Option<Vec<u8>>,
    columns: Option<Option<Vec<Option<String>>>>,
    key: Option<Item>,
    before: Option<Option<Members<Stored>>>,
    after: Option<Option<Members<Stored>>>,
    changed: Option<Option<Vec<String>>>,
    indirect: Option<Option<bool>>,
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartsVisitor;

        impl<'de> Visitor<'de> for PartsVisitor {
            type Value = Parts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a change")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts, A::Error> {
                let mut parts = Parts::default();
                while let Some(member) = map.next_key::<String>()? {
                    match member.as_str() {
                        OP => once(&mut parts.op, OP, &mut map)?,
                        TABLE => once(&mut parts.table, TABLE, &mut map)?,
                        KEY_ORDINALS => once(&mut parts.key_ordinals, KEY_ORDINALS, &mut map)?,
                        COLUMNS => once(&mut parts.columns, COLUMNS, &mut map)?,
                        KEY => once(&mut parts.key, KEY, &mut map)?,
                        BEFORE => once(&mut parts.before, BEFORE, &mut map)?,
                        AFTER => once(&mut parts.after, AFTER, &mut map)?,
                        CHANGED => once(&mut parts.changed, CHANGED, &mut map)?,
                        INDIRECT => once(&mut parts.indirect, INDIRECT, &mut map)?,
                        _ => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(parts)
            }
        }

        deserializer.deserialize_map(PartsVisitor)
    }
}

/// What a JSON's columns are called, and where they are.
enum Places<'p> {
    Named(BTreeMap<&'p str, usize>),
    Counted(usize),
}

impl<'p> Places<'p> {
    fn new(columns: Option<&'p [Option<String>]>, count: usize) -> Result<Self, String> {
        let Some(names) = columns else { return Ok(Self::Counted(count)) };
        if names.len() != count {
            return Err(format!("{} names in columns, {count} in key_ordinals", names.len()));
        }
        let mut places = BTreeMap::new();
        for (place, name) in names.iter().enumerate() {
            // of what was left out there is no way back
            let name = name.as_ref().ok_or_else(|| format!("the column {place} was left out when this was written"))?;
            if places.insert(name.as_str(), place).is_some() {
                return Err(format!("columns has {name:?} twice"));
            }
        }
        Ok(Self::Named(places))
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        let place = match self {
            Self::Named(places) => places.get(name).copied(),
            Self::Counted(count) => {
                // as it is written: neither `+1` nor `01`
                let place = name.parse().ok().filter(|place: &usize| place.to_string() == name);
                place.filter(|place| place < count)
            }
        };
        place.ok_or_else(|| format!("the table has no column {name:?}"))
    }

    /// The values by column.
    fn row<'v>(&self, members: Option<&'v Members<Stored>>, count: usize) -> Result<Vec<Option<Value<'v>>>, String> {
        let mut row = vec![None; count];
        for (name, value) in members.map(|members| members.0.as_slice()).unwrap_or_default() {
            match row.get_mut(self.find(name)?) {
                Some(empty @ None) => *empty = Some(value.as_value()),
                _ => return Err(format!("the column {name:?} is there twice")),
            }
        }
        Ok(row)
    }
}

/// The values of the key by column, if the JSON has a key.
fn key_row<'v>(key: Option<&'v Item>, ordinals: &[u8]) -> Result<Vec<Option<Value<'v>>>, String> {
    let mut row = vec![None; ordinals.len()];
    let values = match key {
        None => return Ok(row),
        Some(Item::One(value)) => core::slice::from_ref(value),
        Some(Item::Several(values)) => values.as_slice(),
    };
    let columns = ordinals.iter().filter(|place| **place != 0).count();
    if columns != values.len() || (columns == 1) != matches!(key, Some(Item::One(_))) {
        return Err(format!("key is the value of one column, or an array of several: this table's has {columns}"));
    }
    for (column, value) in key_order(ordinals).into_iter().zip(values) {
        if let Some(empty) = row.get_mut(column) {
            *empty = Some(value.as_value());
        }
    }
    Ok(row)
}

/// What the bytes of a set are made in.
struct Out {
    format: Format,
    bytes: Vec<u8>,
    /// The header of the last section.
    section: Option<(String, Vec<u8>)>,
}

impl Out {
    fn add(&mut self, parts: Parts) -> Result<(), String> {
        let Parts { op, table, key_ordinals, columns, key, before, after, changed, indirect } = parts;
        let missing = |member: &str| format!("{member} is missing");
        let operation = operation::<serde::de::value::Error>(&op.ok_or_else(|| missing(OP))?);
        let operation = operation.map_err(|error| error.to_string())?;
        let table = table.ok_or_else(|| missing(TABLE))?;
        let ordinals = key_ordinals.ok_or_else(|| missing(KEY_ORDINALS))?;
        self.begin(table, &ordinals)?;
        let (before, after) = (before.flatten(), after.flatten());
        let refuse = |there: bool, member: &str| {
            let format = name(self.format);
            if there { Err(format!("{operation} in a {format} has no {member}")) } else { Ok(()) }
        };
        refuse(before.is_some() && (operation == Operation::Insert || self.format == Format::Patchset), BEFORE)?;
        refuse(after.is_some() && operation == Operation::Delete, AFTER)?;
        let columns = columns.flatten();
        let places = Places::new(columns.as_deref(), ordinals.len())?;
        let key = key_row(key.as_ref(), &ordinals)?;
        let mut old = places.row(before.as_ref(), ordinals.len())?;
        let new = places.row(after.as_ref(), ordinals.len())?;

        for (column, (key, ordinal)) in key.iter().zip(&ordinals).enumerate().filter(|(_, (_, place))| **place != 0) {
            let said = match operation {
                Operation::Insert => new.get(column),
                Operation::Update | Operation::Delete => old.get(column),
            };
            match (key, said.copied().flatten()) {
                (Some(key), Some(said)) if *key != said => {
                    return Err(format!("key says another value than the row (ordinal {ordinal})"));
                }
                (Some(key), None) if operation != Operation::Insert => {
                    if let Some(old) = old.get_mut(column) {
                        *old = Some(*key);
                    }
                }
                _ => {}
            }
        }
        if operation == Operation::Update {
            let both = || old.iter().zip(&new).zip(&ordinals).map(|((old, new), ordinal)| (*old, *new, *ordinal != 0));
            if self.format == Format::Changeset && both().any(|(old, new, key)| !key && old.is_some() && new.is_none())
            {
                return Err("before has a column that after has not".into());
            }
            if self.format == Format::Patchset && both().any(|(_, new, key)| key && new.is_some()) {
                return Err("a patchset has no column of the key in after".into());
            }
        }
        if let Some(said) = changed.flatten() {
            let mut listed = vec![false; ordinals.len()];
            for name in &said {
                if let Some(place) = listed.get_mut(places.find(name)?) {
                    *place = true;
                }
            }
            let is_update = operation == Operation::Update;
            let changed = old.iter().zip(&new).map(|(old, new)| is_update && is_changed(*old, *new));
            if !changed.eq(listed) {
                return Err("changed lists other columns than those whose values differ".into());
            }
        }

        let indirect = u8::from(indirect.flatten().unwrap_or(false));
        self.record(operation, indirect, &ordinals, &old, &new)
    }

    /// Begins a section, unless the last is the same.
    fn begin(&mut self, table: String, ordinals: &[u8]) -> Result<(), String> {
        if table.contains('\0') {
            return Err("the table's name has a NUL in it".into());
        }
        if ordinals.is_empty() || ordinals.len() as u64 > MAX_COLUMNS {
            return Err(format!("a table of {} columns (1 to {MAX_COLUMNS} are possible)", ordinals.len()));
        }
        if ordinals.iter().all(|place| *place == 0) {
            return Err("no column of the table is part of a primary key".into());
        }
        let is_same = self.section.as_ref().is_some_and(|(name, key)| *name == table && key == ordinals);
        if !is_same {
            Header { name: &table, key: ordinals }.write(self.format, &mut self.bytes);
            self.section = Some((table, ordinals.to_vec()));
        }
        Ok(())
    }

    fn record(
        &mut self,
        operation: Operation,
        indirect: u8,
        ordinals: &[u8],
        old: &[Option<Value<'_>>],
        new: &[Option<Value<'_>>],
    ) -> Result<(), String> {
        let start = self.bytes.len();
        let out = &mut self.bytes;
        out.extend_from_slice(&[operation.to_byte(), indirect]);
        let is_key = ordinals.iter().map(|place| *place != 0);
        match (operation, self.format) {
            (Operation::Insert, _) => new.iter().for_each(|value| write_field(out, *value)),
            (Operation::Delete, Format::Changeset) => old.iter().for_each(|value| write_field(out, *value)),
            (Operation::Delete, Format::Patchset) => {
                old.iter().zip(is_key).filter(|(_, key)| *key).for_each(|(value, _)| write_field(out, *value));
            }
            (Operation::Update, Format::Changeset) => old.iter().chain(new).for_each(|value| write_field(out, *value)),
            (Operation::Update, Format::Patchset) => {
                let values = old.iter().zip(new).zip(is_key);
                values.for_each(|((old, new), key)| write_field(out, if key { *old } else { *new }));
            }
        }
        let written = self.bytes.get(start..).unwrap_or_default();
        let header = Header { name: "", key: ordinals };
        match check::record(&mut Cursor::new(written), header, self.format) {
            Ok(_) => Ok(()),
            Err(fault) => {
                let error = fault.into_error(written.len() as u64, None);
                let column = error.column().map(|column| format!("column {column}: ")).unwrap_or_default();
                Err(format!("{column}{}", error.kind()))
            }
        }
    }
}

/// The changes, one after the other.
struct ChangesSeed<'o>(&'o mut Out);

impl<'de> DeserializeSeed<'de> for ChangesSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ChangesSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut count = 0usize;
        while let Some(parts) = seq.next_element::<Parts>()? {
            let table = parts.table.as_ref().map(|table| format!(", table {}", table.escape_debug()));
            self.0.add(parts).map_err(|error| {
                A::Error::custom(format_args!("change {count}{}: {error}", table.unwrap_or_default()))
            })?;
            count = count.saturating_add(1);
        }
        Ok(())
    }
}

/// A whole changeset or patchset.
struct SetVisitor(Format);

impl<'de> Visitor<'de> for SetVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} as an object with format and changes", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
        let mut format: Option<String> = None;
        let mut out: Option<Out> = None;
        while let Some(member) = map.next_key::<String>()? {
            match member.as_str() {
                FORMAT => {
                    once(&mut format, FORMAT, &mut map)?;
                    if let Some(found) = format.as_ref().filter(|found| *found != name(self.0)) {
                        return Err(A::Error::custom(format_args!("the format {found:?}, where a {} belongs", self.0)));
                    }
                }
                CHANGES if out.is_some() => return Err(A::Error::duplicate_field(CHANGES)),
                CHANGES => {
                    let out = out.insert(Out { format: self.0, bytes: Vec::new(), section: None });
                    map.next_value_seed(ChangesSeed(out))?;
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        format.ok_or_else(|| A::Error::missing_field(FORMAT))?;
        Ok(out.ok_or_else(|| A::Error::missing_field(CHANGES))?.bytes)
    }
}

/// From JSON, [checked](crate::wire::json#reading) as bytes are.
impl<'de, F: SetFormat> Deserialize<'de> for Set<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_map(SetVisitor(F::FORMAT))?;
        Self::try_from(bytes).map_err(D::Error::custom)
    }
}
