//! In which order the changes of a table are made.
//!
//! A session writes the changes of a table in the order of its hash table. In the order of their keys they are far kinder to a
//! b-tree that does not fit into the cache, and nobody can rely on another: SQLite says that there is none. But where a change has
//! effects beyond its row the order can show, and so [`SchemaFeatures`] and the schema are asked.
//!
//! Where rows exchange the values of a UNIQUE column, key order would be as bad as any other: SQLite tries what is in each other's
//! way again and again. There, a change comes after the one that gives up the value that it needs.

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

/// So many changes are worth key order: fewer are in the cache. Fuzzing is to try it on small inputs.
const MIN_FOR_KEY_ORDER: u64 = if cfg!(fuzzing) { 4 } else { 1000 };

/// So many changes are worth it to find out which gives up a value that another needs.
const MIN_FOR_UNIQUE_ORDER: u64 = if cfg!(fuzzing) { 2 } else { 32 };

/// What has been stats of a section.
pub(super) struct SectionStats<'a> {
    table: &'a str,
    changes: u64,
    last: Option<Record<'a>>,
    is_ascending: bool,
    has_inserts: bool,
    has_deletes: bool,
    /// The columns that UPDATEs set.
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

    /// Whether there may be changes that give up what others need.
    fn is_mixed(&self) -> bool {
        self.set.contains(&true) || (self.has_inserts && self.has_deletes)
    }

    /// Whether another order can be better at all.
    pub(super) fn may_benefit(&self) -> bool {
        (self.changes >= MIN_FOR_KEY_ORDER && !self.is_ascending)
            || (self.changes >= MIN_FOR_UNIQUE_ORDER && self.is_mixed())
    }
}

/// Settings to order the changes of a table, in sections that are worth it.
struct OrderPlan {
    /// The table, in lower case.
    table: String,
    /// The UNIQUE indexes whose values some changes give up and others need, by their columns.
    unique: Vec<Vec<usize>>,
    /// What the columns of the key make of values.
    key: Vec<Affinity>,
}

impl OrderPlan {
    /// Whether keys of other bytes are other rows in the database too: else a DELETE and an INSERT of one row could change places.
    /// A column can take the text '1' for the number, and 1.0 for the integer; and a real keeps no large integer.
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

/// Settings to order the changes of all tables that can be ordered.
#[derive(Default)]
pub(super) struct OrderPlans(Vec<OrderPlan>);

impl OrderPlans {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, table: &str) -> Option<&OrderPlan> {
        self.0.iter().find(|plan| plan.table.eq_ignore_ascii_case(table))
    }

