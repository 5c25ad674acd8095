//! A change as plain data, so that what SQLite reads and what we read can be compared.

use diesel_sqlite_session::{Operation, Record, Value};

/// A value that owns its bytes. Reals are compared by their bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// The bits of a floating point number.
    Real(u64),
    /// Text, of whatever bytes.
    Text(Vec<u8>),
    /// A blob.
    Blob(Vec<u8>),
}

impl From<Value<'_>> for Owned {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(integer) => Self::Integer(integer),
            Value::Real(real) => Self::Real(real.to_bits()),
            Value::Text(bytes) => Self::Text(bytes.to_vec()),
            Value::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

/// One change; a value that is not recorded is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table's name.
    pub table: Vec<u8>,
    /// For each column its place in the key, or 0.
    pub key: Vec<u8>,
    /// `SQLITE_INSERT`, `SQLITE_UPDATE` or `SQLITE_DELETE`.
    pub operation: i32,
    /// Made by a trigger or a foreign key action.
    pub indirect: bool,
    /// The row before.
    pub old: Vec<Option<Owned>>,
    /// The row after.
    pub new: Vec<Option<Owned>>,
}

impl From<Record<'_>> for Change {
    fn from(record: Record<'_>) -> Self {
        let change = Self {
            table: record.table().as_bytes().to_vec(),
            key: record.key_ordinals().to_vec(),
            operation: match record.operation() {
                Operation::Insert => 18,
                Operation::Update => 23,
                Operation::Delete => 9,
            },
            indirect: record.indirect(),
            old: record.old_values().map(|value| value.map(Owned::from)).collect(),
            new: record.new_values().map(|value| value.map(Owned::from)).collect(),
        };
        // one column at a time must say the same
        for column in 0..record.column_count() {
            assert_eq!(record.old_value(column).map(Owned::from), change.old[column]);
            assert_eq!(record.new_value(column).map(Owned::from), change.new[column]);
        }
        assert_eq!(record.new_value(record.column_count()), None);
        change
    }
}
