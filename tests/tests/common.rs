//! What the tests of all areas share: databases in memory, statements and rows as text.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Changeset, Patchset, SqliteSessionExt};

/// Opens a database in memory and runs `statements`.
pub(crate) fn open(statements: &str) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    conn.batch_execute(statements).unwrap();
    conn
}

/// Runs `statements`.
pub(crate) fn exec(conn: &mut SqliteConnection, statements: &str) {
    conn.batch_execute(statements).unwrap();
}

/// A row of a query with one column, `line`.
#[derive(QueryableByName)]
pub(crate) struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub(crate) line: String,
}

/// Returns the rows of a query whose only column is named `line`.
pub(crate) fn lines(conn: &mut SqliteConnection, query: &str) -> Vec<String> {
    diesel::sql_query(query).load::<Line>(conn).unwrap().into_iter().map(|row| row.line).collect()
}

/// Returns what `edits` change in a database that `setup` creates, tables without a key included.
pub(crate) fn recorded(setup: &str, edits: &str) -> (Changeset, Patchset) {
    let mut conn = open(setup);
    let mut session = conn.create_session().unwrap();
    session.track_rowids().unwrap();
    session.attach_all().unwrap();
    exec(&mut conn, edits);
    (session.changeset().unwrap(), session.patchset().unwrap())
}
