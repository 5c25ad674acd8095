//! Compares rebasing with SQLite's rebaser.

use std::collections::HashMap;

use diesel_sqlite_session::wire::{BuildErrorKind, ParseErrorKind, RebaseData, Rebaser};
use diesel_sqlite_session::{Changeset, ChangesetReader, ChangesetRef, Operation};

use crate::change::Change;
use crate::sqlite;

/// Rebases `changes` on each of `all` in order, with this crate and with SQLite. Returns the
/// result, or `None` if an input is rejected.
///
/// # Panics
///
/// At the first difference that the documentation of `RebaseData` and `Rebaser` does not name.
pub fn judge(all: &[&[u8]], changes: &[u8]) -> Option<Vec<u8>> {
    let mut rebaser = Rebaser::new();
    for (at, data) in all.iter().enumerate() {
        // SQLite reads one byte past the end of data that ends where a value should begin
        let padded = [data, &[0xff; 16][..]].concat();
        // an empty changeset, to see whether SQLite accepts the data
        let configure = || sqlite::rebase_on_all(&[], all[..at].iter().copied().chain([&padded[..data.len()]]));
        match RebaseData::try_from(*data) {
            Ok(data) => {
                assert!(format!("{data:?}").starts_with("RebaseData ["));
                let added = rebaser.add(&data);
                assert_eq!(added.is_err(), configure().is_err(), "SQLite takes what we take: {added:?}");
                added.ok()?;
            }
            Err(error) => {
                // SQLite may read past the end of data that this crate rejects
                if is_harmless(data) && configure().is_ok() {
                    let is_documented = match error.kind() {
                        ParseErrorKind::RebaseOperation(byte) => byte == Operation::Update.to_byte(),
                        ParseErrorKind::ValueLength(length) => length > 1_000_000_000,
                        kind => matches!(
                            kind,
                            ParseErrorKind::MissingValue
                                | ParseErrorKind::NullKey
                                | ParseErrorKind::NoPrimaryKey
                                | ParseErrorKind::TableName
                        ),
                    };
                    assert!(is_documented, "SQLite takes this: {error}");
                }
                return None;
            }
        }
    }

    let kept = apart_from_forgotten(all);
    let rebase = |changes: &[u8]| sqlite::rebase_on_all(changes, kept.iter().map(Vec::as_slice));
    let changeset = ChangesetRef::parse(changes).ok()?;
    let mut stream = Vec::new();
    let streamed = rebaser.write_rebased_to(ChangesetReader::new(changes), &mut stream);
    let rebased = match rebaser.rebase(changeset) {
        Ok(rebased) => rebased,
        Err(error) => {
            assert!(streamed.is_err(), "a stream is refused too");
            if error.kind() == BuildErrorKind::NullKey {
                let theirs = rebase(changes).expect("SQLite takes it");
                let error = ChangesetRef::parse(&theirs).expect_err("SQLite's result has NULL in a key");
                assert_eq!(error.kind(), ParseErrorKind::NullKey);
            }
            return None;
        }
    };
    assert!(changeset.into_owned().into_rebased_by(&rebaser).as_ref() == Ok(&rebased), "in place");
    if let [data] = all {
        let data = RebaseData::try_from(*data).expect("it has been added");
        assert!(changeset.rebase(&data).as_ref() == Ok(&rebased), "the short form comes to the same");
        assert!(changeset.into_owned().into_rebased(&data).as_ref() == Ok(&rebased), "in its own memory too");
    }
    let again = Changeset::try_from(rebased.as_bytes()).expect("what is rebased is well-formed");
    assert!(streamed.is_ok(), "a stream is rebased too");
    let stream = Changeset::try_from(stream).expect("a rebased stream is well-formed");
    assert!(stream.records().eq(again.records()), "a stream becomes the same");
    let has_plain_flags = again.records().all(|record| again.as_bytes()[record.offset() + 1] < 2);
    assert!(stream == again || !has_plain_flags, "a stream becomes the same bytes");

    let theirs = rebase(changes).expect("SQLite rebases what we rebase");
    if theirs != rebased.as_bytes() {
        assert_eq!(apart_from_idle(rebased.as_bytes()), apart_from_idle(&theirs), "the same changes");
        let idle =
            |bytes| ChangesetRef::parse(bytes).map_or(0, |all| all.records().count()) - apart_from_idle(bytes).len();
        assert!(idle(rebased.as_bytes()) <= idle(changes), "ours get no such UPDATE");
    }
    Some(rebased.into_bytes())
}

/// Returns the accepted rebase data without the entries of a row that follow a replacing DELETE of
/// that row: SQLite forgets the row at that point.
fn apart_from_forgotten(all: &[&[u8]]) -> Vec<Vec<u8>> {
    const DELETE: u8 = 9;
    // for each row, its last operation and whether any entry replaced
    let mut rows: HashMap<(Vec<u8>, Vec<u8>), (u8, bool)> = HashMap::new();
    let filter = |data: &&[u8]| {
        let (mut out, mut rest) = (Vec::new(), *data);
        let (mut table, mut key) = (Vec::new(), &[][..]);
        while let Some(&first) = rest.first() {
            let start = rest;
            rest = &rest[1..];
            if first == b'T' {
                let columns = varint(&mut rest);
                (key, rest) = rest.split_at(columns);
                let end = rest.iter().position(|byte| *byte == 0).expect("the end of a name");
                table = rest[..end].to_ascii_lowercase();
                rest = &rest[end + 1..];
                out.extend_from_slice(&start[..start.len() - rest.len()]);
                continue;
            }
            let replaced = rest[0] != 0;
            rest = &rest[1..];
            let mut row = Vec::new();
            for place in key {
                let field = rest;
                let class = field[0];
                rest = &rest[1..];
                let length = match class {
                    1 | 2 => 8,
                    3 | 4 => varint(&mut rest),
                    _ => 0,
                };
                rest = &rest[length..];
                if *place != 0 {
                    row.extend_from_slice(&field[..field.len() - rest.len()]);
                }
            }
            let before = rows.get(&(table.clone(), row.clone())).copied();
            if before != Some((DELETE, true)) {
                rows.insert((table.clone(), row), (first, replaced || before.is_some_and(|(_, replaced)| replaced)));
                out.extend_from_slice(&start[..start.len() - rest.len()]);
            }
        }
        out
    };
    all.iter().map(filter).collect()
}

fn varint(rest: &mut &[u8]) -> usize {
    let mut value = 0u64;
    for place in 0..9 {
        let byte = rest[0];
        *rest = &rest[1..];
        if place == 8 {
            value = value << 8 | u64::from(byte);
            break;
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            break;
        }
    }
    usize::try_from(value).expect("a length that was accepted")
}

/// Returns the changes without the UPDATEs that SQLite writes for an INSERT into a table with only
/// key columns.
fn apart_from_idle(bytes: &[u8]) -> Vec<Change> {
    let records = ChangesetRef::parse(bytes).expect("well-formed").records();
    let is_idle = |change: &Change| change.operation == 23 && !change.key.contains(&0) && change.old == change.new;
    records.map(Change::from).filter(|change| !is_idle(change)).collect()
}

/// Returns whether SQLite's rebaser stays within the bytes: headers of patchsets, and lengths that
/// do not fit an `int`, lead it past the end.
fn is_harmless(bytes: &[u8]) -> bool {
    !bytes.contains(&b'P') && !bytes.windows(4).any(|window| window.iter().all(|byte| *byte >= 0x80))
}
