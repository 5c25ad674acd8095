use diesel_sqlite_session::Tracked;

mod schema {
    diesel::table! {
        log (rowid) {
            rowid -> Integer,
            line -> Text,
        }
    }

    diesel::table! {
        users (id) {
            id -> Integer,
            name -> Text,
        }
    }
}

#[derive(Tracked)]
#[tracked(schema = "../../../tmp/keyless.rs", module = crate::schema)]
pub struct Schema;

fn used(changeset: &diesel_sqlite_session::Changeset) {
    for change in changeset.changes::<SchemaChange>() {
        drop(change);
    }
}

fn main() {}
