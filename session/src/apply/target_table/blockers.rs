//! The rows of which a UNIQUE value keeps a change from being applied.

use core::ffi::c_int;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::super::row_id::RowId;
use super::super::schema_features::{IndexTerms, definition_mentions, mentions};
use super::sql::{joined, quoted};
use super::{NOT_NULL_VIOLATION, Target, UNIQUE_VIOLATION, is_set};
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::ffi::statements::Statements;
use crate::schema::OtherIndex;
use crate::wire::{Operation, Record, Value};

impl Target {
    /// Returns whether a generated column, a partial index or an index with an expression mentions
    /// one of the columns.
    pub(in crate::apply) fn depends_on(
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
    pub(in crate::apply) fn find_blocker(
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
        let values = record.old_values().zip(record.new_values()).enumerate();
        let values = values.map(|(column, (old, new))| match is_update {
            true if is_key(&column) => old,
            true => new.filter(|new| is_set(old, Some(*new))),
            false => new,
        });
        let values: Vec<Option<Value<'_>>> = values.collect();
        let new_value = |column: usize| values.get(column).copied().flatten();
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
                row_ids.map(|row_ids| row_ids.of(key, &[]))
            })?;
            if let Some(found) = found.flatten() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the query of [`blocker_sql`](Self::blocker_sql) for a partial index or an index with
    /// expressions, whose terms are taken from its SQL.
    pub(super) fn other_blocker_sql(
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
    pub(super) fn blocker_sql(&self, columns: &[(usize, String)], known: &[usize], is_update: bool) -> String {
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
    pub(super) fn violation_of_clause(
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
