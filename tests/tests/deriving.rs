//! `#[derive(Tracked)]` on whatever a user may write: rows and sets here, whole schemas in [`schemas`](crate::schemas).

#![allow(unreachable_pub, reason = "`pub` rows are one of the cases")]

use std::borrow::Cow;

use diesel::prelude::*;
use diesel_sqlite_session::{Change, Changeset, Field, Patch, Patchset, SqliteSessionExt, Tracked};

use crate::{exec, open};

/// What these statements change in a database that the first have made.
pub(crate) fn recorded(setup: &str, work: &str) -> (Changeset, Patchset) {
    let mut conn = open(setup);
    let mut session = conn.create_session().unwrap();
    session.track_rowids().unwrap();
    session.attach_all().unwrap();
    exec(&mut conn, work);
    (session.changeset().unwrap(), session.patchset().unwrap())
}

mod schema {
    diesel::table! {
        users (id) {
            id -> Integer,
            name -> Text,
            email -> Nullable<Text>,
            avatar -> Nullable<Binary>,
        }
    }
    diesel::table! {
        r#enum (r#type) {
            r#type -> Integer,
            r#match -> Text,
            #[sql_name = "two words"]
            two_words -> Nullable<Text>,
        }
    }
    diesel::table! {
        seats (row, flight) {
            flight -> Text,
            free -> Bool,
            row -> Integer,
        }
    }
    diesel::table! {
        ids (id) {
            id -> BigInt,
        }
    }
    diesel::table! {
        log (rowid) {
            rowid -> BigInt,
            line -> Text,
        }
    }
}

const USERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, avatar BLOB);";
const SEATS: &str = "CREATE TABLE seats (flight TEXT NOT NULL, free BOOLEAN NOT NULL, row INTEGER NOT NULL, \
                     PRIMARY KEY (row, flight));";

mod names {
    use super::*;
    use schema::r#enum;

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = r#enum)]
    pub struct Keywords {
        #[diesel(column_name = "two_words")]
        words: Option<String>,
        r#match: String,
        r#type: i32,
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = r#enum, primary_key(r#type))]
    #[tracked(skip(two_words), row_only, update = Changed, patch = Patched)]
    pub struct r#Self_ {
        #[diesel(column_name = r#type)]
        kind: i32,
        #[diesel(column_name = r#match)]
        other: String,
    }

