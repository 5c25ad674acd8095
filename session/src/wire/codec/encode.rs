//! Rows of values, checked and appended as the records of a change.
//!
//! The builders call these functions. Each requires a value for each column. After an error, the
//! bytes that were appended are not a record, and the caller truncates them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::error::BuildErrorKind;
use super::kind::Format;
use super::value::{BLOB, INTEGER, MAX_VALUE_LENGTH, NULL, REAL, TEXT, UNDEFINED, Value};

/// The result of adding a change. The error is boxed, so that a result without one is a single
/// word.
pub(in crate::wire) type EncodeResult<T> = Result<T, Box<EncodeError>>;

/// The error of a change that cannot be added, without the name of its table.
pub(in crate::wire) struct EncodeError {
    pub(in crate::wire) kind: BuildErrorKind,
    pub(in crate::wire) column: Option<usize>,
}

impl EncodeError {
    #[cold]
    pub(in crate::wire) fn new(kind: BuildErrorKind) -> Box<Self> {
        Box::new(Self { kind, column: None })
    }

    #[cold]
    fn in_column(kind: BuildErrorKind, column: usize) -> Box<Self> {
        Box::new(Self { kind, column: Some(column) })
    }
}

/// The size of the window in which a small change is written: longer changes take the general path.
const SMALL: usize = 64;

/// Appends a change that consists of one record with a value for each column.
#[inline(always)]
pub(in crate::wire) fn write_whole(
    head: [u8; 2],
    key: &[u8],
    values: &[Value<'_>],
    out: &mut Vec<u8>,
) -> EncodeResult<()> {
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

/// Writes a change to `window` and returns its length, or `None` if it does not fit or has an
/// error.
///
/// The position in a window stays in a register. The end of a vector that may have to grow does
/// not.
#[inline(always)]
fn write_small(head: [u8; 2], key: &[u8], values: &[Value<'_>], window: &mut [u8; SMALL]) -> Option<usize> {
    let (start, mut rest) = window.split_first_chunk_mut()?;
    *start = head;
    for (ordinal, value) in key.iter().zip(values) {
        let (class, eight) = match stored(*value) {
            Value::Null if *ordinal != 0 => return None,
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
    let (target, rest) = rest.split_at_mut_checked(bytes.len())?;
    match bytes.len() {
        8..=16 => copy_halves::<8>(bytes, target)?,
        17..=32 => copy_halves::<16>(bytes, target)?,
        _ => target.copy_from_slice(bytes),
    }
    Some(rest)
}

/// Copies the first and the last `HALF` bytes, which may overlap. A copy of variable length would
/// be a function call.
#[inline(always)]
fn copy_halves<const HALF: usize>(bytes: &[u8], target: &mut [u8]) -> Option<()> {
    let (first, last) = (bytes.first_chunk::<HALF>()?, bytes.last_chunk::<HALF>()?);
    *target.first_chunk_mut()? = *first;
    *target.last_chunk_mut()? = *last;
    Some(())
}

/// Appends a record with a value for each column.
#[inline(never)]
pub(in crate::wire) fn write_row(key: &[u8], values: &[Value<'_>], out: &mut Vec<u8>) -> EncodeResult<()> {
    for (column, (ordinal, value)) in key.iter().zip(values).enumerate() {
        write_value(column, *ordinal != 0, *value, out)?;
    }
    Ok(())
}

/// Appends a record with the values of the primary key alone.
pub(in crate::wire) fn write_key(key: &[u8], values: &[Value<'_>], out: &mut Vec<u8>) -> EncodeResult<()> {
    for (column, (_, value)) in key.iter().zip(values).enumerate().filter(|(_, (ordinal, _))| **ordinal != 0) {
        write_value(column, true, *value, out)?;
    }
    Ok(())
}

/// Appends the records of an UPDATE from `before` to `after`. Returns whether a column changed; if
/// none did, the bytes that were appended are not a record.
pub(in crate::wire) fn write_update(
    key: &[u8],
    format: Format,
    before: &[Value<'_>],
    after: &[Value<'_>],
    out: &mut Vec<u8>,
) -> EncodeResult<bool> {
    let columns = || key.iter().zip(before.iter().zip(after)).enumerate();
    let mut is_changed = false;
    for (column, (ordinal, (old, new))) in columns() {
        let (old, new) = (stored(*old), stored(*new));
        if *ordinal != 0 {
            if old.is_null() || new.is_null() {
                return Err(EncodeError::in_column(BuildErrorKind::NullKey, column));
            }
            if !is_identical(old, new) {
                return Err(EncodeError::in_column(BuildErrorKind::KeyChanged, column));
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
        for (column, (ordinal, (old, new))) in columns() {
            if *ordinal != 0 || stored(*old) == stored(*new) {
                out.push(UNDEFINED);
            } else {
                write_value(column, false, *new, out)?;
            }
        }
    }
    Ok(is_changed)
}

#[inline(always)]
fn write_value(column: usize, is_key: bool, value: Value<'_>, out: &mut Vec<u8>) -> EncodeResult<()> {
    let value = stored(value);
    match value {
        Value::Null if is_key => return Err(EncodeError::in_column(BuildErrorKind::NullKey, column)),
        Value::Text(bytes) | Value::Blob(bytes) if bytes.len() > MAX_VALUE_LENGTH => {
            return Err(EncodeError::in_column(BuildErrorKind::ValueLength(bytes.len()), column));
        }
        _ => value.write(out),
    }
    Ok(())
}

/// Returns the value as SQLite stores it: NaN as NULL.
#[inline(always)]
fn stored(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Real(real) => Value::from(real),
        other => other,
    }
}

/// Returns whether two values have the same bytes: 0.0 and -0.0 do not.
fn is_identical(one: Value<'_>, other: Value<'_>) -> bool {
    match (one, other) {
        (Value::Real(one), Value::Real(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}
