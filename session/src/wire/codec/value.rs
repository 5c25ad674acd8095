//! Values: how one value of a record is checked, skipped, read, written and displayed.
//!
//! The bytes of a value, or the byte 0 for a value that is not recorded, are a *field*. The
//! functions of [`Cursor`] come in two kinds: [`check_value`](Cursor::check_value) requires
//! nothing, all others require bytes that have been checked.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::cursor::Cursor;

/// The largest length of a text or blob, in bytes: SQLite's default
/// [`SQLITE_MAX_LENGTH`](https://www.sqlite.org/limits.html#max_length).
///
/// SQLite silently reads a longer value as NULL. This crate rejects it.
pub const MAX_VALUE_LENGTH: usize = 1_000_000_000;

pub(in crate::wire) const UNDEFINED: u8 = 0;
pub(in crate::wire) const INTEGER: u8 = 1;
pub(in crate::wire) const REAL: u8 = 2;
pub(in crate::wire) const TEXT: u8 = 3;
pub(in crate::wire) const BLOB: u8 = 4;
pub(in crate::wire) const NULL: u8 = 5;

/// A value as SQLite stores it, in one of its five
/// [storage classes](https://www.sqlite.org/datatype3.html#storage_classes_and_datatypes).
///
/// Texts and blobs are borrowed from the bytes that were read.
///
/// ```
/// use diesel_sqlite_session::Value;
///
/// assert_eq!(Value::from("it's").to_string(), "'it''s'");
/// assert_eq!(Value::Text(b"Ada").as_str(), Some("Ada"));
/// assert_eq!(Value::Text(&[0xff]).as_str(), None, "SQLite does not check that text is UTF-8");
/// assert_eq!(Value::Blob(&[0, 255]).to_string(), "x'00ff'");
/// ```
///
/// `Value` implements `From` for integers, `bool`, floating point numbers, texts, blobs, and
/// `Option`s of these.
///
/// ```
/// # use diesel_sqlite_session::Value;
/// let (name, face) = (String::from("Ada"), vec![0xd8, 0xff]);
/// let row: [Value; 5] = [7.into(), true.into(), (&name).into(), (&face).into(), None::<f32>.into()];
/// assert_eq!(row.map(Value::storage_class), ["integer", "integer", "text", "blob", "null"]);
/// ```
#[derive(Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A signed 64-bit integer.
    Integer(i64),
    /// A floating point number. A value that was read is never NaN, because SQLite reads NaN as
    /// NULL.
    Real(f64),
    /// A text. Neither SQLite nor this crate checks that it is UTF-8: see [`Value::as_str`].
    Text(&'a [u8]),
    /// A blob.
    Blob(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Returns the text, if the value is a text and valid UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Value::Text(bytes) => core::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Returns the bytes, if the value is a text or a blob.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        match self {
            Value::Text(bytes) | Value::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the integer, if the value is an integer.
    pub fn as_integer(self) -> Option<i64> {
        match self {
            Value::Integer(integer) => Some(integer),
            _ => None,
        }
    }

    /// Returns the floating point number, if the value is a [`Real`](Value::Real). Integers are not
    /// converted: see [`Value::as_integer`].
    pub fn as_real(self) -> Option<f64> {
        match self {
            Value::Real(real) => Some(real),
            _ => None,
        }
    }

    /// Returns whether the value is NULL.
    pub fn is_null(self) -> bool {
        matches!(self, Value::Null)
    }

    /// Returns the name of the storage class, as SQLite's
    /// [`typeof()`](https://www.sqlite.org/lang_corefunc.html#typeof) does.
    pub fn storage_class(self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Integer(_) => "integer",
            Value::Real(_) => "real",
            Value::Text(_) => "text",
            Value::Blob(_) => "blob",
        }
    }

    /// Appends the encoded value.
    #[inline(always)]
    pub(in crate::wire) fn write(self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.push(NULL),
            Value::Integer(integer) => write_eight(out, INTEGER, integer.to_be_bytes()),
            Value::Real(real) => write_eight(out, REAL, real.to_bits().to_be_bytes()),
            Value::Text(bytes) => write_bytes(out, TEXT, bytes),
            Value::Blob(bytes) => write_bytes(out, BLOB, bytes),
        }
    }
}

#[inline(always)]
fn write_eight(out: &mut Vec<u8>, class: u8, [a, b, c, d, e, f, g, h]: [u8; 8]) {
    out.extend_from_slice(&[class, a, b, c, d, e, f, g, h]);
}

#[inline(always)]
fn write_bytes(out: &mut Vec<u8>, class: u8, bytes: &[u8]) {
    match bytes.len() {
        length @ 0..0x80 => out.extend_from_slice(&[class, length as u8]),
        length => {
            out.push(class);
            write_varint(out, length as u64);
        }
    }
    out.extend_from_slice(bytes);
}

