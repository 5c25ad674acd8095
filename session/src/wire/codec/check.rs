//! The rules for well-formed bytes, and the fast reads of bytes that have been checked.
//!
//! [`record`] decides what a well-formed change is. The check of a whole input ([`input`]) and the
//! [reader](super::reader) both call it. [`read_checked`] reads a change that [`record`] has
//! accepted. If the bytes have not been checked, it returns `None` or a wrong record, but never
//! panics.

use alloc::boxed::Box;

use super::cursor::Cursor;
use super::error::{ParseError, ParseErrorKind};
use super::header::Header;
use super::kind::{Format, Operation};
use super::record::RawRecord;
use super::value::{BadValue, FieldKind};
use super::walk::Layout;

/// A [`ParseError`] before its offset and table are known.
///
/// Results hold it boxed, so that a result without one is a single word.
pub(in crate::wire) struct ParseFault {
    kind: ParseErrorKind,
    /// The number of bytes from the faulty element to the end of the input.
    remaining: usize,
    column: Option<usize>,
    /// With `UnexpectedEnd`: the number of bytes that are missing at least.
    pub(in crate::wire) needed: usize,
    /// With `UnexpectedEnd`: whether all bytes up to a NUL are missing.
    #[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only streams can ask for more"))]
    pub(in crate::wire) until_nul: bool,
}

impl ParseFault {
    #[cold]
    pub(in crate::wire) fn new(kind: ParseErrorKind, at: Cursor<'_>) -> Box<ParseFault> {
        Box::new(Self { kind, remaining: at.remaining(), column: None, needed: 0, until_nul: false })
    }

    /// Creates the fault of an input that ends although at least `needed` more bytes must follow.
    #[cold]
    pub(in crate::wire) fn end(at: Cursor<'_>, needed: usize) -> Box<ParseFault> {
        Box::new(Self { needed, ..*Self::new(ParseErrorKind::UnexpectedEnd, at) })
    }

    /// Creates the fault of an input that ends inside a table's name.
    #[cold]
    pub(in crate::wire) fn end_of_name(at: Cursor<'_>) -> Box<ParseFault> {
        Box::new(Self { until_nul: true, ..*Self::end(at, 1) })
    }

    #[cold]
    fn in_column(kind: ParseErrorKind, at: Cursor<'_>, column: usize) -> Box<ParseFault> {
        Box::new(Self { column: Some(column), ..*Self::new(kind, at) })
    }

    #[cold]
    fn of_value(bad: BadValue, at: Cursor<'_>, column: usize) -> Box<ParseFault> {
        let (kind, needed) = match bad {
            BadValue::End(needed) => (ParseErrorKind::UnexpectedEnd, needed),
            BadValue::Type(byte) => (ParseErrorKind::ValueType(byte), 0),
            BadValue::Length(length) => (ParseErrorKind::ValueLength(length), 0),
        };
        Box::new(Self { needed, ..*Self::in_column(kind, at, column) })
    }

    /// Adds to `needed` the fields after the truncated one, which take at least a byte each. So a
    /// reader whose source returns single bytes checks each record a few times, not once for each
    /// column.
    #[cold]
    fn and_later(mut self: Box<Self>, key: &[u8], in_record: fn(u8) -> bool, next_record: usize) -> Box<ParseFault> {
        let next = self.column.map_or(usize::MAX, |column| column.saturating_add(1));
        let later = key.get(next..).unwrap_or_default().iter().filter(|ordinal| in_record(**ordinal)).count();
        self.needed = self.needed.saturating_add(later).saturating_add(next_record);
        self
    }

    /// Returns whether more input can make the bytes well-formed.
    #[cfg(feature = "std")]
    pub(in crate::wire) fn is_end(&self) -> bool {
        self.kind == ParseErrorKind::UnexpectedEnd
    }

    /// Returns the error, for an input that ends at offset `end`.
    pub(in crate::wire) fn into_error(self, end: u64, table: Option<&str>) -> ParseError {
        let offset = end.saturating_sub(self.remaining as u64);
        ParseError::new(self.kind, usize::try_from(offset).unwrap_or(usize::MAX), self.column, table)
    }
}

