//! Tests of `wire` without SQLite, so that Miri can run them. The package `tests` compares the same
//! bytes with SQLite.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::wire::*;

/// A changeset of every operation. The key of `pairs` consists of the second and the first column.
const CHANGESET: &[u8] = b"T\x03\x02\x01\0pairs\0\
    \x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x01a\x05\
    \x17\x01\x01\0\0\0\0\0\0\0\x02\x03\x01b\x02\x3f\xf8\0\0\0\0\0\0\x00\x00\x04\x02\x00\xff\
    \x09\x00\x01\0\0\0\0\0\0\0\x03\x03\x01c\x05\
    T\x01\x01empty\0\
    T\x01\x01keys\0\x12\x00\x04\x01k";

/// The same changes as a patchset.
const PATCHSET: &[u8] = b"P\x03\x02\x01\0pairs\0\
    \x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x01a\x05\
    \x17\x01\x01\0\0\0\0\0\0\0\x02\x03\x01b\x04\x02\x00\xff\
    \x09\x00\x01\0\0\0\0\0\0\0\x03\x03\x01c\
    P\x01\x01empty\0\
    P\x01\x01keys\0\x12\x00\x04\x01k";

const CHANGESET_LINES: [&str; 4] = [
    "INSERT pairs(1, 'a', NULL)",
    "UPDATE pairs(2, 'b', 1.5 -> x'00ff') indirect",
    "DELETE pairs(3, 'c', NULL)",
    "INSERT keys(x'6b')",
];

const PATCHSET_LINES: [&str; 4] = [
    "INSERT pairs(1, 'a', NULL)",
    "UPDATE pairs(2, 'b', -> x'00ff') indirect",
    "DELETE pairs(3, 'c', _)",
    "INSERT keys(x'6b')",
];

fn lines<'a>(records: impl IntoIterator<Item = Record<'a>>) -> Vec<String> {
    records.into_iter().map(|record| record.to_string()).collect()
}

#[test]
fn every_operation_of_both_formats_is_read() {
    let changeset = Changeset::try_from(CHANGESET.to_vec()).unwrap();
    let patchset = Patchset::try_from(PATCHSET.to_vec()).unwrap();
    assert_eq!(lines(&changeset), CHANGESET_LINES);
    assert_eq!(lines(&patchset), PATCHSET_LINES);
    for record in changeset.records().chain(patchset.records()) {
        for column in 0..=record.column_count() {
            assert_eq!(record.old_value(column), record.old_values().nth(column).flatten());
            assert_eq!(record.new_value(column), record.new_values().nth(column).flatten());
        }
        assert_eq!(record.old_values().len(), record.column_count());
    }
    let keys: Vec<Vec<Value<'_>>> = changeset.records().map(|record| record.key_values().collect()).collect();
    assert_eq!(keys[1], [Value::Integer(2), Value::Text(b"b")]);
    let same: Vec<Vec<Value<'_>>> = patchset.records().map(|record| record.key_values().collect()).collect();
    assert_eq!(keys, same);
}

