//! Whether SQLite and we rebase alike.

use std::collections::HashMap;

use diesel_sqlite_session::wire::{BuildErrorKind, ParseErrorKind, RebaseData, Rebaser};
use diesel_sqlite_session::{Changeset, ChangesetReader, ChangesetRef, Operation};

use crate::change::Change;
use crate::sqlite;

/// Rebases changes on each of the data, one after another, by both, and gives the result. `None` where something is refused.
///
/// # Panics
///
/// At the first difference that the docs of `RebaseData` and `Rebaser` do not name.
pub fn judge(all: &[&[u8]], changes: &[u8]) -> Option<Vec<u8>> {
    let mut rebaser = Rebaser::new();
    for (at, data) in all.iter().enumerate() {
        // SQLite reads one byte beyond the end of data that end where a value should begin
        let padded = [data, &[0xff; 16][..]].concat();
        // an empty changeset: whether SQLite takes the data
        let configure = || sqlite::rebase_on_all(&[], all[..at].iter().copied().chain([&padded[..data.len()]]));
        match RebaseData::try_from(*data) {
            Ok(data) => {
                assert!(format!("{data:?}").starts_with("RebaseData ["));
                let added = rebaser.add(&data);
                assert_eq!(added.is_err(), configure().is_err(), "SQLite takes what we take: {added:?}");
                added.ok()?;
            }
            Err(error) => {
                // of what we do not take, SQLite's reader may read beyond the end
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
    let streamed = rebaser.rebase_stream(ChangesetReader::new(changes), &mut stream);
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
    assert!(rebaser.rebase_owned(changeset.into_owned()).as_ref() == Ok(&rebased), "the same in its own memory");
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

/// The data without what is said of a row after a DELETE of it has replaced: then SQLite forgets all that was said of it.
/// The data must have been accepted.
fn apart_from_forgotten(all: &[&[u8]]) -> Vec<Vec<u8>> {
    const DELETE: u8 = 9;
    // of a row: the last operation, and whether any has replaced
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

/// The changes without such UPDATEs as SQLite makes of an INSERT into a table that has no column beside its key.
fn apart_from_idle(bytes: &[u8]) -> Vec<Change> {
    let records = ChangesetRef::parse(bytes).expect("well-formed").records();
    let is_idle = |change: &Change| change.operation == 23 && !change.key.contains(&0) && change.old == change.new;
    records.map(Change::from).filter(|change| !is_idle(change)).collect()
}

/// Whether SQLite's rebaser reads these bytes within their bounds: it does not where there are headers of patchsets, or lengths
/// that do not fit an `int`.
fn is_harmless(bytes: &[u8]) -> bool {
    !bytes.contains(&b'P') && !bytes.windows(4).any(|window| window.iter().all(|byte| *byte >= 0x80))
}
