//! Mirrors changes between two copies of any SQLite file: records them on one copy, applies them to
//! the other, and compares the copies. The table! macro is not needed.
//!
//! ```text
//! cargo run --example mirror -- FILE [SCRIPT.sql]
//! ```
//!
//! The program only reads the file itself. The script runs on one copy; without a script, the
//! program edits some rows of every table. It lists the tables and rows that cannot be tracked:
//! tables without a primary key, rows with NULL in the key. It fails if the copies differ in any
//! other row.
//!
//! The second copy has no triggers, and foreign keys are off. The changes of triggers and foreign
//! key actions are already in the changeset.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel_sqlite_session::{ConflictAction, Operation, SqliteSessionExt};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let Some(file) = arguments.next() else {
        eprintln!("usage: mirror FILE [SCRIPT.sql]");
        return Ok(ExitCode::from(2));
    };
    let script = arguments.next().map(std::fs::read_to_string).transpose()?;
    let directory = tempfile::tempdir()?;
    let (source, replica) = (directory.path().join("source.db"), directory.path().join("replica.db"));
    copy(Path::new(&file), &source)?;
    copy(Path::new(&file), &replica)?;
    mirror(&source, &replica, script.as_deref())
}

/// Copies a database file and its write-ahead log.
fn copy(file: &Path, to: &Path) -> Result<()> {
    // not `std::fs::copy`, by which the copy of a read-only file would be read-only too
    let copy = |from: &Path, to: &Path| std::io::copy(&mut File::open(from)?, &mut File::create(to)?);
    copy(file, to)?;
    let log =
        |path: &Path| path.with_file_name(format!("{}-wal", path.file_name().unwrap_or_default().to_string_lossy()));
    if log(file).is_file() {
        copy(&log(file), &log(to))?;
    }
    Ok(())
}

fn mirror(source: &Path, replica: &Path, script: Option<&str>) -> Result<ExitCode> {
    let mut source = SqliteConnection::establish(&source.to_string_lossy())?;
    let mut replica = SqliteConnection::establish(&replica.to_string_lossy())?;
    let tables = tables(&mut source)?;
    for trigger in texts(&mut replica, "SELECT name AS text FROM sqlite_schema WHERE type = 'trigger'")? {
        replica.batch_execute(&format!("DROP TRIGGER {}", quoted(&trigger)))?;
    }

    replica.batch_execute("PRAGMA foreign_keys = OFF")?;

    let mut session = source.create_session()?;
    session.attach_all()?;
    let untracked = session.untracked_tables()?;
    match script {
        Some(script) => source.batch_execute(script)?,
        None => {
            for table in &tables {
                if !untracked.iter().any(|other| other.name == table.name) {
                    let edits = edit(&mut source, table)?;
                    println!("{:<32} {edits}", table.name);
                }
            }
        }
    }

    let changeset = session.changeset()?;
    let mut counts = [0usize; 3];
    for record in &changeset {
        counts[match record.operation() {
            Operation::Insert => 0,
            Operation::Update => 1,
            Operation::Delete => 2,
        }] += 1;
    }
    println!(
        "\nshipped {} bytes: {} inserts, {} updates, {} deletes",
        changeset.as_bytes().len(),
        counts[0],
        counts[1],
        counts[2]
    );
    let mut conflicts = Vec::new();
    replica.apply_changeset(&changeset, |conflict| {
        conflicts.push(conflict);
        if conflict.takes_replace() { ConflictAction::Replace } else { ConflictAction::Abort }
    })?;
    if !conflicts.is_empty() {
        println!("{} conflicts, replaced by the source", conflicts.len());
    }

    for table in &untracked {
        println!("not tracked: {}, {}", table.name, table.reason);
    }
    let (mut compared, mut failed) = (0, false);
    for table in &tables {
        if untracked.iter().any(|other| other.name == table.name) {
            continue;
        }
        let keyless = count(&mut source, table, "NOT")?;
        if keyless > 0 {
            println!("not tracked: {keyless} rows of {}, NULL in the primary key", table.name);
        }
        compared += 1;
        if !same(&mut source, &mut replica, table)? {
            println!("DIFFERENT: {}", table.name);
            failed = true;
        }
    }
    println!("{compared} tables compared: {}", if failed { "different" } else { "all equal" });
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Table {
    name: String,
    /// Without generated columns.
    columns: Vec<String>,
    key: Vec<String>,
}

impl Table {
    /// Returns the SQL condition that no key column is NULL. SQLite does not record other rows.
    fn has_key(&self) -> String {
        let column = |column: &String| format!("{} IS NOT NULL", quoted(column));
        self.key.iter().map(column).collect::<Vec<_>>().join(" AND ")
    }
}

fn tables(conn: &mut SqliteConnection) -> Result<Vec<Table>> {
    let names = "SELECT name AS text FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow', 'virtual') \
                 AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name";
    let mut tables = Vec::new();
    for name in texts(conn, names)? {
        let columns = |which: &str| {
            let literal = name.replace('\'', "''");
            format!("SELECT name AS text FROM pragma_table_xinfo('{literal}') WHERE {which}")
        };
        let (all, key) = (texts(conn, &columns("hidden = 0"))?, texts(conn, &columns("pk > 0"))?);
        tables.push(Table { name, columns: all, key });
    }
    Ok(tables)
}

/// Deletes, updates and inserts some rows, and returns a summary. Skips statements that constraints
/// or triggers reject.
fn edit(conn: &mut SqliteConnection, table: &Table) -> Result<String> {
    const ROWS: usize = 10;
    let name = quoted(&table.name);
    let list = |columns: &[String]| columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let key = list(&table.key);
    let some = |offset: usize| format!("({key}) IN (SELECT {key} FROM {name} LIMIT {ROWS} OFFSET {offset})");
    let mut statements = vec![("deletes", format!("DELETE FROM {name} WHERE {}", some(0)))];
    for column in table.columns.iter().filter(|column| !table.key.contains(column)) {
        let column = quoted(column);
        statements.push(("updates", format!("UPDATE {name} SET {column} = {column} || '!' WHERE {}", some(20))));
        statements.push(("updates", format!("UPDATE {name} SET {column} = NULL WHERE {}", some(40))));
    }
    // new rows are copies of old rows with new keys
    let values = |change: &str| -> String {
        let value = |column: &String| {
            let quoted = quoted(column);
            if table.key.contains(column) { change.replace('?', &quoted) } else { quoted }
        };
        table.columns.iter().map(value).collect::<Vec<_>>().join(", ")
    };
    for change in ["CASE typeof(?) WHEN 'integer' THEN ? + 1000000 ELSE ? || ' copy' END", "? || ' copy'"] {
        statements.push((
            "inserts",
            format!(
                "INSERT INTO {name} ({}) SELECT {} FROM {name} LIMIT {ROWS} OFFSET 60",
                list(&table.columns),
                values(change)
            ),
        ));
    }
    let mut done = [("deletes", 0), ("updates", 0), ("inserts", 0)];
    let mut refused = 0;
    for (kind, statement) in statements {
        match sql_query(statement).execute(conn) {
            Ok(rows) => done.iter_mut().filter(|(other, _)| *other == kind).for_each(|(_, count)| *count += rows),
            Err(diesel::result::Error::DatabaseError(..)) => refused += 1,
            Err(other) => return Err(other.into()),
        }
    }
    let [deletes, updates, inserts] = done.map(|(kind, count)| format!("{count:>4} {kind}"));
    Ok(format!("{deletes}, {updates}, {inserts}; failed on constraints: {refused}"))
}

/// Returns whether the table contains the same rows in both databases. Ignores rows with NULL in
/// the key.
fn same(source: &mut SqliteConnection, replica: &mut SqliteConnection, table: &Table) -> Result<bool> {
    let value = |column: &String| {
        let column = quoted(column);
        format!(
            "typeof({column}) || CASE WHEN typeof({column}) IN ('text', 'blob') THEN hex({column}) ELSE quote({column}) END"
        )
    };
    let values = table.columns.iter().map(value).collect::<Vec<_>>().join(" || ',' || ");
    let query = format!("SELECT {values} AS text FROM {} WHERE {} ORDER BY 1", quoted(&table.name), table.has_key());
    Ok(count(source, table, "")? == count(replica, table, "")? && texts(source, &query)? == texts(replica, &query)?)
}

/// Returns the number of rows without NULL in the key or, if `not` is "NOT", the number of rows
/// with NULL.
fn count(conn: &mut SqliteConnection, table: &Table, not: &str) -> Result<i64> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let query = format!("SELECT count(*) AS count FROM {} WHERE {not} ({})", quoted(&table.name), table.has_key());
    Ok(sql_query(query).get_result::<Count>(conn)?.count)
}

