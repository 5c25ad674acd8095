//! The one place that decides what a well-formed record is. The check of a whole input, the iterators over checked
//! input and the reader of streams all go through [`record`].

use alloc::boxed::Box;

use super::cursor::Cursor;
use super::error::{ParseError, ParseErrorKind};
use super::header::Header;
use super::kind::{Format, Operation};
use super::record::RawRecord;
use super::value::{BadValue, Presence};
use super::walk::Layout;

/// What is wrong, and how much of the input was left there. Boxed, so that a result without one is a single word.
pub(in crate::wire) type Fault = Box<FaultAt>;

pub(in crate::wire) struct FaultAt {
    kind: ParseErrorKind,
    /// Bytes from the fault to the end of the input.
    remaining: usize,
    column: Option<usize>,
    /// With `UnexpectedEnd`: how many bytes are missing at least.
    pub(in crate::wire) needed: usize,
    /// With `UnexpectedEnd`: all bytes up to a NUL are missing.
    #[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only streams can ask for more"))]
    pub(in crate::wire) until_nul: bool,
}

impl FaultAt {
    #[cold]
    pub(in crate::wire) fn new(kind: ParseErrorKind, at: Cursor<'_>) -> Fault {
        Box::new(Self { kind, remaining: at.remaining(), column: None, needed: 0, until_nul: false })
    }

    #[cold]
    pub(in crate::wire) fn end(at: Cursor<'_>, needed: usize) -> Fault {
        Box::new(Self { needed, ..*Self::new(ParseErrorKind::UnexpectedEnd, at) })
    }

    /// The input ends inside a table's name.
    #[cold]
    pub(in crate::wire) fn end_of_name(at: Cursor<'_>) -> Fault {
        Box::new(Self { until_nul: true, ..*Self::end(at, 1) })
    }

    #[cold]
    fn in_column(kind: ParseErrorKind, at: Cursor<'_>, column: usize) -> Fault {
        Box::new(Self { column: Some(column), ..*Self::new(kind, at) })
    }

    #[cold]
    fn of_value(bad: BadValue, at: Cursor<'_>, column: usize) -> Fault {
        let (kind, needed) = match bad {
            BadValue::End(needed) => (ParseErrorKind::UnexpectedEnd, needed),
            BadValue::Type(byte) => (ParseErrorKind::ValueType(byte), 0),
            BadValue::Length(length) => (ParseErrorKind::ValueLength(length), 0),
        };
        Box::new(Self { needed, ..*Self::in_column(kind, at, column) })
    }

    /// Adds what the values after the one that is cut short take at least: a byte each. A stream that arrives byte by byte
    /// is so looked at a few times for each record, not once for each column.
    #[cold]
    fn and_later(mut self: Box<Self>, key: &[u8], in_record: fn(u8) -> bool, next_record: usize) -> Fault {
        let next = self.column.map_or(usize::MAX, |column| column.saturating_add(1));
        let later = key.get(next..).unwrap_or_default().iter().filter(|place| in_record(**place)).count();
        self.needed = self.needed.saturating_add(later).saturating_add(next_record);
        self
    }

    /// Whether more input may mend it.
    #[cfg(feature = "std")]
    pub(in crate::wire) fn is_end(&self) -> bool {
        self.kind == ParseErrorKind::UnexpectedEnd
    }

    /// The error, for an input that ends at byte `end`.
    pub(in crate::wire) fn into_error(self, end: u64, table: Option<&str>) -> ParseError {
        let offset = end.saturating_sub(self.remaining as u64);
        ParseError::new(self.kind, usize::try_from(offset).unwrap_or(usize::MAX), self.column, table)
    }
}

/// Checks a whole input.
pub(in crate::wire) fn input(bytes: &[u8], format: Format) -> Result<(), ParseError> {
    sections(bytes, format, |cursor, table| record(cursor, table, format).map(|_| ()))
}

