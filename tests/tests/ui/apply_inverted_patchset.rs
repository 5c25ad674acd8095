//! A patchset does not hold what an inverse takes.
use diesel_sqlite_session::{Patchset, SqliteSessionExt};

fn apply(conn: &mut diesel::SqliteConnection) {
    let patchset = Patchset::new();
    conn.apply(&patchset).inverted();
}

fn main() {}
