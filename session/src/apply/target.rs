//! A table of `main` that changes are applied to: what has been read of it, and its statements.
//!
//! Invariant: every statement names the schema, the table and the columns, and gives each value a
//! parameter of its own. A row is found by `=` on its key; other values are compared in a form that
//! SQLite does not look up in an index, because a plan that depends on bound values would be made
//! again for each change.

use std::collections::HashMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use core::ffi::c_int;

use super::row_id::{RowId, RowIds};
use super::schema_features::{IndexTerms, SchemaFeatures, definition_mentions, mentions};
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::ffi::statements::{StatementId, Statements, StepError};
use crate::schema::{LiveTable, OtherIndex, STAT1, UniqueIndexes};
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
    /// Whether a change can fail and nevertheless be made, so that it needs a savepoint.
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

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Joins SQL fragments.
fn joined(parts: impl IntoIterator<Item = String>, separator: &str) -> String {
    parts.into_iter().collect::<Vec<_>>().join(separator)
}

impl Target {
    pub(super) fn new(name: &str, live: LiveTable, features: &SchemaFeatures) -> Self {
        let lower = name.to_ascii_lowercase();
        let columns: Vec<(String, u8)> = live.recorded_columns().map(|(name, key)| (quoted(name), key)).collect();
        let mut row_header = Vec::new();
        let ordinals: Vec<u8> = columns.iter().map(|(_, key)| *key).collect();
        write_header(Format::Changeset, name, &ordinals, &mut row_header);
        let (has_clause, has_triggers) = (features.has_conflict_clause(&lower), features.has_triggers(&lower));
        Self {
            table: format!("main.{}", quoted(name)),
            columns,
            live,
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
            delete: None,
            delete_by_key: None,
            exists: None,
            select: None,
            row_header,
            updates: HashMap::new(),
            last_updates: Default::default(),
            columns_set: Vec::new(),
            blockers: HashMap::new(),
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

    /// Returns the recorded columns that the changes contain.
    fn changed_columns(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let columns = self.columns.iter().take(self.ordinals.len()).enumerate();
        columns.map(|(column, (name, key))| (column, name.as_str(), *key != 0))
    }

    /// Returns the SQL of the parameter with this number as a value of a column.
    ///
    /// In `sqlite_stat1`, the index of a table without an index is NULL. Changes contain an empty
    /// blob instead, because a primary key is not NULL.
    fn parameter(&self, column: usize, number: usize) -> String {
        if self.is_stat1 && column == 1 { format!("nullif(?{number}, X'')") } else { format!("?{number}") }
    }

    /// Returns the condition that a key column has the value of a parameter.
    fn is_key(&self, column: usize, name: &str, number: usize) -> String {
        let operator = if self.is_stat1 && column == 1 { "IS" } else { "=" };
        format!("{name} {operator} {}", self.parameter(column, number))
    }

    /// Returns the condition that columns have the values of parameters, which no index is used
    /// for. `columns` are names and numbers.
    fn are_equal(columns: &[(&str, usize)]) -> Option<String> {
        match columns {
            [] => None,
            [(name, number)] => Some(format!("NOT ({name} IS NOT ?{number})")),
            columns => {
                // one comparison of two rows, since the depth of an expression is limited
                let names = joined(columns.iter().map(|(name, _)| String::from(*name)), ", ");
                let values = joined(columns.iter().map(|(_, number)| format!("?{number}")), ", ");
                Some(format!("NOT (({names}) IS NOT ({values}))"))
            }
        }
    }

    fn insert_sql(&self) -> String {
        let names = joined(self.changed_columns().map(|(_, name, _)| name.into()), ", ");
        let values = joined(self.changed_columns().map(|(column, ..)| self.parameter(column, column + 1)), ", ");
        format!("INSERT{} INTO {} ({names}) VALUES ({values})", self.or, self.table)
    }

    fn insert_batch_sql(&self) -> String {
        let names = joined(self.changed_columns().map(|(_, name, _)| name.into()), ", ");
        let row = format!("({})", joined(self.changed_columns().map(|_| String::from("?")), ", "));
        let rows = joined(core::iter::repeat_n(row, BATCH), ", ");
        format!("INSERT{} INTO {} ({names}) VALUES {rows}", self.or, self.table)
    }

    /// Returns the condition on the key, with a parameter for each of its columns in order.
    fn has_key(&self) -> String {
        let keys = self.columns.iter().enumerate().filter(|(_, (_, key))| *key != 0);
        joined(keys.zip(1..).map(|((column, (name, _)), number)| self.is_key(column, name, number)), " AND ")
    }

    fn delete_by_key_sql(&self) -> String {
        format!("DELETE FROM {} WHERE {}", self.table, self.has_key())
    }

    /// Returns a DELETE with a parameter for each column of the changes.
    fn delete_sql(&self) -> String {
        let (mut conditions, mut others) = (Vec::new(), Vec::new());
        for (column, name, is_key) in self.changed_columns() {
            if is_key {
                conditions.push(self.is_key(column, name, column + 1));
            } else {
                others.push((name, column + 1));
            }
        }
        conditions.extend(Self::are_equal(&others));
        format!("DELETE FROM {} WHERE {}", self.table, conditions.join(" AND "))
    }

    /// Returns an UPDATE of a set of columns. Its parameters are, in the order of the columns, the
    /// key, and for each column of the set the new value and, if it is compared, the old value.
    fn update_sql(&self, set: &[u64]) -> String {
        let (mut assignments, mut conditions, mut old_values, mut number) = (Vec::new(), Vec::new(), Vec::new(), 1);
        for (column, name, is_key) in self.changed_columns() {
            if is_key {
                conditions.push(self.is_key(column, name, number));
                number += 1;
            } else if is_in(set, 0, column) {
                assignments.push(format!("{name} = ?{number}"));
                number += 1;
                if is_in(set, 1, column) {
                    old_values.push((name, number));
                    number += 1;
                }
            }
        }
        conditions.extend(Self::are_equal(&old_values));
        let (assignments, conditions) = (assignments.join(", "), conditions.join(" AND "));
        format!("UPDATE{} {} SET {assignments} WHERE {conditions}", self.or, self.table)
    }

    /// Returns an UPDATE whose parameters are those of `assignments` and then the key.
    pub(super) fn update_by_key_sql(&self, assignments: &str, count: usize) -> String {
        let keys = self.columns.iter().filter(|(_, key)| *key != 0).zip(count + 1..);
        let conditions = joined(keys.map(|((name, _), number)| format!("{name} = ?{number}")), " AND ");
        format!("UPDATE OR ABORT {} SET {assignments} WHERE {conditions}", self.table)
    }

    fn select_sql(&self) -> String {
        let columns = self.columns.iter().enumerate().map(|(column, (name, _))| {
            if self.is_stat1 && column == 1 { format!("ifnull({name}, X'')") } else { name.clone() }
        });
        format!("SELECT {} FROM {} WHERE {}", joined(columns, ", "), self.table, self.has_key())
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

    /// Returns whether `count` changes in key order should be applied with
    /// [`insert_batch`](Self::insert_batch), which has the same effect as the INSERTs one by one.
    ///
    /// So that it can undo a statement of many rows, SQLite copies each page that it changes, and
    /// writes the copies to a file if they are more than 64 KiB. So a batch must not change many
    /// pages.
    pub(super) fn uses_batches(&self, connection: Connection<'_>, count: usize) -> Result<bool, SqliteError> {
        let has_same_effect = !self.has_triggers && !self.is_stat1 && !self.fails_half_way;
        if !has_same_effect || self.ordinals.len() > MAX_BATCH_COLUMNS {
            return Ok(false);
        }
        let pages = connection.rows("PRAGMA main.page_count", |row| row.integer(0))?;
        let pages = pages.first().and_then(|pages| usize::try_from(*pages).ok()).unwrap_or(usize::MAX);
        Ok(pages <= count / MIN_ROWS_OF_PAGE)
    }

    /// Inserts the rows of [`BATCH`] INSERTs, all of them or none. Many rows in one statement take
    /// two thirds of the time.
    pub(super) fn insert_batch(
        &mut self,
        statements: &mut Statements<'_>,
        records: &[Record<'_>],
    ) -> Result<Ran, SqliteError> {
        let mut slot = self.insert_batch;
        let id = statements.ensure(&mut slot, || self.insert_batch_sql())?;
        self.insert_batch = slot;
        self.run(statements, id, records.iter().flat_map(|record| record.new_values().flatten()))
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

    /// Returns whether a generated column, a partial index or an index with an expression mentions
    /// one of the columns.
    pub(super) fn depends_on(
        &self,
        connection: Connection<'_>,
        name: &str,
        columns: &[&str],
    ) -> Result<bool, SqliteError> {
        let others = self.indexes.as_ref().map_or(&[][..], |indexes| &indexes.others);
        let generated: Vec<&str> = self.live.unrecorded_columns().collect();
        if others.is_empty() && generated.is_empty() {
            return Ok(false);
        }
        let literal = name.replace('\'', "''");
        let query =
            format!("SELECT type, name, sql FROM main.sqlite_schema WHERE tbl_name = '{literal}' COLLATE NOCASE");
        let mut depends = false;
        connection.for_each(&query, |row| {
            let (sql, index) = (row.text(2), row.text(1));
            depends |= match &*row.text(0) {
                "table" => generated.iter().any(|column| definition_mentions(&sql, column, columns)),
                "index" => others.iter().any(|other| other.name == *index) && mentions(&sql, columns),
                _ => false,
            };
        })?;
        Ok(depends)
    }

    /// Returns the row of which a UNIQUE value keeps the INSERT or UPDATE from being applied, if
    /// there is such a row.
    pub(super) fn find_blocker(
        &mut self,
        statements: &mut Statements<'_>,
        record: &Record<'_>,
    ) -> Result<Option<RowId>, SqliteError> {
        let connection = statements.connection();
        self.row_ids(connection, record.table())?;
        let indexes = self.indexes(connection, record.table())?;
        let (plain, all) = (indexes.plain.len(), indexes.plain.len() + indexes.others.len());
        let is_update = record.operation() == Operation::Update;
        let is_key = |column: &usize| record.key_ordinals().get(*column).is_some_and(|ordinal| *ordinal != 0);
        let new_value = |column: usize| match is_update {
            true if is_key(&column) => record.old_value(column),
            true => record.new_value(column).filter(|new| is_set(record.old_value(column), Some(*new))),
            false => record.new_value(column),
        };
        for index in 0..all {
            let Some(indexes) = &self.indexes else { break };
            let known: Vec<usize> = match indexes.plain.get(index) {
                Some(columns) => {
                    columns.iter().map(|(column, _)| *column).filter(|at| new_value(*at).is_some()).collect()
                }
                None => (0..record.column_count()).filter(|at| new_value(*at).is_some()).collect(),
            };
            // an UPDATE that sets no column of the index violates it no more than before, and the
            // default values of columns that the changes do not contain are unknown
            let is_complete = indexes.plain.get(index).is_none_or(|columns| columns.len() == known.len());
            if (is_update && known.iter().all(is_key)) || (!is_update && !is_complete) {
                continue;
            }
            let key = (index, is_update, known.clone());
            let id = match self.blockers.get(&key) {
                Some(None) => None,
                Some(Some(id)) if statements.recompilations(*id).is_some() => Some(*id),
                _ => {
                    let id = match indexes.plain.get(index) {
                        Some(columns) => Some(statements.prepare(&self.blocker_sql(columns, &known, is_update))?),
                        None => {
                            let other = index.checked_sub(plain).and_then(|at| indexes.others.get(at));
                            let sql = match other.filter(|other| other.is_unique) {
                                Some(other) => self.other_blocker_sql(connection, other, &known, is_update)?,
                                None => None,
                            };
                            // the terms can contain columns that are unknown
                            sql.and_then(|sql| statements.prepare(&sql).ok())
                        }
                    };
                    self.blockers.insert(key, id);
                    id
                }
            };
            let Some(id) = id else { continue };
            let key = record.key_values().filter(|_| is_update);
            let values = known.iter().filter_map(|column| new_value(*column)).chain(key);
            let key_count = c_int::try_from(record.key_columns().count()).unwrap_or(c_int::MAX);
            let row_ids = self.row_ids.as_ref();
            let found = statements.first_row(id, values, |row| {
                let key = (0..key_count).map(|column| row.value(column).unwrap_or(Value::Null));
                row_ids.map(|row_ids| row_ids.of(key))
            })?;
            if let Some(found) = found.flatten() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the query of [`blocker_sql`](Self::blocker_sql) for a partial index or an index with
    /// expressions, whose terms are taken from its SQL.
    fn other_blocker_sql(
        &self,
        connection: Connection<'_>,
        index: &OtherIndex,
        known: &[usize],
        is_update: bool,
    ) -> Result<Option<String>, SqliteError> {
        let literal = index.name.replace('\'', "''");
        let query = format!("SELECT sql FROM main.sqlite_schema WHERE type = 'index' AND name = '{literal}'");
        let sql = connection.rows(&query, |row| row.text(0).into_owned())?;
        let Some(IndexTerms { terms, condition }) = sql.first().and_then(|sql| IndexTerms::parse(sql)) else {
            return Ok(None);
        };
        let parameter = |at: usize| format!("?{}", at + 1);
        let keys = self.columns.iter().filter(|(_, key)| *key != 0).zip(known.len()..);
        let own_key = joined(keys.map(|((name, _), at)| format!("{name} = {}", parameter(at))), " AND ");
        // the row as it would be after the change
        let columns = self.columns.iter().enumerate().filter_map(|(column, (name, _))| {
            match known.iter().position(|known| *known == column) {
                Some(at) => Some(format!("{} AS {name}", parameter(at))),
                None => is_update.then(|| name.clone()),
            }
        });
        let mut row = format!("SELECT {}", joined(columns, ", "));
        if is_update {
            row += &format!(" FROM {} WHERE {own_key}", self.table);
        }
        let terms = terms.iter().zip(&index.collations).map(|(term, collation)| {
            format!("({term}) = (SELECT ({term}) FROM ({row})) COLLATE {}", quoted(collation))
        });
        let mut conditions: Vec<String> = terms.collect();
        if let Some(condition) = condition {
            conditions.extend([format!("({condition})"), format!("(SELECT ({condition}) FROM ({row}))")]);
        }
        if is_update {
            conditions.push(format!("NOT ({own_key})"));
        }
        let keys = self.columns.iter().filter(|(_, key)| *key != 0).map(|(name, _)| name.clone());
        let (keys, conditions) = (joined(keys, ", "), conditions.join(" AND "));
        Ok(Some(format!("SELECT {keys} FROM {} WHERE {conditions} LIMIT 1", self.table)))
    }

    /// Returns the query for another row with the values that a change gives to an index. Its
    /// parameters are the known values, and the key of the changed row, in which the other values
    /// are.
    fn blocker_sql(&self, columns: &[(usize, String)], known: &[usize], is_update: bool) -> String {
        let name = |column: usize| self.columns.get(column).map_or("", |(name, _)| name.as_str());
        let keys: Vec<&str> = self.columns.iter().filter(|(_, key)| *key != 0).map(|(name, _)| name.as_str()).collect();
        let own_key =
            joined(keys.iter().enumerate().map(|(at, name)| format!("{name} = ?{}", known.len() + at + 1)), " AND ");
        let conditions = columns.iter().map(|(column, collation)| {
            let (name, collation) = (name(*column), quoted(collation));
            match known.iter().position(|known| known == column) {
                Some(at) => format!("o.{name} = ?{} COLLATE {collation}", at + 1),
                None => {
                    format!("o.{name} = (SELECT {name} FROM {} WHERE {own_key}) COLLATE {collation}", self.table)
                }
            }
        });
        let conditions = joined(conditions, " AND ");
        let not_itself = if is_update {
            let itself = keys.iter().enumerate().map(|(at, name)| format!("o.{name} = ?{}", known.len() + at + 1));
            format!(" AND NOT ({})", joined(itself, " AND "))
        } else {
            String::new()
        };
        let keys = joined(keys.iter().map(|name| format!("o.{name}")), ", ");
        format!("SELECT {keys} FROM {} AS o WHERE {conditions}{not_itself} LIMIT 1", self.table)
    }

    /// Returns the constraint that an INSERT or UPDATE would violate, if the table's conflict
    /// clauses would replace or ignore a row instead.
    fn violation_of_clause(
        &mut self,
        statements: &mut Statements<'_>,
        record: &Record<'_>,
    ) -> Result<Option<i32>, SqliteError> {
        let indexes = self.indexes(statements.connection(), record.table())?;
        let is_unknown = |(column, _): &(usize, String)| *column >= record.column_count();
        if indexes.has_unrecorded_constraint || indexes.plain.iter().flatten().any(is_unknown) {
            // the values of some columns are unknown before the statement has run
            (self.clauses_act, self.or) = (false, " OR ABORT");
            return Ok(None);
        }
        let is_update = record.operation() == Operation::Update;
        let sets_null = self.live.columns_in_records().any(|(column, live)| {
            let new = record.new_value(column);
            let is_set = !is_update || is_set(record.old_value(column), new);
            live.is_not_null && is_set && new.is_some_and(Value::is_null)
        });
        if sets_null {
            return Ok(Some(NOT_NULL_VIOLATION));
        }
        if !is_update && self.has_row(statements, record)? {
            return Ok(Some(UNIQUE_VIOLATION));
        }
        Ok(self.find_blocker(statements, record)?.map(|_| UNIQUE_VIOLATION))
    }
}

/// The number of rows that one statement inserts.
pub(super) const BATCH: usize = 32;

/// The number of changes for each page of the database from which rows are inserted in batches.
const MIN_ROWS_OF_PAGE: usize = 3;

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

/// Returns whether a column is in the first or the second of two sets of columns.
fn is_in(sets: &[u64], which: usize, column: usize) -> bool {
    sets.get(column / 64 * 2 + which).is_some_and(|word| word & 1 << (column % 64) != 0)
}
