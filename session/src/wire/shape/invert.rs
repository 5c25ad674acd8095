//! Inverting a changeset. The result equals that of `sqlite3changeset_invert`, byte for byte.
//!
//! SQLite copies headers and the values of INSERTs and DELETEs, but decodes and encodes the values
//! of UPDATEs. Varints of UPDATEs become as short as possible, and NaN becomes NULL. No change gets
//! longer, and most keep their length, so that a changeset can be inverted [in
//! place](invert_in_place).

use alloc::vec::Vec;

use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::set::{Changeset, ChangesetFormat, Set, SetRef};
use crate::wire::codec::value::write_field;
use crate::wire::codec::walk::Walker;

/// Appends the inverse of a checked changeset.
pub(in crate::wire) fn invert(bytes: &[u8], out: &mut Vec<u8>) {
    invert_with(bytes, out, write_update);
}

/// Returns the inverse of a checked changeset, to apply it. UPDATEs restore only the columns that
/// they set: an old value without a new one does not become a new value.
#[cfg(feature = "sqlite")]
pub(crate) fn inverted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    invert_with(bytes, &mut out, |key, record, out| {
        let columns = || {
            let (mut old, mut new) = (Cursor::new(record.before), Cursor::new(record.after));
            key.iter().map(move |ordinal| (*ordinal != 0, old.value(), new.value()))
        };
        columns()
            .for_each(|(is_key, old, new)| write_field(out, if is_key { old } else { new.filter(|_| old.is_some()) }));
        columns().for_each(|(is_key, old, new)| write_field(out, old.filter(|_| !is_key && new.is_some())));
    });
    out
}

