//! Reading changesets and patchsets from JSON. The resulting bytes are checked like any other
//! bytes.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::value::{KeyValues, OwnedValue};
use super::write::{format_name, is_changed, key_order, operation_name};
use super::{AFTER, BEFORE, CHANGED, CHANGES, COLUMNS, FORMAT, INDIRECT, KEY, KEY_ORDINALS, OP, TABLE};
use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::error::BuildErrorKind;
use crate::wire::codec::header::{Header, MAX_COLUMNS};
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::set::{Set, SetFormat};
use crate::wire::codec::value::{Value, write_field};
use crate::wire::codec::walk::Layout;

/// Reads the value of a member into `target`. Fails if the member occurs twice.
pub(crate) fn read_once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    target: &mut Option<T>,
    member: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if target.is_some() {
        return Err(A::Error::duplicate_field(member));
    }
    *target = Some(map.next_value()?);
    Ok(())
}

/// Returns the operation with a name.
pub(crate) fn operation<E: Error>(text: &str) -> Result<Operation, E> {
    let operations = [Operation::Insert, Operation::Update, Operation::Delete];
    let known = operations.into_iter().find(|operation| operation_name(*operation) == text);
    known.ok_or_else(|| E::unknown_variant(text, &["insert", "update", "delete"]))
}

/// The members of an object, in their order.
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

/// The members of a change, as the JSON contains them.
#[derive(Default)]
struct ChangeMembers {
    op: Option<String>,
    table: Option<String>,
    key_ordinals: Option<Vec<u8>>,
    columns: Option<Option<Vec<Option<String>>>>,
    key: Option<KeyValues>,
    before: Option<Option<Members<OwnedValue>>>,
    after: Option<Option<Members<OwnedValue>>>,
    changed: Option<Option<Vec<String>>>,
    indirect: Option<Option<bool>>,
}

impl<'de> Deserialize<'de> for ChangeMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChangeVisitor;

        impl<'de> Visitor<'de> for ChangeVisitor {
            type Value = ChangeMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a change")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ChangeMembers, A::Error> {
                let mut change = ChangeMembers::default();
                while let Some(member) = map.next_key::<String>()? {
                    match member.as_str() {
                        OP => read_once(&mut change.op, OP, &mut map)?,
                        TABLE => read_once(&mut change.table, TABLE, &mut map)?,
                        KEY_ORDINALS => read_once(&mut change.key_ordinals, KEY_ORDINALS, &mut map)?,
                        COLUMNS => read_once(&mut change.columns, COLUMNS, &mut map)?,
                        KEY => read_once(&mut change.key, KEY, &mut map)?,
                        BEFORE => read_once(&mut change.before, BEFORE, &mut map)?,
                        AFTER => read_once(&mut change.after, AFTER, &mut map)?,
                        CHANGED => read_once(&mut change.changed, CHANGED, &mut map)?,
                        INDIRECT => read_once(&mut change.indirect, INDIRECT, &mut map)?,
                        _ => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(change)
            }
        }

        deserializer.deserialize_map(ChangeVisitor)
    }
}

/// The positions of the columns, by the names that the JSON uses.
enum Positions<'p> {
    ByName(BTreeMap<&'p str, usize>),
    /// The names are positions below this number of columns.
    ByNumber(usize),
}

impl<'p> Positions<'p> {
    fn new(columns: Option<&'p [Option<String>]>, count: usize) -> Result<Self, String> {
        let Some(names) = columns else { return Ok(Self::ByNumber(count)) };
        if names.len() != count {
            return Err(format!("columns contains {} names, but key_ordinals {count} columns", names.len()));
        }
        let mut positions = BTreeMap::new();
        for (position, name) in names.iter().enumerate() {
            let name =
                name.as_ref().ok_or_else(|| format!("column {position} was omitted when the JSON was written"))?;
            if positions.insert(name.as_str(), position).is_some() {
                return Err(format!("columns contains {name:?} twice"));
            }
        }
        Ok(Self::ByName(positions))
    }