/// Checks a whole input.
///
/// # Errors
///
/// Fails at the first byte that is not well-formed.
pub(in crate::wire) fn input(bytes: &[u8], format: Format) -> Result<(), ParseError> {
    sections(bytes, format, |cursor, table| record(cursor, table, format).map(|_| ()))
}

/// Checks rebase data: sections of a changeset that contain resolutions instead of changes.
///
/// # Errors
///
/// Fails at the first byte that is not well-formed.
pub(in crate::wire) fn rebase_data(bytes: &[u8]) -> Result<(), ParseError> {
    sections(bytes, Format::Changeset, resolution)
}

/// Checks sections whose records are checked by `check`.
#[inline(always)]
fn sections<'a>(
    bytes: &'a [u8],
    format: Format,
    check: impl Fn(&mut Cursor<'a>, Header<'a>) -> Result<(), Box<ParseFault>>,
) -> Result<(), ParseError> {
    let mut cursor = Cursor::new(bytes);
    let mut table: Option<Header<'_>> = None;
    let error =
        |fault: Box<ParseFault>, table: Option<Header<'_>>| fault.into_error(bytes.len() as u64, table.map(|t| t.name));
    while let Some(first) = cursor.peek() {
        match (Format::from_byte(first), table) {
            (Some(_), _) => table = Some(self::header(&mut cursor, format).map_err(|fault| error(fault, None))?),
            (None, Some(header)) => check(&mut cursor, header).map_err(|fault| error(fault, table))?,
            (None, None) => return Err(error(ParseFault::new(ParseErrorKind::MissingHeader, cursor), None)),
        }
    }
    Ok(())
}

/// Checks one resolution of rebase data.
fn resolution(cursor: &mut Cursor<'_>, table: Header<'_>) -> Result<(), Box<ParseFault>> {
    let start = *cursor;
    let operation = cursor.byte().and_then(Operation::from_byte);
    let flag = *cursor;
    match (operation, cursor.byte()) {
        (Some(Operation::Insert | Operation::Delete), None) => Err(ParseFault::end(flag, 1)),
        (Some(Operation::Insert), Some(_)) => key_and_any(cursor, table.key),
        (Some(Operation::Delete), Some(_)) => whole_row(cursor, table.key),
        _ => Err(ParseFault::new(ParseErrorKind::RebaseOperation(start.peek().unwrap_or_default()), start)),
    }
}

/// Reads and checks a header with its first byte.
pub(in crate::wire) fn header<'a>(cursor: &mut Cursor<'a>, format: Format) -> Result<Header<'a>, Box<ParseFault>> {
    let start = *cursor;
    match cursor.byte().map(Format::from_byte) {
        Some(Some(found)) if found == format => Header::read(cursor),
        Some(Some(found)) => Err(ParseFault::new(ParseErrorKind::WrongFormat { found }, start)),
        Some(None) => Err(ParseFault::new(ParseErrorKind::MissingHeader, start)),
        None => Err(ParseFault::end(start, 1)),
    }
}

/// Reads and checks one change.
#[inline]
pub(in crate::wire) fn record<'a>(
    cursor: &mut Cursor<'a>,
    table: Header<'a>,
    format: Format,
) -> Result<RawRecord<'a>, Box<ParseFault>> {
    let start = *cursor;
    let Some(byte) = cursor.byte() else {
        return Err(ParseFault::end(start, 2));
    };
    let Some(operation) = Operation::from_byte(byte) else {
        return Err(ParseFault::new(ParseErrorKind::Operation(byte), start));
    };
    let Some(indirect) = cursor.byte() else {
        return Err(ParseFault::end(start, 1));
    };
    let body = *cursor;
    let mut middle = body;
    let (key, every_column) = (table.key, |_| true);
    match Layout::of(operation, format) {
        Layout::Row => {
            whole_row(cursor, key).map_err(|fault| fault.and_later(key, every_column, 0))?;
        }
        Layout::Key => {
            key_only(cursor, key).map_err(|fault| fault.and_later(key, |ordinal| ordinal != 0, 0))?;
        }
        Layout::KeyAndNew => {
            key_and_any(cursor, key).map_err(|fault| fault.and_later(key, every_column, 0))?;
        }
        Layout::OldAndNew => {
            key_and_any(cursor, key).map_err(|fault| fault.and_later(key, every_column, key.len()))?;
            middle = *cursor;
            any_row(cursor, key).map_err(|fault| fault.and_later(key, every_column, 0))?;
        }
    }
    Ok(RawRecord { operation, indirect: indirect != 0, before: middle.since(body), after: cursor.since(middle) })
}

