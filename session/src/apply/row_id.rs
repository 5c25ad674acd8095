//! The rows that changes are about, as numbers.
//!
//! Invariant: two keys that SQLite considers equal have the same number. Different keys can have
//! the same number too, which only means that their changes wait for each other.

use std::collections::hash_map::RandomState;
use std::format;
use std::hash::{BuildHasher, Hash, Hasher};
use std::vec::Vec;

use crate::schema::{Affinity, KeyCollation, KeyComparison, is_preserved};
use crate::wire::Value;

/// The number of a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct RowId(u64);

/// Computes the numbers of the rows of one table.
pub(super) struct RowIds {
    comparisons: Vec<KeyComparison>,
    seed: RandomState,
}

impl RowIds {
    pub(super) fn new(comparisons: Vec<KeyComparison>) -> Self {
        Self { comparisons, seed: RandomState::new() }
    }

    /// Returns how the columns of the key compare values, in column order.
    pub(super) fn comparisons(&self) -> &[KeyComparison] {
        &self.comparisons
    }

    /// Returns the reals of a primary key that SQLite stores as texts. It decides how they look.
    pub(super) fn reals_in_texts<'v>(&self, key: impl Iterator<Item = Value<'v>>) -> impl Iterator<Item = Value<'v>> {
        let columns = key.zip(&self.comparisons).filter(|(_, comparison)| comparison.affinity == Affinity::Text);
        columns.map(|(value, _)| value).filter(|value| matches!(value, Value::Real(_)))
    }

    /// Returns the number of the row with this primary key, whose values are in column order. `texts`
    /// are the texts of its [`reals_in_texts`](Self::reals_in_texts).
    pub(super) fn of<'v>(&self, key: impl Iterator<Item = Value<'v>>, texts: &[Vec<u8>]) -> RowId {
        let (mut hasher, mut texts) = (self.seed.build_hasher(), texts.iter());
        for (value, comparison) in key.zip(&self.comparisons) {
            let text = match value {
                Value::Real(_) if comparison.affinity == Affinity::Text => texts.next().map(|text| Value::Text(text)),
                _ => None,
            };
            add(text.unwrap_or(value), *comparison, &mut hasher);
        }
        RowId(hasher.finish())
    }
}

/// Adds a value in the form in which a column with this affinity and collation compares it.
fn add(value: Value<'_>, comparison: KeyComparison, hasher: &mut impl Hasher) {
    let KeyComparison { affinity, collation, replaces_characters } = comparison;
    match value {
        Value::Text(text) if replaces_characters && !is_preserved(text) => 5u8.hash(hasher),
        Value::Null => 0u8.hash(hasher),
        Value::Integer(integer) if affinity == Affinity::Text => {
            add_text(format!("{integer}").as_bytes(), collation, hasher);
        }
        Value::Integer(integer) => add_number(Number::Integer(integer), affinity, hasher),
        Value::Real(real) => add_number(Number::Real(real), affinity, hasher),
        Value::Text(text) => match number_in(text).filter(|_| matches!(affinity, Affinity::Number | Affinity::Real)) {
            Some(number) => add_number(number, affinity, hasher),
            None => add_text(text, collation, hasher),
        },
        Value::Blob(bytes) => (3u8, bytes).hash(hasher),
    }
}

#[derive(Clone, Copy)]
enum Number {
    Integer(i64),
    Real(f64),
}

fn add_number(number: Number, affinity: Affinity, hasher: &mut impl Hasher) {
    let number = match number {
        Number::Integer(integer) if affinity == Affinity::Real => Number::Real(integer as f64),
        number => number,
    };
    match number {
        Number::Integer(integer) => (1u8, integer).hash(hasher),
        // an integer that is stored as a real equals the integer
        Number::Real(real) if real.fract() == 0.0 && real.abs() <= 9_223_372_036_854_775_808.0 => {
            (1u8, real as i64).hash(hasher);
        }
        Number::Real(real) => (2u8, real.to_bits()).hash(hasher),
    }
}

fn add_text(text: &[u8], collation: KeyCollation, hasher: &mut impl Hasher) {
    match collation {
        KeyCollation::Binary => (5u8, text).hash(hasher),
        // SQLite compares texts without regard to case up to a NUL, and then their lengths
        KeyCollation::NoCase => {
            let compared = text.split(|byte| *byte == 0).next().unwrap_or_default();
            (5u8, compared.to_ascii_lowercase().as_slice(), text.len()).hash(hasher);
        }
        KeyCollation::RightTrim => (5u8, text.trim_ascii_end()).hash(hasher),
        KeyCollation::Other => 5u8.hash(hasher),
    }
}