    #[test]
    fn fields_columns_and_tables_may_be_keywords() {
        let (changes, patches) = recorded(
            "CREATE TABLE enum (type INTEGER PRIMARY KEY, match TEXT NOT NULL, 'two words' TEXT); INSERT INTO enum VALUES (2, 'c', 'd')",
            "INSERT INTO enum VALUES (1, 'a', 'b'); UPDATE enum SET match = 'x' WHERE type = 2",
        );
        let mut changes: Vec<Change<r#enum::table>> = changes.changes().collect::<Result<_, _>>().unwrap();
        changes.sort_by_key(|change| matches!(change, Change::Update(_)));
        let row = Keywords { r#type: 1, r#match: "a".into(), words: Some("b".into()) };
        let update = KeywordsUpdate {
            r#type: 2,
            r#match: Field::Changed { old: "c".into(), new: "x".into() },
            words: Field::Unchanged,
        };
        assert_eq!(changes, [Change::Insert(row), Change::Update(update)]);
        assert_eq!(<r#enum::table as Tracked>::TABLE.columns(), ["type", "match", "two words"]);
        let patches: Vec<Patch<r#Self_>> = patches.patches().collect::<Result<_, _>>().unwrap();
        assert!(patches.contains(&Patch::Update(Patched { kind: 2, other: Some("x".into()) })));
        assert!(patches.contains(&Patch::Insert(r#Self_ { kind: 1, other: "a".into() })));
        let _: Option<Changed> = None;
    }
}

mod keys {
    use super::*;
    use schema::seats;

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = seats)]
    pub struct Seat {
        flight: String,
        free: bool,
        row: i32,
    }

    #[derive(Debug, PartialEq, Identifiable, Tracked)]
    #[diesel(table_name = seats, primary_key(row, flight))]
    #[tracked(row_only)]
    pub struct Said {
        flight: String,
        free: bool,
        row: i32,
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = schema::ids)]
    pub struct Id {
        id: i64,
    }

    fn key_of<T: Tracked<Key = (i32, String)>>() {}

    #[test]
    fn a_key_is_a_tuple_in_the_order_of_the_table_s_primary_key() {
        key_of::<Seat>();
        key_of::<seats::table>();
        key_of::<Said>();
        let setup = format!("{SEATS} INSERT INTO seats VALUES ('LH1', 1, 7)");
        let (_, patches) = recorded(&setup, "DELETE FROM seats");
        let key = (7, "LH1".to_owned());
        assert_eq!(patches.patches::<Patch<Seat>>().next(), Some(Ok(Patch::Delete(key.clone()))));
        assert_eq!(patches.patches::<Patch<Said>>().next(), Some(Ok(Patch::Delete(key))));
        assert_eq!(Seat::TABLE.key_ordinals(), [2, 0, 1]);

        let (changes, patches) = recorded(&setup, "UPDATE seats SET free = 0");
        let update = SeatUpdate { flight: "LH1".into(), free: Field::Changed { old: true, new: false }, row: 7 };
        assert_eq!(changes.changes::<Change<seats::table>>().next(), Some(Ok(Change::Update(update))));
        let patch = SaidPatch { flight: "LH1".into(), free: Some(false), row: 7 };
        assert_eq!(patches.patches::<Patch<Said>>().next(), Some(Ok(Patch::Update(patch))));
    }

    #[test]
    fn a_table_may_have_one_column() {
        let (changes, _) = recorded("CREATE TABLE ids (id BIGINT PRIMARY KEY NOT NULL)", "INSERT INTO ids VALUES (5)");
        assert_eq!(changes.changes::<Change<schema::ids::table>>().next(), Some(Ok(Change::Insert(Id { id: 5 }))));
        assert_eq!(IdUpdate { id: 1 }, IdUpdate { id: 1 });
    }
}

mod borrowed {
    use super::*;
    use schema::{seats, users};

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = users)]
    pub struct User<'a, 'b> {
        id: i32,
        name: &'a str,
        email: Option<Cow<'b, str>>,
        avatar: Option<&'a [u8]>,
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = seats)]
    struct Seat<'s> {
        row: i32,
        free: bool,
        flight: &'s str,
    }

    #[derive(Debug, PartialEq, Tracked)]
    enum Both<'x, 'y> {
        Users(Change<User<'x, 'x>>),
        Seats(Change<Seat<'y>>),
    }

    #[test]
    fn rows_that_borrow_copy_nothing() {
        let (changes, patches) = recorded(
            &format!("{USERS}{SEATS} INSERT INTO seats VALUES ('LH1', 1, 7)"),
            "INSERT INTO users VALUES (1, 'Ada', 'ada@example.org', x'0102'); DELETE FROM seats",
        );
        let bytes = changes.as_bytes().as_ptr_range();
        let is_inside = |part: &[u8]| bytes.contains(&part.as_ptr());
        let mut seen = 0;
        for change in changes.changes::<Both<'_, '_>>() {
            match change.unwrap() {
                Both::Users(Change::Insert(User { id: 1, name: "Ada", email: Some(Cow::Borrowed(email)), avatar })) => {
                    assert!(is_inside(email.as_bytes()) && is_inside(avatar.unwrap()));
                    seen += 1;
                }
                Both::Seats(Change::Delete(seat)) => {
                    assert!(seat.row == 7 && seat.free && is_inside(seat.flight.as_bytes()));
                    seen += 10;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, 11);
        let key = patches.patches::<Patch<Seat<'_>>>().skip_unknown_tables().next();
        assert_eq!(key, Some(Ok(Patch::Delete((7, "LH1")))));
    }

    #[test]
    fn what_is_borrowed_outlives_the_iterator() {
        let (changes, _) = recorded(USERS, "INSERT INTO users VALUES (1, 'Ada', NULL, NULL)");
        let mut rows: Vec<Change<User<'_, '_>>> = changes.changes().collect::<Result<_, _>>().unwrap();
        let Some(Change::Insert(user)) = rows.pop() else { panic!("{rows:?}") };
        drop(rows);
        assert_eq!(user.name, "Ada");
    }
}

mod visibility {
    use super::*;
    use schema::users;

    // a private type, as a value that only its module may make
    #[derive(Debug, PartialEq, diesel::deserialize::FromSqlRow)]
    struct Email(String);

    impl<'a> diesel_sqlite_session::FromSqlValue<'a, diesel::sql_types::Text> for Email {
        fn from_sql_value(value: diesel_sqlite_session::Value<'a>) -> Result<Self, diesel_sqlite_session::ValueError> {
            <String as diesel_sqlite_session::FromSqlValue<diesel::sql_types::Text>>::from_sql_value(value).map(Self)
        }
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = users)]
    struct Private {
        id: i32,
        name: String,
        email: Option<Email>,
        avatar: Option<Vec<u8>>,
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = users, primary_key(id))]
    pub(crate) struct InCrate {
        pub(crate) id: i32,
        pub(in crate::deriving) name: String,
        email: Option<Email>,
        avatar: Option<Vec<u8>>,
    }

    // the key is said: the other columns need not be in public
    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = users, primary_key(id))]
    pub struct Public {
        id: i32,
        name: String,
        email: Option<Email>,
        avatar: Option<Vec<u8>>,
    }

    #[test]
    fn rows_may_be_private_and_hold_private_types() {
        let (changes, _) = recorded(USERS, "INSERT INTO users VALUES (1, 'Ada', 'ada@example.org', NULL)");
        let email = || Some(Email("ada@example.org".into()));
        let private = Private { id: 1, name: "Ada".into(), email: email(), avatar: None };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<Private>::Insert(private))));
        let in_crate = InCrate { id: 1, name: "Ada".into(), email: email(), avatar: None };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<InCrate>::Insert(in_crate))));
        let public = Public { id: 1, name: "Ada".into(), email: email(), avatar: None };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<users::table>::Insert(public))));
        assert_eq!(
            InCrateUpdate { id: 1, name: Field::Unchanged, email: Field::Unchanged, avatar: Field::Unchanged }.id,
            1
        );
    }
}

