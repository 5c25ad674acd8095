//! The key of a change as a value: of one or several columns, inferred or declared, owned or
//! borrowed.

use diesel_sqlite_session::Operation;

use super::*;

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        email -> Nullable<Text>,
        avatar -> Nullable<Binary>,
    }
}
diesel::table! {
    seats (row, flight) {
        flight -> Text,
        free -> Bool,
        row -> Integer,
    }
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = users)]
pub struct User {
    name: String,
    id: i32,
    email: Option<String>,
    avatar: Option<Vec<u8>>,
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = users, primary_key(id))]
struct UserRef<'a> {
    name: &'a str,
    id: i32,
    email: Option<&'a str>,
    avatar: Option<&'a [u8]>,
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = seats)]
pub struct Seat {
    row: i32,
    free: bool,
    flight: String,
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = seats, primary_key(row, flight))]
#[tracked(row_only)]
pub struct SaidSeat {
    free: bool,
    flight: String,
    row: i32,
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = seats)]
struct SeatRef<'a> {
    row: i32,
    flight: &'a str,
    free: bool,
}

/// Returns an INSERT, an UPDATE and a DELETE of each table.
fn edits() -> (Changeset, Patchset) {
    recorded(
        &format!(
            "{USERS}{SEATS} INSERT INTO users VALUES (2, 'Bob', NULL, NULL), (3, 'Cy', NULL, NULL);
             INSERT INTO seats (row, flight, free) VALUES (2, 'B', 1), (3, 'C', 1)"
        ),
        "INSERT INTO users VALUES (1, 'Ada', NULL, NULL); UPDATE users SET email = 'b' WHERE id = 2; DELETE FROM users WHERE id = 3;
         INSERT INTO seats (row, flight, free) VALUES (1, 'A', 1); UPDATE seats SET free = 0 WHERE row = 2; DELETE FROM seats WHERE row = 3",
    )
}

macro_rules! keys {
    ($changes:expr) => {{
        let mut keys: Vec<_> = $changes
            .skip_unknown_tables()
            .map(|change| {
                let change = change.unwrap();
                (change.key(), change.operation(), change.table())
            })
            .collect();
        keys.sort_by_key(|(key, ..)| format!("{key:?}"));
        keys
    }};
}

#[test]
fn every_change_has_its_key() {
    use Operation::{Delete, Insert, Update};
    let (changes, patches) = edits();
    let users = [(1, Insert, "users"), (2, Update, "users"), (3, Delete, "users")];
    assert_eq!(keys!(changes.changes::<Change<users::table>>()), users);
    assert_eq!(keys!(changes.changes::<Change<UserRef<'_>>>()), users);
    assert_eq!(keys!(patches.patches::<Patch<User>>()), users);
    assert_eq!(keys!(patches.patches::<Patch<UserRef<'_>>>()), users);

    let seats = [((1, "A"), Insert, "seats"), ((2, "B"), Update, "seats"), ((3, "C"), Delete, "seats")];
    let owned = seats.map(|((row, flight), operation, table)| ((row, flight.to_owned()), operation, table));
    assert_eq!(keys!(changes.changes::<Change<seats::table>>()), owned);
    assert_eq!(keys!(changes.changes::<Change<SaidSeat>>()), owned);
    assert_eq!(keys!(changes.changes::<Change<SeatRef<'_>>>()), seats);
    assert_eq!(keys!(patches.patches::<Patch<Seat>>()), owned);
    assert_eq!(keys!(patches.patches::<Patch<SaidSeat>>()), owned);
    assert_eq!(keys!(patches.patches::<Patch<SeatRef<'_>>>()), seats);
}

mod of_types_without_clone {
    use super::*;

    #[derive(Debug, PartialEq)]
    pub struct Id(i32);

    impl<'a> diesel_sqlite_session::typed::FromSqlValue<'a, diesel::sql_types::Integer> for Id {
        fn from_sql_value(
            value: diesel_sqlite_session::Value<'a>,
        ) -> Result<Self, diesel_sqlite_session::typed::ValueError> {
            i32::from_sql_value(value).map(Self)
        }
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = users)]
    #[tracked(skip(name, email, avatar), row_only)]
    pub struct User {
        id: Id,
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = users, primary_key(id))]
    #[tracked(skip(name, email, avatar), row_only)]
    pub struct SaidUser {
        id: Id,
    }

    #[test]
    fn keys_of_other_types_are_read_too() {
        let (changes, _) = edits();
        assert_eq!(changes.changes::<Change<User>>().skip_unknown_tables().filter_map(Result::ok).count(), 3);
        assert_eq!(changes.changes::<Change<SaidUser>>().skip_unknown_tables().filter_map(Result::ok).count(), 3);
    }
}
