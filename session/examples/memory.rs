//! Prints the memory use of a session ([`Session::memory_used`]) and the sizes of its changeset and
//! patchset, in bytes per changed row.
//!
//! ```text
//! cargo run --release --example memory              100,000 rows
//! cargo run --release --example memory -- 1000000   1,000,000 rows
//! ```

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Session, SqliteSessionExt};

mod setup;
use setup::{Result, open};

/// A table, and the changes that a session records in it.
struct Case {
    name: &'static str,
    columns: &'static str,
    /// The values of row `i`, in SQL.
    values: &'static str,
    /// The steps before the session starts.
    before: &'static [Step],
    recorded: &'static [Step],
}

#[derive(Clone, Copy)]
enum Step {
    Insert,
    /// An UPDATE of every row with this `SET` clause.
    Update(&'static str),
    Delete,
    /// Steps that are rolled back.
    RollBack(&'static [Step]),
}

use Step::{Delete, Insert, RollBack, Update};

const INTEGER: &str = "k INTEGER PRIMARY KEY, name TEXT, n INTEGER";
const BLOB: &str = "k BLOB PRIMARY KEY NOT NULL, name TEXT, n INTEGER";
const TEXT: &str = "k TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER";
const LARGE: &str = "k INTEGER PRIMARY KEY, body TEXT, n INTEGER";

const ROW: &str = "i, 'item number ' || i, i";
const BLOB_ROW: &str = "CAST(printf('%08x%08x', i * 2654435761 % 4294967296, i) AS BLOB), 'item number ' || i, i";
const TEXT_ROW: &str = "printf('%08x-0000-4000-8000-%012x', i * 2654435761 % 4294967296, i), 'item number ' || i, i";
const LARGE_ROW: &str = "i, printf('%.*c', 1000, 'x'), i";

/// 40 columns.
const WIDE: &str = "k INTEGER PRIMARY KEY, \
    c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, c19, c20, c21, c22, c23, c24, c25, c26, \
    c27, c28, c29, c30, c31, c32, c33, c34, c35, c36, c37, c38, c39";
const WIDE_ROW: &str = "i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, \
    i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i, i";

const CASES: &[Case] = &[
    case("INSERT, integer key", INTEGER, ROW, &[], &[Insert]),
    case("INSERT, 16-byte blob key", BLOB, BLOB_ROW, &[], &[Insert]),
    case("INSERT, 36-byte text key", TEXT, TEXT_ROW, &[], &[Insert]),
    case("INSERT, 1,000-byte values", LARGE, LARGE_ROW, &[], &[Insert]),
    case("INSERT, 40 columns", WIDE, WIDE_ROW, &[], &[Insert]),
    case("UPDATE of n, small rows", INTEGER, ROW, &[Insert], &[Update("n = n + 1")]),
    case("UPDATE of n, ten times", INTEGER, ROW, &[Insert], &[Update("n = n + 1"); 10]),
    case("UPDATE of n, 1,000-byte rows", LARGE, LARGE_ROW, &[Insert], &[Update("n = n + 1")]),
    case("UPDATE of the 1,000-byte value", LARGE, LARGE_ROW, &[Insert], &[Update("body = body || body")]),
    case("UPDATE of 1 of 40 columns", WIDE, WIDE_ROW, &[Insert], &[Update("c7 = 0")]),
    case("UPDATE of the key", INTEGER, ROW, &[Insert], &[Update("k = -k")]),
    case("DELETE, small rows", INTEGER, ROW, &[Insert], &[Delete]),
    case("DELETE, 1,000-byte rows", LARGE, LARGE_ROW, &[Insert], &[Delete]),
    case("INSERT, then UPDATE", INTEGER, ROW, &[], &[Insert, Update("n = n + 1")]),
    case("INSERT, then DELETE", INTEGER, ROW, &[], &[Insert, Delete]),
    case("DELETE, rolled back", INTEGER, ROW, &[Insert], &[RollBack(&[Delete])]),
];

const fn case(
    name: &'static str,
    columns: &'static str,
    values: &'static str,
    before: &'static [Step],
    recorded: &'static [Step],
) -> Case {
    Case { name, columns, values, before, recorded }
}

fn main() -> Result<()> {
    let rows = std::env::args().nth(1).map_or(Ok(100_000), |rows| rows.parse())?;
    println!("bytes per row, {rows} rows\n");
    println!("{:32} {:>12} {:>12} {:>12}", "", "memory_used", "changeset", "patchset");
    for case in CASES {
        let (_connection, mut session) = record(case, rows)?;
        let each = |bytes: usize| bytes as f64 / f64::from(rows);
        let used = each(usize::try_from(session.memory_used()?)?);
        let changeset = each(session.changeset()?.as_bytes().len());
        let patchset = each(session.patchset()?.as_bytes().len());
        println!("{:32} {used:>12.1} {changeset:>12.1} {patchset:>12.1}", case.name);
    }
    Ok(())
}

fn record(case: &Case, rows: u32) -> Result<(SqliteConnection, Session)> {
    let mut connection = open(&format!("CREATE TABLE t ({})", case.columns))?;
    run(&mut connection, case, rows, case.before)?;
    let mut session = connection.create_session()?;
    session.attach_by_name("t")?;
    run(&mut connection, case, rows, case.recorded)?;
    Ok((connection, session))
}

fn run(connection: &mut SqliteConnection, case: &Case, rows: u32, steps: &[Step]) -> Result<()> {
    for step in steps {
        match step {
            Insert => connection.batch_execute(&format!(
                "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
                 SELECT {} FROM n",
                case.values
            ))?,
            Update(set) => connection.batch_execute(&format!("UPDATE t SET {set}"))?,
            Delete => connection.batch_execute("DELETE FROM t")?,
            RollBack(steps) => {
                connection.batch_execute("BEGIN")?;
                run(connection, case, rows, steps)?;
                connection.batch_execute("ROLLBACK")?;
            }
        }
    }
    Ok(())
}
