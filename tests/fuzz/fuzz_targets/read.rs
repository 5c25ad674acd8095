//! Reading any bytes in Rust alone: no panic, no endless loop, no memory beyond that of the input.
#![no_main]

use std::fmt::Write;

use diesel_sqlite_session::{ChangesetReader, ChangesetRef, PatchsetReader, PatchsetRef, Record};
use libfuzzer_sys::fuzz_target;

fn read_all(record: Record<'_>, text: &mut String) {
    text.clear();
    write!(text, "{record} {record:?} {:?}", record.key_values().collect::<Vec<_>>()).unwrap();
    for column in 0..=record.column_count().min(40) {
        assert_eq!(record.old_value(column), record.old_values().nth(column).flatten());
        assert_eq!(record.new_value(column), record.new_values().nth(column).flatten());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut text = String::new();
    if let Ok(changeset) = ChangesetRef::parse(bytes) {
        changeset.records().for_each(|record| read_all(record, &mut text));
        changeset.sections().flat_map(|section| section.records()).for_each(|record| read_all(record, &mut text));
        let inverse = changeset.invert();
        assert!(inverse.as_bytes().len() <= bytes.len());
        assert_eq!(inverse.records().count(), changeset.records().count());
    }
    if let Ok(patchset) = PatchsetRef::parse(bytes) {
        patchset.records().for_each(|record| read_all(record, &mut text));
    }
    let mut reader = ChangesetReader::new(bytes);
    while let Ok(Some(record)) = reader.next_record() {
        read_all(record, &mut text);
    }
    let mut reader = PatchsetReader::new(bytes);
    while let Ok(Some(record)) = reader.next_record() {
        read_all(record, &mut text);
    }
});
