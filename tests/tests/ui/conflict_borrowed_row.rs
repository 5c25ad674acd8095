//! A row that borrows from a changeset cannot be passed to a handler.
use diesel_sqlite_session::{Changeset, SqliteSessionExt, Tracked};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
    }
}

#[derive(Tracked)]
#[diesel(table_name = users)]
struct UserRef<'a> {
    id: i32,
    name: &'a str,
}

fn apply(conn: &mut diesel::SqliteConnection) {
    let changeset = Changeset::new();
    conn.apply(&changeset).on_conflict::<UserRef<'_>>(|conflict| conflict.abort());
}

fn main() {}
