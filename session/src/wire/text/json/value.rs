//! Values in JSON. A value is plain if every JSON reader preserves it, and otherwise tagged with
//! its storage class.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::codec::value::Value;

/// The largest integer up to which every JSON reader preserves all integers.
pub(crate) const MAX_SAFE: u64 = 9_007_199_254_740_991;

pub(crate) const INT: &str = "int";
pub(crate) const REAL: &str = "real";
const TEXT: &str = "text";
const BLOB: &str = "blob";

/// Writes a tagged value: an object with one member, whose value is a string.
pub(crate) fn write_tagged<S: Serializer>(
    serializer: S,
    tag: &str,
    text: &dyn fmt::Display,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(tag, &DisplayAsString(text))?;
    map.end()
}

/// Serializes the `Display` of a value as a string.
struct DisplayAsString<'a>(&'a dyn fmt::Display);

impl Serialize for DisplayAsString<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// A real in a tag, in a form that Rust and JavaScript both read.
pub(crate) struct TaggedReal(pub(crate) f64);

impl fmt::Display for TaggedReal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("Infinity"),
            f64::NEG_INFINITY => f.write_str("-Infinity"),
            real => write!(f, "{real:?}"),
        }
    }
}

/// Displays bytes in hexadecimal.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The number of bytes that are written together.
        const CHUNK: usize = 64;
        let mut text = String::with_capacity(CHUNK.saturating_mul(2));
        for chunk in self.0.chunks(CHUNK) {
            text.clear();
            for byte in chunk {
                for digit in [byte >> 4, byte & 0xf] {
                    text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
                }
            }
            f.write_str(&text)?;
        }
        Ok(())
    }
}

/// Writes a blob.
pub(crate) fn write_blob<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    write_tagged(serializer, BLOB, &Hex(bytes))
}

/// The shape of a decimal number: the number of its digits, and its exponent.
#[derive(Default)]
struct Decimal {
    digits: i32,
    exponent: i32,
    in_exponent: bool,
    negative: bool,
}

impl Write for Decimal {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match byte {
                b'e' => self.in_exponent = true,
                b'-' => self.negative = self.in_exponent,
                b'0'..=b'9' if self.in_exponent => {
                    let digit = i32::from(byte.saturating_sub(b'0'));
                    self.exponent = self.exponent.saturating_mul(10).saturating_add(digit);
                }
                b'0'..=b'9' => self.digits = self.digits.saturating_add(1),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns whether every JSON reader reads `real` exactly from its shortest decimal form.
///
/// The decimal form must have a fraction, at most 15 digits, and a power of ten that a float
/// represents exactly. One division computes the value then.
pub(crate) fn is_plain(real: f64) -> bool {
    let mut decimal = Decimal::default();
    if !real.is_finite() || write!(decimal, "{real:e}").is_err() {
        return false;
    }
    let exponent = if decimal.negative { decimal.exponent.saturating_neg() } else { decimal.exponent };
    let last = exponent.saturating_sub(decimal.digits).saturating_add(1);
    decimal.digits <= 15 && (-22..0).contains(&last)
}

/// Writes [the JSON format](crate::wire::json#values) of a value.
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Value::Null => serializer.serialize_unit(),
            Value::Integer(integer) if integer.unsigned_abs() <= MAX_SAFE => serializer.serialize_i64(integer),
            Value::Integer(integer) => write_tagged(serializer, INT, &integer),
            Value::Real(real) if real.is_nan() => serializer.serialize_unit(),
            Value::Real(real) if is_plain(real) => serializer.serialize_f64(real),
            Value::Real(real) => write_tagged(serializer, REAL, &TaggedReal(real)),
            Value::Text(bytes) => match core::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => write_tagged(serializer, TEXT, &Hex(bytes)),
            },
            Value::Blob(bytes) => write_blob(bytes, serializer),
        }
    }
}

