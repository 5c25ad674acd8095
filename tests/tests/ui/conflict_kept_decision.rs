//! A decision cannot be kept for another conflict.
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
    let mut kept = None;
    conn.apply(&changeset).on_conflict::<users::table>(|conflict| match conflict {
        Conflict::Data(c) => {
            kept = Some(c.replace());
            c.omit()
        }
        other => kept.take().unwrap_or(other.abort()),
    });
}

fn main() {}