fn invert_with(bytes: &[u8], out: &mut Vec<u8>, write_update: impl Fn(&[u8], RawRecord<'_>, &mut Vec<u8>)) {
    out.reserve(bytes.len());
    let mut walk = Walker::new(bytes, Format::Changeset);
    loop {
        let start = walk.position();
        let Some(header) = walk.header() else { break };
        out.extend_from_slice(walk.position().since(start));
        while walk.is_at_record() {
            let flag = walk.position().rest().get(1).copied();
            let Some(record) = walk.record(header) else { break };
            out.push(record.operation.inverse().to_byte());
            out.extend(flag);
            match record.operation {
                Operation::Insert | Operation::Delete => out.extend_from_slice(record.after),
                Operation::Update => write_update(header.key, record, out),
            }
        }
    }
}

/// Appends the records of the inverse of an UPDATE.
fn write_update(key: &[u8], record: RawRecord<'_>, out: &mut Vec<u8>) {
    let (mut old, mut new) = (Cursor::new(record.before), Cursor::new(record.after));
    for ordinal in key {
        let (old, new) = (old.value(), new.value());
        write_field(out, if *ordinal == 0 { new } else { old });
    }
    let mut old = Cursor::new(record.before);
    for ordinal in key {
        let old = old.value();
        write_field(out, old.filter(|_| *ordinal == 0));
    }
}

/// Inverts a checked changeset in its own memory.
pub(in crate::wire) fn invert_in_place(bytes: &mut Vec<u8>) {
    let (mut key, mut inverse) = (Vec::new(), Vec::new());
    let mut at = 0usize;
    // changes that got shorter leave a gap, which starts here
    let mut end = 0usize;
    // the end of the gap
    let mut gap_end = 0usize;
    loop {
        at = invert_rows(bytes, at, key.len());
        let Some((first, rest)) = bytes.get(at..).and_then(|rest| Some((*rest.first()?, rest))) else { break };
        let mut cursor = Cursor::new(rest);
        if Format::from_byte(first).is_some() {
            let Ok(header) = check::header(&mut cursor, Format::Changeset) else { break };
            key.clear();
            key.extend_from_slice(header.key);
            at = at.saturating_add(rest.len().saturating_sub(cursor.remaining()));
            continue;
        }
        let header = Header { name: "", key: &key };
        let Some(record) = check::read_checked_inline(&mut cursor, header, Format::Changeset) else {
            break; // unreachable with checked bytes
        };
        let next = at.saturating_add(rest.len().saturating_sub(cursor.remaining()));
        inverse.clear();
        write_update(&key, record, &mut inverse);
        let records = at.saturating_add(2);
        let inverse_end = records.saturating_add(inverse.len());
        if let Some(target) = bytes.get_mut(records..inverse_end) {
            target.copy_from_slice(&inverse);
        }
        if inverse_end < next {
            end = close_gap(bytes, end, gap_end, inverse_end);
            gap_end = next;
        }
        at = next;
    }
    end = close_gap(bytes, end, gap_end, at);
    bytes.truncate(end);
}

/// Inverts consecutive INSERTs and DELETEs in place. Returns their end.
fn invert_rows(bytes: &mut [u8], mut at: usize, columns: usize) -> usize {
    const INSERT: u8 = Operation::Insert.to_byte();
    const DELETE: u8 = Operation::Delete.to_byte();
    while let Some([operation, _, row @ ..]) = bytes.get_mut(at..) {
        *operation = match *operation {
            INSERT => DELETE,
            DELETE => INSERT,
            _ => break,
        };
        let mut rest = Cursor::new(row);
        if rest.skip_values(columns).is_none() {
            break; // unreachable with checked bytes
        }
        at = at.saturating_add(2).saturating_add(row.len().saturating_sub(rest.remaining()));
    }
    at
}

/// Moves the bytes from `from` to `to` down to `end`. Returns their new end.
fn close_gap(bytes: &mut [u8], end: usize, from: usize, to: usize) -> usize {
    if end != from && from <= to && to <= bytes.len() {
        bytes.copy_within(from..to, end);
    }
    end.saturating_add(to.saturating_sub(from))
}

impl Set<ChangesetFormat> {
    /// Returns the changeset that undoes this one.
    ///
    /// Each INSERT becomes a DELETE, each DELETE an INSERT, and each UPDATE restores the old
    /// values. The result is byte for byte that of
    /// [`sqlite3changeset_invert`](https://www.sqlite.org/session/sqlite3changeset_invert.html). A
    /// patchset cannot be inverted, because it has no old values.
    ///
    /// The inverse of the inverse is the changeset itself, unless it changes a key to an [equal
    /// key](crate::_documentation::format#keys): the inverse of an UPDATE has no new key. It also
    /// has the shortest varints, and NULL for NaN.
    ///
    /// ```
    /// # use diesel_sqlite_session::Changeset;
    /// # let changeset = Changeset::try_from(
    /// #     b"T\x02\x01\x00users\0\x17\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob\x00\x03\x06Robert".to_vec(),
    /// # )?;
    /// assert_eq!(format!("{changeset:?}"), "Changeset [UPDATE users(2, 'Bob' -> 'Robert')]");
    /// assert_eq!(format!("{:?}", changeset.invert()), "Changeset [UPDATE users(2, 'Robert' -> 'Bob')]");
    /// # Ok::<(), diesel_sqlite_session::ParseError>(())
    /// ```
    #[must_use]
    pub fn invert(&self) -> Changeset {
        self.as_borrowed().invert()
    }

    /// Inverts the changeset into the memory of `target`: see [`invert`](Self::invert).
    ///
    /// `target` is a changeset that is no longer needed, or [`Changeset::new`]. Reusing memory is
    /// much faster for large changesets.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let user = |id: i64| Changeset::builder().insert_values(users, &[id.into(), "Ada".into()]).build();
    /// let mut inverse = Changeset::new();
    /// for done in [user(1)?, user(2)?] {
    ///     done.invert_into(&mut inverse);
    ///     assert_eq!(inverse, done.invert());
    /// }
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn invert_into(&self, target: &mut Changeset) {
        self.as_borrowed().invert_into(target);
    }

    /// Inverts the changeset in its own memory: see [`invert`](Self::invert).
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let done = Changeset::builder().insert_values(users, &[1.into(), "Ada".into()]).build()?;
    /// let inverse = done.invert();
    /// assert_eq!(done.into_inverted(), inverse);
    /// assert_eq!(format!("{inverse:?}"), "Changeset [DELETE users(1, 'Ada')]");
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    #[must_use]
    pub fn into_inverted(mut self) -> Changeset {
        invert_in_place(self.bytes_mut());
        self
    }
}

impl SetRef<'_, ChangesetFormat> {
    /// Returns the changeset that undoes this one: see [`Changeset::invert`].
    #[must_use]
    pub fn invert(self) -> Changeset {
        let mut inverse = Changeset::new();
        self.invert_into(&mut inverse);
        inverse
    }

    /// Inverts the changeset into the memory of `target`: see [`Changeset::invert_into`].
    pub fn invert_into(self, target: &mut Changeset) {
        let out = target.bytes_mut();
        out.clear();
        invert(self.as_bytes(), out);
    }
}