#[test]
fn sections_have_names_columns_and_keys() {
    let changeset = ChangesetRef::parse(CHANGESET).unwrap();
    let tables: Vec<_> = changeset
        .sections()
        .map(|section| (section.table(), section.column_count(), section.key_ordinals(), section.records().count()))
        .collect();
    assert_eq!(tables, [("pairs", 3, &[2, 1, 0][..], 3), ("empty", 1, &[1][..], 0), ("keys", 1, &[1][..], 1)]);
    assert_eq!(lines(changeset.sections().flat_map(|table| table.records())), CHANGESET_LINES);
    assert_eq!(changeset.sections().next().unwrap().key_columns().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn offsets_are_those_of_the_operations() {
    for (bytes, records) in [
        (CHANGESET, ChangesetRef::parse(CHANGESET).unwrap().records()),
        (PATCHSET, PatchsetRef::parse(PATCHSET).unwrap().records()),
    ] {
        for record in records {
            assert_eq!(bytes[record.offset()], record.operation().to_byte());
            assert_eq!(bytes[record.offset() + 1] != 0, record.indirect());
        }
    }
}

#[test]
fn the_inverse_undoes_and_its_inverse_is_the_changeset() {
    let changeset = Changeset::try_from(CHANGESET.to_vec()).unwrap();
    assert_eq!(
        lines(&changeset.invert()),
        [
            "DELETE pairs(1, 'a', NULL)",
            "UPDATE pairs(2, 'b', x'00ff' -> 1.5) indirect",
            "INSERT pairs(3, 'c', NULL)",
            "DELETE keys(x'6b')"
        ]
    );
    assert_eq!(changeset.invert().invert(), changeset);
    assert_eq!(changeset.clone().into_inverted(), changeset.invert());
}

#[test]
fn inverses_that_are_shorter_leave_no_gap() {
    // the inverse is shorter for a new key, a NaN and a varint that is longer than necessary, but
    // not for an INSERT
    let header = &b"T\x02\x01\x00t\0"[..];
    let key = &b"\x17\x00\x03\x01k\x03\x01a\x03\x01K\x03\x01b"[..];
    let nan = &b"\x17\x01\x03\x01n\x02\x7f\xf8\0\0\0\0\0\0\x00\x03\x01b"[..];
    let long = &b"\x17\x00\x03\x01l\x03\x80\x80\x01a\x00\x03\x81\x01"[..];
    let long = &[long, &[b'x'; 129]].concat()[..];
    let insert = &b"\x12\x00\x03\x80\x01i\x05"[..];
    for parts in [
        &[header, key][..],
        &[header, insert, nan, insert],
        &[header, long, header, key, key, insert, insert, nan, header],
        &[header, insert, header, insert],
    ] {
        let changeset = Changeset::try_from(parts.concat()).unwrap();
        let inverse = changeset.invert();
        assert!(parts.len() == 4 || inverse.as_bytes().len() < changeset.as_bytes().len());
        assert_eq!(changeset.into_inverted(), inverse);
    }
}

#[test]
fn zero_bytes_are_an_empty_set() {
    assert!(Changeset::new().is_empty());
    assert!(Patchset::try_from(Vec::new()).unwrap().is_empty());
    assert!(ChangesetRef::parse(b"T\x01\x01t\0").unwrap().is_empty(), "a header alone");
    assert_eq!(Changeset::new().invert(), Changeset::new());
    assert_eq!(Changeset::new().into_inverted(), Changeset::new());
    assert_eq!(format!("{:?}", Changeset::new()), "Changeset []");
}

#[test]
fn every_truncation_is_an_error_or_a_shorter_changeset() {
    for (whole, all) in [(CHANGESET, &CHANGESET_LINES), (PATCHSET, &PATCHSET_LINES)] {
        for end in 0..whole.len() {
            let bytes = &whole[..end];
            let read = match whole[0] {
                b'T' => ChangesetRef::parse(bytes).map(|set| lines(set.records())),
                _ => PatchsetRef::parse(bytes).map(|set| lines(set.records())),
            };
            match read {
                Ok(lines) => assert_eq!(lines, all[..lines.len()]),
                Err(error) => {
                    assert_eq!(error.kind(), ParseErrorKind::UnexpectedEnd);
                    assert!(error.offset() <= end, "{error}");
                }
            }
        }
    }
}

#[test]
fn errors_name_byte_table_and_column() {
    let cases: [(&[u8], &str); 14] = [
        (b"T", "at byte 1: the input ends inside a table header or a change"),
        (b"T\x81", "at byte 1: the input ends inside a table header or a change"),
        (b"T\x02\x01", "at byte 2: the input ends inside a table header or a change"),
        (b"T\x02\x01\0na", "at byte 4: the input ends inside a table header or a change"),
        (
            b"T\x02\x01\0a\nb\0\x12\0\x04\x01k\x03\x02a",
            "at byte 13, table a\\nb, column 1: the input ends inside a table header or a change",
        ),
        (b"no", "at byte 0: neither a changeset nor a patchset: no table header (0x54 or 0x50)"),
        (b"P\x01\x01t\0", "at byte 0: the header of a patchset in a changeset"),
        (b"T\x00t\0", "at byte 1: a table of 0 columns (SQLite reads 1 to 65536)"),
        (b"T\x02\0\0t\0", "at byte 2: no column of the table is part of a primary key"),
        (b"T\x01\x01\xff\0", "at byte 3: the table's name is not UTF-8"),
        (
            b"T\x01\x01t\0\x12\0\x07",
            "at byte 7, table t, column 0: 0x07 is not the type of a value (the types are 0 to 5)",
        ),
        (b"T\x01\x01t\0\x12\0\x00", "at byte 7, table t, column 0: a required value is not recorded"),
        (b"T\x01\x01t\0\x12\0\x05", "at byte 7, table t, column 0: NULL in a column of the primary key"),
        (
            b"T\x02\x01\0t\0\x12\0\x04\x01k\x03\x83\xdc\xeb\x94\x01",
            "at byte 11, table t, column 1: a value of 1000000001 bytes (SQLite reads at most 1000000000)",
        ),
    ];
    for (bytes, says) in cases {
        assert_eq!(ChangesetRef::parse(bytes).unwrap_err().to_string(), says);
    }
}

#[test]
fn long_lists_of_changes_are_truncated_in_debug() {
    let bytes = [&b"T\x01\x01t\0"[..], &b"\x12\0\x01\0\0\0\0\0\0\0\x01".repeat(103)].concat();
    let shown = format!("{:?}", ChangesetRef::parse(&bytes).unwrap());
    assert_eq!(shown.matches("INSERT").count(), 100);
    assert!(shown.ends_with(", … 3 more]"), "{shown}");
}

#[cfg(feature = "std")]
mod streams {
    use std::io::{self, Read};

    use super::*;

    /// A source that returns one byte at a time, each after an interruption.
    struct Slow<'a> {
        rest: &'a [u8],
        interrupted: bool,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let most = buffer.len().min(1);
            self.rest.read(&mut buffer[..most])
        }
    }

    fn streamed(source: impl Read) -> Result<Vec<String>, ParseError> {
        let mut reader = ChangesetReader::new(source);
        let mut lines = Vec::new();
        while let Some(record) = reader.next_record()? {
            lines.push(record.to_string());
        }
        assert!(reader.next_record().unwrap().is_none());
        Ok(lines)
    }

    #[test]
    fn a_slow_source_results_in_the_same_changes() {
        assert_eq!(streamed(Slow { rest: CHANGESET, interrupted: false }).unwrap(), CHANGESET_LINES);
        let mut reader = PatchsetReader::new(Slow { rest: PATCHSET, interrupted: false });
        let mut offsets = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            offsets.push(record.offset());
        }
        let whole: Vec<usize> = PatchsetRef::parse(PATCHSET).unwrap().records().map(|record| record.offset()).collect();
        assert_eq!(offsets, whole);
    }

    /// A source that returns its bytes one by one, and then an error, as a connection without data
    /// does.
    struct Open<'a>(&'a [u8]);

    impl Read for Open<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let most = buffer.len().min(1);
            self.0.read(&mut buffer[..most])
        }
    }

    #[test]
    fn a_change_is_returned_as_soon_as_it_has_arrived() {
        let ends = |offsets: Vec<usize>, length| offsets.into_iter().skip(1).chain([length]).collect::<Vec<_>>();
        let records = ChangesetRef::parse(CHANGESET).unwrap().records();
        // the headers after the third change need not have arrived
        for (nth, end) in ends(records.map(|record| record.offset()).collect(), CHANGESET.len()).into_iter().enumerate()
        {
            let end = if nth == 2 { end - b"T\x01\x01empty\0T\x01\x01keys\0".len() } else { end };
            let mut reader = ChangesetReader::new(Open(&CHANGESET[..end]));
            for line in &CHANGESET_LINES[..=nth] {
                assert_eq!(reader.next_record().unwrap().unwrap().to_string(), *line);
            }
        }
        let records = PatchsetRef::parse(PATCHSET).unwrap().records();
        for (nth, end) in ends(records.map(|record| record.offset()).collect(), PATCHSET.len()).into_iter().enumerate()
        {
            let end = if nth == 2 { end - b"P\x01\x01empty\0P\x01\x01keys\0".len() } else { end };
            let mut reader = PatchsetReader::new(Open(&PATCHSET[..end]));
            for line in &PATCHSET_LINES[..=nth] {
                assert_eq!(reader.next_record().unwrap().unwrap().to_string(), *line);
            }
        }
    }

    #[test]
    fn after_an_error_of_the_source_the_next_call_retries() {
        /// A source that fails at every second call.
        struct Shaky<'a>(Slow<'a>);
        impl Read for Shaky<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer).map_err(|_| io::ErrorKind::WouldBlock.into())
            }
        }
        let mut reader = ChangesetReader::new(Shaky(Slow { rest: CHANGESET, interrupted: false }));
        let (mut lines, mut errors) = (Vec::new(), 0);
        loop {
            match reader.next_record() {
                Ok(Some(record)) => lines.push(record.to_string()),
                Ok(None) => break,
                Err(error) if error.kind() == ParseErrorKind::Io => {
                    assert_eq!(error.io_error().unwrap().kind(), io::ErrorKind::WouldBlock);
                    errors += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(lines, CHANGESET_LINES);
        assert!(errors > CHANGESET.len());
    }

    #[test]
    fn a_source_that_panics_leaves_a_reader_at_its_end() {
        struct Panics;
        impl Read for Panics {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("in the source")
            }
        }
        let mut reader = ChangesetReader::new(Panics);
        let read = std::panic::AssertUnwindSafe(|| reader.next_record().map(|record| record.is_some()));
        assert!(std::panic::catch_unwind(read).is_err());
        assert!(reader.next_record().unwrap().is_none());
    }

    #[test]
    fn malformed_bytes_end_the_stream_with_the_error_of_the_whole() {
        let error = streamed(&CHANGESET[..40]).unwrap_err();
        assert_eq!(error.kind(), ParseErrorKind::UnexpectedEnd);
        assert_eq!(error, ChangesetRef::parse(&CHANGESET[..40]).unwrap_err());
    }

    #[test]
    fn a_long_name_that_arrives_byte_by_byte_is_parsed_once() {
        // parsing the name again after each byte would take hours
        let length = if cfg!(miri) { 1_000 } else { 500_000 };
        let mut bytes = b"T\x01\x01".to_vec();
        bytes.resize(length, b'n');
        bytes.extend_from_slice(b"\0\x12\0\x04\x01k");
        assert_eq!(streamed(Slow { rest: &bytes, interrupted: false }).unwrap().len(), 1);
    }

    #[test]
    fn a_source_that_reports_too_many_bytes_is_not_trusted() {
        struct Liar;
        impl Read for Liar {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Ok(usize::MAX)
            }
        }
        let error = streamed(Liar).unwrap_err();
        assert_eq!(error.kind(), ParseErrorKind::MissingHeader, "a buffer of zeros is no changeset");
    }
}
