//! Setup that the examples share.

use std::error::Error;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

pub(crate) type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Opens an in-memory database and runs `sql` in it.
pub(crate) fn open(sql: &str) -> Result<SqliteConnection> {
    let mut conn = SqliteConnection::establish(":memory:")?;
    conn.batch_execute(sql)?;
    Ok(conn)
}