/// Checks a record that requires every value; those of the primary key must not be NULL.
#[inline]
fn whole_row(position: &mut Cursor<'_>, key: &[u8]) -> Result<(), Box<ParseFault>> {
    let mut cursor = *position;
    for (column, &ordinal) in key.iter().enumerate() {
        let at = cursor;
        match cursor.check_value() {
            Ok(FieldKind::Value) => {}
            Ok(FieldKind::Null) if ordinal == 0 => {}
            Ok(FieldKind::Null) => return Err(ParseFault::in_column(ParseErrorKind::NullKey, at, column)),
            Ok(FieldKind::Undefined) => return Err(ParseFault::in_column(ParseErrorKind::MissingValue, at, column)),
            Err(bad) => return Err(ParseFault::of_value(bad, at, column)),
        }
    }
    *position = cursor;
    Ok(())
}

/// Checks a record of the primary key alone, without NULL.
fn key_only(cursor: &mut Cursor<'_>, key: &[u8]) -> Result<(), Box<ParseFault>> {
    for (column, _) in key.iter().enumerate().filter(|(_, ordinal)| **ordinal != 0) {
        key_value(cursor, column)?;
    }
    Ok(())
}

/// Checks a record that requires the values of the primary key; the others are optional.
fn key_and_any(cursor: &mut Cursor<'_>, key: &[u8]) -> Result<(), Box<ParseFault>> {
    for (column, &ordinal) in key.iter().enumerate() {
        if ordinal == 0 {
            any_value(cursor, column)?;
        } else {
            key_value(cursor, column)?;
        }
    }
    Ok(())
}

/// Checks a record in which every value is optional, those of the primary key too: if a key changed
/// to an [equal key](crate::_documentation::format#keys), SQLite records an UPDATE with a new key.
fn any_row(cursor: &mut Cursor<'_>, key: &[u8]) -> Result<(), Box<ParseFault>> {
    for (column, _) in key.iter().enumerate() {
        any_value(cursor, column)?;
    }
    Ok(())
}

#[inline]
fn any_value(cursor: &mut Cursor<'_>, column: usize) -> Result<FieldKind, Box<ParseFault>> {
    let at = *cursor;
    cursor.check_value().map_err(|bad| ParseFault::of_value(bad, at, column))
}

#[inline]
fn key_value(cursor: &mut Cursor<'_>, column: usize) -> Result<(), Box<ParseFault>> {
    let at = *cursor;
    match any_value(cursor, column)? {
        FieldKind::Value => Ok(()),
        FieldKind::Null => Err(ParseFault::in_column(ParseErrorKind::NullKey, at, column)),
        FieldKind::Undefined => Err(ParseFault::in_column(ParseErrorKind::MissingValue, at, column)),
    }
}

/// Reads a change that [`record`] has accepted before. Returns `None` if the bytes are not a
/// change.
#[inline]
pub(in crate::wire) fn read_checked<'a>(
    cursor: &mut Cursor<'a>,
    table: Header<'_>,
    format: Format,
) -> Option<RawRecord<'a>> {
    read_checked_inline(cursor, table, format)
}

/// Does the same as [`read_checked`], inlined, for the innermost loops.
///
/// A record returned through memory would be written in bytes and read in words, which stalls a
/// processor.
#[inline(always)]
pub(in crate::wire) fn read_checked_inline<'a>(
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
            cursor.skip_values(table.key.iter().filter(|ordinal| **ordinal != 0).count())?;
        }
        Layout::OldAndNew => {
            cursor.skip_values(columns)?;
            middle = *cursor;
            cursor.skip_values(columns)?;
        }
        Layout::Row | Layout::KeyAndNew => cursor.skip_values(columns)?,
    }
    Some(RawRecord { operation, indirect, before: middle.since(body), after: cursor.since(middle) })
}
