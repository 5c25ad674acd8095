//! The rules that merge two changes to one row: those of `sqlite3changegroup_add`, for both
//! formats.
//!
//! The functions require encoded records that have been checked. They copy encoded values byte for
//! byte. Builders and concatenation call [`merge`].

use alloc::vec::Vec;

use super::index::are_equal;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::value::UNDEFINED;

/// The result of merging two changes to one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Merged {
    /// The first change. The second does not fit the first, or sets nothing, and is dropped.
    First,
    /// Another change, which has been appended.
    Combined,
    /// No change.
    Nothing,
}

/// Merges two changes to one row. Appends the result, if it is a change other than the first.
pub(in crate::wire) fn merge(
    key: &[u8],
    format: Format,
    first: RawRecord<'_>,
    second: RawRecord<'_>,
    out: &mut Vec<u8>,
) -> Merged {
    use Operation::{Delete, Insert, Update};
    let start = out.len();
    let mut begin = |operation: Operation| {
        out.extend_from_slice(&[operation.to_byte(), u8::from(first.indirect && second.indirect)]);
    };
    let is_change = match (first.operation, second.operation) {
        (Insert | Update, Insert) | (Delete, Update | Delete) => return Merged::First,
        (Insert, Delete) => return Merged::Nothing,
        (Insert, Update) => {
            begin(Insert);
            if !updated_row(key, first.after, second, out) {
                out.truncate(start);
                return Merged::First;
            }
            true
        }
        (Update, Update) => {
            begin(Update);
            match format {
                Format::Changeset if is_undone(key, format, first, second) => false,
                Format::Changeset => update(key, [first.before, second.before], [second.after, first.after], out),
                Format::Patchset => {
                    overlay(key, second.after, first.after, out);
                    true
                }
            }
        }
        (Update, Delete) => {
            begin(Delete);
            match format {
                Format::Changeset => overlay(key, first.before, second.after, out),
                Format::Patchset => out.extend_from_slice(second.after),
            }
            true
        }
        (Delete, Insert) => {
            begin(Update);
            match format {
                Format::Changeset if first.after == second.after => false,
                Format::Changeset => update(key, [first.after; 2], [second.after; 2], out),
                Format::Patchset => {
                    out.extend_from_slice(second.after);
                    key.contains(&0)
                }
            }
        }
    };
    if is_change {
        return Merged::Combined;
    }
    out.truncate(start);
    Merged::Nothing
}

/// Returns whether an UPDATE sets a column to a value other than its old value. An UPDATE never
/// sets a column of the primary key.
#[inline]
pub(in crate::wire) fn sets_anything(key: &[u8], format: Format, record: RawRecord<'_>) -> bool {
    let (mut before, mut after) = (Cursor::new(record.before), Cursor::new(record.after));
    let mut columns = key.iter();
    if format == Format::Changeset {
        // the first recorded column differs most often
        let same = after.rest().iter().take_while(|byte| **byte == UNDEFINED).count();
        after.take(same);
        if before.skip_values(same).is_none() {
            return false;
        }
        columns = key.get(same..).unwrap_or_default().iter();
    }
    columns.any(|ordinal| {
        // a patchset has no old values
        let (old, new) = (before.field().unwrap_or_default(), after.field().unwrap_or(&[UNDEFINED]));
        *ordinal == 0 && new != [UNDEFINED] && !are_equal(old, new)
    })
}

/// Returns whether the second of two UPDATEs of a changeset undoes the first, and both set a
/// column.
///
/// This is a fast test that can miss cases. It requires that the primary key consists of the first
/// columns. Behind them, the old values of each UPDATE must have the same bytes as the new values
/// of the other, and in one column both values must be recorded and differ.
#[inline]
pub(in crate::wire) fn is_undone(key: &[u8], format: Format, first: RawRecord<'_>, second: RawRecord<'_>) -> bool {
    if format != Format::Changeset || first.operation != Operation::Update || second.operation != Operation::Update {
        return false;
    }
    let leading = key.iter().take_while(|ordinal| **ordinal != 0).count();
    let rest = |record| {
        let mut record = Cursor::new(record);
        record.skip_values(leading).map(|()| record.rest())
    };
    let is_key_first = key.iter().skip(leading).all(|ordinal| *ordinal == 0);
    let is_back = is_key_first && rest(first.before) == rest(second.after) && rest(first.after) == rest(second.before);
    is_back && {
        let (mut before, mut after) = (Cursor::new(first.before), Cursor::new(first.after));
        key.iter().any(|ordinal| {
            let (old, new) = (before.field().unwrap_or(&[UNDEFINED]), after.field().unwrap_or(&[UNDEFINED]));
            *ordinal == 0 && old != [UNDEFINED] && new != [UNDEFINED] && !are_equal(old, new)
        })
    }
}

