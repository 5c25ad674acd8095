//! Encoded changes, and SQLite's changegroup as the referee for merging them.

use std::collections::BTreeSet;

use diesel_sqlite_session::Format;
use diesel_sqlite_session::wire::{
    BuildError, BuildErrorKind, ChangesetFormat, PatchsetFormat, Set, SetFormat, SetRef,
};

use crate::change::{Change, Owned};
use crate::sqlite::{self, Code};

const UPDATE: u8 = 23;
const DELETE: u8 = 9;

/// A change whose values are slices of the encoded bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Encoded<'a> {
    /// The name of the table.
    pub table: &'a [u8],
    /// The place in the primary key of each column, or 0.
    pub key: &'a [u8],
    /// `SQLITE_INSERT`, `SQLITE_UPDATE` or `SQLITE_DELETE`.
    pub operation: u8,
    /// Whether a trigger or a foreign key action made the change.
    pub indirect: bool,
    /// The values of all records in order.
    pub fields: Vec<&'a [u8]>,
}

fn varint(bytes: &mut &[u8]) -> usize {
    let mut value = 0u64;
    for at in 0.. {
        let byte = take(bytes, 1)[0];
        if at == 8 {
            return usize::try_from(value << 8 | u64::from(byte)).unwrap();
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            break;
        }
    }
    usize::try_from(value).unwrap()
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn field<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let start = *bytes;
    match take(bytes, 1)[0] {
        1 | 2 => _ = take(bytes, 8),
        3 | 4 => {
            let length = varint(bytes);
            take(bytes, length);
        }
        _ => {}
    }
    &start[..start.len() - bytes.len()]
}

/// Returns the changes of a well-formed changeset or patchset, in the order of the bytes.
///
/// # Panics
///
/// If the bytes are not well-formed.
pub fn in_order(mut bytes: &[u8]) -> Vec<Encoded<'_>> {
    let mut all = Vec::new();
    let (mut is_patchset, mut table, mut key): (bool, &[u8], &[u8]) = (false, &[], &[]);
    while let Some(first) = bytes.first() {
        if matches!(first, b'T' | b'P') {
            is_patchset = take(&mut bytes, 1) == b"P";
            let count = varint(&mut bytes);
            key = take(&mut bytes, count);
            let length = bytes.iter().position(|byte| *byte == 0).unwrap();
            table = take(&mut bytes, length);
            take(&mut bytes, 1);
            continue;
        }
        let (operation, indirect) = (take(&mut bytes, 1)[0], take(&mut bytes, 1)[0] != 0);
        let count = match (operation, is_patchset) {
            (UPDATE, false) => key.len() * 2,
            (DELETE, true) => key.iter().filter(|place| **place != 0).count(),
            _ => key.len(),
        };
        let fields = (0..count).map(|_| field(&mut bytes)).collect();
        all.push(Encoded { table, key, operation, indirect, fields });
    }
    all
}

/// Returns the changes of a well-formed changeset or patchset, sorted.
///
/// # Panics
///
/// If the bytes are not well-formed.
pub fn changes(bytes: &[u8]) -> Vec<Encoded<'_>> {
    let mut all = in_order(bytes);
    all.sort_unstable();
    all
}

impl Encoded<'_> {
    /// Returns whether the change is an UPDATE that sets no column to another value.
    pub fn is_idle(&self, format: Format) -> bool {
        let columns = self.key.len();
        let sets = |column: usize| match format {
            Format::Changeset => {
                let (old, new) = (self.fields[column], self.fields[column + columns]);
                new != [0] && old != new
            }
            Format::Patchset => self.fields[column] != [0],
        };
        self.operation == UPDATE && !(0..columns).any(|column| self.key[column] == 0 && sets(column))
    }

    /// Returns whether the change is an UPDATE that contains a new key.
    pub fn has_new_key(&self, format: Format) -> bool {
        let columns = self.key.len();
        self.operation == UPDATE
            && format == Format::Changeset
            && (0..columns).any(|column| self.key[column] != 0 && self.fields[column + columns] != [0])
    }

    /// Returns the values of the primary key.
    pub fn key_fields(&self, format: Format) -> Vec<&[u8]> {
        if self.operation == DELETE && format == Format::Patchset {
            return self.fields.clone();
        }
        (0..self.key.len()).filter(|column| self.key[*column] != 0).map(|column| self.fields[column]).collect()
    }

    /// Returns a changeset or patchset that contains only this change.
    pub fn encode(&self, format: Format) -> Vec<u8> {
        let columns = self.key.len();
        let mut out = vec![if format == Format::Changeset { b'T' } else { b'P' }];
        for shift in [14, 7] {
            if columns >> shift != 0 {
                out.push((columns >> shift & 0x7f) as u8 | 0x80);
            }
        }
        out.push((columns & 0x7f) as u8);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.table);
        out.extend_from_slice(&[0, self.operation, u8::from(self.indirect)]);
        for (at, field) in self.fields.iter().enumerate() {
            // the new key that an UPDATE can contain
            let is_new_key =
                self.operation == UPDATE && format == Format::Changeset && at >= columns && self.key[at - columns] != 0;
            out.extend_from_slice(if is_new_key { &[0] } else { field });
        }
        out
    }
}

