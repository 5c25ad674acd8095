//! The names of the columns that an UPDATE changed, in the order of the table whatever the order of
//! the fields.

use super::*;

diesel::table! {
    users (id, realm) {
        name -> Text,
        id -> Integer,
        password -> Text,
        #[sql_name = "e-mail"]
        email -> Nullable<Text>,
        realm -> Text,
        length -> Integer,
        city -> Nullable<Text>,
    }
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = users)]
#[tracked(skip(password), generated(length))]
pub struct User {
    #[tracked(default)]
    city: Option<String>,
    realm: String,
    #[diesel(column_name = email)]
    address: Option<String>,
    id: i32,
    name: String,
}

/// A borrowed row with a declared key and renamed companions.
#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = users, primary_key(id, realm))]
#[tracked(skip(password, city), generated(length), update = Edited, patch = Set)]
pub(crate) struct UserRef<'a> {
    email: Option<&'a str>,
    id: i32,
    name: &'a str,
    realm: &'a str,
}

mod of_a_key_alone {
    diesel::table! {
        marks (at) {
            at -> Integer,
        }
    }

    #[derive(Debug, diesel_sqlite_session::Tracked)]
    #[diesel(table_name = marks)]
    pub struct Mark {
        pub at: i32,
    }
}

const TABLE: &str = "CREATE TABLE users (name TEXT NOT NULL, id INTEGER, password TEXT NOT NULL, \"e-mail\" TEXT, realm TEXT, \
                     length INTEGER AS (length(name)), city TEXT, PRIMARY KEY (id, realm)); \
                     INSERT INTO users (name, id, password, realm) VALUES ('Ada', 1, 'x', 'a'), ('Bob', 2, 'y', 'b'), ('Cy', 3, 'z', 'c');";

/// Returns for each updated id the names according to `User` and to `UserRef`.
type Names = (i32, Vec<&'static str>, bool);

#[test]
fn changed_columns_are_named_in_the_order_of_the_table() {
    let (changes, patches) = recorded(
        TABLE,
        "UPDATE users SET city = 'Here', \"e-mail\" = 'a@b', password = '?', name = 'A' WHERE id = 1; \
         UPDATE users SET city = 'There' WHERE id = 2; UPDATE users SET password = '!' WHERE id = 3",
    );
    let all: [Names; 3] = [(1, vec!["name", "e-mail", "city"], false), (2, vec!["city"], false), (3, vec![], true)];
    let some: [Names; 3] = [(1, vec!["name", "e-mail"], false), (2, vec![], true), (3, vec![], true)];
    let sorted = |mut names: Vec<Names>| {
        names.sort();
        names
    };
    let updates = changes.changes::<Change<users::table>>().map(|change| match change.unwrap() {
        Change::Update(update) => (update.id, update.changed_columns().collect(), update.is_unchanged()),
        other => panic!("{other:?}"),
    });
    assert_eq!(sorted(updates.collect()), all);
    let updates = patches.patches::<Patch<users::table>>().map(|patch| match patch.unwrap() {
        Patch::Update(patch) => (patch.id, patch.changed_columns().collect(), patch.is_unchanged()),
        other => panic!("{other:?}"),
    });
    assert_eq!(sorted(updates.collect()), all);
    let updates = changes.changes::<Change<UserRef<'_>>>().map(|change| match change.unwrap() {
        Change::Update(update @ Edited { .. }) => {
            (update.id, update.changed_columns().collect(), update.is_unchanged())
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(sorted(updates.collect()), some);
    let updates = patches.patches::<Patch<UserRef<'_>>>().map(|patch| match patch.unwrap() {
        Patch::Update(patch @ Set { .. }) => (patch.id, patch.changed_columns().collect(), patch.is_unchanged()),
        other => panic!("{other:?}"),
    });
    assert_eq!(sorted(updates.collect()), some);
}

#[test]
fn the_names_outlive_the_update() {
    let names = {
        let update = of_a_key_alone::MarkUpdate { at: 1 };
        assert!(update.is_unchanged());
        update.changed_columns()
    };
    assert_eq!(names.count(), 0);
}
