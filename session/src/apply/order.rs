//! The order in which the changes of a table are applied.
//!
//! A session writes the changes of a table in the order of its hash table. In the order of their
//! primary keys, the changes are faster to apply to a b-tree that does not fit into the cache.
//! SQLite documents the order as undefined. But if a change has effects beyond its row, the order
//! can be observed; [`shows_order`](super::schema_features::shows_order) determines whether.

use crate::schema::{Affinity, KeyCollation, KeyComparison};
use crate::wire::{FETCH_COUNT, KeyClasses, Record, Section, SortedSection};

/// The number of changes from which key order pays off: fewer stay in the cache. Small for fuzzing,
/// which uses small inputs.
pub(super) const MIN_CHANGES: usize = if cfg!(fuzzing) { 4 } else { 1000 };

/// The changes of a section in key order. The changes of one row keep their order.
pub(super) struct KeyOrder<'a> {
    section: SortedSection<'a>,
}

impl<'a> KeyOrder<'a> {
    /// Sorts the changes of a section. Returns `None` if keys with different bytes can be the same
    /// row.
    pub(super) fn new(section: &Section<'a>, key: &[KeyComparison]) -> Option<Self> {
        let mut section = SortedSection::new(section);
        if !distinguishes_keys(&section, key) {
            return None;
        }
        section.sort();
        Some(Self { section })
    }

    /// Returns the changes in order.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'a>> {
        let section = &self.section;
        (0..section.len()).filter_map(move |at| {
            if at % FETCH_COUNT == 0 {
                section.fetch(at..section.len().min(at.saturating_add(FETCH_COUNT)));
            }
            section.record(at)
        })
    }
}

/// Returns whether keys with different bytes are always different rows in the database. Otherwise
/// two changes of the same row could be swapped.
///
/// A column can convert the text '1' to a number, or 1.0 to an integer, and a REAL column does not
/// preserve large integers.
fn distinguishes_keys(section: &SortedSection<'_>, key: &[KeyComparison]) -> bool {
    let classes = section.key_classes();
    classes.len() == key.len()
        && classes.iter().zip(key).all(|(classes, KeyComparison { affinity, collation, replaces_characters })| {
            // collations compare texts alone
            let is_binary = *collation == KeyCollation::Binary && !replaces_characters;
            match *classes {
                KeyClasses::INTEGERS => *affinity == Affinity::Number || (is_binary && *affinity != Affinity::Real),
                KeyClasses::TEXTS => is_binary && matches!(affinity, Affinity::Text | Affinity::Blob),
                classes => classes == KeyClasses::BLOBS,
            }
        })
}
