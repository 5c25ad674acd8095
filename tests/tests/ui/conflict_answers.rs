//! `replace` exists only where SQLite accepts it.
use diesel_sqlite_session::{Changeset, Conflict, SqliteSessionExt, Tracked};

diesel::table! {
    users (id) {
        id -> Integer,
    }
}

#[derive(Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i32,
}

fn apply(conn: &mut diesel::SqliteConnection) {
    let changeset = Changeset::new();
    conn.apply(&changeset).on_conflict::<users::table>(|conflict| match conflict {
        Conflict::NotFound(c) => c.replace(),
        Conflict::Constraint(c) => c.replace(),
        other => other.abort(),
    });
}

fn main() {}
