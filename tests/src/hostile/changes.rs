//! Recorded changes, and what an attacker makes of them.

use diesel_sqlite_session::{Changeset, Format, Patchset, SqliteSessionExt};

use super::replica::{Replica, TABLES, edit, exec, try_edit};
use crate::change::{Change, Owned};
use crate::plan::Plan;

/// Records changes on a source like the replica and manipulates them.
pub(super) fn make(plan: &mut Plan<'_>, replica: &Replica) -> Vec<u8> {
    let mut conn = replica.open_source();
    if plan.chance(8) {
        exec(&mut conn, "PRAGMA foreign_keys = ON").expect("it is a pragma");
    }
    let mut session = conn.create_session().expect("SQLite is new enough");
    session.attach_all().expect("nothing is attached yet");
    for _ in 0..2 + plan.below(16) {
        try_edit(&mut conn, &edit(plan));
    }
    let is_patchset = plan.chance(6);
    let (format, mut bytes, changes): (_, _, Vec<Change>) = if is_patchset {
        let patchset: Patchset = session.patchset().expect("it fits");
        (Format::Patchset, patchset.as_bytes().to_vec(), patchset.records().map(Change::from).collect())
    } else {
        let changeset: Changeset = session.changeset().expect("it fits");
        (Format::Changeset, changeset.as_bytes().to_vec(), changeset.records().map(Change::from).collect())
    };
    if plan.chance(12) {
        bytes = rewrite(changes, format, plan);
    }
    if plan.chance(2) {
        garble(&mut bytes, plan);
    }
    bytes
}

/// Manipulates the changes, mostly keeping them well-formed, and encodes them again.
fn rewrite(mut changes: Vec<Change>, format: Format, plan: &mut Plan<'_>) -> Vec<u8> {
    for _ in 0..plan.below(6) {
        if changes.is_empty() {
            break;
        }
        let at = plan.below(changes.len());
        let other = plan.below(changes.len());
        match plan.below(13) {
            0 => {
                let copy = changes[at].clone();
                changes.insert(other, copy);
            }
            1 => changes.swap(at, other),
            2 => drop(changes.remove(at)),
            3 => rename(&mut changes[at], plan),
            4 => {
                let table = &TABLES[plan.below(TABLES.len())];
                fit(&mut changes[at], table.name, table.key);
            }
            5 => turn(&mut changes[at], plan),
            6 => changes[at].indirect ^= true,
            7 => {
                // the key of another change
                let (key, of) = (changes[at].key.clone(), changes[other].clone());
                let change = &mut changes[at];
                for column in (0..key.len()).filter(|column| key[*column] != 0) {
                    let value = of.old.get(column).cloned().flatten().or(of.new.get(column).cloned().flatten());
                    let value = value.unwrap_or(Owned::Integer(1));
                    for side in [&mut change.old, &mut change.new] {
                        if side[column].is_some() {
                            side[column] = Some(value.clone());
                        }
                    }
                }
            }
            _ => {
                let change = &mut changes[at];
                let column = plan.below(change.key.len());
                let is_new = plan.chance(8);
                let value = value(plan);
                let side = if is_new { &mut change.new } else { &mut change.old };
                side[column] = value;
            }
        }
    }
    let mut out: Vec<u8> = Vec::new();
    let mut last = Vec::new();
    for change in changes {
        let bytes = change.encode(format);
        let (header, record) = bytes.split_at(2 + change.key.len() + change.table.len() + 1);
        // sometimes in a section of its own
        if header != last || plan.chance(2) {
            out.extend_from_slice(header);
            last = header.to_vec();
        }
        out.extend_from_slice(record);
    }
    out
}

/// Gives the change the name of another table and keeps its values.
fn rename(change: &mut Change, plan: &mut Plan<'_>) {
    const NAMES: [&str; 16] = [
        "notes",
        "NOTES",
        "Secret",
        "secret",
        "sqlite_stat1",
        "sqlite_sequence",
        "sqlite_schema",
        "shelf",
        "nokey",
        "held",
        "main.notes",
        "temp.notes",
        "pairs",
        "",
        "notes\"; DROP TABLE notes; --",
        "pragma_table_info",
    ];
    change.table = plan.pick(&NAMES).as_bytes().to_vec();
}

