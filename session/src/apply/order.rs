//! The order in which the changes of a table are applied.
//!
//! - **Key order.** A session writes the changes of a table in the order of its hash table. In the
//!   order of their primary keys, the changes are faster to apply to a b-tree that does not fit
//!   into the cache. SQLite documents the order as undefined. But if a change has effects beyond
//!   its row, the order can be observed. [`SchemaFeatures`] and the schema determine whether.
//! - **Unique order.** If rows exchange the values of a UNIQUE column, SQLite retries the changes
//!   that block each other again and again, in key order too. Then each change follows the change
//!   that releases the value it needs.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::feed::ChangeSource;
use super::schema_features::SchemaFeatures;
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::schema::{Affinity, LiveTable};
use crate::wire::{FETCH_COUNT, Format, KeyClasses, Operation, Record, SortableSections, SortedSection, Value};

/// The number of changes from which key order pays off: fewer stay in the cache. Small for fuzzing,
/// which uses small inputs.
const MIN_FOR_KEY_ORDER: u64 = if cfg!(fuzzing) { 4 } else { 1000 };

/// The number of changes from which it pays off to find out which change releases a value that
/// another needs.
const MIN_FOR_UNIQUE_ORDER: u64 = if cfg!(fuzzing) { 2 } else { 32 };

/// Statistics of the changes of a section, collected during the check.
pub(super) struct SectionStats<'a> {
    table: &'a str,
    changes: u64,
    last: Option<Record<'a>>,
    is_ascending: bool,
    has_inserts: bool,
    has_deletes: bool,
    /// Whether an UPDATE sets the column.
    set: Vec<bool>,
}

impl<'a> SectionStats<'a> {
    pub(super) fn new(first: &Record<'a>) -> Self {
        let (table, set) = (first.table(), vec![false; first.column_count()]);
        Self { table, changes: 0, last: None, is_ascending: true, has_inserts: false, has_deletes: false, set }
    }

    pub(super) fn add(&mut self, record: &Record<'a>) {
        self.changes += 1;
        if self.is_ascending {
            self.is_ascending = self.last.is_none_or(|last| record.is_above(&last));
            self.last = Some(*record);
        }
        match record.operation() {
            Operation::Insert => self.has_inserts = true,
            Operation::Delete => self.has_deletes = true,
            Operation::Update => {
                for (set, (_, _, new)) in self.set.iter_mut().zip(record.update_columns()) {
                    *set |= new.is_some();
                }
            }
        }
    }

    pub(super) fn table(&self) -> &'a str {
        self.table
    }

    /// Returns whether a change may release a value that another needs.
    fn is_mixed(&self) -> bool {
        self.set.contains(&true) || (self.has_inserts && self.has_deletes)
    }

    /// Returns whether another order may be faster.
    pub(super) fn may_benefit(&self) -> bool {
        (self.changes >= MIN_FOR_KEY_ORDER && !self.is_ascending)
            || (self.changes >= MIN_FOR_UNIQUE_ORDER && self.is_mixed())
    }
}

/// The order of the changes of one table, for sections that are large enough.
struct OrderPlan {
    /// The table, in lower case.
    table: String,
    /// The columns of each UNIQUE index of which some changes release values that others need.
    unique: Vec<Vec<usize>>,
    /// The affinities of the primary key's columns.
    key: Vec<Affinity>,
}

impl OrderPlan {
    /// Returns whether keys with different bytes are always different rows in the database.
    /// Otherwise a DELETE and an INSERT of the same row could be swapped.
    ///
    /// A column can convert the text '1' to a number, or 1.0 to an integer, and a REAL column does
    /// not preserve large integers.
    fn distinguishes_keys(&self, section: &SortedSection<'_>) -> bool {
        let classes = section.key_classes();
        classes.len() == self.key.len()
            && classes.iter().zip(&self.key).all(|(classes, affinity)| match *classes {
                KeyClasses::INTEGERS => *affinity != Affinity::Real,
                KeyClasses::TEXTS => matches!(affinity, Affinity::Text | Affinity::Blob),
                classes => classes == KeyClasses::BLOBS,
            })
    }
}

/// The orders of all tables whose changes may be reordered.
#[derive(Default)]
pub(super) struct OrderPlans(Vec<OrderPlan>);

