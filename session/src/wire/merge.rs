//! What becomes of two changes to one row: the rules of `sqlite3changegroup_add`, for both formats.
//!
//! All of it works on encoded records that have been checked, and copies their values as they stand.

use alloc::vec::Vec;

use super::cursor::Cursor;
use super::record::RawRecord;
use super::value::UNDEFINED;
use super::{Format, Operation};

/// What two changes to one row come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// The first one; the second does not fit it and is dropped.
    First,
    /// One change, which has been appended.
    One,
    /// No change.
    Nothing,
}

/// Appends what two changes to one row come to, if that is another change than the first.
pub(super) fn merge(
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
            updated_row(key, first.after, second.after, out);
            true
        }
        (Update, Update) => {
            begin(Update);
            match format {
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
                Format::Changeset => update(key, [first.after; 2], [second.after; 2], out),
                Format::Patchset => {
                    out.extend_from_slice(second.after);
                    key.contains(&0)
                }
            }
        }
    };
    if is_change {
        return Merged::One;
    }
    out.truncate(start);
    Merged::Nothing
}

/// Whether an UPDATE sets a column other than to what it was. A column of the key is never set.
pub(super) fn sets_anything(key: &[u8], format: Format, record: RawRecord<'_>) -> bool {
    let (mut before, mut after) = (Cursor::new(record.before), Cursor::new(record.after));
    key.iter().any(|place| {
        let old = match format {
            Format::Changeset => before.field(),
            Format::Patchset => None,
        };
        let new = after.field();
        *place == 0 && is_recorded(new) && old != new
    })
}

fn is_recorded(field: Option<&[u8]>) -> bool {
    field.is_some_and(|field| field != [UNDEFINED])
}

/// The next value of the one where it is recorded, else that of the other.
fn either<'a>(one: &mut Cursor<'a>, other: &mut Cursor<'a>) -> &'a [u8] {
    let (one, other) = (one.field(), other.field());
    one.filter(|_| is_recorded(one)).or(other).unwrap_or(&[UNDEFINED])
}

/// Appends a record of the values of `over` where they are recorded, else of `under`.
fn overlay(key: &[u8], over: &[u8], under: &[u8], out: &mut Vec<u8>) {
    let (mut over, mut under) = (Cursor::new(over), Cursor::new(under));
    for _ in key {
        out.extend_from_slice(either(&mut over, &mut under));
    }
}

/// Appends a row with the new values of an UPDATE, other than those for its key.
fn updated_row(key: &[u8], row: &[u8], new: &[u8], out: &mut Vec<u8>) {
    let (mut row, mut new) = (Cursor::new(row), Cursor::new(new));
    for place in key {
        let mut under = row;
        let updated = either(&mut new, &mut under);
        let same = row.field().unwrap_or(&[UNDEFINED]);
        out.extend_from_slice(if *place == 0 { updated } else { same });
    }
}

/// Appends both records of a changeset's UPDATE from the old values to the new ones, each from the first of the two records
/// that has one. Says whether it sets a column.
fn update<'a>(
    key: &[u8],
    [old_one, old_other]: [&'a [u8]; 2],
    [new_one, new_other]: [&'a [u8]; 2],
    out: &mut Vec<u8>,
) -> bool {
    let columns = || {
        let mut old = (Cursor::new(old_one), Cursor::new(old_other));
        let mut new = (Cursor::new(new_one), Cursor::new(new_other));
        key.iter().map(move |place| (*place != 0, either(&mut old.0, &mut old.1), either(&mut new.0, &mut new.1)))
    };
    let mut sets = false;
    let mut write_old = |(is_key, old, new): (bool, &'a [u8], &'a [u8])| -> &'a [u8] {
        let differs = old != new;
        sets |= !is_key && differs && is_recorded(Some(new));
        out.extend_from_slice(if is_key || differs { old } else { &[UNDEFINED] });
        if !is_key && differs { new } else { &[UNDEFINED] }
    };
    // of most tables all values are found at once
    let mut found: [&[u8]; 16] = [&[]; 16];
    if let Some(found) = found.get_mut(..key.len()) {
        found.iter_mut().zip(columns()).for_each(|(found, column)| *found = write_old(column));
        found.iter().for_each(|new| out.extend_from_slice(new));
    } else {
        columns().for_each(|column| _ = write_old(column));
        for (is_key, old, new) in columns() {
            out.extend_from_slice(if !is_key && old != new { new } else { &[UNDEFINED] });
        }
    }
    sets
}