/// Appends the shortest varint for `value`, which must be below 2^56. All lengths and column counts
/// are.
pub(in crate::wire) fn write_varint(out: &mut Vec<u8>, value: u64) {
    let mut shift = 49u32;
    while shift > 0 && value >> shift == 0 {
        shift = shift.saturating_sub(7);
    }
    while shift > 0 {
        out.push(((value >> shift) & 0x7f) as u8 | 0x80);
        shift = shift.saturating_sub(7);
    }
    out.push((value & 0x7f) as u8);
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Value<'_> {
            fn from(integer: $integer) -> Self {
                Value::Integer(integer.into())
            }
        }
    )*};
}
from_integers!(i8, i16, i32, i64, u8, u16, u32);

impl From<bool> for Value<'_> {
    /// Converts to 0 or 1: SQLite has no boolean class.
    fn from(truth: bool) -> Self {
        Value::Integer(truth.into())
    }
}

impl From<f64> for Value<'_> {
    /// Converts NaN to NULL, as SQLite does.
    fn from(real: f64) -> Self {
        if real.is_nan() { Value::Null } else { Value::Real(real) }
    }
}

impl From<f32> for Value<'_> {
    /// Converts NaN to NULL, as SQLite does.
    fn from(real: f32) -> Self {
        f64::from(real).into()
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(text.as_bytes())
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(blob: &'a [u8]) -> Self {
        Value::Blob(blob)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(blob: &'a Vec<u8>) -> Self {
        Value::Blob(blob)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(blob: &'a [u8; N]) -> Self {
        Value::Blob(blob)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// Displays the value as an SQL literal. A text that is not UTF-8 or contains a NUL is displayed as
/// the cast of a blob.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render(f, usize::MAX, false)
    }
}

/// Displays the value as an SQL literal, with long texts and blobs truncated and with escapes for
/// characters that a terminal would not show.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render(f, 64, true)
    }
}

impl Value<'_> {
    /// Writes an SQL literal with at most `limit` bytes of a text or blob.
    fn render(self, f: &mut fmt::Formatter<'_>, limit: usize, escape: bool) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Integer(integer) => write!(f, "{integer}"),
            // the way SQLite writes an infinity in SQL
            Value::Real(f64::INFINITY) => f.write_str("9.0e+999"),
            Value::Real(f64::NEG_INFINITY) => f.write_str("-9.0e+999"),
            Value::Real(real) if real.is_nan() => f.write_str("NULL"),
            Value::Real(real) => write!(f, "{real:?}"),
            Value::Text(bytes) => match core::str::from_utf8(bytes) {
                Ok(text) if !bytes.contains(&0) => {
                    let shown = cut(text, limit);
                    f.write_str("'")?;
                    for char in shown.chars() {
                        match char {
                            '\'' => f.write_str("''")?,
                            '"' | '\\' => f.write_char(char)?,
                            _ if escape => write!(f, "{}", char.escape_debug())?,
                            _ => f.write_char(char)?,
                        }
                    }
                    f.write_str("'")?;
                    ellipsis(f, shown.len(), bytes.len())
                }
                _ => {
                    f.write_str("CAST(")?;
                    Value::Blob(bytes).render(f, limit, escape)?;
                    f.write_str(" AS TEXT)")
                }
            },
            Value::Blob(bytes) => {
                let shown = bytes.get(..limit).unwrap_or(bytes);
                f.write_str("x'")?;
                for byte in shown {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str("'")?;
                ellipsis(f, shown.len(), bytes.len())
            }
        }
    }
}

/// Returns the longest prefix of `text` that has at most `limit` bytes.
pub(in crate::wire) fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    loop {
        match text.get(..end) {
            Some(start) => return start,
            None => end = end.saturating_sub(1),
        }
    }
}

fn ellipsis(f: &mut fmt::Formatter<'_>, shown: usize, all: usize) -> fmt::Result {
    if shown < all { write!(f, "… ({all} bytes)") } else { Ok(()) }
}

/// The kind of a field, as far as the shape of a record depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) enum FieldKind {
    Undefined,
    Null,
    Value,
}

/// The error of a field that is not well-formed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) enum BadValue {
    /// The input ends: at least this many more bytes are missing.
    End(usize),
    Type(u8),
    Length(u64),
}

impl<'a> Cursor<'a> {
    /// Checks and skips one field, and returns its kind.
    ///
    /// Always inlined: passing the cursor by address would cost more than the rest of the check.
    #[inline(always)]
    pub(in crate::wire) fn check_value(&mut self) -> Result<FieldKind, BadValue> {
        match self.byte() {
            Some(UNDEFINED) => Ok(FieldKind::Undefined),
            Some(NULL) => Ok(FieldKind::Null),
            Some(INTEGER) => match self.eight() {
                Some(_) => Ok(FieldKind::Value),
                None => Err(self.short_of(8)),
            },
            Some(REAL) => match self.eight() {
                Some(bytes) if f64::from_be_bytes(bytes).is_nan() => Ok(FieldKind::Null),
                Some(_) => Ok(FieldKind::Value),
                None => Err(self.short_of(8)),
            },
            Some(TEXT | BLOB) => self.check_bytes(),
            Some(other) => Err(BadValue::Type(other)),
            None => Err(BadValue::End(1)),
        }
    }