mod beside_diesel {
    use super::*;
    use diesel::associations::Associations;

    diesel::table! {
        posts (id) {
            id -> Integer,
            user_id -> Integer,
            title -> Text,
            stars -> Nullable<Integer>,
        }
    }
    diesel::table! {
        owners (id) {
            id -> Integer,
        }
    }
    diesel::joinable!(posts -> owners (user_id));
    diesel::allow_tables_to_appear_in_same_query!(posts, owners);

    #[derive(Debug, Clone, PartialEq, Identifiable, Queryable, Tracked)]
    #[diesel(table_name = owners)]
    pub struct Owner {
        id: i32,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Stars(i32);
    impl From<Option<i32>> for Stars {
        fn from(stars: Option<i32>) -> Self {
            Self(stars.unwrap_or(0))
        }
    }
    impl From<Stars> for Option<i32> {
        fn from(stars: Stars) -> Self {
            Some(stars.0)
        }
    }

    #[derive(
        Debug, Clone, PartialEq, Queryable, Selectable, Insertable, Identifiable, AsChangeset, Associations, Tracked,
    )]
    #[diesel(table_name = posts)]
    #[diesel(primary_key(id), belongs_to(Owner, foreign_key = user_id))]
    #[diesel(treat_none_as_null = true, check_for_backend(diesel::sqlite::Sqlite))]
    pub struct Post {
        #[diesel(skip_update)]
        id: i32,
        #[diesel(column_name = user_id)]
        owner: i32,
        #[diesel(select_expression = posts::title, select_expression_type = diesel::dsl::Select<posts::table, posts::title>)]
        #[cfg(any())]
        never: (),
        title: String,
        #[diesel(deserialize_as = Option<i32>, serialize_as = Option<i32>)]
        stars: Stars,
    }

    // made from what is loaded, and never written
    #[derive(Debug, PartialEq)]
    pub struct Length(usize);
    impl TryFrom<String> for Length {
        type Error = String;
        fn try_from(text: String) -> Result<Self, String> {
            if text.is_empty() { Err("nothing".into()) } else { Ok(Self(text.len())) }
        }
    }

    #[derive(Debug, PartialEq, Queryable, Tracked)]
    #[diesel(table_name = posts)]
    #[tracked(row_only)]
    pub struct Lengths {
        id: i32,
        user_id: i32,
        #[diesel(deserialize_as = String, serialize_as = String)]
        title: Length,
        stars: Option<i32>,
    }

    const POSTS: &str =
        "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, title TEXT NOT NULL, stars INTEGER);";

    #[test]
    fn the_attributes_of_diesel_s_derives_are_heeded_or_left_alone() {
        let (changes, _) = recorded(POSTS, "INSERT INTO posts VALUES (1, 2, 'three', NULL)");
        let post = Post { id: 1, owner: 2, title: "three".into(), stars: Stars(0) };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<posts::table>::Insert(post))));
        let lengths = Lengths { id: 1, user_id: 2, title: Length(5), stars: None };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<Lengths>::Insert(lengths))));

        let (changes, _) = recorded(POSTS, "INSERT INTO posts VALUES (1, 2, '', NULL)");
        let error = changes.changes::<Change<Lengths>>().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("column title (Text): nothing"), "{error}");
    }
}

