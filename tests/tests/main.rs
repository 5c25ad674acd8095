//! The tests that need SQLite as a referee, one module for each subject.

mod applying;
mod building;
mod concatenation;
mod conflicts;
mod conformance;
mod convergence;
mod corpus;
mod deriving;
mod generating;
mod handle;
mod hostile;
mod json;
mod key_order;
mod locks;
mod properties;
mod rebasing;
mod replication;
mod schemas;
mod sessions;
mod shaping;
mod traits;
mod typed;
mod typed_records;
mod unborrowed;
mod values;
mod via_diesel;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

/// A database in memory, with these statements run.
fn open(statements: &str) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    conn.batch_execute(statements).unwrap();
    conn
}

/// Runs statements.
fn exec(conn: &mut SqliteConnection, statements: &str) {
    conn.batch_execute(statements).unwrap();
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

/// The rows of a query whose one column is called `line`.
fn lines(conn: &mut SqliteConnection, query: &str) -> Vec<String> {
    diesel::sql_query(query).load::<Line>(conn).unwrap().into_iter().map(|row| row.line).collect()
}
