use diesel_sqlite_session::Tracked;

diesel::table! {
    users (id) {
        id -> Integer,
        born -> Timestamp,
    }
}

/// A type of a crate whose feature is disabled.
struct OffsetDateTime;

#[derive(Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i32,
    born: OffsetDateTime,
}

fn main() {}