/// Returns the number that a column of a numeric type stores instead of this text.
fn number_in(text: &[u8]) -> Option<Number> {
    let text = core::str::from_utf8(text).ok()?;
    let text = text.trim_matches(|char: char| char.is_ascii_whitespace() || char == '\x0b');
    if !is_numeric(text.as_bytes()) {
        return None;
    }
    match text.parse() {
        Ok(integer) => Some(Number::Integer(integer)),
        Err(_) => text.parse().ok().map(Number::Real),
    }
}

/// Returns whether a text can be a number in SQLite: Rust also reads `inf` and `NaN`.
fn is_numeric(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
        && text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_have_equal_numbers() {
        let text = |text: &'static str| Value::Text(text.as_bytes());
        let equal = |affinity, collation, one: Value<'_>, other: Value<'_>| {
            let ids = RowIds::new(Vec::from([KeyComparison { affinity, collation, replaces_characters: false }]));
            ids.of([one].into_iter(), &[]) == ids.of([other].into_iter(), &[])
        };
        use KeyCollation::{Binary, NoCase, Other, RightTrim};
        for (affinity, collation, one, other) in [
            (Affinity::Number, Binary, Value::Integer(1), text("1")),
            (Affinity::Number, Binary, Value::Integer(1), text(" 1.0 ")),
            (Affinity::Number, Binary, Value::Real(1.5), text("15e-1")),
            (Affinity::Blob, Binary, Value::Integer(1), Value::Real(1.0)),
            (Affinity::Real, Binary, Value::Integer(i64::MAX), Value::Real(9_223_372_036_854_775_807.0)),
            (Affinity::Text, Binary, Value::Integer(-7), text("-7")),
            (Affinity::Text, NoCase, text("Ada"), text("ADA")),
            (Affinity::Text, RightTrim, text("Ada"), text("Ada  ")),
            (Affinity::Text, Other, text("Ada"), text("Bob")),
        ] {
            assert!(equal(affinity, collation, one, other), "{affinity:?} {one:?} {other:?}");
        }
        for (affinity, one, other) in [
            (Affinity::Number, Value::Integer(1), Value::Integer(2)),
            (Affinity::Blob, Value::Integer(1), text("1")),
            (Affinity::Text, text("Ada"), text("ADA")),
            (Affinity::Text, text("1.5"), text("2.5")),
            (Affinity::Blob, text("a"), Value::Blob(b"a")),
        ] {
            assert!(!equal(affinity, Binary, one, other), "{affinity:?} {one:?} {other:?}");
        }
    }

    #[test]
    fn reals_are_compared_as_their_texts() {
        let [text, number] = [Affinity::Text, Affinity::Number].map(|affinity| KeyComparison {
            affinity,
            collation: KeyCollation::Binary,
            replaces_characters: false,
        });
        let ids = RowIds::new(Vec::from([number, text]));
        let key = || [Value::Real(2.5), Value::Real(1.5)].into_iter();
        assert_eq!(ids.reals_in_texts(key()).collect::<Vec<_>>(), [Value::Real(1.5)]);
        let stored = [Value::Real(2.5), Value::Text(b"1.5")].into_iter();
        assert_eq!(ids.of(key(), &[b"1.5".to_vec()]), ids.of(stored, &[]));
    }

    #[test]
    fn texts_that_utf_16_replaces_have_equal_numbers() {
        let comparison =
            KeyComparison { affinity: Affinity::Text, collation: KeyCollation::Binary, replaces_characters: true };
        let ids = RowIds::new(Vec::from([comparison]));
        let of = |text: &'static [u8]| ids.of([Value::Text(text)].into_iter(), &[]);
        for other in ["\u{fffe}".as_bytes(), "\u{ffff}".as_bytes(), b"\xed\xa0\x80", b"\xff", b"\xc0\x80"] {
            assert_eq!(of(other), of("\u{fffd}".as_bytes()), "{other:?}");
        }
        assert!(of(b"a") != of(b"b") && of(b"a") != of(b"\xff"));
    }
}
