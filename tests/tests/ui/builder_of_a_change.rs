use diesel_sqlite_session::{Change, Changeset, Tracked};

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

fn add(change: &Change<users::table>) {
    let _ = Changeset::builder().insert(change);
}

fn main() {}
