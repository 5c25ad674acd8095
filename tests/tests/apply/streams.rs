//! Streams: changes that are applied while they are read.

use std::io::{self, Read};

use diesel_sqlite_session::wire::{Limit, TableInfo};
use diesel_sqlite_session::{
    ApplyError, Changeset, ChangesetReader, Conflict, Patch, Patchset, PatchsetReader, SqliteSessionExt, Value,
};

use super::shop::*;

/// A source that returns up to `most` bytes at a time and counts the bytes that it has returned.
struct Counted<'a> {
    bytes: &'a [u8],
    most: usize,
    read: usize,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.most);
        let read = self.bytes.read(&mut buffer[..most])?;
        self.read += read;
        Ok(read)
    }
}

#[test]
fn no_more_than_a_byte_past_the_limit_is_read() {
    let changeset = (0..10_000).fold(Changeset::builder(), |builder, id| builder.insert(&item(id, "x", 1)));
    let changeset = changeset.build().unwrap();
    for most in [7, usize::MAX] {
        let mut source = Counted { bytes: changeset.as_bytes(), most, read: 0 };
        let result = shop(&[]).apply(ChangesetReader::new(&mut source)).max_bytes(70_000).run();
        assert!(matches!(result, Err(ApplyError::Limit { limit: Limit::Bytes, .. })), "{result:?}");
        assert_eq!(source.read, 70_001);
    }
}

/// A source that returns the bytes, then the result of a function.
struct Cut<'a, F> {
    bytes: &'a [u8],
    at_end: F,
}

impl<F: FnMut() -> io::Result<usize>> Read for Cut<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() { (self.at_end)() } else { self.bytes.read(buffer) }
    }
}

#[test]
fn a_stream_that_fails_rolls_back_everything() {
    let changeset = Changeset::builder();
    let changeset = (0..2000).fold(changeset, |builder, id| builder.insert(&item(id, &format!("item {id}"), 1)));
    let bytes = changeset.build().unwrap().into_bytes();
    let (whole, cut) = (&bytes[..], &bytes[..bytes.len() - 3]);
    let mut conn = shop(&[]);
    let error = conn.apply(ChangesetReader::new(cut)).run().unwrap_err();
    assert!(
        matches!(&error, ApplyError::Parse(error) if error.offset() == bytes.len() - 3 || error.table() == Some("items")),
        "{error:?}"
    );
    assert!(rows(&mut conn).is_empty());
    let error = conn
        .apply(ChangesetReader::new(Cut { bytes: cut, at_end: || Err(io::Error::other("unplugged")) }))
        .run()
        .unwrap_err();
    assert!(matches!(&error, ApplyError::Io(error) if error.to_string() == "unplugged"), "{error:?}");
    let error = conn.apply(ChangesetReader::new(Cut { bytes: cut, at_end: || panic!("reader") })).run().unwrap_err();
    assert!(matches!(error, ApplyError::ConflictHandlerPanicked), "{error:?}");
    assert!(rows(&mut conn).is_empty());
    assert_eq!(conn.apply(ChangesetReader::new(whole)).run().unwrap().applied(), 2000);
    assert_eq!(rows(&mut conn).len(), 2000);
}

#[test]
fn a_streamed_patchset_reaches_typed_handlers() {
    let patchset = Patchset::builder().insert(&item(1, "apple", 1)).insert(&item(2, "pear", 2)).build().unwrap();
    let mut conn = shop(&[item(2, "old", 9)]);
    let report = conn
        .apply(PatchsetReader::new(patchset.as_bytes()))
        .on_conflict::<items::table>(|conflict| match conflict {
            Conflict::Conflict(c) => {
                assert_eq!(c.change(), &Patch::Insert(item(2, "pear", 2)));
                let decision = c.replace();
                assert_eq!(c.into_parts().1, item(2, "old", 9));
                decision
            }
            other => panic!("{other:?}"),
        })
        .run()
        .unwrap();
    assert_eq!((report.applied(), report.replaced()), (1, 1));
    assert_eq!(rows(&mut conn), ["1 apple 1", "2 pear 2"]);
}

#[test]
fn a_wide_header_does_not_count_as_a_value() {
    let mut key = [0; 100];
    key[0] = 1;
    let changeset = Changeset::builder().insert_values(TableInfo::new("t", &key), &[Value::Integer(1); 100]);
    let changeset = changeset.build().unwrap();
    let mut reader =
        ChangesetReader::new(Counted { bytes: changeset.as_bytes(), most: 1, read: 0 }).max_value_bytes(16);
    assert!(reader.next_record().unwrap().is_some());
}
