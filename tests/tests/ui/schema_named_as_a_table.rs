use diesel_sqlite_session::Tracked;

mod schema {
    diesel::table! {
        city (id) {
            id -> Integer,
            name -> Text,
        }
    }
}

#[derive(Tracked)]
#[tracked(schema = "../../../tmp/city.rs", module = crate::schema)]
pub struct City;

fn used(changeset: &diesel_sqlite_session::Changeset) {
    for change in changeset.changes::<CityChange>() {
        drop(change);
    }
}

fn main() {}