/// Reads a field of both, and returns the first that has a value.
#[inline(always)]
fn either<'a>(one: &mut Cursor<'a>, other: &mut Cursor<'a>) -> &'a [u8] {
    let (one, other) = (one.field(), other.field());
    one.filter(|one| *one != [UNDEFINED]).or(other).unwrap_or(&[UNDEFINED])
}

/// Appends a record with the values of `over`, and those of `under` where `over` has none.
fn overlay(key: &[u8], over: &[u8], under: &[u8], out: &mut Vec<u8>) {
    let (mut over, mut under) = (Cursor::new(over), Cursor::new(under));
    for _ in key {
        append_field(either(&mut over, &mut under), out);
    }
}

/// Appends a row with the new values of an UPDATE, except for those of the primary key. Returns
/// whether the UPDATE sets a column.
fn updated_row(key: &[u8], row: &[u8], update: RawRecord<'_>, out: &mut Vec<u8>) -> bool {
    let (mut row, mut old, mut new) = (Cursor::new(row), Cursor::new(update.before), Cursor::new(update.after));
    let mut sets = false;
    for ordinal in key {
        let (same, updated) = (row.field().unwrap_or(&[UNDEFINED]), new.field().unwrap_or(&[UNDEFINED]));
        let is_recorded = *ordinal == 0 && updated != [UNDEFINED];
        // only until the first column that differs; a patchset has no old values
        if !sets {
            sets = !are_equal(old.field().unwrap_or_default(), updated) && is_recorded;
        }
        append_field(if is_recorded { updated } else { same }, out);
    }
    sets
}

/// Appends both records of a changeset's UPDATE. Each old and new value is taken from the first of
/// two records that has one. Returns whether the UPDATE sets a column.
fn update<'a>(
    key: &[u8],
    [old_one, old_other]: [&'a [u8]; 2],
    [new_one, new_other]: [&'a [u8]; 2],
    out: &mut Vec<u8>,
) -> bool {
    let mut old = (Cursor::new(old_one), Cursor::new(old_other));
    let mut new = (Cursor::new(new_one), Cursor::new(new_other));
    let mut columns = key.iter().map(
        #[inline(always)]
        |ordinal| {
            let (old, new) = (either(&mut old.0, &mut old.1), either(&mut new.0, &mut new.1));
            let differs = !are_equal(old, new);
            let sets = *ordinal == 0 && differs && new != [UNDEFINED];
            let old = if *ordinal != 0 || differs { old } else { &[UNDEFINED] };
            (old, if *ordinal == 0 && differs { new } else { &[UNDEFINED] }, sets)
        },
    );
    // for most tables, all fields are found before any is written
    let mut found: [(&[u8], &[u8]); 16] = [(&[], &[]); 16];
    let mut sets_any = false;
    if let Some(found) = found.get_mut(..key.len()) {
        for (found, (old, new, sets)) in found.iter_mut().zip(columns) {
            *found = (old, new);
            sets_any |= sets;
        }
        if sets_any {
            found.iter().for_each(|(old, _)| append_field(old, out));
            found.iter().for_each(|(_, new)| append_field(new, out));
        }
    } else {
        let mut after = Vec::with_capacity(new_one.len().saturating_add(new_other.len()));
        columns.by_ref().for_each(|(old, new, sets)| {
            append_field(old, out);
            append_field(new, &mut after);
            sets_any |= sets;
        });
        out.extend_from_slice(&after);
    }
    sets_any
}

/// Appends a field, without a function call for most kinds.
#[inline(always)]
pub(in crate::wire) fn append_field(field: &[u8], out: &mut Vec<u8>) {
    if let [byte] = field {
        out.push(*byte);
    } else if let Ok(number) = <&[u8; 9]>::try_from(field) {
        out.extend_from_slice(number);
    } else {
        out.extend_from_slice(field);
    }
}
