//! A table of `main` that changes are applied to: what has been read of it, and its statements.
//!
//! - [`sql`]: the SQL of the statements
//! - [`blockers`]: the rows that block a change

mod blockers;
mod sql;

use std::collections::HashMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use core::ffi::c_int;

use self::sql::quoted;
use super::row_id::RowIds;
use super::schema_features::SchemaFeatures;
use crate::ffi::error::SqliteError;
use crate::ffi::statement::{Connection, library_version};
use crate::ffi::statements::{StatementId, Statements, StepError};
use crate::schema::{LiveTable, STAT1, UniqueIndexes};
use crate::typed::TableInfo;
use crate::wire::codec::append::{write_change, write_header, write_value};
use crate::wire::{Format, Operation, Record, Value};

/// The result of running the statement of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// The row was inserted, updated or deleted.
    Changed,
    /// No row was changed.
    Unchanged,
    /// An UPDATE sets no column, and did not run.
    Nothing,
    /// A constraint was violated. Contains the extended result code.
    Blocked(i32),
}

/// A table of `main` and its statements.
pub(super) struct Target {
    /// The name in lower case.
    name: String,
    /// The name in SQL, with the schema.
    table: String,
    /// The names of the recorded columns as quoted SQL, and the place of each in the primary key.
    columns: Vec<(String, u8)>,
    pub(super) live: LiveTable,
    pub(super) is_stat1: bool,
    pub(super) has_collations: bool,
    pub(super) has_checks: bool,
    pub(super) is_strict: bool,
    pub(super) has_update_triggers: bool,
    /// Whether a failed statement can leave a part of its work, so that it needs a savepoint.
    fails_half_way: bool,
    /// Whether the table's conflict clauses act, because a statement without them would override
    /// the clauses in triggers.
    clauses_act: bool,
    /// The conflict clause of INSERTs and UPDATEs.
    or: &'static str,
    /// The key ordinals of the sections that were checked, as the changes contain them.
    pub(super) ordinals: Vec<u8>,
    /// The declarations that were compared with the table, and with changes of so many columns.
    pub(super) typed: Vec<(&'static TableInfo<'static>, usize)>,
    row_ids: Option<RowIds>,
    indexes: Option<UniqueIndexes>,
    insert: Option<StatementId>,
    insert_batch: Option<StatementId>,
    has_triggers: bool,
    /// Whether a batch that fails leaves the rows before the one that fails.
    fails_between_rows: bool,
    /// Whether SQLite copies the pages that a batch changes, in order to undo it.
    copies_pages: bool,
    delete: Option<StatementId>,
    delete_by_key: Option<StatementId>,
    exists: Option<StatementId>,
    select: Option<StatementId>,
    /// The section header before a row that is read.
    row_header: Vec<u8>,
    /// The statements of UPDATEs by their sets of columns: for every 64 columns, a word of those that
    /// are set, and a word of those of which the old value is compared too.
    updates: HashMap<Vec<u64>, StatementId>,
    /// The sets of columns of the last UPDATE, and its statement: with old values, and by key.
    last_updates: [(Vec<u64>, Option<StatementId>); 2],
    /// A buffer for sets of columns.
    columns_set: Vec<u64>,
    /// The queries for rows that block a change, by index, whether it is an UPDATE, and the columns
    /// whose values are known. `None` if there is no such query.
    blockers: HashMap<(usize, bool, Vec<usize>), Option<StatementId>>,
}

impl Target {
    pub(super) fn new(name: &str, live: LiveTable, features: &SchemaFeatures) -> Self {
        let lower = name.to_ascii_lowercase();
        let columns: Vec<(String, u8)> = live.recorded_columns().map(|(name, key)| (quoted(name), key)).collect();
        let mut row_header = Vec::new();
        let ordinals: Vec<u8> = columns.iter().map(|(_, key)| *key).collect();
        write_header(Format::Changeset, name, &ordinals, &mut row_header);
        let (has_clause, has_triggers) = (features.has_conflict_clause(&lower), features.has_triggers(&lower));
        let fails_between_rows = features.can_fail_between_rows(&lower) && lower != STAT1;
        Self {
            table: format!("main.{}", quoted(name)),
            columns,
            is_stat1: lower == STAT1,
            has_collations: features.has_collations(&lower),
            has_checks: features.has_checks(&lower),
            is_strict: features.is_strict(&lower),
            has_update_triggers: features.has_update_triggers(&lower),
            fails_half_way: features.can_fail_half_way(&lower),
            clauses_act: has_clause && has_triggers,
            or: if has_clause && !has_triggers { " OR ABORT" } else { "" },
            ordinals: Vec::new(),
            typed: Vec::new(),
            row_ids: None,
            indexes: None,
            insert: None,
            insert_batch: None,
            has_triggers,
            fails_between_rows,
            copies_pages: !fails_between_rows
                || (live.has_integer_key() && library_version() >= COPIES_FOR_INTEGER_KEYS),
            delete: None,
            delete_by_key: None,
            exists: None,
            select: None,
            row_header,
            updates: HashMap::new(),
            last_updates: Default::default(),
            columns_set: Vec::new(),
            blockers: HashMap::new(),
            live,
            name: lower,
        }
    }