fn texts(conn: &mut SqliteConnection, query: &str) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        text: String,
    }
    Ok(sql_query(query).load::<Row>(conn)?.into_iter().map(|row| row.text).collect())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mirrors a database, and returns whether the copies are equal.
    fn mirrored(setup: &str, script: Option<&str>) -> Result<bool> {
        let directory = tempfile::tempdir()?;
        let [file, source, replica] = ["file.db", "source.db", "replica.db"].map(|name| directory.path().join(name));
        SqliteConnection::establish(&file.to_string_lossy())?.batch_execute(setup)?;
        copy(&file, &source)?;
        copy(&file, &replica)?;
        Ok(mirror(&source, &replica, script)? == ExitCode::SUCCESS)
    }

    #[test]
    fn any_database_is_mirrored() -> Result<()> {
        for setup in [
            "",
            "CREATE TABLE t (v); INSERT INTO t VALUES (1)",
            "CREATE VIEW v AS SELECT 1",
            "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO t (v) VALUES (1); DELETE FROM t",
            "CREATE TABLE t (v); INSERT INTO t VALUES (1); ANALYZE",
            "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE u (id TEXT PRIMARY KEY, v); INSERT INTO u VALUES (NULL, 1)",
        ] {
            assert!(mirrored(setup, None)?, "{setup}");
            assert!(mirrored(setup, Some("CREATE TABLE \"a table\" (id INTEGER PRIMARY KEY)"))?, "{setup}");
        }
        Ok(())
    }

    #[test]
    fn a_read_only_file_is_read_and_other_files_are_errors() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let [file, source, replica] = ["file.db", "source.db", "replica.db"].map(|name| directory.path().join(name));
        SqliteConnection::establish(&file.to_string_lossy())?
            .batch_execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")?;
        let mut permissions = std::fs::metadata(&file)?.permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(&file, permissions)?;
        copy(&file, &source)?;
        copy(&file, &replica)?;
        assert_eq!(mirror(&source, &replica, None)?, ExitCode::SUCCESS);

        std::fs::write(directory.path().join("text"), "this is no database, but a text of some length")?;
        for name in ["text", "missing"] {
            let file = directory.path().join(name);
            let [source, replica] = ["other source", "other replica"].map(|name| directory.path().join(name));
            let mirrored = copy(&file, &source)
                .and_then(|()| copy(&file, &replica))
                .and_then(|()| mirror(&source, &replica, None));
            assert!(mirrored.is_err(), "{name}");
        }
        Ok(())
    }
}