/// Checks rebase data: sections of a changeset with records of their own.
pub(in crate::wire) fn rebase_data(bytes: &[u8]) -> Result<(), ParseError> {
    sections(bytes, Format::Changeset, resolution)
}

/// Checks sections whose records `check` reads.
#[inline(always)]
fn sections<'a>(
    bytes: &'a [u8],
    format: Format,
    check: impl Fn(&mut Cursor<'a>, Header<'a>) -> Result<(), Fault>,
) -> Result<(), ParseError> {
    let mut cursor = Cursor::new(bytes);
    let mut table: Option<Header<'_>> = None;
    let error = |fault: Fault, table: Option<Header<'_>>| fault.into_error(bytes.len() as u64, table.map(|t| t.name));
    while let Some(first) = cursor.peek() {
        match (Format::from_byte(first), table) {
            (Some(_), _) => table = Some(section(&mut cursor, format).map_err(|fault| error(fault, None))?),
            (None, Some(header)) => check(&mut cursor, header).map_err(|fault| error(fault, table))?,
            (None, None) => return Err(error(FaultAt::new(ParseErrorKind::MissingHeader, cursor), None)),
        }
    }
    Ok(())
}

/// Reads and checks one change of rebase data.
fn resolution(cursor: &mut Cursor<'_>, table: Header<'_>) -> Result<(), Fault> {
    let start = *cursor;
    let operation = cursor.byte().and_then(Operation::from_byte);
    let flag = *cursor;
    match (operation, cursor.byte()) {
        (Some(Operation::Insert | Operation::Delete), None) => Err(FaultAt::end(flag, 1)),
        (Some(Operation::Insert), Some(_)) => key_and_any(cursor, table.key),
        (Some(Operation::Delete), Some(_)) => whole_row(cursor, table.key),
        _ => Err(FaultAt::new(ParseErrorKind::RebaseOperation(start.peek().unwrap_or_default()), start)),
    }
}

/// Reads and checks a table header with its first byte.
pub(in crate::wire) fn section<'a>(cursor: &mut Cursor<'a>, format: Format) -> Result<Header<'a>, Fault> {
    let start = *cursor;
    match cursor.byte().map(Format::from_byte) {
        Some(Some(found)) if found == format => Header::read(cursor),
        Some(Some(found)) => Err(FaultAt::new(ParseErrorKind::WrongFormat { found }, start)),
        Some(None) => Err(FaultAt::new(ParseErrorKind::MissingHeader, start)),
        None => Err(FaultAt::end(start, 1)),
    }
}

/// Reads and checks one change.
#[inline]
pub(in crate::wire) fn record<'a>(
    cursor: &mut Cursor<'a>,
    table: Header<'a>,
    format: Format,
) -> Result<RawRecord<'a>, Fault> {
    let start = *cursor;
    let Some(byte) = cursor.byte() else {
        return Err(FaultAt::end(start, 2));
    };
    let Some(operation) = Operation::from_byte(byte) else {
        return Err(FaultAt::new(ParseErrorKind::Operation(byte), start));
    };
    let Some(indirect) = cursor.byte() else {
        return Err(FaultAt::end(start, 1));
    };
    let body = *cursor;
    let mut middle = body;
    let (key, all) = (table.key, |_| true);
    match Layout::of(operation, format) {
        Layout::Row => {
            whole_row(cursor, key).map_err(|fault| fault.and_later(key, all, 0))?;
        }
        Layout::Key => {
            key_only(cursor, key).map_err(|fault| fault.and_later(key, |place| place != 0, 0))?;
        }
        Layout::KeyAndNew => {
            key_and_any(cursor, key).map_err(|fault| fault.and_later(key, all, 0))?;
        }
        Layout::OldAndNew => {
            key_and_any(cursor, key).map_err(|fault| fault.and_later(key, all, key.len()))?;
            middle = *cursor;
            any_row(cursor, key).map_err(|fault| fault.and_later(key, all, 0))?;
        }
    }
    Ok(RawRecord { operation, indirect: indirect != 0, before: middle.since(body), after: cursor.since(middle) })
}