/// Merges changes one by one with SQLite's changegroup. Returns the result, and whether there was
/// an UPDATE that sets nothing or contains a new key.
///
/// The documentation of `Builder` names these two UPDATEs as differences, so that they are removed
/// as soon as they appear.
///
/// # Errors
///
/// Fails with SQLite's code.
pub fn referee<'a>(parts: impl IntoIterator<Item = &'a [u8]>, format: Format) -> Result<(Vec<u8>, bool), Code> {
    let group = |all: &[Vec<u8>]| sqlite::group(all.iter().map(Vec::as_slice));
    let parts: Vec<&[u8]> = parts.into_iter().collect();
    // the loop below forgets a table without remaining changes, and so its schema errors
    sqlite::group(parts.iter().copied())?;
    let (mut all, mut is_special, mut can_idle) = (Vec::new(), false, false);
    for change in parts.into_iter().flat_map(in_order) {
        let columns = change.key.len();
        is_special |= change.is_idle(format) || change.has_new_key(format);
        if change.is_idle(format) {
            continue;
        }
        all.push(change.encode(format));
        // only these changes can result in an UPDATE that sets nothing and is kept
        can_idle |= match format {
            Format::Patchset => change.key.iter().all(|place| *place != 0),
            Format::Changeset => {
                let has_old_alone =
                    |column: usize| change.fields[column] != [0] && change.fields[column + columns] == [0];
                change.operation == UPDATE
                    && (0..columns).any(|column| change.key[column] == 0 && has_old_alone(column))
            }
        };
        if can_idle {
            let grouped = group(&all)?;
            let changes = in_order(&grouped);
            is_special |= changes.iter().any(|change| change.is_idle(format));
            all = changes.iter().filter(|change| !change.is_idle(format)).map(|change| change.encode(format)).collect();
        }
    }
    Ok((group(&all)?, is_special))
}

/// Decodes two inputs that change the same few rows, which random changesets hardly ever do.
///
/// The first byte decides the format and which inputs are sorted by key with one change for each
/// row. Then come pairs of bytes: the first chooses the input, the operation and the row, the
/// second the values. UPDATEs contain old values, new values, both or neither, so that recorded,
/// rebased and impossible ones all occur.
pub fn two_of_few_rows(bytes: &[u8]) -> [Vec<u8>; 2] {
    let (how, pairs) = bytes.split_first().unwrap_or((&0, &[]));
    let mut inputs = [Vec::new(), Vec::new()];
    for pair in pairs.chunks_exact(2) {
        let (what, values) = (pair[0], pair[1]);
        let operation = [18, 23, 23, 9][usize::from(what >> 3 & 3)];
        let value = |bits: u8| match (bits & 3, operation) {
            (0, 23) => None,
            (0 | 1, _) => Some(Owned::Null),
            (2, _) => Some(Owned::Integer(7)),
            _ => Some(Owned::Text(b"X".to_vec())),
        };
        let key = Some(Owned::Integer(i64::from(what & 7)));
        let new_key = if operation == 18 { key.clone() } else { None };
        inputs[usize::from(what >> 7)].push(Change {
            table: b"t".to_vec(),
            key: vec![1, 0, 0],
            operation,
            indirect: what & 64 != 0,
            old: vec![key, value(values), value(values >> 2)],
            new: vec![new_key, value(values >> 4), value(values >> 6)],
        });
    }
    let format = if how & 1 == 0 { Format::Changeset } else { Format::Patchset };
    for (changes, _) in inputs.iter_mut().zip([2, 4]).filter(|(_, bit)| how & bit != 0) {
        let key = |change: &Change| match change.old[0] {
            Some(Owned::Integer(key)) => key,
            _ => unreachable!("it has a key"),
        };
        changes.sort_by_key(key);
        changes.dedup_by_key(|change| key(change));
    }
    inputs.map(|changes| section(&changes, format))
}

