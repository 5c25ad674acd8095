//! The inverse of a changeset, byte for byte as `sqlite3changeset_invert` writes it.

use alloc::vec::Vec;

use super::cursor::Cursor;
use super::table::Header;
use super::value::write_field;
use super::{Format, Operation, check};

/// Inverts a checked changeset.
///
/// SQLite copies headers and the values of INSERTs and DELETEs as they stand, but reads and writes anew those of UPDATEs,
/// so that their varints become as short as can be and NaN becomes NULL; so does this.
pub(super) fn invert(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut cursor = Cursor::new(bytes);
    let mut table: Option<Header<'_>> = None;
    while let Some(first) = cursor.peek() {
        let start = cursor;
        if Format::from_byte(first).is_some() {
            table = check::section(&mut cursor, Format::Changeset).ok();
            out.extend_from_slice(cursor.since(start));
            continue;
        }
        let Some((header, record)) = table.and_then(|t| Some((t, check::extent(&mut cursor, t, Format::Changeset)?)))
        else {
            break; // checked bytes do not come here
        };
        out.push(record.operation.inverse().to_byte());
        let mut flag = start;
        flag.byte();
        out.extend(flag.byte());
        match record.operation {
            Operation::Insert | Operation::Delete => out.extend_from_slice(record.after),
            Operation::Update => {
                let (mut old, mut new) = (Cursor::new(record.before), Cursor::new(record.after));
                for place in header.key {
                    let (old, new) = (old.value(), new.value());
                    write_field(&mut out, if *place == 0 { new } else { old });
                }
                let mut old = Cursor::new(record.before);
                for place in header.key {
                    let old = old.value();
                    write_field(&mut out, old.filter(|_| *place == 0));
                }
            }
        }
    }
    out
}