mod strange_scope {
    #![allow(dead_code, unused_macros, unused_imports, non_camel_case_types, non_snake_case, non_upper_case_globals)]
    use super::schema;
    use super::schema::users;
    use super::schema::users::dsl::*;

    struct Result;
    struct Option;
    struct String;
    struct Vec;
    struct Box;
    struct Field;
    struct Change;
    struct str;
    struct i32;
    fn Ok() {}
    fn Err() {}
    fn Some() {}
    const None: () = ();
    mod core {}
    mod std {}
    mod diesel {}
    mod diesel_sqlite_session {}
    trait Tracked {}
    macro_rules! panic {
        () => {};
    }
    macro_rules! stringify {
        () => {};
    }
    macro_rules! matches {
        () => {};
    }

    #[derive(::diesel_sqlite_session::Tracked)]
    #[diesel(table_name = users)]
    #[tracked(row_only)]
    pub struct User {
        id: ::core::primitive::i32,
        name: ::std::string::String,
        email: ::std::option::Option<::std::string::String>,
        avatar: ::std::option::Option<::std::vec::Vec<u8>>,
    }

    #[derive(::diesel_sqlite_session::Tracked)]
    enum Set {
        Users(::diesel_sqlite_session::Change<User>),
    }

    #[derive(::diesel_sqlite_session::Tracked)]
    #[tracked(schema = "tests/schemas/small.rs", module = crate::schemas::small)]
    struct Whole;

    #[test]
    fn the_names_in_scope_do_not_matter() {
        let (changes, _) = super::recorded(super::USERS, "INSERT INTO users VALUES (1, 'Ada', NULL, NULL)");
        assert_eq!(changes.changes::<Set>().count(), 1);
    }
}

mod macros {
    use super::*;

    macro_rules! tracked {
        ($Row:ident, $table:path, $set:ident, $($field:ident: $Type:ty),*) => {
            #[derive(Debug, PartialEq, Tracked)]
            #[diesel(table_name = $table)]
            #[tracked(row_only)]
            pub struct $Row {
                $($field: $Type,)*
            }

            #[derive(Debug, PartialEq, Tracked)]
            enum $set {
                Rows(Change<$Row>),
            }
        };
        (crate) => {
            #[derive(Debug, PartialEq, Tracked)]
            #[diesel(table_name = $crate::deriving::schema::seats)]
            #[tracked(row_only, crate = $crate::deriving::macros::again)]
            pub struct Seat {
                flight: String,
                free: bool,
                row: i32,
            }
        };
    }

    pub(crate) mod again {
        pub(crate) use diesel_sqlite_session::*;
    }

