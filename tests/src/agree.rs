//! Compares checking and reading with SQLite's iterator.

use std::io::Read;

use diesel_sqlite_session::wire::ParseErrorKind;
use diesel_sqlite_session::{ChangesetReader, ChangesetRef, Format, ParseError, PatchsetReader, PatchsetRef};

use crate::change::{Change, Owned};
use crate::sqlite;

/// Compares everything that this crate and SQLite can do with the bytes.
///
/// # Panics
///
/// At the first difference that the documentation of `wire` does not name.
pub fn judge(bytes: &[u8]) {
    let (theirs, end) = sqlite::read(bytes);
    let changeset = ChangesetRef::parse(bytes);
    let patchset = PatchsetRef::parse(bytes);
    assert!(changeset.is_err() || patchset.is_err() || bytes.is_empty(), "bytes are of one format");

    if let Ok(changeset) = &changeset {
        assert_eq!(end, Ok(()), "SQLite reads to the end what we accept");
        let ours: Vec<Change> = changeset.records().map(Change::from).collect();
        assert_eq!(ours, theirs, "the same changes");
        let by_section: Vec<Change> =
            changeset.sections().flat_map(|section| section.records()).map(Change::from).collect();
        assert_eq!(ours, by_section, "the same changes, section by section");
        let inverse = changeset.invert();
        assert_eq!(sqlite::invert(bytes).as_deref(), Ok(inverse.as_bytes()), "the same inverse");
        assert!(ChangesetRef::parse(inverse.as_bytes()).is_ok(), "an inverse is well-formed");
        assert_eq!(changeset.into_owned().into_inverted(), inverse, "the same inverse in its own memory");
        let mut target = changeset.into_owned();
        changeset.invert_into(&mut target);
        assert_eq!(target, inverse, "the same inverse in memory that was written to before");
    }
    if let Ok(patchset) = &patchset {
        assert_eq!(end, Ok(()), "SQLite reads to the end what we accept");
        let ours: Vec<Change> = patchset.records().map(Change::from).collect();
        assert_eq!(ours, theirs, "the same changes");
    }
    let format = bytes.first().and_then(|byte| Format::from_byte(*byte)).unwrap_or(Format::Changeset);
    if end.is_ok() {
        let refused = match format {
            Format::Patchset => patchset.as_ref().err(),
            Format::Changeset => changeset.as_ref().err(),
        };
        if let Some(error) = refused {
            assert!(is_justified(error, bytes, format, &theirs), "SQLite reads this to the end: {error}");
        }
    }

    for chunk in [1, 7, usize::MAX] {
        let mut reader = ChangesetReader::new(Chunks(bytes, chunk));
        let changes = stream(|| reader.next_record().map(|record| record.map(Change::from)));
        compare(changes, changeset.as_ref().map(|_| &theirs), &theirs);
        let mut reader = PatchsetReader::new(Chunks(bytes, chunk));
        let changes = stream(|| reader.next_record().map(|record| record.map(Change::from)));
        compare(changes, patchset.as_ref().map(|_| &theirs), &theirs);
    }
}

/// Returns whether bytes that SQLite reads to the end are rejected for a reason that is present in
/// them and documented in `wire`.
fn is_justified(error: &ParseError, bytes: &[u8], format: Format, theirs: &[Change]) -> bool {
    const INSERT: i32 = 18;
    const UPDATE: i32 = 23;
    let at = &bytes[error.offset()..];
    let column = || error.column().expect("the error of a value names its column");
    // what SQLite read from a column that requires a value
    let required = |change: &Change| -> Option<Option<Owned>> {
        let column = column();
        let is_key = *change.key.get(column)? != 0;
        match (change.operation, format) {
            (INSERT, _) => Some(change.new[column].clone()),
            (UPDATE, _) | (_, Format::Patchset) => is_key.then(|| change.old[column].clone()),
            _ => Some(change.old[column].clone()),
        }
    };
    let is_key = |change: &Change| change.key.get(column()).is_some_and(|place| *place != 0);
    match error.kind() {
        ParseErrorKind::WrongFormat { found } => Format::from_byte(at[0]) == Some(found) && found != format,
        ParseErrorKind::NoPrimaryKey => at[0] == 0,
        ParseErrorKind::TableName => {
            let name = at.split(|byte| *byte == 0).next().expect("a split has a first part");
            std::str::from_utf8(name).is_err()
        }
        ParseErrorKind::ValueType(byte) => byte > 5 && at[0] == byte,
        ParseErrorKind::ValueLength(length) => length > 1_000_000_000 && length <= i32::MAX as u64,
        ParseErrorKind::MissingValue => theirs.iter().any(|change| required(change) == Some(None)),
        ParseErrorKind::NullKey => {
            theirs.iter().any(|change| is_key(change) && required(change) == Some(Some(Owned::Null)))
        }
        _ => false,
    }
}

/// A source that returns at most the given number of bytes at a time.
struct Chunks<'a>(&'a [u8], usize);

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(self.1);
        self.0.read(&mut buffer[..most])
    }
}

type Streamed = (Vec<Change>, Result<(), ParseError>);

fn stream(mut next: impl FnMut() -> Result<Option<Change>, ParseError>) -> Streamed {
    let mut changes = Vec::new();
    let end = loop {
        match next() {
            Ok(Some(change)) => changes.push(change),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(matches!(next(), Ok(None)), "a reader that has ended stays so");
    (changes, end)
}

/// Checks that a stream has the changes and the error of the whole input and, before the error, the
/// changes that SQLite reads.
fn compare((changes, end): Streamed, whole: Result<&Vec<Change>, &ParseError>, theirs: &[Change]) {
    match whole {
        Ok(whole) => assert_eq!((&changes, end), (whole, Ok(())), "a stream has the same changes"),
        Err(error) => {
            assert_eq!(end.as_ref(), Err(error), "a stream has the same error");
            assert!(theirs.starts_with(&changes), "a stream has the same changes before the error");
        }
    }
}
