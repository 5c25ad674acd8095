//! Changes as plain data, to compare what SQLite reads with what this crate reads.

use diesel_sqlite_session::{Format, Operation, Record, Value};

/// A value that owns its bytes. Reals are compared by their bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// The bits of a floating point number.
    Real(u64),
    /// Text, whether or not it is valid UTF-8.
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

impl Owned {
    /// Returns the borrowed value.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(integer) => Value::Integer(*integer),
            Self::Real(bits) => Value::Real(f64::from_bits(*bits)),
            Self::Text(bytes) => Value::Text(bytes),
            Self::Blob(bytes) => Value::Blob(bytes),
        }
    }

    /// Appends the value as it is encoded in a record.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = |class: u8, bytes: &[u8]| {
            out.push(class);
            if bytes.len() >= 0x80 {
                out.push(u8::try_from(bytes.len() >> 7).expect("at most 16,383 bytes") | 0x80);
            }
            out.push((bytes.len() & 0x7f) as u8);
            out.extend_from_slice(bytes);
        };
        match self {
            Self::Null => out.push(5),
            Self::Integer(integer) => out.extend([1].into_iter().chain(integer.to_be_bytes())),
            Self::Real(bits) => out.extend([2].into_iter().chain(bits.to_be_bytes())),
            Self::Text(text) => bytes(3, text),
            Self::Blob(blob) => bytes(4, blob),
        }
    }
}

/// A change. A value that is not recorded is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The name of the table.
    pub table: Vec<u8>,
    /// The place in the primary key of each column, or 0.
    pub key: Vec<u8>,
    /// `SQLITE_INSERT`, `SQLITE_UPDATE` or `SQLITE_DELETE`.
    pub operation: i32,
    /// Whether a trigger or a foreign key action made the change.
    pub indirect: bool,
    /// The old values.
    pub old: Vec<Option<Owned>>,
    /// The new values.
    pub new: Vec<Option<Owned>>,
}

impl Change {
    /// Returns the bytes of a changeset or patchset that contains only this change.
    ///
    /// # Panics
    ///
    /// If there are more than 127 columns, or if a value has more than 16,383 bytes.
    pub fn encode(&self, format: Format) -> Vec<u8> {
        let mut out = vec![if format == Format::Changeset { b'T' } else { b'P' }];
        out.push(u8::try_from(self.key.len()).ok().filter(|count| *count < 128).expect("at most 127 columns"));
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.table);
        out.extend([0, self.operation as u8, u8::from(self.indirect)]);
        let is_key = |column: usize| self.key[column] != 0;
        let mut field = |value: &Option<Owned>| match value {
            Some(value) => value.write(&mut out),
            None => out.push(0),
        };
        for column in 0..self.key.len() {
            match (self.operation, format) {
                (18, _) => field(&self.new[column]),
                (9, Format::Patchset) if !is_key(column) => {}
                (23, Format::Patchset) if !is_key(column) => field(&self.new[column]),
                _ => field(&self.old[column]),
            }
        }
        if (self.operation, format) == (23, Format::Changeset) {
            self.new.iter().for_each(field);
        }
        out
    }
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
        // access by column must return the same values
        for column in 0..record.column_count() {
            assert_eq!(record.old_value(column).map(Owned::from), change.old[column]);
            assert_eq!(record.new_value(column).map(Owned::from), change.new[column]);
        }
        assert_eq!(record.new_value(record.column_count()), None);
        change
    }
}
