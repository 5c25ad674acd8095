//! [SQLite's binary JSON](https://sqlite.org/jsonb.html), without JSON5, which Diesel does not
//! read.
//!
//! An element consists of a header and a payload. The low four bits of the header's first byte are
//! the kind of the element. The high four bits are the length of the payload, or from 12 on the
//! size of the length in bytes. The length follows then, big endian.

use std::format;
use std::string::String;
use std::vec::Vec;

use serde_json::{Map, Number, Value};

use crate::typed::ValueError;

const NULL: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 5;
/// Text without escapes.
const TEXT: u8 = 7;
/// Text with the escapes of JSON.
const TEXTJ: u8 = 8;
const TEXTRAW: u8 = 10;
const ARRAY: u8 = 11;
const OBJECT: u8 = 12;

/// The maximal nesting depth of JSON in SQLite.
const MAX_DEPTH: usize = 1000;

fn invalid() -> ValueError {
    ValueError::invalid("not valid JSONB")
}

fn too_deep() -> ValueError {
    ValueError::invalid("JSON nested more than 1000 levels deep")
}

/// Returns the kind and the payload of the first element, and the bytes that follow.
fn split_element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let width = match first >> 4 {
        12 => 1,
        13 => 2,
        14 => 4,
        15 => 8,
        length => {
            let (payload, rest) = rest.split_at_checked(length.into())?;
            return Some((first & 15, payload, rest));
        }
    };
    let (length, rest) = rest.split_at_checked(width)?;
    let length = length.iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte));
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((first & 15, payload, rest))
}

/// Removes the first element from `bytes`, and returns its kind and payload.
fn take<'a>(bytes: &mut &'a [u8]) -> Result<(u8, &'a [u8]), ValueError> {
    let (kind, payload, rest) = split_element(bytes).ok_or_else(invalid)?;
    *bytes = rest;
    Ok((kind, payload))
}

fn utf8(bytes: &[u8]) -> Result<&str, ValueError> {
    std::str::from_utf8(bytes).map_err(|_| ValueError::Utf8)
}

/// Reads an element that is not an array or object.
fn read_scalar(kind: u8, payload: &[u8]) -> Result<Value, ValueError> {
    let number = |is: fn(&Number) -> bool| {
        let number: Number = serde_json::from_str(utf8(payload)?).map_err(ValueError::invalid)?;
        if is(&number) { Ok(Value::Number(number)) } else { Err(invalid()) }
    };
    match kind {
        NULL => Ok(Value::Null),
        TRUE => Ok(Value::Bool(true)),
        FALSE => Ok(Value::Bool(false)),
        INT => number(|number| number.is_i64() || number.is_u64()),
        FLOAT => number(Number::is_f64),
        TEXT | TEXTRAW => Ok(Value::String(String::from(utf8(payload)?))),
        TEXTJ => {
            let quoted = format!("\"{}\"", utf8(payload)?);
            serde_json::from_str(&quoted).map(Value::String).map_err(ValueError::invalid)
        }
        4 | 6 | 9 => Err(ValueError::invalid("JSONB with JSON5, which Diesel does not read")),
        _ => Err(invalid()),
    }
}

/// An array or object that has not been read completely.
struct OpenContainer<'a> {
    value: Container,
    rest: &'a [u8],
}

/// The members of an array or object.
enum Container {
    Array(Vec<Value>),
    /// An object, and the key of the member that is read.
    Object(Map<String, Value>, Option<String>),
}