    tracked!(User, schema::users, Users, id: i32, name: String, email: Option<String>, avatar: Option<Vec<u8>>);
    tracked!(crate);

    #[test]
    fn items_may_come_from_macros() {
        let (changes, _) = recorded(
            &format!("{USERS}{SEATS}"),
            "INSERT INTO users VALUES (1, 'Ada', NULL, NULL); INSERT INTO seats VALUES ('LH1', 1, 2)",
        );
        assert_eq!(changes.changes::<Users>().skip_unknown_tables().count(), 1);
        let seat = Seat { flight: "LH1".into(), free: true, row: 2 };
        assert_eq!(changes.changes().skip_unknown_tables().next(), Some(Ok(Change::<Seat>::Insert(seat))));
    }

    #[test]
    fn items_may_be_inside_functions() {
        diesel::table! {
            inner (id) {
                id -> Integer,
            }
        }
        #[derive(Debug, PartialEq, Tracked)]
        #[diesel(table_name = inner)]
        pub struct Inner {
            id: i32,
        }
        #[derive(Debug, PartialEq, Tracked)]
        enum Set {
            Inner(Change<inner::table>),
        }
        let (changes, _) = recorded("CREATE TABLE inner (id INTEGER PRIMARY KEY)", "INSERT INTO inner VALUES (1)");
        assert_eq!(changes.changes().next(), Some(Ok(Set::Inner(Change::Insert(Inner { id: 1 })))));
    }
}

/// Nothing that the derive writes may warn, whatever the user has turned on.
mod strict {
    #![deny(
        warnings,
        missing_docs,
        missing_debug_implementations,
        unreachable_pub,
        unused,
        unused_qualifications,
        unused_lifetimes,
        single_use_lifetimes,
        explicit_outlives_requirements,
        elided_lifetimes_in_paths,
        trivial_casts,
        unit_bindings,
        clippy::all,
        clippy::pedantic,
        clippy::nursery,
        clippy::absolute_paths,
        clippy::missing_const_for_fn,
        clippy::missing_inline_in_public_items,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::str_to_string,
        clippy::exhaustive_structs,
        clippy::unwrap_used
    )]
    #![forbid(unsafe_code)]
    #![allow(clippy::redundant_pub_crate, reason = "the rows' own")]

    pub(crate) mod rows {
        use crate::deriving::schema::{log, users};
        use diesel_sqlite_session::{Change, Patch, Tracked};

        /// A user.
        #[derive(Debug, Tracked)]
        #[diesel(table_name = users)]
        #[tracked(row_only)]
        #[allow(unreachable_pub)]
        #[allow(dead_code)]
        pub struct User {
            /// Who.
            pub id: i32,
            /// What.
            pub name: String,
            /// Where.
            pub email: Option<String>,
            /// How.
            pub avatar: Option<Vec<u8>>,
        }

        /// A user, borrowed.
        #[derive(Debug, Tracked)]
        #[diesel(table_name = users)]
        #[tracked(skip(avatar))]
        #[allow(dead_code)]
        pub(crate) struct UserRef<'a> {
            pub(crate) id: i32,
            pub(crate) name: &'a str,
            pub(crate) email: Option<&'a str>,
        }

        /// A line, with names of its database.
        #[derive(Debug, Tracked)]
        #[diesel(table_name = log)]
        #[allow(non_snake_case)]
        pub(crate) struct Log {
            #[diesel(column_name = rowid)]
            pub(crate) rowId: i64,
            #[diesel(column_name = line)]
            pub(crate) theLine: String,
        }

        #[derive(Debug, Tracked)]
        #[allow(dead_code)]
        pub(crate) enum Users<'a> {
            Users(Change<UserRef<'a>>),
            Log(Change<Log>),
        }

        #[derive(Debug, Tracked)]
        #[allow(dead_code)]
        pub(crate) enum Patches {
            Log(Patch<Log>),
        }

        #[derive(Tracked)]
        #[tracked(schema = "tests/schemas/small.rs", module = crate::schemas::small)]
        struct Whole;
    }

    #[test]
    fn what_is_written_for_a_strict_module_is_silent() {
        let (changes, patches) =
            super::recorded("CREATE TABLE log (line TEXT NOT NULL)", "INSERT INTO log VALUES ('x')");
        for change in changes.changes::<rows::Users<'_>>() {
            match change.expect("a change") {
                rows::Users::Log(diesel_sqlite_session::Change::Insert(log)) => {
                    assert_eq!((log.rowId, log.theLine.as_str()), (1, "x"));
                }
                other => unreachable!("{other:?}"),
            }
        }
        assert_eq!(patches.patches::<rows::Patches>().count(), 1);
    }
}