/// Encodes the changes of one table with a name of one letter as one section.
fn section(changes: &[Change], format: Format) -> Vec<u8> {
    let header = changes.first().map_or(0, |change| 1 + 1 + change.key.len() + 2);
    let encoded = changes.iter().map(|change| change.encode(format));
    encoded.enumerate().flat_map(|(place, bytes)| bytes.into_iter().skip(if place == 0 { 0 } else { header })).collect()
}

/// Concatenates two inputs with this crate and with SQLite's changegroup, if both are well-formed
/// and of one format.
///
/// # Panics
///
/// If the results are not the same changes, or if only one of the two fails.
pub fn judge(first: &[u8], second: &[u8]) {
    let format = match first.first().or(second.first()) {
        Some(b'T') => Format::Changeset,
        Some(b'P') => Format::Patchset,
        _ => return,
    };
    let built = match format {
        Format::Changeset => concatenate::<ChangesetFormat>(first, second),
        Format::Patchset => concatenate::<PatchsetFormat>(first, second),
    };
    let Some(built) = built else { return };
    let built = match (built, referee([first, second], format)) {
        (Ok(built), Ok((expected, _))) => (built, expected),
        (Err(error), Err(code)) => {
            let is_schema = matches!(error.kind(), BuildErrorKind::OtherColumns { .. } | BuildErrorKind::OtherKey);
            assert!(is_schema && code == Code(17), "{error}, {code:?}");
            return;
        }
        (built, expected) => panic!("{built:?} where SQLite has {expected:?}"),
    };
    let (built, expected) = (without_new_keys(&built.0, format), without_new_keys(&built.1, format));
    assert_eq!(built, expected, "the same changes");
    let rows: BTreeSet<_> = in_order_of_rows(&built, format);
    assert_eq!(rows.len(), built.len(), "one change for each row");
}

/// Concatenates two inputs in every way that this crate offers. Returns `None` if one is not
/// well-formed.
fn concatenate<F: SetFormat>(first: &[u8], second: &[u8]) -> Option<Result<Vec<u8>, BuildError>> {
    let (first, second) = (SetRef::<F>::parse(first).ok()?, SetRef::parse(second).ok()?);
    let built = first.concat(second);
    let mut target = second.into_owned();
    let done = first.concat_into(second, &mut target);
    assert_eq!(done.map(|()| target.clone()), built, "the same in memory that was written to before");
    assert!(built.is_ok() || target.is_empty(), "an error leaves nothing");
    if let Ok(built) = &built {
        assert!(SetRef::<F>::parse(built.as_bytes()).is_ok(), "a concatenation is well-formed");
        let mut written = Vec::new();
        Set::builder().add(first).add(second).write_to(&mut written).unwrap();
        assert_eq!(written, built.as_bytes(), "a stream has the same bytes");
    }
    Some(built.map(Set::into_bytes))
}

/// Encodes each change by itself, without the new keys of UPDATEs, as [`referee`] returns them. The
/// names of the tables are in lower case, because the referee uses the next spelling of a name
/// after a table has lost all of its changes.
///
/// # Panics
///
/// If the bytes are not well-formed.
pub fn without_new_keys(bytes: &[u8], format: Format) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = in_order(bytes)
        .into_iter()
        .map(|change| Encoded { table: &change.table.to_ascii_lowercase(), ..change }.encode(format))
        .collect();
    all.sort_unstable();
    all
}

fn in_order_of_rows(all: &[Vec<u8>], format: Format) -> BTreeSet<(Vec<u8>, Vec<Vec<u8>>)> {
    let row = |bytes: &Vec<u8>| {
        let [change] = &in_order(bytes)[..] else { panic!("one change each") };
        (change.table.to_vec(), change.key_fields(format).into_iter().map(<[u8]>::to_vec).collect())
    };
    all.iter().map(row).collect()
}
