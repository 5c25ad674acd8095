//! Bytes are checked before they are applied.
use diesel_sqlite_session::SqliteSessionExt;

fn apply(conn: &mut diesel::SqliteConnection) {
    let bytes: Vec<u8> = Vec::new();
    conn.apply(&bytes);
}

fn main() {}
