//! Whether SQLite and we judge and read the same bytes alike.

use std::io::Read;

use diesel_sqlite_session::{
    ChangesetReader, ChangesetRef, Format, ParseError, ParseErrorKind, PatchsetReader, PatchsetRef, ReadError,
};

use crate::change::Change;
use crate::sqlite;

/// Compares everything that both sides can do with the bytes.
///
/// # Panics
///
/// At the first difference that the docs of `wire` do not name.
pub fn judge(bytes: &[u8]) {
    let theirs = sqlite::read(bytes);
    let changeset = ChangesetRef::parse(bytes);
    let patchset = PatchsetRef::parse(bytes);
    assert!(changeset.is_err() || patchset.is_err() || bytes.is_empty(), "bytes are of one format");

    if let Ok(changeset) = &changeset {
        let ours: Vec<Change> = changeset.records().map(Change::from).collect();
        assert_eq!(Ok(&ours), theirs.as_ref(), "the same changes");
        let by_table: Vec<Change> = changeset.tables().flat_map(|table| table.records()).map(Change::from).collect();
        assert_eq!(ours, by_table, "the same changes, table by table");
        let inverse = changeset.invert();
        assert_eq!(sqlite::invert(bytes).as_deref(), Ok(inverse.as_bytes()), "the same inverse");
        assert!(ChangesetRef::parse(inverse.as_bytes()).is_ok(), "an inverse is well-formed");
    }
    if let Ok(patchset) = &patchset {
        let ours: Vec<Change> = patchset.records().map(Change::from).collect();
        assert_eq!(Ok(ours), theirs, "the same changes");
    }
    if theirs.is_ok() {
        let refused = match bytes.first().and_then(|byte| Format::from_byte(*byte)) {
            Some(Format::Patchset) => patchset.as_ref().err(),
            _ => changeset.as_ref().err(),
        };
        if let Some(error) = refused {
            assert!(is_documented(error.kind()), "SQLite reads this to the end: {error}");
        }
    }

    for chunk in [1, 7, usize::MAX] {
        let (changeset, patchset) = (changeset.clone(), patchset.clone());
        compare_streams(bytes, chunk, changeset.map(ChangesetRef::records), patchset.map(PatchsetRef::records));
    }
}

/// What SQLite reads to the end and we refuse: the docs of `wire` say why.
fn is_documented(kind: ParseErrorKind) -> bool {
    match kind {
        ParseErrorKind::WrongFormat { .. }
        | ParseErrorKind::NoPrimaryKey
        | ParseErrorKind::TableName
        | ParseErrorKind::MissingValue
        | ParseErrorKind::NullKey => true,
        ParseErrorKind::ValueType(byte) => byte > 5,
        ParseErrorKind::ValueLength(length) => length <= i32::MAX as u64,
        _ => false,
    }
}

/// A source that gives at most so many bytes at a time.
struct Chunks<'a>(&'a [u8], usize);

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(self.1);
        self.0.read(&mut buffer[..most])
    }
}

type Checked<I> = Result<I, ParseError>;

fn compare_streams<'a>(
    bytes: &[u8],
    chunk: usize,
    changeset: Checked<impl Iterator<Item = diesel_sqlite_session::Record<'a>>>,
    patchset: Checked<impl Iterator<Item = diesel_sqlite_session::Record<'a>>>,
) {
    macro_rules! compare {
        ($reader:expr, $whole:expr) => {
            let mut reader = $reader;
            let mut streamed = Vec::new();
            let end = loop {
                match reader.next_record() {
                    Ok(Some(record)) => streamed.push((record.offset(), Change::from(record))),
                    Ok(None) => break Ok(()),
                    Err(ReadError::Parse(error)) => break Err(error),
                    Err(other) => panic!("{other}"),
                }
            };
            assert!(matches!(reader.next_record(), Ok(None)), "a reader that has ended stays so");
            match $whole {
                Ok(records) => {
                    assert_eq!(end, Ok(()));
                    let whole: Vec<_> = records.map(|record| (record.offset(), Change::from(record))).collect();
                    assert_eq!(streamed, whole, "a stream has the same changes");
                }
                Err(error) => assert_eq!(end, Err(error), "a stream has the same error"),
            }
        };
    }
    compare!(ChangesetReader::new(Chunks(bytes, chunk)), changeset);
    compare!(PatchsetReader::new(Chunks(bytes, chunk)), patchset);
}