impl OrderPlans {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, table: &str) -> Option<&OrderPlan> {
        self.0.iter().find(|plan| plan.table.eq_ignore_ascii_case(table))
    }

    /// Decides about a table after one of its sections has been checked.
    pub(super) fn add(
        &mut self,
        connection: Connection<'_>,
        features: &SchemaFeatures,
        stats: &SectionStats<'_>,
        format: Format,
        foreign_key_actions: bool,
    ) -> Result<(), SqliteError> {
        let table = stats.table;
        let lower = table.to_ascii_lowercase();
        if features.shows_order(connection, &lower, foreign_key_actions)? {
            return Ok(());
        }
        let mut unique = Vec::new();
        if stats.is_mixed() {
            for columns in LiveTable::unique_indexes(connection, table)? {
                let is_set = |column: &Option<usize>| column.is_none_or(|column| stats.set.get(column) == Some(&true));
                let updates = stats.set.contains(&true) && columns.iter().any(is_set);
                let (releases, needs) = (stats.has_deletes || updates, stats.has_inserts || updates);
                if !(releases && needs) {
                    continue;
                }
                // a patchset does not contain the released values, and the values of an expression
                // are unknown
                match columns.into_iter().collect::<Option<Vec<usize>>>() {
                    Some(columns) if format == Format::Changeset => unique.push(columns),
                    _ => return Ok(()),
                }
            }
        }
        if unique.is_empty() && (stats.is_ascending || stats.changes < MIN_FOR_KEY_ORDER) {
            return Ok(());
        }
        if let Some(plan) = self.0.iter_mut().find(|plan| plan.table == lower) {
            plan.unique.extend(unique);
        } else if let Some(key) = LiveTable::key_affinities(connection, table, features.has_collations(&lower))? {
            self.0.push(OrderPlan { table: lower, unique, key });
        }
        Ok(())
    }
}

/// Checked changes, with the sections of some tables in a better order.
pub(super) struct OrderedChanges<'a> {
    sections: SortableSections<'a>,
    plans: OrderPlans,
    is_inverted: bool,
    section: Option<SortedSection<'a>>,
    /// The positions of the section's changes in the new order, if it differs from the original
    /// order.
    order: Option<Vec<u32>>,
    next: usize,
}

impl<'a> OrderedChanges<'a> {
    pub(super) fn new(bytes: &'a [u8], format: Format, plans: OrderPlans, is_inverted: bool) -> Self {
        let sections = SortableSections::new(bytes, format);
        Self { sections, plans, is_inverted, section: None, order: None, next: 0 }
    }

    /// Returns the next change of the section.
    fn change(&mut self) -> Option<&'a [u8]> {
        let section = self.section.as_ref()?;
        let position = |next: usize| match &self.order {
            Some(order) => order.get(next).map(|at| *at as usize),
            None => Some(next),
        };
        let next = self.next;
        if next % FETCH_COUNT == 0 {
            section.fetch((next..next.saturating_add(FETCH_COUNT)).filter_map(position));
        }
        self.next = next.saturating_add(1);
        section.change(position(next)?)
    }
}

impl ChangeSource for OrderedChanges<'_> {
    fn add_change(&mut self, out: &mut Vec<u8>) -> bool {
        loop {
            if let Some(change) = self.change() {
                out.extend_from_slice(change);
                return true;
            }
            let Some(mut section) = self.sections.advance(self.section.take()) else { return false };
            (self.order, self.next) = (None, 0);
            let may_benefit = |plan: &&OrderPlan| {
                section.len() as u64 >= if plan.unique.is_empty() { MIN_FOR_KEY_ORDER } else { MIN_FOR_UNIQUE_ORDER }
            };
            let plan = self.plans.get(section.table()).filter(may_benefit);
            if let Some(plan) = plan.filter(|plan| plan.distinguishes_keys(&section)) {
                section.sort();
                self.order = UniqueOrder::order(&section, &plan.unique, self.is_inverted);
            }
            if section.len() > 0 {
                section.write_header(out);
            }
            self.section = Some(section);
        }
    }
}

/// The effect of a change on the rows of a table.
struct ChangeEffect<'a> {
    record: Record<'a>,
    is_inverted: bool,
}

impl<'a> ChangeEffect<'a> {
    fn values(&self, column: usize) -> (Option<Value<'a>>, Option<Value<'a>>) {
        let (old, new) = (self.record.old_value(column), self.record.new_value(column));
        if self.is_inverted { (new, old) } else { (old, new) }
    }

    fn is_key(&self, column: usize) -> bool {
        self.record.key_ordinals().get(column).is_some_and(|position| *position != 0)
    }

    /// Returns whether this is an UPDATE that sets one of these columns.
    fn is_update_of(&self, columns: &[usize]) -> bool {
        self.record.operation() == Operation::Update && columns.iter().any(|column| self.knows_new(*column))
    }

    fn knows_new(&self, column: usize) -> bool {
        !self.is_key(column) && self.record.new_value(column).is_some()
    }

    /// Returns whether an UPDATE contains the resulting value of the column.
    fn knows(&self, column: usize) -> bool {
        self.is_key(column) || self.knows_new(column)
    }

    /// Returns hashes of the columns' values before and after the change. A hash is `None` if a
    /// value is unknown, or NULL, which never conflicts.
    fn hashes(&self, columns: &[usize], with: &RandomState) -> (Option<u64>, Option<u64>) {
        let (mut before, mut after) = (Some(with.build_hasher()), Some(with.build_hasher()));
        for column in columns {
            let (mut old, mut new) = self.values(*column);
            if self.record.operation() == Operation::Update && self.is_key(*column) {
                (old, new) = (old.or(new), new.or(old));
            }
            before = before.take().and_then(|hasher| add(hasher, old));
            after = after.take().and_then(|hasher| add(hasher, new));
        }
        (before.map(|hasher| hasher.finish()), after.map(|hasher| hasher.finish()))
    }
}

