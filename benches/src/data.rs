//! Changesets of any size, the same in every run.

/// A changeset under construction.
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn new(table: &str, key: &[u8]) -> Self {
        let mut bytes = vec![b'T'];
        bytes.push(u8::try_from(key.len()).expect("fewer than 128 columns"));
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(table.as_bytes());
        bytes.push(0);
        Self { bytes }
    }

    fn change(&mut self, operation: u8) {
        self.bytes.extend_from_slice(&[operation, 0]);
    }

    fn undefined(&mut self) {
        self.bytes.push(0);
    }

    fn integer(&mut self, value: i64) {
        self.bytes.push(1);
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn real(&mut self, value: f64) {
        self.bytes.push(2);
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes a text (3) or blob (4) of up to 16,383 bytes.
    fn bytes(&mut self, class: u8, value: &[u8]) {
        self.bytes.push(class);
        let length = u16::try_from(value.len()).expect("a short value");
        if length >= 0x80 {
            self.bytes.push((length >> 7) as u8 | 0x80);
        }
        self.bytes.push((length & 0x7f) as u8);
        self.bytes.extend_from_slice(value);
    }

    fn null(&mut self) {
        self.bytes.push(5);
    }
}

/// Returns `rows` INSERTs of (integer, text, integer), 41 bytes each for a million rows.
pub fn narrow_inserts(rows: i64) -> Vec<u8> {
    let mut out = Writer::new("events", &[1, 0, 0]);
    for row in 0..rows {
        out.change(0x12);
        out.integer(row);
        out.bytes(3, format!("event number {row}").as_bytes());
        out.integer(row * 1000);
    }
    out.bytes
}

/// A row of the table that [`narrow_inserts`] inserts into.
pub type Event = (i64, String, i64);

/// Returns the values of the rows that [`narrow_inserts`] inserts.
pub fn events(rows: i64) -> Vec<Event> {
    (0..rows).map(|row| (row, format!("event number {row}"), row * 1000)).collect()
}

/// Shuffles rows into a pseudo-random order, the same in every run.
pub fn shuffle<T>(rows: &mut [T]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..rows.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let below = u64::try_from(last + 1).expect("a length");
        rows.swap(last, usize::try_from((state >> 33) % below).expect("below a length"));
    }
}

/// The number of columns of the wide table.
pub const WIDE_COLUMNS: usize = 24;

/// Returns `changes` changes of rows of 24 columns of every type: INSERTs, UPDATEs of three columns
/// and DELETEs in turn.
pub fn wide_mixed(changes: i64) -> Vec<u8> {
    let mut key = vec![0; WIDE_COLUMNS];
    key[..2].copy_from_slice(&[2, 1]);
    let mut out = Writer::new("documents", &key);
    for change in 0..changes {
        match change % 3 {
            0 => wide_row(&mut out, 0x12, change),
            1 => wide_update(&mut out, change),
            _ => wide_row(&mut out, 0x09, change),
        }
    }
    out.bytes
}

fn wide_row(out: &mut Writer, operation: u8, row: i64) {
    out.change(operation);
    for column in 0..WIDE_COLUMNS {
        wide_value(out, row, column);
    }
}

fn wide_update(out: &mut Writer, row: i64) {
    let changed = |column: usize| column >= 2 && (column + row as usize) % 8 == 0;
    out.change(0x17);
    for column in 0..WIDE_COLUMNS {
        if column < 2 || changed(column) { wide_value(out, row, column) } else { out.undefined() }
    }
    for column in 0..WIDE_COLUMNS {
        if changed(column) { wide_value(out, row + 1, column) } else { out.undefined() }
    }
}

fn wide_value(out: &mut Writer, row: i64, column: usize) {
    match column {
        0 => out.integer(row),
        1 => out.bytes(3, format!("tenant-{}", row % 100).as_bytes()),
        _ => match (column + row as usize) % 6 {
            0 => out.null(),
            1 => out.integer(row * column as i64),
            2 => out.real(row as f64 / 8.0),
            3 => out.bytes(3, b"some words in a column of text"),
            4 => out.bytes(4, &[column as u8; 40]),
            _ => out.bytes(3, &[b'x'; 200]),
        },
    }
}
