//! A patchset does not contain the old values that an inverse requires.
use diesel_sqlite_session::{Patchset, SqliteSessionExt};

fn apply(conn: &mut diesel::SqliteConnection) {
    let patchset = Patchset::new();
    conn.apply(&patchset).inverted();
}

fn main() {}