/// Reads bytes that consist of one element.
pub(super) fn read(bytes: &[u8]) -> Result<Value, ValueError> {
    let mut open: Vec<OpenContainer<'_>> = Vec::new();
    let mut rest = bytes;
    let (mut kind, mut payload) = take(&mut rest)?;
    if !rest.is_empty() {
        return Err(invalid());
    }
    loop {
        let mut value = match kind {
            ARRAY | OBJECT => {
                if open.len() == MAX_DEPTH {
                    return Err(too_deep());
                }
                let value = match kind {
                    ARRAY => Container::Array(Vec::new()),
                    _ => Container::Object(Map::new(), None),
                };
                open.push(OpenContainer { value, rest: payload });
                None
            }
            _ => Some(read_scalar(kind, payload)?),
        };
        // adds the value to its container, and closes complete containers
        loop {
            let Some(mut innermost) = open.pop() else {
                return value.ok_or_else(invalid);
            };
            match (&mut innermost.value, value.take()) {
                (Container::Array(array), Some(value)) => array.push(value),
                (Container::Object(object, key), Some(value)) => {
                    object.insert(key.take().ok_or_else(invalid)?, value);
                }
                (_, None) => {}
            }
            if !innermost.rest.is_empty() {
                open.push(innermost);
                break;
            }
            value = Some(match innermost.value {
                Container::Array(array) => Value::Array(array),
                Container::Object(object, _) => Value::Object(object),
            });
        }
        let Some(innermost) = open.last_mut() else { return Err(invalid()) };
        if let Container::Object(_, key) = &mut innermost.value {
            let (kind, payload) = take(&mut innermost.rest)?;
            let Value::String(text) = read_scalar(kind, payload)? else { return Err(invalid()) };
            *key = Some(text);
        }
        (kind, payload) = take(&mut innermost.rest)?;
    }
}

/// Writes a value as Diesel does.
pub(super) fn write(value: &Value) -> Result<Vec<u8>, ValueError> {
    let mut bytes = Vec::new();
    write_element(&mut bytes, value, 0)?;
    Ok(bytes)
}

fn write_element(bytes: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), ValueError> {
    match value {
        Value::Null => write_payload(bytes, NULL, &[]),
        Value::Bool(true) => write_payload(bytes, TRUE, &[]),
        Value::Bool(false) => write_payload(bytes, FALSE, &[]),
        Value::Number(number) => {
            let text = format!("{number}");
            let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
            let kind = if digits.bytes().all(|byte| byte.is_ascii_digit()) { INT } else { FLOAT };
            write_payload(bytes, kind, text.as_bytes())
        }
        Value::String(text) => write_text(bytes, text),
        Value::Array(array) => write_container(bytes, ARRAY, depth, |bytes| {
            array.iter().try_for_each(|value| write_element(bytes, value, depth + 1))
        }),
        Value::Object(object) => write_container(bytes, OBJECT, depth, |bytes| {
            object.iter().try_for_each(|(key, value)| {
                write_text(bytes, key)?;
                write_element(bytes, value, depth + 1)
            })
        }),
    }
}

/// Writes text as Diesel does: with escapes if it contains a control character, otherwise without.
fn write_text(bytes: &mut Vec<u8>, text: &str) -> Result<(), ValueError> {
    if !text.contains(char::is_control) {
        return write_payload(bytes, TEXT, text.as_bytes());
    }
    let quoted = serde_json::to_string(text).map_err(ValueError::invalid)?;
    write_payload(bytes, TEXTJ, &quoted.as_bytes()[1..quoted.len() - 1])
}

fn write_payload(bytes: &mut Vec<u8>, kind: u8, payload: &[u8]) -> Result<(), ValueError> {
    let (header, length) = header(kind, payload.len())?;
    bytes.extend_from_slice(&header[..length]);
    bytes.extend_from_slice(payload);
    Ok(())
}

/// Writes the members of a container, then inserts its header before them.
fn write_container(
    bytes: &mut Vec<u8>,
    kind: u8,
    depth: usize,
    members: impl FnOnce(&mut Vec<u8>) -> Result<(), ValueError>,
) -> Result<(), ValueError> {
    if depth == MAX_DEPTH {
        return Err(too_deep());
    }
    let start = bytes.len();
    members(bytes)?;
    let (header, length) = header(kind, bytes.len() - start)?;
    bytes.splice(start..start, header[..length].iter().copied());
    Ok(())
}

/// Returns the shortest header, and its length.
fn header(kind: u8, payload: usize) -> Result<([u8; 5], usize), ValueError> {
    let payload = i32::try_from(payload).map_err(|_| ValueError::invalid("JSON of more than 2 GiB"))?;
    let [a, b, c, d] = payload.to_be_bytes();
    Ok(match payload {
        0..=11 => ([d << 4 | kind, 0, 0, 0, 0], 1),
        12..=0xff => ([12 << 4 | kind, d, 0, 0, 0], 2),
        0x100..=0xffff => ([13 << 4 | kind, c, d, 0, 0], 3),
        _ => ([14 << 4 | kind, a, b, c, d], 5),
    })
}