    /// Returns the position of a column.
    fn find(&self, name: &str) -> Result<usize, String> {
        let position = match self {
            Self::ByName(positions) => positions.get(name).copied(),
            Self::ByNumber(count) => {
                // the shortest form alone, neither `+1` nor `01`
                let position = name.parse().ok().filter(|position: &usize| position.to_string() == name);
                position.filter(|position| position < count)
            }
        };
        position.ok_or_else(|| format!("the table has no column {name:?}"))
    }

    /// Returns the values of `before` or `after` by column.
    fn row<'v>(
        &self,
        members: Option<&'v Members<OwnedValue>>,
        count: usize,
    ) -> Result<Vec<Option<Value<'v>>>, String> {
        let mut row = vec![None; count];
        for (name, value) in members.map(|members| members.0.as_slice()).unwrap_or_default() {
            match row.get_mut(self.find(name)?) {
                Some(empty @ None) => *empty = Some(value.as_value()),
                _ => return Err(format!("column {name:?} occurs twice")),
            }
        }
        Ok(row)
    }
}

/// Returns the values of the member `key` by column.
fn key_row<'v>(key: Option<&'v KeyValues>, ordinals: &[u8]) -> Result<Vec<Option<Value<'v>>>, String> {
    let mut row = vec![None; ordinals.len()];
    let values = match key {
        None => return Ok(row),
        Some(KeyValues::One(value)) => core::slice::from_ref(value),
        Some(KeyValues::Several(values)) => values.as_slice(),
    };
    let columns = ordinals.iter().filter(|ordinal| **ordinal != 0).count();
    if columns != values.len() || (columns == 1) != matches!(key, Some(KeyValues::One(_))) {
        return Err(format!(
            "key must be a value, or an array if the key has several columns (key columns: {columns})"
        ));
    }
    for (column, value) in key_order(ordinals).into_iter().zip(values) {
        if let Some(empty) = row.get_mut(column) {
            *empty = Some(value.as_value());
        }
    }
    Ok(row)
}

/// The bytes of a set that is read.
struct Output {
    format: Format,
    bytes: Vec<u8>,
    /// The header of the last section.
    section: Option<(String, Vec<u8>)>,
}