    /// Decides about a table, by one of its sections.
    pub(super) fn add(
        &mut self,
        connection: Connection<'_>,
        features: &SchemaFeatures,
        stats: &SectionStats<'_>,
        format: Format,
        foreign_keys_act: bool,
    ) -> Result<(), SqliteError> {
        let table = stats.table;
        let lower = table.to_ascii_lowercase();
        if features.shows_order(connection, &lower, foreign_keys_act)? {
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
                // which values a patchset gives up is not known, and which an expression has neither
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

/// The changes of checked bytes, those of some tables in a better order.
pub(super) struct OrderedChanges<'a> {
    sections: SortableSections<'a>,
    plans: OrderPlans,
    is_inverted: bool,
    section: Option<SortedSection<'a>>,
    /// The places of the section's changes, where their order is not that of the section.
    order: Option<Vec<u32>>,
    next: usize,
}

impl<'a> OrderedChanges<'a> {
    pub(super) fn new(bytes: &'a [u8], format: Format, plans: OrderPlans, is_inverted: bool) -> Self {
        let sections = SortableSections::new(bytes, format);
        Self { sections, plans, is_inverted, section: None, order: None, next: 0 }
    }

    /// The next change of the section.
    fn change(&mut self) -> Option<&'a [u8]> {
        let section = self.section.as_ref()?;
        let place = |next: usize| match &self.order {
            Some(order) => order.get(next).map(|at| *at as usize),
            None => Some(next),
        };
        let next = self.next;
        if next % FETCH_COUNT == 0 {
            section.fetch((next..next.saturating_add(FETCH_COUNT)).filter_map(place));
        }
        self.next = next.saturating_add(1);
        section.change(place(next)?)
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

/// What a change does to the rows of a table.
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
        self.record.key_ordinals().get(column).is_some_and(|place| *place != 0)
    }

    /// Whether it is an UPDATE that sets one of these columns.
    fn is_update_of(&self, columns: &[usize]) -> bool {
        self.record.operation() == Operation::Update && columns.iter().any(|column| self.knows_new(*column))
    }

    fn knows_new(&self, column: usize) -> bool {
        !self.is_key(column) && self.record.new_value(column).is_some()
    }

    /// Whether an UPDATE says what the column holds.
    fn knows(&self, column: usize) -> bool {
        self.is_key(column) || self.knows_new(column)
    }

    /// What the columns held before and hold after, if that is known and can be in the way: no two NULLs are.
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

/// Puts what gives up a value before what needs it. Where that goes round in a circle, SQLite is left to find out.
struct UniqueOrder<'s, 'a> {
    section: &'s SortedSection<'a>,
    /// For each index, the columns by which its values are told from each other.
    unique: Vec<Vec<usize>>,
    is_inverted: bool,
    with: RandomState,
    /// The changes that give up a value, by its hash.
    releases: Vec<(u64, u32)>,
    /// From a value's hash to the next of `releases` that is to come before those that need the value.
    next: HashMap<u64, usize>,
    /// Which changes are in the order, or about to be.
    begun: Vec<bool>,
    order: Vec<u32>,
}

impl<'s, 'a> UniqueOrder<'s, 'a> {
    /// The order, if it is not that of the section.
    fn order(section: &'s SortedSection<'a>, unique: &[Vec<usize>], is_inverted: bool) -> Option<Vec<u32>> {
        let count = u32::try_from(section.len()).ok().filter(|_| !unique.is_empty())?;
        let mut release = Self {
            section,
            unique: Vec::new(),
            is_inverted,
            with: RandomState::new(),
            releases: Vec::new(),
            next: HashMap::new(),
            begun: vec![false; section.len()],
            order: Vec::with_capacity(section.len()),
        };
        release.unique = unique.iter().map(|columns| release.known(columns)).collect();
        for at in 0..count {
            for (before, _) in release.values(at) {
                release.releases.extend(before.map(|before| (before, at)));
            }
        }
        release.releases.sort_unstable();
        for (place, (hash, _)) in release.releases.iter().enumerate() {
            release.next.entry(*hash).or_insert(place);
        }
        (0..count).for_each(|at| release.put(at));
        Some(release.order)
    }

    fn effect(&self, at: u32) -> Option<ChangeEffect<'a>> {
        Some(ChangeEffect { record: self.section.record(at as usize)?, is_inverted: self.is_inverted })
    }

    /// Those of an index's columns of which all UPDATEs of it know what they hold; or else the one that is set most often.
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

    /// What a change gives up and what it needs, for each index of which it says that.
    fn values(&self, at: u32) -> Vec<(Option<u64>, Option<u64>)> {
        let Some(effect) = self.effect(at) else { return Vec::new() };
        let is_update = effect.record.operation() == Operation::Update;
        let columns = self.unique.iter().enumerate();
        let values =
            columns.filter(|(_, columns)| !is_update || effect.is_update_of(columns)).map(|(index, columns)| {
                let (before, after) = effect.hashes(columns, &self.with);
                let of_index = |hash: u64| hash.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                (before.map(of_index), after.map(of_index))
            });
        values.collect()
    }

    /// The next change that gives up a value.
    fn next_giver(&mut self, value: u64) -> Option<u32> {
        let place = self.next.get_mut(&value)?;
        let (hash, at) = *self.releases.get(*place)?;
        *place = place.saturating_add(1);
        (hash == value).then_some(at)
    }

    /// Puts a change into the order, behind those that must come first.
    fn put(&mut self, at: u32) {
        let mut waiting: Vec<(u32, Vec<u64>)> = Vec::new();
        self.begin(at, &mut waiting);
        while let Some((at, needs)) = waiting.last_mut() {
            let at = *at;
            match needs.last().copied() {
                None => {
                    self.order.push(at);
                    waiting.pop();
                }
                Some(value) => match self.next_giver(value) {
                    Some(giver) => self.begin(giver, &mut waiting),
                    None => {
                        needs.pop();
                    }
                },
            }
        }
    }

    fn begin(&mut self, at: u32, waiting: &mut Vec<(u32, Vec<u64>)>) {
        if let Some(begun) = self.begun.get_mut(at as usize).filter(|begun| !**begun) {
            *begun = true;
            let needs = self.values(at).into_iter().filter_map(|(_, after)| after).collect();
            waiting.push((at, needs));
        }
    }
}
