//! `#[derive(Tracked)]` on whole schemas.

#![allow(unreachable_pub, missing_docs, reason = "files as `diesel print-schema` writes them")]

pub(crate) mod shop;
pub(crate) mod small;

use diesel::{RunQueryDsl, SqliteConnection};
use diesel_sqlite_session::{Change, Field, Patch, SqliteSessionExt, Tracked};

use crate::common::{open, recorded};

/// Two schemas in one crate: the rows of this schema stand for their tables, those of `small` are
/// private.
mod whole {
    use super::*;

    /// A colour, as an integer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Rgb(pub i32);

    impl<'a> diesel_sqlite_session::typed::FromSqlValue<'a, super::shop::sql_types::Color> for Rgb {
        fn from_sql_value(
            value: diesel_sqlite_session::Value<'a>,
        ) -> Result<Self, diesel_sqlite_session::typed::ValueError> {
            <i32 as diesel_sqlite_session::typed::FromSqlValue<diesel::sql_types::Integer>>::from_sql_value(value)
                .map(Self)
        }
    }

    #[derive(Tracked)]
    #[tracked(schema = "tests/typed/schemas/shop.rs", module = crate::typed::schemas::shop, exclude(log))]
    #[tracked(exclude(migrations), rename(order_lines = Line, r#enum = Keyword))]
    #[tracked(types(Color = Rgb), skip(users::password), generated(users::shout), default(users::city, users::age))]
    pub struct Shop;
}
use whole::*;

const USERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, 'fullName' TEXT NOT NULL, password TEXT NOT NULL, \
                     shout TEXT AS (upper(\"fullName\")), favourite INTEGER, age INTEGER, city TEXT NOT NULL);";

#[test]
fn columns_can_be_skipped_generated_or_of_other_types() {
    let (changes, patches) = recorded(
        &format!("{USERS} INSERT INTO users VALUES (2, 'Bob', 'secret', NULL, 44, 'Paris')"),
        "INSERT INTO users VALUES (1, 'Ada', 'secret', 255, 36, 'London'); UPDATE users SET favourite = 3, password = '' WHERE id = 2",
    );
    let mut changes: Vec<ShopChange> = changes.changes().collect::<Result<_, _>>().unwrap();
    changes.sort_by_key(|change| matches!(change, ShopChange::Users(Change::Update(_))));
    let ada =
        UsersRow { id: 1, full_name: "Ada".into(), favourite: Some(Rgb(255)), age: Some(36), city: "London".into() };
    let update = UsersUpdate {
        id: 2,
        full_name: Field::Unchanged,
        favourite: Field::Changed { old: None, new: Some(Rgb(3)) },
        age: Field::Unchanged,
        city: Field::Unchanged,
    };
    assert_eq!(changes, [ShopChange::Users(Change::Insert(ada)), ShopChange::Users(Change::Update(update))]);
    assert_eq!(patches.patches::<ShopPatch>().count(), 2);
}

#[test]
fn older_changes_lack_columns() {
    let setup = "CREATE TABLE users (id INTEGER PRIMARY KEY, 'fullName' TEXT NOT NULL, password TEXT NOT NULL, favourite INTEGER)";
    let (changes, _) = recorded(setup, "INSERT INTO users VALUES (1, 'Ada', 'secret', NULL)");
    let Some(Ok(ShopChange::Users(Change::Insert(ada)))) = changes.changes().next() else { panic!("{changes:?}") };
    assert_eq!((ada.age, ada.city.as_str()), (None, ""));
}

#[test]
fn tables_can_be_renamed_and_in_modules_of_the_file() {
    let (changes, patches) = recorded(
        "CREATE TABLE 'order lines' (shop INTEGER NOT NULL, number BIGINT NOT NULL, at TIMESTAMP NOT NULL, PRIMARY KEY (number, shop)); \
         CREATE TABLE enum (type TEXT PRIMARY KEY NOT NULL, self_ INTEGER); \
         INSERT INTO 'order lines' VALUES (1, 2, '2026-01-01 00:00:00')",
        "DELETE FROM 'order lines'; INSERT INTO enum VALUES ('a', 1)",
    );
    let line = LineRow { shop: 1, number: 2, at: "2026-01-01 00:00:00".into() };
    let keyword = KeywordRow { r#type: "a".into(), self_: Some(1) };
    let changes: Vec<ShopChange> = changes.changes().collect::<Result<_, _>>().unwrap();
    assert!(changes.contains(&ShopChange::Line(Change::Delete(line))), "{changes:?}");
    assert!(changes.contains(&ShopChange::Keyword(Change::Insert(keyword))), "{changes:?}");
    // in the order of `table!`
    let patches: Vec<ShopPatch> = patches.patches().collect::<Result<_, _>>().unwrap();
    assert!(patches.contains(&ShopPatch::Line(Patch::Delete((2, 1)))), "{patches:?}");
    let _ = |change: Change<shop::inner::order_lines::table>| ShopChange::Line(change);
}

mod by_rowid {
    use super::*;

    #[derive(Tracked)]
    #[tracked(schema = "tests/typed/schemas/shop.rs", module = crate::typed::schemas::shop, include(log), rowids, row_only)]
    #[tracked(change = Logged, patch = LoggedPatch, derive(Debug, Clone, PartialEq, Eq, Hash))]
    #[tracked(row_derive(diesel::Queryable, diesel::Insertable))]
    pub(super) struct Logs;

    pub(super) fn line(line: &str) -> Logged {
        Logged::Log(Change::Insert(LogRow { rowid: 1, line: line.into() }))
    }
}

#[test]
fn tables_without_a_key_are_tracked_by_rowid_on_request() {
    let (changes, _) = recorded("CREATE TABLE log (line TEXT NOT NULL)", "INSERT INTO log VALUES ('x')");
    let changes: Vec<by_rowid::Logged> = changes.changes().collect::<Result<_, _>>().unwrap();
    assert_eq!(changes, [by_rowid::line("x")]);
    // by `capture` and `track` too
    let mut conn = open("CREATE TABLE log (line TEXT NOT NULL)");
    let insert = |conn: &mut SqliteConnection| diesel::sql_query("INSERT INTO log VALUES ('x')").execute(conn);
    let captured = conn.capture::<by_rowid::Logged>().run(insert).unwrap();
    assert_eq!(captured.changes, [by_rowid::line("x")]);
    let mut session = conn.track::<by_rowid::Logged>().unwrap();
    insert(&mut conn).unwrap();
    assert_eq!(session.changeset().unwrap().records().count(), 1);
    let is_eq = |_: &dyn std::any::Any| ();
    is_eq(&std::collections::HashSet::from([by_rowid::LogUpdate { rowid: 1, line: Field::Unchanged }]));
}

mod private {
    use super::*;

    #[derive(Tracked)]
    #[tracked(schema = "tests/typed/schemas/small.rs", module = super::small)]
    struct Small;

    #[test]
    fn a_private_schema_has_private_rows() {
        let (changes, _) =
            recorded("CREATE TABLE things (id INTEGER PRIMARY KEY, label TEXT)", "INSERT INTO things VALUES (1, NULL)");
        let thing = ThingsRow { id: 1, label: None };
        assert_eq!(changes.changes().next(), Some(Ok(SmallChange::Things(Change::Insert(thing)))));
    }
}