impl Output {
    /// Adds a change.
    fn add(&mut self, change: ChangeMembers) -> Result<(), String> {
        let ChangeMembers { op, table, key_ordinals, columns, key, before, after, changed, indirect } = change;
        let missing = |member: &str| format!("{member} is missing");
        let operation = operation::<serde::de::value::Error>(&op.ok_or_else(|| missing(OP))?);
        let operation = operation.map_err(|error| error.to_string())?;
        let table = table.ok_or_else(|| missing(TABLE))?;
        let ordinals = key_ordinals.ok_or_else(|| missing(KEY_ORDINALS))?;
        self.start_section(table, &ordinals)?;
        let (before, after) = (before.flatten(), after.flatten());
        let reject = |has: bool, member: &str| {
            let format = format_name(self.format);
            if has { Err(format!("{operation} in a {format} cannot have {member}")) } else { Ok(()) }
        };
        reject(before.is_some() && (operation == Operation::Insert || self.format == Format::Patchset), BEFORE)?;
        reject(after.is_some() && operation == Operation::Delete, AFTER)?;
        let columns = columns.flatten();
        let positions = Positions::new(columns.as_deref(), ordinals.len())?;
        let key = key_row(key.as_ref(), &ordinals)?;
        let mut old = positions.row(before.as_ref(), ordinals.len())?;
        let new = positions.row(after.as_ref(), ordinals.len())?;

        for (column, (key, ordinal)) in key.iter().zip(&ordinals).enumerate().filter(|(_, (_, ordinal))| **ordinal != 0)
        {
            let in_row = match operation {
                Operation::Insert => new.get(column),
                Operation::Update | Operation::Delete => old.get(column),
            };
            match (key, in_row.copied().flatten()) {
                (Some(key), Some(in_row)) if *key != in_row => {
                    return Err(format!("key differs from the key in the row (ordinal {ordinal})"));
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
                return Err("before contains a column that after does not contain".into());
            }
            if self.format == Format::Patchset && both().any(|(_, new, key)| key && new.is_some()) {
                return Err("after of an UPDATE in a patchset cannot contain key columns".into());
            }
        }
        if let Some(names) = changed.flatten() {
            let mut listed = vec![false; ordinals.len()];
            for name in &names {
                if let Some(is_listed) = listed.get_mut(positions.find(name)?) {
                    *is_listed = true;
                }
            }
            let is_update = operation == Operation::Update;
            let changed = old.iter().zip(&new).map(|(old, new)| is_update && is_changed(*old, *new));
            if !changed.eq(listed) {
                return Err("changed must list exactly the columns whose values differ".into());
            }
        }

        let indirect = u8::from(indirect.flatten().unwrap_or(false));
        self.write_record(operation, indirect, &ordinals, &old, &new)
    }

    /// Starts a section, unless the current section has the same table and key.
    fn start_section(&mut self, table: String, ordinals: &[u8]) -> Result<(), String> {
        if table.contains('\0') {
            return Err(BuildErrorKind::TableName.to_string());
        }
        if ordinals.is_empty() || ordinals.len() as u64 > MAX_COLUMNS {
            return Err(BuildErrorKind::ColumnCount(ordinals.len()).to_string());
        }
        if ordinals.iter().all(|ordinal| *ordinal == 0) {
            return Err(BuildErrorKind::NoPrimaryKey.to_string());
        }
        let is_same = self.section.as_ref().is_some_and(|(name, key)| *name == table && key == ordinals);
        if !is_same {
            Header { name: &table, key: ordinals }.write(self.format, &mut self.bytes);
            self.section = Some((table, ordinals.to_vec()));
        }
        Ok(())
    }

    /// Appends and checks a record.
    fn write_record(
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
        let is_key = ordinals.iter().map(|ordinal| *ordinal != 0);
        match Layout::of(operation, self.format) {
            Layout::Row => {
                let row = if operation == Operation::Insert { new } else { old };
                row.iter().for_each(|value| write_field(out, *value));
            }
            Layout::Key => {
                old.iter().zip(is_key).filter(|(_, key)| *key).for_each(|(value, _)| write_field(out, *value));
            }
            Layout::OldAndNew => old.iter().chain(new).for_each(|value| write_field(out, *value)),
            Layout::KeyAndNew => {
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

/// Reads an array of changes into the output.
struct ChangesSeed<'o>(&'o mut Output);

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
        while let Some(change) = seq.next_element::<ChangeMembers>()? {
            let table = change.table.as_ref().map(|table| format!(", table {}", table.escape_debug()));
            self.0.add(change).map_err(|error| {
                A::Error::custom(format_args!("change {count}{}: {error}", table.unwrap_or_default()))
            })?;
            count = count.saturating_add(1);
        }
        Ok(())
    }
}

/// Reads a set of a format.
struct SetVisitor(Format);

impl<'de> Visitor<'de> for SetVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} as an object with format and changes", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
        let mut format: Option<String> = None;
        let mut out: Option<Output> = None;
        while let Some(member) = map.next_key::<String>()? {
            match member.as_str() {
                FORMAT => {
                    read_once(&mut format, FORMAT, &mut map)?;
                    if let Some(found) = format.as_ref().filter(|found| *found != format_name(self.0)) {
                        return Err(A::Error::custom(format_args!("expected the format {}, found {found:?}", self.0)));
                    }
                }
                CHANGES if out.is_some() => return Err(A::Error::duplicate_field(CHANGES)),
                CHANGES => {
                    let out = out.insert(Output { format: self.0, bytes: Vec::new(), section: None });
                    map.next_value_seed(ChangesSeed(out))?;
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        format.ok_or_else(|| A::Error::missing_field(FORMAT))?;
        Ok(out.ok_or_else(|| A::Error::missing_field(CHANGES))?.bytes)
    }
}

/// Reads [the JSON format](crate::wire::json), and [checks](crate::wire::json#reading) the changes.
impl<'de, F: SetFormat> Deserialize<'de> for Set<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_map(SetVisitor(F::FORMAT))?;
        Self::try_from(bytes).map_err(D::Error::custom)
    }
}