/// Turns the change into a change of another table.
fn fit(change: &mut Change, name: &str, key: &[u8]) {
    change.table = name.as_bytes().to_vec();
    change.key = key.to_vec();
    for side in [&mut change.old, &mut change.new] {
        let fill = if side.iter().all(Option::is_none) { None } else { Some(Owned::Integer(3)) };
        side.resize(key.len(), fill);
    }
    let is_insert = change.operation == 18;
    for column in (0..key.len()).filter(|column| key[*column] != 0) {
        let side = if is_insert { &mut change.new } else { &mut change.old };
        side[column].get_or_insert(Owned::Integer(2));
    }
}

/// Changes the operation, with values that fit it.
fn turn(change: &mut Change, plan: &mut Plan<'_>) {
    let filled = |side: &[Option<Owned>], other: &[Option<Owned>]| -> Vec<Option<Owned>> {
        let either = side.iter().zip(other).map(|(a, b)| a.clone().or(b.clone()));
        either.map(|value| Some(value.unwrap_or(Owned::Text(b"a".to_vec())))).collect()
    };
    let row = filled(&change.new, &change.old);
    let none = vec![None; row.len()];
    match plan.below(3) {
        0 => (change.operation, change.old, change.new) = (18, none, row),
        1 => (change.operation, change.old, change.new) = (9, row, none),
        _ => {
            let new = row.iter().zip(&change.key).map(|(_, key)| if *key == 0 { value(plan) } else { None }).collect();
            (change.operation, change.old, change.new) = (23, row, new);
        }
    }
}

/// Returns a random value, or none.
fn value(plan: &mut Plan<'_>) -> Option<Owned> {
    let text = |text: &[u8]| Owned::Text(text.to_vec());
    Some(match plan.below(26) {
        23..=24 | 0..=6 => Owned::Integer(i64::from(plan.byte() % 8)),
        7 => Owned::Null,
        8 => text(b"a"),
        9 => text(b"b"),
        10 => text([&b"stop"[..], b"pass", b"gone", b"stays", b"sequel", b"never"][plan.below(6)]),
        11 => text(b"\xff\xfe bad"),
        12 => text(b"a\0b"),
        13 => text(&vec![b'x'; 200 + plan.below(300)]),
        14 => text(b"A"),
        15 => text(b"1"),
        16 => Owned::Real(1.0f64.to_bits()),
        17 => {
            Owned::Real([f64::NAN, f64::INFINITY, -0.0, 9_007_199_254_740_993.0, 1e300, 2.5][plan.below(6)].to_bits())
        }
        18 => Owned::Integer([i64::MIN, i64::MAX, 9_007_199_254_740_993, -1][plan.below(4)]),
        19 => Owned::Blob(vec![plan.byte(); plan.below(40)]),
        20 => text(b""),
        21 => Owned::Integer(1),
        22 => Owned::Integer(2),
        _ => return None,
    })
}

/// Changes some bytes, whatever they mean.
fn garble(bytes: &mut Vec<u8>, plan: &mut Plan<'_>) {
    const TELLING: [u8; 14] = [0, 1, 2, 3, 4, 5, 6, 9, 0x12, 0x17, b'T', b'P', 0x80, 0xff];
    for _ in 0..=plan.below(4) {
        let at = plan.below(bytes.len() + 1);
        let count = plan.below(30).min(bytes.len() - at);
        match plan.below(6) {
            0..=1 if at < bytes.len() => bytes[at] = TELLING[plan.below(TELLING.len())],
            2 if at < bytes.len() => bytes[at] = plan.byte(),
            3 => drop(bytes.drain(at..at + count)),
            4 => {
                let piece = bytes[at..at + count].to_vec();
                let to = plan.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            _ => bytes.truncate(at),
        }
    }
}
