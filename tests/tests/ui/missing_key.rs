use diesel_sqlite_session::Tracked;

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
    }
}

#[derive(Tracked)]
#[diesel(table_name = users)]
pub struct User {
    name: String,
}

fn main() {}