    #[inline(always)]
    fn check_bytes(&mut self) -> Result<FieldKind, BadValue> {
        let Some(length) = self.varint() else {
            return Err(BadValue::End(1));
        };
        match usize::try_from(length) {
            Ok(length) if length <= MAX_VALUE_LENGTH => match self.take(length) {
                Some(_) => Ok(FieldKind::Value),
                None => Err(self.short_of(length)),
            },
            _ => Err(BadValue::Length(length)),
        }
    }

    #[cold]
    fn short_of(&self, wanted: usize) -> BadValue {
        BadValue::End(wanted.saturating_sub(self.remaining()))
    }

    /// Skips `count` fields that have been checked.
    #[inline]
    pub(in crate::wire) fn skip_values(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.skip_value()?;
        }
        Some(())
    }

    #[inline(always)]
    fn skip_value(&mut self) -> Option<()> {
        match self.byte()? {
            INTEGER | REAL => _ = self.eight()?,
            TEXT | BLOB => _ = self.bytes()?,
            _ => {}
        }
        Some(())
    }

    /// Skips one field that has been checked and returns its bytes.
    #[inline]
    pub(in crate::wire) fn field(&mut self) -> Option<&'a [u8]> {
        let start = *self;
        self.skip_value()?;
        Some(self.since(start))
    }

    /// Reads one field that has been checked. Returns `None` if no value is recorded.
    #[inline(always)]
    pub(in crate::wire) fn value(&mut self) -> Option<Value<'a>> {
        match self.byte()? {
            INTEGER => Some(Value::Integer(i64::from_be_bytes(self.eight()?))),
            REAL => Some(Value::from(f64::from_be_bytes(self.eight()?))),
            TEXT => Some(Value::Text(self.bytes()?)),
            BLOB => Some(Value::Blob(self.bytes()?)),
            NULL => Some(Value::Null),
            _ => None,
        }
    }

    #[inline(always)]
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.varint()?;
        self.take(usize::try_from(length).ok()?)
    }
}

/// Appends a field: the value, or the byte of a value that is not recorded.
pub(in crate::wire) fn write_field(out: &mut Vec<u8>, field: Option<Value<'_>>) {
    match field {
        Some(value) => value.write(out),
        None => out.push(UNDEFINED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_value_reads_back_as_it_was_written() {
        let long = [7u8; 300];
        for value in [
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Real(-0.5),
            Value::Text(b""),
            Value::Text(&[0xff, 0]),
            Value::Blob(&long),
        ] {
            let mut out = Vec::new();
            value.write(&mut out);
            let (mut read, mut skipped) = (Cursor::new(&out), Cursor::new(&out));
            assert_eq!(read.value(), Some(value));
            assert!(skipped.check_value().is_ok());
            assert_eq!((read.remaining(), skipped.remaining()), (0, 0));
        }
    }

    #[test]
    fn varints_are_written_as_short_as_can_be() {
        for (value, length) in
            [(0, 1), (127, 1), (128, 2), (16383, 2), (16384, 3), (1 << 21, 4), (1 << 28, 5), ((1 << 56) - 1, 8)]
        {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            assert_eq!(out.len(), length, "{value}");
            assert_eq!(Cursor::new(&out).varint(), Some(value));
        }
    }

    #[test]
    fn nan_is_null() {
        let mut bytes = alloc::vec![REAL];
        bytes.extend_from_slice(&f64::NAN.to_be_bytes());
        assert_eq!(Cursor::new(&bytes).value(), Some(Value::Null));
        assert!(matches!(Cursor::new(&bytes).check_value(), Ok(FieldKind::Null)));
    }

    #[test]
    fn long_values_are_cut_in_debug_and_whole_in_display() {
        let text = "é".repeat(100);
        let value = Value::from(text.as_str());
        assert_eq!(value.to_string().len(), 202);
        assert_eq!(alloc::format!("{value:?}"), alloc::format!("'{}'… (200 bytes)", "é".repeat(32)));
        assert_eq!(alloc::format!("{:?}", Value::Text(&[0xff])), "CAST(x'ff' AS TEXT)");
        assert_eq!(alloc::format!("{:?}", Value::from("a\n\u{202e}'\\")), "'a\\n\\u{202e}''\\'");
        assert_eq!(Value::from("a\0b").to_string(), "CAST(x'610062' AS TEXT)");
        assert_eq!(Value::Real(1.0).to_string(), "1.0");
        assert_eq!(Value::Real(f64::NEG_INFINITY).to_string(), "-9.0e+999");
    }
}