fn add<H: Hasher>(mut hasher: H, value: Option<Value<'_>>) -> Option<H> {
    match value? {
        Value::Null => return None,
        Value::Integer(integer) => integer.hash(&mut hasher),
        Value::Real(real) => real.to_bits().hash(&mut hasher),
        Value::Text(bytes) | Value::Blob(bytes) => bytes.hash(&mut hasher),
    }
    Some(hasher)
}

/// The order in which each change follows the changes that release the values it needs. Cycles are
/// left to SQLite.
struct UniqueOrder<'s, 'a> {
    section: &'s SortedSection<'a>,
    /// The columns that distinguish the values of each index.
    unique: Vec<Vec<usize>>,
    is_inverted: bool,
    hasher: RandomState,
    /// The changes that release a value, by the hash of the value.
    releases: Vec<(u64, u32)>,
    /// For the hash of each value, the position in `releases` of the next change to place before
    /// those that need the value.
    next: HashMap<u64, usize>,
    /// Whether a change is in the order, or waits for others.
    placed: Vec<bool>,
    order: Vec<u32>,
}

impl<'s, 'a> UniqueOrder<'s, 'a> {
    /// Returns the order, or `None` if there is no UNIQUE index to consider.
    fn order(section: &'s SortedSection<'a>, unique: &[Vec<usize>], is_inverted: bool) -> Option<Vec<u32>> {
        let count = u32::try_from(section.len()).ok().filter(|_| !unique.is_empty())?;
        let mut unique_order = Self {
            section,
            unique: Vec::new(),
            is_inverted,
            hasher: RandomState::new(),
            releases: Vec::new(),
            next: HashMap::new(),
            placed: vec![false; section.len()],
            order: Vec::with_capacity(section.len()),
        };
        unique_order.unique = unique.iter().map(|columns| unique_order.known(columns)).collect();
        for at in 0..count {
            for (before, _) in unique_order.values(at) {
                unique_order.releases.extend(before.map(|before| (before, at)));
            }
        }
        unique_order.releases.sort_unstable();
        for (position, (hash, _)) in unique_order.releases.iter().enumerate() {
            unique_order.next.entry(*hash).or_insert(position);
        }
        (0..count).for_each(|at| unique_order.place(at));
        Some(unique_order.order)
    }

    fn effect(&self, at: u32) -> Option<ChangeEffect<'a>> {
        Some(ChangeEffect { record: self.section.record(at as usize)?, is_inverted: self.is_inverted })
    }

    /// Returns the columns of an index whose values are known in all UPDATEs of the index;
    /// otherwise the column that is known most often.
    fn known(&self, columns: &[usize]) -> Vec<usize> {
        let (mut updates, mut known) = (0, vec![0; columns.len()]);
        for effect in (0..self.section.len()).filter_map(|at| self.effect(at as u32)) {
            if effect.is_update_of(columns) {
                updates += 1;
                known.iter_mut().zip(columns).for_each(|(count, column)| *count += u64::from(effect.knows(*column)));
            }
        }
        let most = known.iter().copied().max().unwrap_or(0);
        let chosen = columns.iter().zip(known).filter(|(_, count)| *count == most).map(|(column, _)| *column);
        if most == updates { chosen.collect() } else { chosen.take(1).collect() }
    }

    /// Returns the hashes of the released and the needed value of a change, for each index that the
    /// change affects.
    fn values(&self, at: u32) -> Vec<(Option<u64>, Option<u64>)> {
        let Some(effect) = self.effect(at) else { return Vec::new() };
        let is_update = effect.record.operation() == Operation::Update;
        let columns = self.unique.iter().enumerate();
        let values =
            columns.filter(|(_, columns)| !is_update || effect.is_update_of(columns)).map(|(index, columns)| {
                let (before, after) = effect.hashes(columns, &self.hasher);
                let of_index = |hash: u64| hash.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                (before.map(of_index), after.map(of_index))
            });
        values.collect()
    }

    /// Returns the next change that releases a value.
    fn next_releasing(&mut self, value: u64) -> Option<u32> {
        let position = self.next.get_mut(&value)?;
        let (hash, at) = *self.releases.get(*position)?;
        *position = position.saturating_add(1);
        (hash == value).then_some(at)
    }

    /// Appends a change to the order, after those that must precede it.
    fn place(&mut self, at: u32) {
        let mut waiting: Vec<(u32, Vec<u64>)> = Vec::new();
        self.start(at, &mut waiting);
        while let Some((at, needs)) = waiting.last_mut() {
            let at = *at;
            match needs.last().copied() {
                None => {
                    self.order.push(at);
                    waiting.pop();
                }
                Some(value) => match self.next_releasing(value) {
                    Some(releasing) => self.start(releasing, &mut waiting),
                    None => {
                        needs.pop();
                    }
                },
            }
        }
    }

    fn start(&mut self, at: u32, waiting: &mut Vec<(u32, Vec<u64>)>) {
        if let Some(placed) = self.placed.get_mut(at as usize).filter(|placed| !**placed) {
            *placed = true;
            let needs = self.values(at).into_iter().filter_map(|(_, after)| after).collect();
            waiting.push((at, needs));
        }
    }
}
