//! Memory of an apply in which everything conflicts.

use std::io::Read;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{ChangesetReader, ConflictAction, ConflictType, SqliteSessionExt};

use super::peak;

/// The operation of all changes of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Insert,
    Update,
    Delete,
}

/// A changeset of `t (id, v)` that is made while it is read. The values are blobs of `length` bytes.
struct Made {
    operation: Operation,
    count: i64,
    length: usize,
    made: i64,
    buffer: Vec<u8>,
    position: usize,
}

impl Made {
    fn new(operation: Operation, count: i64, length: usize) -> Self {
        assert!((0x80..0x4000).contains(&length), "the length has two bytes");
        Self { operation, count, length, made: 0, buffer: b"T\x02\x01\0t\0".to_vec(), position: 0 }
    }

    fn blob(&mut self, byte: u8) {
        self.buffer.extend([4, (self.length >> 7) as u8 | 0x80, self.length as u8 & 0x7f]);
        self.buffer.resize(self.buffer.len() + self.length, byte);
    }

    fn make(&mut self) {
        let id = self.made;
        self.made += 1;
        self.buffer.clear();
        self.position = 0;
        let code = match self.operation {
            Operation::Insert => 18,
            Operation::Update => 23,
            Operation::Delete => 9,
        };
        self.buffer.extend([code, 0, 1]);
        self.buffer.extend(id.to_be_bytes());
        self.blob(7);
        if self.operation == Operation::Update {
            self.buffer.push(0);
            self.blob(8);
        }
    }
}

impl Read for Made {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        if self.position == self.buffer.len() {
            if self.made == self.count {
                return Ok(0);
            }
            self.make();
        }
        let length = target.len().min(self.buffer.len() - self.position);
        target[..length].copy_from_slice(&self.buffer[self.position..][..length]);
        self.position += length;
        Ok(length)
    }
}

const COUNT: i64 = 3000;

/// Returns the most memory that an apply held in which every change conflicts with `kind`.
fn peak_of(operation: Operation, kind: ConflictType, length: usize, action: ConflictAction) -> usize {
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    conn.batch_execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v)").unwrap();
    if kind != ConflictType::NotFound {
        let rows = format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) INSERT INTO t SELECT i, 'mine' FROM n",
            COUNT - 1
        );
        conn.batch_execute(&rows).unwrap();
    }
    let source = Made::new(operation, COUNT, length);
    let (report, peak) = peak(|| {
        conn.apply(ChangesetReader::new(source))
            .without_rebase_data()
            .otherwise(|found| {
                assert_eq!(found, kind);
                action
            })
            .run()
            .unwrap()
    });
    assert_eq!(report.omitted() + report.replaced(), COUNT as u64);
    assert!(report.rebase_data().is_empty());
    peak
}

#[test]
fn memory_does_not_grow_with_the_bytes_of_changes_that_conflict() {
    use ConflictAction::{Omit, Replace};
    use Operation::{Delete, Insert, Update};
    for (operation, kind, action) in [
        (Insert, ConflictType::Conflict, Omit),
        (Insert, ConflictType::Conflict, Replace),
        (Update, ConflictType::Data, Omit),
        (Update, ConflictType::Data, Replace),
        (Update, ConflictType::NotFound, Omit),
        (Delete, ConflictType::Data, Omit),
        (Delete, ConflictType::Data, Replace),
        (Delete, ConflictType::NotFound, Omit),
    ] {
        let (short, long) = (peak_of(operation, kind, 200, action), peak_of(operation, kind, 8000, action));
        // some changes of 16,000 bytes, and not 3,000
        assert!(long < short + 500_000, "{operation:?}, {kind:?}, {action:?}: {short} and {long} bytes");
        // and little for each change
        assert!(short < 300_000 + 100 * COUNT as usize, "{operation:?}, {kind:?}, {action:?}: {short} bytes");
    }
}

#[test]
fn an_apply_without_rebase_data_has_none() {
    for how_many in [1, 100] {
        let mut conn = SqliteConnection::establish(":memory:").unwrap();
        conn.batch_execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (0, 'mine')").unwrap();
        let source = || ChangesetReader::new(Made::new(Operation::Insert, how_many, 200));
        let with = conn.apply(source()).otherwise(|_| ConflictAction::Omit).run().unwrap();
        assert!(!with.rebase_data().is_empty());
        let without = conn.apply(source()).without_rebase_data().otherwise(|_| ConflictAction::Omit).run().unwrap();
        assert!(without.rebase_data().is_empty());
        assert_eq!(without.omitted(), how_many as u64);
    }
}
