//! The same changes by prepared statements alone, as a program would run them that knows the table:
//! without a check of the schema, without looking for conflicts, and without a report. It shows how
//! much of the time of an apply is that of SQLite's statements and of its transaction.

use std::time::Instant;

use diesel_sqlite_session::{Changeset, Operation, Record, Value};
use diesel_sqlite_session_benches::raw::{Connection, Statement};

/// Prepared statements of a table `t` whose first column is its key.
pub(crate) struct Bare<'c> {
    connection: &'c Connection,
    columns: &'static [&'static str],
    begin: Statement<'c>,
    commit: Statement<'c>,
    statements: Vec<(String, Statement<'c>)>,
}

/// The changes of a changeset: the number of a statement, and its values.
pub(crate) struct Plan<'a>(Vec<(usize, Vec<Value<'a>>)>);

impl<'c> Bare<'c> {
    pub(crate) fn new(connection: &'c Connection, columns: &'static [&'static str]) -> Self {
        let (begin, commit) = (connection.prepare("BEGIN"), connection.prepare("COMMIT"));
        Self { connection, columns, begin, commit, statements: Vec::new() }
    }

    /// Prepares the statements of a changeset.
    pub(crate) fn plan<'a>(&mut self, changeset: &'a Changeset) -> Plan<'a> {
        Plan(changeset.records().map(|record| self.statement(&record)).collect())
    }

    fn statement<'a>(&mut self, record: &Record<'a>) -> (usize, Vec<Value<'a>>) {
        let mut values = Vec::new();
        let equal = |values: &mut Vec<Value<'a>>, column: usize, value: Value<'a>| {
            values.push(value);
            format!("{} IS ?{}", self.columns[column], values.len())
        };
        let key = self.columns[0];
        let sql = match record.operation() {
            Operation::Insert => {
                values.extend(record.new_values().flatten());
                let parameters: Vec<&str> = values.iter().map(|_| "?").collect();
                format!("INSERT INTO t ({}) VALUES ({})", self.columns.join(", "), parameters.join(", "))
            }
            Operation::Delete => {
                values.extend(record.old_value(0));
                let others = record.old_values().enumerate().skip(1);
                let conditions: Vec<String> =
                    others.filter_map(|(column, old)| Some(equal(&mut values, column, old?))).collect();
                format!("DELETE FROM t WHERE {key} = ?1 AND {}", conditions.join(" AND "))
            }
            Operation::Update => {
                values.extend(record.old_value(0));
                let (mut assignments, mut conditions) = (Vec::new(), Vec::new());
                for column in 1..record.column_count() {
                    let (Some(old), Some(new)) = (record.old_value(column), record.new_value(column)) else { continue };
                    values.push(new);
                    assignments.push(format!("{} = ?{}", self.columns[column], values.len()));
                    conditions.push(equal(&mut values, column, old));
                }
                let (assignments, conditions) = (assignments.join(", "), conditions.join(" AND "));
                format!("UPDATE t SET {assignments} WHERE {key} = ?1 AND {conditions}")
            }
        };
        let at = self.statements.iter().position(|(known, _)| *known == sql).unwrap_or_else(|| {
            let statement = self.connection.prepare(&sql);
            self.statements.push((sql, statement));
            self.statements.len() - 1
        });
        (at, values)
    }

    /// Runs the statements, and returns the time in seconds.
    ///
    /// # Panics
    ///
    /// Panics if a statement does not change a row.
    pub(crate) fn timed(&self, plan: &Plan<'_>) -> f64 {
        let start = Instant::now();
        self.begin.run(&[]);
        for (statement, values) in &plan.0 {
            self.statements[*statement].1.run(values);
            assert_eq!(self.connection.changes(), 1);
        }
        self.commit.run(&[]);
        start.elapsed().as_secs_f64()
    }
}