/// Every value is there, and those of the key are not NULL.
#[inline]
fn whole_row(position: &mut Cursor<'_>, key: &[u8]) -> Result<(), Fault> {
    let mut cursor = *position;
    for (column, &place) in key.iter().enumerate() {
        let at = cursor;
        match cursor.skip_value() {
            Ok(Presence::Value) => {}
            Ok(Presence::Null) if place == 0 => {}
            Ok(Presence::Null) => return Err(FaultAt::in_column(ParseErrorKind::NullKey, at, column)),
            Ok(Presence::Undefined) => return Err(FaultAt::in_column(ParseErrorKind::MissingValue, at, column)),
            Err(bad) => return Err(FaultAt::of_value(bad, at, column)),
        }
    }
    *position = cursor;
    Ok(())
}

/// Only the values of the key are there, none of them NULL.
fn key_only(cursor: &mut Cursor<'_>, key: &[u8]) -> Result<(), Fault> {
    for (column, _) in key.iter().enumerate().filter(|(_, place)| **place != 0) {
        key_value(cursor, column)?;
    }
    Ok(())
}

/// The values of the key are there, and any others.
fn key_and_any(cursor: &mut Cursor<'_>, key: &[u8]) -> Result<(), Fault> {
    for (column, &place) in key.iter().enumerate() {
        if place == 0 {
            any_value(cursor, column)?;
        } else {
            key_value(cursor, column)?;
        }
    }
    Ok(())
}

/// Any values are there, of the key too: where a key was changed to one that is equal to it but not the same, SQLite
/// records an UPDATE with a new key.
fn any_row(cursor: &mut Cursor<'_>, key: &[u8]) -> Result<(), Fault> {
    for (column, _) in key.iter().enumerate() {
        any_value(cursor, column)?;
    }
    Ok(())
}

#[inline]
fn any_value(cursor: &mut Cursor<'_>, column: usize) -> Result<Presence, Fault> {
    let at = *cursor;
    cursor.skip_value().map_err(|bad| FaultAt::of_value(bad, at, column))
}

#[inline]
fn key_value(cursor: &mut Cursor<'_>, column: usize) -> Result<(), Fault> {
    let at = *cursor;
    match any_value(cursor, column)? {
        Presence::Value => Ok(()),
        Presence::Null => Err(FaultAt::in_column(ParseErrorKind::NullKey, at, column)),
        Presence::Undefined => Err(FaultAt::in_column(ParseErrorKind::MissingValue, at, column)),
    }
}

/// Finds the extent of a change in bytes that [`record`] has accepted before; `None`, which ends an iterator, where it has
/// not.
#[inline]
pub(in crate::wire) fn extent<'a>(cursor: &mut Cursor<'a>, table: Header<'_>, format: Format) -> Option<RawRecord<'a>> {
    extent_here(cursor, table, format)
}

/// The same, for the innermost of loops: a record that is returned through memory is written byte by byte and read in words,
/// for which a processor waits.
#[inline(always)]
pub(in crate::wire) fn extent_here<'a>(
    cursor: &mut Cursor<'a>,
    table: Header<'_>,
    format: Format,
) -> Option<RawRecord<'a>> {
    let operation = Operation::from_byte(cursor.byte()?)?;
    let indirect = cursor.byte()? != 0;
    let body = *cursor;
    let mut middle = body;
    let columns = table.key.len();
    match Layout::of(operation, format) {
        Layout::Key => {
            cursor.pass_values(table.key.iter().filter(|place| **place != 0).count())?;
        }
        Layout::OldAndNew => {
            cursor.pass_values(columns)?;
            middle = *cursor;
            cursor.pass_values(columns)?;
        }
        Layout::Row | Layout::KeyAndNew => cursor.pass_values(columns)?,
    }
    Some(RawRecord { operation, indirect, before: middle.since(body), after: cursor.since(middle) })
}