mod wide {
    use super::*;

    macro_rules! wide {
        ($($column:ident)*) => {
            diesel::table! {
                wide (c0) {
                    $($column -> Integer,)*
                }
            }
            #[derive(Debug, PartialEq, Tracked)]
            #[diesel(table_name = wide)]
            pub struct Wide {
                $($column: i32,)*
            }
            const COLUMNS: &[&str] = &[$(stringify!($column)),*];
        };
    }
    wide!(c0 c1 c2 c3 c4 c5 c6 c7 c8 c9 c10 c11 c12 c13 c14 c15 c16 c17 c18 c19 c20 c21 c22 c23 c24 c25 c26 c27 c28 c29 c30 c31);

    #[test]
    fn a_table_may_have_as_many_columns_as_diesel_lets_it() {
        assert_eq!(Wide::TABLE.columns(), COLUMNS);
        let columns: Vec<String> = COLUMNS.iter().map(|name| format!("{name} INTEGER")).collect();
        let setup = format!("CREATE TABLE wide ({}, PRIMARY KEY (c0))", columns.join(", "));
        let values: Vec<String> = (0..32).map(|value| value.to_string()).collect();
        let (changes, _) = recorded(&setup, &format!("INSERT INTO wide VALUES ({})", values.join(", ")));
        let Some(Ok(Change::<Wide>::Insert(row))) = changes.changes().next() else { panic!("{changes:?}") };
        assert_eq!((row.c0, row.c17, row.c31), (0, 17, 31));
    }
}

mod columns {
    use super::*;

    diesel::table! {
        people (id) {
            id -> Integer,
            name -> Text,
            password -> Text,
            loud -> Text,
            age -> Nullable<Integer>,
            city -> Text,
        }
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = people)]
    #[tracked(skip(password), generated(loud))]
    pub struct Person {
        id: i32,
        name: String,
        #[tracked(default)]
        city: String,
        #[tracked(default)]
        age: Option<i32>,
    }

    const NOW: &str = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, password TEXT NOT NULL, \
                       loud TEXT AS (upper(name)), age INTEGER, city TEXT NOT NULL);";
    const BEFORE: &str = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, password TEXT NOT NULL, \
                          loud TEXT AS (upper(name)));";

    #[test]
    fn what_is_skipped_and_generated_is_absent() {
        let (changes, patches) = recorded(
            NOW,
            "INSERT INTO people (id, name, password, age, city) VALUES (1, 'Ada', 'secret', 36, 'London')",
        );
        let ada = Person { id: 1, name: "Ada".into(), age: Some(36), city: "London".into() };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<people::table>::Insert(ada))));
        let patch = patches.patches::<Patch<people::table>>().next().unwrap().unwrap();
        assert!(!format!("{patch:?}").contains("secret"));
        assert_eq!(Person::TABLE.columns(), ["id", "name", "password", "age", "city"]);
    }

    #[test]
    fn older_changes_lack_the_columns_that_have_a_default() {
        let (changes, _) = recorded(BEFORE, "INSERT INTO people (id, name, password) VALUES (1, 'Ada', 'secret')");
        let ada = Person { id: 1, name: "Ada".into(), age: None, city: String::new() };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<people::table>::Insert(ada))));

        let setup = format!("{BEFORE} INSERT INTO people (id, name, password) VALUES (1, 'Ada', 'secret')");
        let (changes, patches) = recorded(&setup, "UPDATE people SET name = 'Eve'");
        let update = PersonUpdate {
            id: 1,
            name: Field::Changed { old: "Ada".into(), new: "Eve".into() },
            age: Field::Unchanged,
            city: Field::Unchanged,
        };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<people::table>::Update(update))));
        let patch = PersonPatch { id: 1, name: Some("Eve".into()), age: None, city: None };
        assert_eq!(patches.patches().next(), Some(Ok(Patch::<people::table>::Update(patch))));

        let (changes, _) = recorded(&setup, "DELETE FROM people");
        assert!(matches!(changes.changes().next(), Some(Ok(Change::<Person>::Delete(_)))));

        let without_password = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL)";
        let (changes, _) = recorded(without_password, "INSERT INTO people VALUES (1, 'Ada')");
        let error = changes.changes::<Change<Person>>().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("people"), "{error}");
    }
}

