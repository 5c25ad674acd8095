use diesel_sqlite_session::{Change, Changeset, SqliteSessionExt, Tracked};

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

#[derive(Tracked)]
enum Blog {
    Users(Change<users::table>),
}

fn apply(conn: &mut diesel::SqliteConnection, changeset: &Changeset) {
    let _ = conn.apply(changeset).on_conflict::<Blog>(|_| panic!());
}

fn main() {}