/// A value that was read from JSON.
#[derive(Debug, PartialEq)]
pub(super) enum OwnedValue {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl OwnedValue {
    pub(super) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(integer) => Value::Integer(*integer),
            Self::Real(real) => Value::Real(*real),
            Self::Text(bytes) => Value::Text(bytes),
            Self::Blob(bytes) => Value::Blob(bytes),
        }
    }

    /// Parses a tagged value.
    fn parse_tagged<E: Error>(tag: &str, text: &str) -> Result<Self, E> {
        match tag {
            INT => parse_int(text).map(Self::Integer),
            REAL => parse_real(text).map(Self::Real),
            TEXT => parse_hex(text).map(Self::Text),
            BLOB => parse_hex(text).map(Self::Blob),
            _ => Err(E::unknown_field(tag, &[INT, REAL, TEXT, BLOB])),
        }
    }
}

pub(crate) fn parse_int<E: Error>(text: &str) -> Result<i64, E> {
    text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &"an integer of 64 bits"))
}

pub(crate) fn parse_real<E: Error>(text: &str) -> Result<f64, E> {
    match text.parse::<f64>() {
        Ok(real) if !real.is_nan() => Ok(real),
        _ => Err(E::invalid_value(Unexpected::Str(text), &"a floating point number other than NaN")),
    }
}

fn parse_hex<E: Error>(text: &str) -> Result<Vec<u8>, E> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.ok_or_else(|| E::custom("expected pairs of hexadecimal digits"))
}

/// Parses the bytes of `{"blob": …}`. Rejects any other tag.
#[cfg(feature = "typed")]
pub(crate) fn parse_blob<E: Error>(tag: &str, text: &str) -> Result<Vec<u8>, E> {
    if tag == BLOB { parse_hex(text) } else { Err(E::unknown_field(tag, &[BLOB])) }
}

/// The member `key`: a value, or an array of values for a key of several columns.
pub(super) enum KeyValues {
    One(OwnedValue),
    Several(Vec<OwnedValue>),
}