mod rowids {
    use super::*;
    use schema::log;

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = log)]
    pub struct Line {
        line: String,
        rowid: i64,
    }

    #[test]
    fn a_table_without_a_key_is_tracked_by_its_rowid() {
        let setup = "CREATE TABLE log (line TEXT NOT NULL); INSERT INTO log VALUES ('a'), ('b')";
        let (changes, patches) = recorded(setup, "UPDATE log SET line = 'c' WHERE line = 'b'");
        let update = LineUpdate { rowid: 2, line: Field::Changed { old: "b".into(), new: "c".into() } };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<log::table>::Update(update))));
        assert_eq!(
            patches.patches().next(),
            Some(Ok(Patch::<Line>::Update(LinePatch { rowid: 2, line: Some("c".into()) })))
        );

        let mut conn = open(setup);
        let mut session = conn.create_session().unwrap();
        session.track_rowids().unwrap();
        session.attach::<log::table>().unwrap();
    }
}

mod companions {
    use super::*;
    use diesel_sqlite_session::{FromSqlValue, Value, ValueError};
    use schema::ids;

    /// A type that can do nothing.
    pub struct Opaque(i64);
    impl<'a> FromSqlValue<'a, diesel::sql_types::BigInt> for Opaque {
        fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
            i64::from_sql_value(value).map(Self)
        }
    }

    #[derive(Tracked)]
    #[diesel(table_name = ids)]
    #[tracked(row_only)]
    pub struct Silent {
        id: Opaque,
    }

    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Tracked)]
    #[diesel(table_name = ids)]
    #[allow(dead_code)]
    #[tracked(row_only, derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash))]
    pub struct Loud {
        id: i64,
    }

    trait Not {
        const DEBUG: bool = false;
        const CLONE: bool = false;
        const EQ: bool = false;
    }
    struct Has<T>(std::marker::PhantomData<T>);
    impl<T> Not for Has<T> {}
    impl<T: std::fmt::Debug> Has<T> {
        const DEBUG: bool = true;
    }
    impl<T: Clone> Has<T> {
        const CLONE: bool = true;
    }
    impl<T: PartialEq> Has<T> {
        const EQ: bool = true;
    }

    #[test]
    fn companions_can_do_what_their_fields_can() {
        assert_eq!(
            (Has::<SilentUpdate>::DEBUG, Has::<SilentUpdate>::CLONE, Has::<SilentPatch>::EQ),
            (false, false, false)
        );
        assert_eq!((Has::<LoudUpdate>::DEBUG, Has::<LoudUpdate>::CLONE, Has::<LoudPatch>::EQ), (true, true, true));
        type Line = super::rowids::LineUpdate;
        assert_eq!((Has::<Line>::DEBUG, Has::<Line>::CLONE, Has::<Line>::EQ), (true, true, true));
        assert!(LoudUpdate { id: 1 } < LoudUpdate { id: 2 });
        let (changes, _) = recorded("CREATE TABLE ids (id BIGINT PRIMARY KEY NOT NULL)", "INSERT INTO ids VALUES (5)");
        let Some(Ok(Change::<Silent>::Insert(row))) = changes.changes().next() else { panic!("{changes:?}") };
        assert_eq!(row.id.0, 5);
    }
}
