//! Rows of tables of any form: names, keys and columns.

use super::*;

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
    fn a_key_is_a_tuple_in_the_order_of_the_primary_key() {
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
    fn a_table_may_have_as_many_columns_as_diesel_allows() {
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
    fn skipped_and_generated_columns_are_absent() {
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
    fn older_changes_lack_columns_with_a_default() {
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

pub(super) mod rowids {
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
