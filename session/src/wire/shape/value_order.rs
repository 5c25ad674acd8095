//! The order of SQLite's values with the collation BINARY, and 64-bit prefixes in this order.

use core::cmp::Ordering;

use crate::wire::codec::value::Value;

/// The number of bytes in the prefix of a text or blob.
pub(super) const PREFIX_BYTES: usize = 7;

/// Returns the prefix of a text or blob: its first seven bytes, and in the lowest byte the number
/// of bytes, at most 8. The prefix of `a` is below that of `a\0`.
#[inline]
pub(super) fn prefix_of_bytes(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk::<8>() {
        return (u64::from_be_bytes(*eight) & !0xff) | 8;
    }
    let mut eight = [0; 8];
    eight.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(eight) | bytes.len() as u64
}

/// Returns whether a text or blob has more bytes than its prefix.
pub(super) fn has_more_bytes(prefix: u64) -> bool {
    prefix & 0xff == 8
}

/// Returns the prefix of an integer, which is unique.
#[inline]
pub(super) fn prefix_of_integer(integer: i64) -> u64 {
    (integer as u64) ^ (1 << 63)
}

/// Returns the prefix of a real, which is unique except that -0.0 equals 0.0.
#[inline]
pub(super) fn prefix_of_real(real: f64) -> u64 {
    let bits = if real == 0.0 { 0 } else { real.to_bits() };
    if bits >> 63 == 0 { bits | (1 << 63) } else { !bits }
}

/// Returns the rank of a value's class: numbers come before texts, and texts before blobs.
pub(super) fn class_rank(value: Value<'_>) -> u8 {
    match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    }
}

/// Compares two values as SQLite does with the collation BINARY.
pub(super) fn compare(one: Value<'_>, other: Value<'_>) -> Ordering {
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(&other),
        (Value::Real(one), Value::Real(other)) => prefix_of_real(one).cmp(&prefix_of_real(other)),
        (Value::Integer(one), Value::Real(other)) => compare_mixed(one, other),
        (Value::Real(one), Value::Integer(other)) => compare_mixed(other, one).reverse(),
        (Value::Text(one), Value::Text(other)) | (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        _ => class_rank(one).cmp(&class_rank(other)),
    }
}

/// Compares an integer with a real exactly. Neither type can represent all numbers of the other.
fn compare_mixed(integer: i64, real: f64) -> Ordering {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if real >= END {
        return Ordering::Less;
    }
    if real < -END {
        return Ordering::Greater;
    }
    let whole = real as i64;
    // if the whole parts are equal, the fraction decides
    integer.cmp(&whole).then_with(|| prefix_of_real(whole as f64).cmp(&prefix_of_real(real)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_reals_compare_exactly() {
        use Ordering::{Equal, Greater, Less};
        for (integer, real, expected) in [
            (1, 1.0, Equal),
            (1, 1.5, Less),
            (-1, -1.5, Greater),
            (0, -0.0, Equal),
            (0, -0.5, Greater),
            (i64::MAX, 9_223_372_036_854_775_808.0, Less),
            (i64::MIN, -9_223_372_036_854_775_808.0, Equal),
            ((1 << 53) + 1, 9_007_199_254_740_992.0, Greater),
            (i64::MIN, f64::NEG_INFINITY, Greater),
            (i64::MAX, f64::INFINITY, Less),
        ] {
            assert_eq!(compare(Value::Integer(integer), Value::Real(real)), expected, "{integer} {real}");
            assert_eq!(compare(Value::Real(real), Value::Integer(integer)), expected.reverse(), "{integer} {real}");
        }
    }

    #[test]
    fn prefixes_are_in_the_order_of_their_values() {
        let reals = [f64::NEG_INFINITY, -2.0, -0.5, -f64::MIN_POSITIVE, 0.0, 5e-324, 1.0, 1e300, f64::INFINITY];
        assert!(reals.windows(2).all(|pair| prefix_of_real(pair[0]) < prefix_of_real(pair[1])));
        assert_eq!(prefix_of_real(-0.0), prefix_of_real(0.0));
        let texts = ["", "\0", "\0\0", "a", "a\0", "aaaaaa", "aaaaaaa", "aaaaaaab", "b"];
        assert!(
            texts.windows(2).all(|pair| { prefix_of_bytes(pair[0].as_bytes()) < prefix_of_bytes(pair[1].as_bytes()) })
        );
        assert!(prefix_of_integer(i64::MIN) < prefix_of_integer(-1) && prefix_of_integer(-1) < prefix_of_integer(0));
    }
}