    /// Returns the name in lower case.
    pub(super) fn lower_name(&self) -> &str {
        &self.name
    }

    /// Forgets the statements, because the sections have another number of columns than before.
    pub(super) fn set_ordinals(&mut self, ordinals: &[u8]) {
        if self.ordinals.len() != ordinals.len() {
            (self.insert, self.insert_batch, self.delete) = (None, None, None);
            self.updates.clear();
            self.last_updates = Default::default();
            self.blockers.clear();
        }
        self.ordinals = ordinals.to_vec();
    }

    /// Returns the key ordinals of the table, for as many columns as the sections have.
    pub(super) fn live_ordinals(&self) -> Vec<u8> {
        self.columns.iter().take(self.ordinals.len()).map(|(_, key)| *key).collect()
    }

    /// Runs a statement that changes a row.
    fn run<'v>(
        &self,
        statements: &mut Statements<'_>,
        id: StatementId,
        values: impl Iterator<Item = Value<'v>>,
    ) -> Result<Ran, SqliteError> {
        if self.fails_half_way {
            statements.connection().execute(c"SAVEPOINT diesel_sqlite_session_change")?;
        }
        let ran = match statements.run(id, values) {
            Ok(()) if statements.changes() == 0 => Ok(Ran::Unchanged),
            Ok(()) => Ok(Ran::Changed),
            Err(StepError::Constraint(code)) => Ok(Ran::Blocked(code)),
            Err(StepError::Failed(error)) => Err(error),
        };
        if self.fails_half_way && statements.connection().is_in_transaction() {
            if !matches!(ran, Ok(Ran::Changed | Ran::Unchanged)) {
                statements.connection().execute(c"ROLLBACK TO diesel_sqlite_session_change")?;
            }
            statements.connection().execute(c"RELEASE diesel_sqlite_session_change")?;
        }
        ran
    }

    /// Inserts the row of an INSERT.
    #[inline]
    pub(super) fn insert(&mut self, statements: &mut Statements<'_>, record: &Record<'_>) -> Result<Ran, SqliteError> {
        if self.is_stat1 && self.has_row(statements, record)? {
            // the table declares no key
            return Ok(Ran::Blocked(UNIQUE_VIOLATION));
        }
        if self.clauses_act {
            if let Some(code) = self.violation_of_clause(statements, record)? {
                return Ok(Ran::Blocked(code));
            }
        }
        let mut slot = self.insert;
        let id = statements.ensure(&mut slot, || self.insert_sql())?;
        self.insert = slot;
        let ran = self.run(statements, id, record.new_values().flatten())?;
        // a clause has ignored it, or a trigger of a table with such clauses
        Ok(if self.clauses_act && ran == Ran::Unchanged { Ran::Blocked(NOT_NULL_VIOLATION) } else { ran })
    }

    /// Returns whether INSERTs among `count` changes can be applied with
    /// [`insert_batch`](Self::insert_batch), with the same effect as one by one.
    pub(super) fn can_use_batches(&self, count: usize) -> bool {
        let has_same_effect = !self.has_triggers && !self.is_stat1 && !self.fails_half_way;
        count >= MIN_BATCHED && has_same_effect && self.ordinals.len() <= MAX_BATCH_COLUMNS
    }

    /// Returns whether batches are faster than single INSERTs for `count` changes.
    ///
    /// If SQLite copies the pages that a batch changes, it writes the copies to a file if they are
    /// more than 64 KiB. So the batch must not change many pages: the changes must be in key order,
    /// and dense.
    pub(super) fn uses_batches(
        &mut self,
        statements: &mut Statements<'_>,
        count: usize,
        is_ordered: bool,
    ) -> Result<bool, SqliteError> {
        if self.copies_pages {
            let pages = statements.connection().rows("PRAGMA main.page_count", |row| row.integer(0))?;
            let pages = pages.first().and_then(|pages| usize::try_from(*pages).ok()).unwrap_or(usize::MAX);
            if !is_ordered || pages > count / MIN_ROWS_OF_PAGE {
                return Ok(false);
            }
        }
        // the application can have lowered the limits of the connection
        Ok(self.batch_statement(statements).is_ok())
    }

    fn batch_statement(&mut self, statements: &mut Statements<'_>) -> Result<StatementId, SqliteError> {
        let mut slot = self.insert_batch;
        let id = statements.ensure(&mut slot, || self.insert_batch_sql())?;
        self.insert_batch = slot;
        Ok(id)
    }

    /// Inserts the rows of [`BATCH`] INSERTs. If one of them has a conflict, returns the number of
    /// rows before it that were inserted. Many rows in one statement take two thirds of the time.
    pub(super) fn insert_batch(
        &mut self,
        statements: &mut Statements<'_>,
        records: &[Record<'_>],
    ) -> Result<(Ran, usize), SqliteError> {
        let id = self.batch_statement(statements)?;
        let ran = self.run(statements, id, records.iter().flat_map(|record| record.new_values().flatten()))?;
        let inserted = match ran {
            Ran::Changed => records.len(),
            Ran::Blocked(_) if self.fails_between_rows => usize::try_from(statements.changes()).unwrap_or(0),
            _ => 0,
        };
        Ok((ran, inserted))
    }

    /// Deletes the row of a DELETE if it has the old values.
    pub(super) fn delete(&mut self, statements: &mut Statements<'_>, record: &Record<'_>) -> Result<Ran, SqliteError> {
        if record.format() == Format::Patchset {
            return self.delete_by_key(statements, record);
        }
        let mut slot = self.delete;
        let id = statements.ensure(&mut slot, || self.delete_sql())?;
        self.delete = slot;
        self.run(statements, id, record.old_values().flatten())
    }

    /// Deletes the row with the key of a change.
    pub(super) fn delete_by_key(
        &mut self,
        statements: &mut Statements<'_>,
        record: &Record<'_>,
    ) -> Result<Ran, SqliteError> {
        let mut slot = self.delete_by_key;
        let id = statements.ensure(&mut slot, || self.delete_by_key_sql())?;
        self.delete_by_key = slot;
        self.run(statements, id, record.key_values())
    }

    /// Updates the row of an UPDATE: if it has the old values, or `by_key`.
    pub(super) fn update(
        &mut self,
        statements: &mut Statements<'_>,
        record: &Record<'_>,
        by_key: bool,
    ) -> Result<Ran, SqliteError> {
        if self.clauses_act {
            if let Some(code) = self.violation_of_clause(statements, record)? {
                return Ok(Ran::Blocked(code));
            }
        }
        let by_key = by_key || record.format() == Format::Patchset;
        let mut values = ValueList::new();
        let (mut set, mut compared, mut word, mut is_any_set) = (0, 0, 0, false);
        let sets = &mut self.columns_set;
        sets.clear();
        record.for_each_update(|column, ordinal, old, new| {
            if ordinal != 0 {
                values.extend(old);
                return;
            }
            if !is_set(old, new) {
                return;
            }
            is_any_set = true;
            while word < column / 64 {
                sets.extend([core::mem::take(&mut set), core::mem::take(&mut compared)]);
                word += 1;
            }
            set |= 1 << (column % 64);
            values.extend(new);
            if let Some(old) = old.filter(|_| !by_key) {
                compared |= 1 << (column % 64);
                values.extend(Some(old));
            }
        });
        if !is_any_set {
            return Ok(Ran::Nothing);
        }
        sets.extend([set, compared]);
        let id = self.update_statement(statements, by_key)?;
        self.run(statements, id, values.iter())
    }

    /// Returns the statement for the columns of `columns_set`.
    fn update_statement(&mut self, statements: &mut Statements<'_>, by_key: bool) -> Result<StatementId, SqliteError> {
        let (sets, known) = &mut self.last_updates[usize::from(by_key)];
        if *sets != self.columns_set {
            sets.clone_from(&self.columns_set);
            *known = self.updates.get(&self.columns_set).copied();
        }
        let before = *known;
        let mut slot = before;
        let id = statements.ensure(&mut slot, || self.update_sql(&self.columns_set))?;
        if slot != before {
            self.last_updates[usize::from(by_key)].1 = slot;
            if self.updates.len() >= MAX_COLUMN_SETS {
                self.updates.clear();
            }
            self.updates.insert(self.columns_set.clone(), id);
        }
        Ok(id)
    }

    /// Returns whether the row with the key of a change exists.
    pub(super) fn has_row(
        &mut self,
        statements: &mut Statements<'_>,
        record: &Record<'_>,
    ) -> Result<bool, SqliteError> {
        let mut slot = self.exists;
        let sql = || format!("SELECT 1 FROM {} WHERE {}", self.table, self.has_key());
        let id = statements.ensure(&mut slot, sql)?;
        self.exists = slot;
        Ok(statements.first_row(id, record.key_values(), |_| ())?.is_some())
    }

    /// Writes the row with the key of a change into `out`, as a section with one INSERT. Returns
    /// whether the row exists.
    pub(super) fn read_row(
        &mut self,
        statements: &mut Statements<'_>,
        record: &Record<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, SqliteError> {
        let mut slot = self.select;
        let id = statements.ensure(&mut slot, || self.select_sql())?;
        self.select = slot;
        out.clear();
        out.extend_from_slice(&self.row_header);
        write_change(Operation::Insert, false, out);
        let columns = c_int::try_from(self.columns.len()).unwrap_or(c_int::MAX);
        let read = statements.first_row(id, record.key_values(), |row| {
            (0..columns).try_for_each(|column| {
                write_value(Some(row.value(column)?), out);
                Ok::<_, SqliteError>(())
            })
        })?;
        read.map_or(Ok(false), |read| read.map(|()| true))
    }

    /// Returns the numbers of rows.
    pub(super) fn row_ids(&mut self, connection: Connection<'_>, name: &str) -> Result<&RowIds, SqliteError> {
        Ok(match &mut self.row_ids {
            Some(row_ids) => row_ids,
            none => {
                let comparisons = self.live.key_comparisons(connection, name, self.has_collations)?;
                none.insert(RowIds::new(comparisons))
            }
        })
    }

    /// Reads the UNIQUE indexes.
    pub(super) fn indexes(&mut self, connection: Connection<'_>, name: &str) -> Result<&UniqueIndexes, SqliteError> {
        Ok(match &mut self.indexes {
            Some(indexes) => indexes,
            none => none.insert(self.live.unique_indexes(connection, name)?),
        })
    }
}

/// The number of rows that one statement inserts.
pub(super) const BATCH: usize = 32;

/// The number of changes from which INSERTs are batched. Small for fuzzing, which uses small inputs.
const MIN_BATCHED: usize = if cfg!(fuzzing) { BATCH } else { 2 * BATCH };

/// The number of changes for each page of the database from which rows are inserted in batches.
const MIN_ROWS_OF_PAGE: usize = 3;

/// The first version of SQLite that prepares to undo each statement that inserts several rows into a
/// table with an `INTEGER PRIMARY KEY`, because a key that is not an integer aborts the statement.
const COPIES_FOR_INTEGER_KEYS: i32 = 3_054_000;

/// The number of columns up to which rows are inserted in batches: every SQLite allows 999
/// parameters.
const MAX_BATCH_COLUMNS: usize = 999 / BATCH;

/// The number of sets of columns of UPDATEs whose statements are found again.
const MAX_COLUMN_SETS: usize = 256;

/// `SQLITE_CONSTRAINT_UNIQUE`
pub(super) const UNIQUE_VIOLATION: i32 = 2067;
/// `SQLITE_CONSTRAINT_NOTNULL`
const NOT_NULL_VIOLATION: i32 = 1299;

/// Returns whether an UPDATE sets a column, which is not in the key, to another value.
#[inline]
pub(super) fn is_set(old: Option<Value<'_>>, new: Option<Value<'_>>) -> bool {
    new.is_some() && old != new
}

/// A list of values, of which the first ones need no memory of their own.
struct ValueList<'v> {
    first: [Value<'v>; 12],
    length: usize,
    others: Vec<Value<'v>>,
}

impl<'v> ValueList<'v> {
    #[inline]
    fn new() -> Self {
        Self { first: [Value::Null; 12], length: 0, others: Vec::new() }
    }

    #[inline]
    fn extend(&mut self, value: Option<Value<'v>>) {
        let Some(value) = value else { return };
        match self.first.get_mut(self.length) {
            Some(place) => *place = value,
            None => self.others.push(value),
        }
        self.length += 1;
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = Value<'v>> {
        self.first.iter().take(self.length).chain(&self.others).copied()
    }
}