struct ValueVisitor {
    allow_array: bool,
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = KeyValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a number, a string, or an object with one of int, real, text and blob")?;
        f.write_str(if self.allow_array { ", or an array of these" } else { "" })
    }

    fn visit_unit<E: Error>(self) -> Result<KeyValues, E> {
        Ok(KeyValues::One(OwnedValue::Null))
    }

    fn visit_none<E: Error>(self) -> Result<KeyValues, E> {
        self.visit_unit()
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<KeyValues, E> {
        Ok(KeyValues::One(OwnedValue::Integer(integer)))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<KeyValues, E> {
        match i64::try_from(integer) {
            Ok(integer) => self.visit_i64(integer),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(integer), &"an integer of 64 bits with a sign")),
        }
    }

    fn visit_f64<E: Error>(self, real: f64) -> Result<KeyValues, E> {
        if real.is_nan() {
            Err(E::custom("NaN is not a value in SQLite"))
        } else {
            Ok(KeyValues::One(OwnedValue::Real(real)))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<KeyValues, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<KeyValues, E> {
        Ok(KeyValues::One(OwnedValue::Text(text.into_bytes())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KeyValues, A::Error> {
        let Some((tag, text)) = map.next_entry::<String, String>()? else {
            return Err(A::Error::invalid_length(0, &self));
        };
        if map.next_key::<String>()?.is_some() {
            return Err(A::Error::invalid_length(2, &self));
        }
        OwnedValue::parse_tagged(&tag, &text).map(KeyValues::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<KeyValues, A::Error> {
        if !self.allow_array {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(KeyValues::Several(values))
    }
}

impl<'de> Deserialize<'de> for KeyValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor { allow_array: true })
    }
}

impl<'de> Deserialize<'de> for OwnedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(ValueVisitor { allow_array: false })? {
            KeyValues::One(value) => Ok(value),
            // unreachable, as arrays are not allowed
            KeyValues::Several(_) => Err(D::Error::custom("an array is not a value")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn values_are_plain_only_if_every_reader_preserves_them() {
        let json = |value: Value<'_>| serde_json::to_string(&value).unwrap();
        for (value, text) in [
            (Value::Null, "null"),
            (Value::Integer(-5), "-5"),
            (Value::Integer(MAX_SAFE as i64), "9007199254740991"),
            (Value::Integer(MAX_SAFE as i64 + 1), r#"{"int":"9007199254740992"}"#),
            (Value::Integer(i64::MIN), r#"{"int":"-9223372036854775808"}"#),
            (Value::Real(19.99), "19.99"),
            (Value::Real(-1.5e-7), "-1.5e-7"),
            (Value::Real(1.0), r#"{"real":"1.0"}"#),
            (Value::Real(-0.0), r#"{"real":"-0.0"}"#),
            (Value::Real(1e300), r#"{"real":"1e300"}"#),
            (Value::Real(5e-324), r#"{"real":"5e-324"}"#),
            (Value::Real(0.1 + 0.2), r#"{"real":"0.30000000000000004"}"#),
            (Value::Real(f64::NEG_INFINITY), r#"{"real":"-Infinity"}"#),
            (Value::Text("a\0\"é".as_bytes()), r#""a\u0000\"é""#),
            (Value::Text(&[0xff, 0]), r#"{"text":"ff00"}"#),
            (Value::Blob(&[]), r#"{"blob":""}"#),
            (Value::Blob(&[0, 0xaf]), r#"{"blob":"00af"}"#),
        ] {
            assert_eq!(json(value), text);
            let read: OwnedValue = serde_json::from_str(text).unwrap();
            assert_eq!(json(read.as_value()), text, "round trip");
        }
        assert_eq!(json(Value::Real(f64::NAN)), "null");
    }

    /// Reads a real as fast JSON readers do: all digits as one integer, then one division.
    fn read_fast(text: &str) -> f64 {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: u64 = [whole.trim_start_matches('-'), fraction].concat().parse().unwrap();
        let power = exponent.parse::<i32>().unwrap() - fraction.len() as i32;
        let power_of_ten: f64 = alloc::format!("1e{}", power.abs()).parse().unwrap();
        let real = if power < 0 { digits as f64 / power_of_ten } else { digits as f64 * power_of_ten };
        if mantissa.starts_with('-') { -real } else { real }
    }

    #[test]
    fn plain_reals_are_read_exactly_by_a_fast_reader() {
        let (mut state, mut plain) = (1u64, 0);
        for digits in 0..200_000i32 {
            // xorshift: random bits, and a number with few digits
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let bits = f64::from_bits(state);
            let short = (state >> 12) as f64 / 10f64.powi(digits % 30);
            for real in [bits, short, -(((state % 1_000_000) as f64) / 1000.0)] {
                if is_plain(real) {
                    plain += 1;
                    assert_eq!(read_fast(&serde_json::to_string(&real).unwrap()), real);
                }
            }
        }
        assert!(plain > 100_000, "{plain}");
    }

    #[test]
    fn json_that_is_not_a_value_is_rejected() {
        for text in [
            "true",
            "[1]",
            "{}",
            "18446744073709551615",
            r#"{"int":5}"#,
            r#"{"int":"9223372036854775808"}"#,
            r#"{"int":"1","int":"1"}"#,
            r#"{"real":"NaN"}"#,
            r#"{"blob":"0"}"#,
            r#"{"blob":"é"}"#,
            r#"{"text":"+1"}"#,
            r#"{"date":"today"}"#,
        ] {
            let read = serde_json::from_str::<OwnedValue>(text);
            assert!(read.is_err(), "{text}: {read:?}");
        }
        assert_eq!(serde_json::from_str::<OwnedValue>("1.0").unwrap(), OwnedValue::Real(1.0));
        let error = serde_json::from_str::<OwnedValue>(r#"{"date":"today"}"#).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `date`, expected one of `int`, `real`, `text`, `blob`"), "{error}");
    }
}
