//! The changes of one table that a constraint has kept from being applied so far.
//!
//! Invariant: the changes of one row keep their order: only the first of them that is not finished
//! is tried. A change that needs a UNIQUE value waits for the row that has it, and is tried again
//! when a change of that row has been applied.

use std::collections::{HashMap, VecDeque};
use std::vec::Vec;

use super::row_id::RowId;
use crate::wire::codec::append::{records, write_header};
use crate::wire::{Format, Record};

/// What has been decided about a change that is not finished.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct ChangeState {
    /// Whether the application has decided to replace the row.
    pub(super) replaces: bool,
    /// Whether the row in the way of an INSERT has been deleted.
    pub(super) has_deleted_row: bool,
}

struct Entry {
    start: usize,
    end: usize,
    row: RowId,
    state: ChangeState,
    /// The row whose change has to come first, if there is such a row.
    waits_for: Option<RowId>,
    is_finished: bool,
}

/// Changes that wait, in the order in which they were first tried.
pub(super) struct Queue {
    format: Format,
    /// Each change after a section header.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    unfinished: usize,
    /// The unfinished changes of each row, in order.
    rows: HashMap<RowId, VecDeque<usize>>,
    /// The changes that wait for a change of a row.
    waiting: HashMap<RowId, Vec<usize>>,
    /// The changes that have stopped waiting.
    ready: VecDeque<usize>,
}

impl Queue {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            bytes: Vec::new(),
            entries: Vec::new(),
            unfinished: 0,
            rows: HashMap::new(),
            waiting: HashMap::new(),
            ready: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of changes that are not finished.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Returns whether an unfinished change of a row is in the queue.
    pub(super) fn has_change_of(&self, row: RowId) -> bool {
        self.rows.contains_key(&row)
    }

    /// Adds a change, which waits for a row or for nothing in particular.
    pub(super) fn push(&mut self, record: &Record<'_>, row: RowId, state: ChangeState, waits_for: Option<RowId>) {
        let (at, start) = (self.entries.len(), self.bytes.len());
        write_header(self.format, record.table(), record.key_ordinals(), &mut self.bytes);
        record.write(&mut self.bytes);
        self.entries.push(Entry { start, end: self.bytes.len(), row, state, waits_for, is_finished: false });
        self.unfinished += 1;
        self.rows.entry(row).or_default().push_back(at);
        if let Some(row) = waits_for {
            self.waiting.entry(row).or_default().push(at);
        }
    }

    /// Returns a change that is not finished, and what has been decided about it. Returns `None` if
    /// it is finished, or if another change of its row comes first.
    pub(super) fn get(&self, at: usize) -> Option<(Record<'_>, ChangeState)> {
        let entry = self.entries.get(at)?;
        if entry.is_finished || self.first_of(entry.row) != Some(at) {
            return None;
        }
        let record = records(self.bytes.get(entry.start..entry.end)?, self.format).next()?;
        Some((record, entry.state))
    }

    /// Returns the first unfinished change of a row.
    pub(super) fn first_of(&self, row: RowId) -> Option<usize> {
        self.rows.get(&row)?.front().copied()
    }

    /// Lets a change wait.
    pub(super) fn wait(&mut self, at: usize, state: ChangeState, waits_for: Option<RowId>) {
        let waits_for = waits_for.filter(|row| self.has_change_of(*row));
        if let Some(entry) = self.entries.get_mut(at) {
            (entry.state, entry.waits_for) = (state, waits_for);
        }
        if let Some(row) = waits_for {
            self.waiting.entry(row).or_default().push(at);
        }
    }

    /// Returns whether a change waits for a row of which another change is in the queue.
    pub(super) fn waits(&self, at: usize) -> bool {
        self.entries
            .get(at)
            .is_some_and(|entry| !entry.is_finished && entry.waits_for.is_some_and(|row| self.has_change_of(row)))
    }

    /// Finishes a change of the queue.
    pub(super) fn finish(&mut self, at: usize) {
        let Some(entry) = self.entries.get_mut(at).filter(|entry| !entry.is_finished) else { return };
        (entry.is_finished, self.unfinished) = (true, self.unfinished.saturating_sub(1));
        let row = entry.row;
        if let Some(changes) = self.rows.get_mut(&row) {
            if changes.front() == Some(&at) {
                changes.pop_front();
            }
            match changes.front() {
                Some(next) => self.ready.push_back(*next),
                None => drop(self.rows.remove(&row)),
            }
        }
        self.release(row);
    }

    /// Lets the changes that wait for a row be tried again, because a change of it was applied.
    pub(super) fn release(&mut self, row: RowId) {
        self.ready.extend(self.waiting.remove(&row).into_iter().flatten());
    }

    /// Returns the next change that has stopped waiting.
    pub(super) fn next_ready(&mut self) -> Option<usize> {
        self.ready.pop_front()
    }

    /// Lets all changes be tried again, from the first one or from the last one.
    pub(super) fn release_all(&mut self, is_reversed: bool) {
        self.waiting.clear();
        let unfinished = (0..self.entries.len()).filter(|at| self.entries.get(*at).is_some_and(|it| !it.is_finished));
        self.ready = if is_reversed { unfinished.rev().collect() } else { unfinished.collect() };
    }
}
