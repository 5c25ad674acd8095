//! Rows of values, checked and appended as the records of a change.
//!
//! Each takes a value for each column; after an error, what has been appended is not a record.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::error::BuildErrorKind;
use super::kind::Format;
use super::value::{BLOB, INTEGER, MAX_VALUE_LENGTH, NULL, REAL, TEXT, UNDEFINED, Value};

/// What is wrong. Boxed, so that a result without it is a single word.
pub(in crate::wire) type Wrong = Box<WrongIn>;

/// What is wrong, and in which column.
pub(in crate::wire) struct WrongIn {
    pub(in crate::wire) kind: BuildErrorKind,
    pub(in crate::wire) column: Option<usize>,
}

impl WrongIn {
    #[cold]
    pub(in crate::wire) fn of(kind: BuildErrorKind) -> Wrong {
        Box::new(Self { kind, column: None })
    }

    #[cold]
    fn in_column(kind: BuildErrorKind, column: usize) -> Wrong {
        Box::new(Self { kind, column: Some(column) })
    }
}

/// The most bytes of a change that is written at once.
const SMALL: usize = 64;

/// Appends a change that is one record of every value.
#[inline(always)]
pub(in crate::wire) fn write_whole(
    head: [u8; 2],
    key: &[u8],
    values: &[Value<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Wrong> {
    let start = out.len();
    out.extend_from_slice(&[0; SMALL]);
    let written = out.last_chunk_mut().and_then(|window| write_small(head, key, values, window));
    out.truncate(start.saturating_add(written.unwrap_or(0)));
    if written.is_some() {
        return Ok(());
    }
    out.extend_from_slice(&head);
    write_row(key, values, out)
}

/// Writes a change and says how long it is: if it is small, and nothing is wrong with it. So the place to write to is kept in a
/// register, which the end of a vector that may have to grow is not.
#[inline(always)]
fn write_small(head: [u8; 2], key: &[u8], values: &[Value<'_>], window: &mut [u8; SMALL]) -> Option<usize> {
    let (start, mut rest) = window.split_first_chunk_mut()?;
    *start = head;
    for (place, value) in key.iter().zip(values) {
        let (class, eight) = match stored(*value) {
            Value::Null if *place != 0 => return None,
            Value::Null => {
                let (byte, after) = rest.split_first_mut()?;
                *byte = NULL;
                rest = after;
                continue;
            }
            Value::Integer(integer) => (INTEGER, integer.to_be_bytes()),
            Value::Real(real) => (REAL, real.to_bits().to_be_bytes()),
            Value::Text(bytes) => {
                rest = write_small_bytes(TEXT, bytes, rest)?;
                continue;
            }
            Value::Blob(bytes) => {
                rest = write_small_bytes(BLOB, bytes, rest)?;
                continue;
            }
        };
        let (field, after) = rest.split_first_chunk_mut::<9>()?;
        let [a, b, c, d, e, f, g, h] = eight;
        *field = [class, a, b, c, d, e, f, g, h];
        rest = after;
    }
    SMALL.checked_sub(rest.len())
}

#[inline(always)]
fn write_small_bytes<'a>(class: u8, bytes: &[u8], rest: &'a mut [u8]) -> Option<&'a mut [u8]> {
    let (start, rest) = rest.split_first_chunk_mut::<2>()?;
    *start = [class, bytes.len() as u8];
    let (place, rest) = rest.split_at_mut_checked(bytes.len())?;
    match bytes.len() {
        8..=16 => copy_halves::<8>(bytes, place)?,
        17..=32 => copy_halves::<16>(bytes, place)?,
        _ => place.copy_from_slice(bytes),
    }
    Some(rest)
}

/// Copies the first and the last bytes, which may overlap: it takes no call, as a copy of any length does.
#[inline(always)]
fn copy_halves<const HALF: usize>(bytes: &[u8], place: &mut [u8]) -> Option<()> {
    let (first, last) = (bytes.first_chunk::<HALF>()?, bytes.last_chunk::<HALF>()?);
    *place.first_chunk_mut()? = *first;
    *place.last_chunk_mut()? = *last;
    Some(())
}

/// Appends a record of every value.
#[inline(never)]
pub(in crate::wire) fn write_row(key: &[u8], values: &[Value<'_>], out: &mut Vec<u8>) -> Result<(), Wrong> {
    for (column, (place, value)) in key.iter().zip(values).enumerate() {
        write_value(column, *place != 0, *value, out)?;
    }
    Ok(())
}

/// Appends a record of the values of the key alone.
pub(in crate::wire) fn write_key(key: &[u8], values: &[Value<'_>], out: &mut Vec<u8>) -> Result<(), Wrong> {
    for (column, (_, value)) in key.iter().zip(values).enumerate().filter(|(_, (place, _))| **place != 0) {
        write_value(column, true, *value, out)?;
    }
    Ok(())
}

/// Appends the record of an UPDATE between two rows, or both of a changeset's. Says whether anything has changed; if not, what
/// has been appended is not a record.
pub(in crate::wire) fn write_update(
    key: &[u8],
    format: Format,
    before: &[Value<'_>],
    after: &[Value<'_>],
    out: &mut Vec<u8>,
) -> Result<bool, Wrong> {
    let columns = || key.iter().zip(before.iter().zip(after)).enumerate();
    let mut is_changed = false;
    for (column, (place, (old, new))) in columns() {
        let (old, new) = (stored(*old), stored(*new));
        if *place != 0 {
            if old.is_null() || new.is_null() {
                return Err(WrongIn::in_column(BuildErrorKind::NullKey, column));
            }
            if !is_identical(old, new) {
                return Err(WrongIn::in_column(BuildErrorKind::KeyChanged, column));
            }
            write_value(column, true, old, out)?;
        } else if old == new {
            out.push(UNDEFINED);
        } else {
            is_changed = true;
            let recorded = match format {
                Format::Changeset => old,
                Format::Patchset => new,
            };
            write_value(column, false, recorded, out)?;
        }
    }
    if format == Format::Changeset && is_changed {
        for (column, (place, (old, new))) in columns() {
            if *place != 0 || stored(*old) == stored(*new) {
                out.push(UNDEFINED);
            } else {
                write_value(column, false, *new, out)?;
            }
        }
    }
    Ok(is_changed)
}

#[inline(always)]
fn write_value(column: usize, is_key: bool, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Wrong> {
    let value = stored(value);
    match value {
        Value::Null if is_key => return Err(WrongIn::in_column(BuildErrorKind::NullKey, column)),
        Value::Text(bytes) | Value::Blob(bytes) if bytes.len() > MAX_VALUE_LENGTH => {
            return Err(WrongIn::in_column(BuildErrorKind::ValueLength(bytes.len()), column));
        }
        _ => value.write(out),
    }
    Ok(())
}

/// The value as SQLite stores it.
#[inline(always)]
fn stored(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Real(real) => Value::from(real),
        other => other,
    }
}

/// Whether two values have the same bytes: 0.0 and -0.0 do not.
fn is_identical(one: Value<'_>, other: Value<'_>) -> bool {
    match (one, other) {
        (Value::Real(one), Value::Real(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}
