//! Typed conflict handlers: their arguments, their answers, and the report.

use std::ops::ControlFlow;

use diesel::prelude::*;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{
    ApplyError, Changeset, Conflict, ConflictAction, ConflictType, Patch, Patchset, SqliteSessionExt, Value,
};

use super::shop::*;
use crate::common::{exec, lines, open};

#[test]
fn handlers_of_a_patchset_receive_patches() {
    let patchset = Patchset::builder()
        .insert(&item(1, "plum", 1))
        .update(&item(2, "pear", 1), &item(2, "pear", 2))
        .delete(&item(3, "fig", 1))
        .build()
        .unwrap();
    let mut conn = shop(&[item(1, "prune", 7)]);
    let mut seen = Vec::new();
    let report = conn
        .apply(&patchset)
        .on_conflict::<items::table>(|conflict| {
            seen.push(format!("{:?}", conflict.kind()));
            match conflict {
                Conflict::Conflict(c) => {
                    assert_eq!(c.change(), &Patch::Insert(item(1, "plum", 1)));
                    assert_eq!(c.current(), &item(1, "prune", 7));
                    c.replace()
                }
                Conflict::NotFound(c) => {
                    match c.change() {
                        Patch::Update(update) => assert_eq!((update.id, update.n), (2, Some(2))),
                        Patch::Delete(id) => assert_eq!(*id, 3),
                        Patch::Insert(_) => panic!("{c:?}"),
                    }
                    c.omit()
                }
                other => panic!("{other:?}"),
            }
        })
        .run()
        .unwrap();
    seen.sort();
    assert_eq!(seen, ["Conflict", "NotFound", "NotFound"]);
    assert_eq!((report.applied(), report.replaced(), report.omitted()), (0, 1, 2));
    assert!(report.rebase_data().is_empty(), "SQLite has none for patchsets");
    assert_eq!(rows(&mut conn), ["1 plum 1"]);
}

#[test]
fn each_failure_is_a_distinct_error_and_rolls_back_everything() {
    let before = [item(1, "apple", 1), item(2, "pear", 2)];
    let changeset = Changeset::builder()
        .insert(&item(3, "fig", 3))
        .update(&item(1, "apple", 0), &item(1, "apple", 5))
        .build()
        .unwrap();
    let mut conn = shop(&before);
    let unchanged = |conn: &mut SqliteConnection, error: Result<_, ApplyError>| {
        assert_eq!(rows(conn), ["1 apple 1", "2 pear 2"]);
        // no transaction is left open
        exec(conn, "BEGIN; COMMIT");
        error.map(|_: diesel_sqlite_session::ApplyReport| ()).unwrap_err()
    };

    let result = conn.apply(&changeset).on_conflict::<items::table>(|c| match c {
        Conflict::Data(c) => c.abort(),
        other => panic!("{other:?}"),
    });
    let result = result.run();
    assert!(matches!(unchanged(&mut conn, result), ApplyError::ConflictAborted));

    let result = conn.apply(&changeset).run();
    assert!(matches!(unchanged(&mut conn, result), ApplyError::ConflictAborted));

    let result = conn
        .apply(&changeset)
        .try_on_conflict::<items::table, _>(|conflict| Err(format!("no {:?} here", conflict.kind())))
        .run();
    match unchanged(&mut conn, result) {
        ApplyError::Handler(error) => assert_eq!(error.to_string(), "no Data here"),
        other => panic!("{other:?}"),
    }

    let result = conn.apply(&changeset).on_conflict::<items::table>(|_| panic!("handler")).run();
    assert!(matches!(unchanged(&mut conn, result), ApplyError::ConflictHandlerPanicked));
    let result = conn.apply(&changeset).filter::<items::table>(|_, _| panic!("filter")).run();
    assert!(matches!(unchanged(&mut conn, result), ApplyError::ConflictHandlerPanicked));
    let result = conn.apply(&changeset).on_progress(|_| panic!("progress")).run();
    assert!(matches!(unchanged(&mut conn, result), ApplyError::ConflictHandlerPanicked));

    let result = conn.apply(&changeset).on_progress(|_| ControlFlow::Break(())).run();
    assert!(matches!(unchanged(&mut conn, result), ApplyError::Cancelled));

    let result = conn.apply(&changeset).otherwise(|_| ConflictAction::Replace).inverted().run();
    match unchanged(&mut conn, result) {
        ApplyError::IllegalReplace { conflict: ConflictType::NotFound, table } => {
            assert_eq!(table.as_deref(), Some("items"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_that_do_not_fit_the_types_are_errors_with_their_place() {
    // a row of the database that does not fit its type
    let mut conn = shop(&[]);
    exec(&mut conn, "INSERT INTO items VALUES (1, x'ff', 1)");
    let changeset = updated(&item(1, "apple", 0), &item(1, "apple", 5));
    let error = conn.apply(&changeset).on_conflict::<items::table>(|c| answer(&c, true)).run().unwrap_err();
    assert!(matches!(error, ApplyError::Decode(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "table items, column name (Text), in the database row: expected text, found blob x'ff'"
    );

    // a change that does not fit
    let changeset = Changeset::builder()
        .insert_values(TableInfo::new("items", &[1, 0, 0]), &[1.into(), Value::Null, 3.into()])
        .build()
        .unwrap();
    let error = conn.apply(&changeset).on_conflict::<items::table>(|c| answer(&c, true)).run().unwrap_err();
    assert_eq!(
        error.to_string(),
        "table items, column name (Text), in the change: NULL in a column that is not Nullable, found NULL"
    );
    let error = conn.apply(&changeset).filter::<items::table>(|_, _| true).run().unwrap_err();
    assert!(matches!(error, ApplyError::Decode(_)), "{error:?}");
}

#[test]
fn a_table_that_differs_from_its_type_is_rejected() {
    let changeset = inserted(&item(1, "apple", 1));
    for (schema, column) in [
        ("CREATE TABLE items (id INTEGER PRIMARY KEY, n BIGINT, name TEXT)", "name"),
        ("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, n BIGINT, more)", "more"),
    ] {
        let mut conn = open(schema);
        // the positions alone would fit
        conn.apply(&changeset).run().unwrap();
        let error = conn.apply(&changeset).on_conflict::<items::table>(|c| answer(&c, false)).run().unwrap_err();
        match &error {
            ApplyError::SchemaMismatch(mismatch) => assert_eq!(mismatch.column(), Some(column), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_type_of_a_table_is_compared_with_it() {
    mod swapped {
        diesel::table! {
            items (id) {
                id -> Integer,
                n -> BigInt,
                name -> Text,
            }
        }
        #[derive(Debug, diesel_sqlite_session::Tracked)]
        #[diesel(table_name = items)]
        pub struct Swapped {
            pub id: i32,
            pub n: i64,
            pub name: String,
        }
    }
    let changeset = inserted(&item(1, "apple", 1));
    let mut conn = shop(&[]);
    let apply = conn.apply(&changeset).on_conflict::<items::table>(|c| answer(&c, false));
    let error = apply.filter::<swapped::items::table>(|_, _| true).run().unwrap_err();
    assert!(matches!(&error, ApplyError::SchemaMismatch(mismatch) if mismatch.column() == Some("n")), "{error}");
}

#[test]
fn a_change_can_conflict_several_times_and_counts_once() {
    // row 1 differs, and row 2 has its new name
    let changeset = Changeset::builder()
        .update(&item(1, "apple", 0), &item(1, "pear", 5))
        .update(&item(3, "fig", 3), &item(3, "date", 3))
        .update(&item(4, "plum", 4), &item(4, "fig", 4))
        .build()
        .unwrap();
    let mut conn = shop(&[item(1, "apple", 1), item(2, "pear", 2), item(3, "fig", 3), item(4, "plum", 4)]);
    let mut kinds = Vec::new();
    let report = conn
        .apply(&changeset)
        .on_conflict::<items::table>(|conflict| {
            kinds.push(conflict.kind());
            answer(&conflict, true)
        })
        .run()
        .unwrap();
    assert_eq!(kinds, [ConflictType::Data, ConflictType::Constraint]);
    assert_eq!((report.applied(), report.replaced(), report.omitted()), (2, 0, 1));
    assert_eq!(rows(&mut conn), ["1 apple 1", "2 pear 2", "3 date 3", "4 fig 4"]);
}

#[test]
fn a_row_is_not_lost_between_replace_and_omit() {
    // row 1 is deleted for the new row, whose name row 2 has
    let changeset = inserted(&item(1, "pear", 5));
    let before = [item(1, "apple", 1), item(2, "pear", 2)];
    let mut conn = shop(&before);
    let error = conn.apply(&changeset).on_conflict::<items::table>(|c| answer(&c, true)).run().unwrap_err();
    assert!(matches!(&error, ApplyError::ReplacedRowLost { table } if table == "items"), "{error:?}");
    assert_eq!(rows(&mut conn), ["1 apple 1", "2 pear 2"]);

    // also where a handler decides by kind
    let by_kind = |kind: ConflictType| {
        if kind.takes_replace() { ConflictAction::Replace } else { ConflictAction::Omit }
    };
    let error = conn.apply_changeset(&changeset, by_kind).unwrap_err();
    assert!(matches!(error, ApplyError::ReplacedRowLost { .. }), "{error:?}");
    let error = conn.apply(&changeset).otherwise(by_kind).run().unwrap_err();
    assert!(matches!(error, ApplyError::ReplacedRowLost { .. }), "{error:?}");
    assert_eq!(rows(&mut conn), ["1 apple 1", "2 pear 2"]);

    // an explicit answer is allowed
    let mut after_replace = Vec::new();
    let report = conn
        .apply(&changeset)
        .on_conflict::<items::table>(|conflict| match conflict {
            Conflict::Constraint(c) => {
                after_replace.push(c.is_after_replace());
                c.omit_and_lose_row()
            }
            other => answer(&other, true),
        })
        .run()
        .unwrap();
    assert_eq!(after_replace, [true]);
    assert_eq!((report.applied(), report.replaced(), report.omitted()), (0, 0, 1));
    assert_eq!(rows(&mut conn), ["2 pear 2"]);

    // without a deleted row the constraint is an ordinary conflict
    let report = conn
        .apply(&inserted(&item(7, "pear", 5)))
        .on_conflict::<items::table>(|conflict| match conflict {
            Conflict::Constraint(c) => {
                assert!(!c.is_after_replace());
                c.omit()
            }
            other => panic!("{other:?}"),
        })
        .run()
        .unwrap();
    assert_eq!(report.omitted(), 1);
}

#[test]
fn a_row_is_not_deleted_for_an_insert_that_can_be_ignored() {
    // SQLite would delete row 1 for the new row, and then skip the new row because its name is
    // taken
    let schema =
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE ON CONFLICT IGNORE, n BIGINT NOT NULL);
        INSERT INTO items VALUES (1, 'apple', 1), (2, 'pear', 2);";
    let trigger = "CREATE TRIGGER i BEFORE INSERT ON items WHEN NOT EXISTS (SELECT 1 FROM items WHERE id = new.id) BEGIN SELECT RAISE(IGNORE); END";
    let plain = schema.replace("ON CONFLICT IGNORE", "");
    for schema in [schema.to_string(), format!("{plain}{trigger}")] {
        let mut conn = open(&schema);
        let changeset = inserted(&item(1, "pear", 5));
        let error = conn.apply(&changeset).on_conflict::<items::table>(|c| answer(&c, true)).run().unwrap_err();
        assert!(matches!(&error, ApplyError::ReplacedRowLost { table } if table == "items"), "{error:?}");
        assert_eq!(rows(&mut conn), ["1 apple 1", "2 pear 2"]);
        // an UPDATE deletes nothing
        let changeset = updated(&item(1, "apple", 0), &item(1, "apple", 5));
        let report = conn.apply(&changeset).on_conflict::<items::table>(|c| answer(&c, true)).run().unwrap();
        assert_eq!(report.replaced(), 1);
    }
}

#[test]
fn each_kind_of_conflict_occurs_as_documented() {
    let kinds_of = |schema: &str, change: &Changeset| {
        let mut conn = open(&format!("{ITEMS} {schema}"));
        let mut kinds = Vec::new();
        conn.apply(change)
            .on_conflict::<items::table>(|conflict| {
                kinds.push(conflict.kind());
                answer(&conflict, false)
            })
            .run()
            .unwrap();
        kinds.dedup();
        kinds
    };
    use ConflictType as Kind;
    let apple = "INSERT INTO items VALUES (1, 'apple', 1);";
    let (insert, update) = (inserted(&item(1, "fig", 5)), updated(&item(1, "apple", 1), &item(1, "fig", 5)));
    let delete = Changeset::builder().delete(&item(1, "apple", 1)).build().unwrap();
    let taken = "INSERT INTO items VALUES (2, 'fig', 2);";
    let raise =
        |on: &str| format!("{apple} CREATE TRIGGER no BEFORE {on} ON items BEGIN SELECT RAISE(ABORT, 'no'); END");
    for (schema, change, expected) in [
        ("", &insert, None),
        (apple, &insert, Some(Kind::Conflict)),
        (taken, &insert, Some(Kind::Constraint)),
        (
            "CREATE TRIGGER no BEFORE INSERT ON items BEGIN SELECT RAISE(ABORT, 'no'); END",
            &insert,
            Some(Kind::Constraint),
        ),
        (apple, &update, None),
        ("", &update, Some(Kind::NotFound)),
        ("INSERT INTO items VALUES (1, 'pear', 1)", &update, Some(Kind::Data)),
        (&format!("{apple} {taken}"), &update, Some(Kind::Constraint)),
        (&raise("UPDATE"), &update, Some(Kind::Constraint)),
        (apple, &delete, None),
        ("", &delete, Some(Kind::NotFound)),
        ("INSERT INTO items VALUES (1, 'apple', 2)", &delete, Some(Kind::Data)),
        (&raise("DELETE"), &delete, Some(Kind::Constraint)),
    ] {
        assert_eq!(kinds_of(schema, change), expected.into_iter().collect::<Vec<_>>(), "{schema}: {change:?}");
    }
    // CHECK and NOT NULL
    assert_eq!(kinds_of("", &inserted(&item(1, "fig", 5000))), [Kind::Constraint]);
    assert_eq!(kinds_of(apple, &updated(&item(1, "apple", 1), &item(1, "apple", 5000))), [Kind::Constraint]);
    let mut conn = open("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n BIGINT NOT NULL)");
    let null = Changeset::builder()
        .insert_values(TableInfo::new("items", &[1, 0, 0]), &[1.into(), Value::Null, 3.into()])
        .build()
        .unwrap();
    let mut kinds = Vec::new();
    let omit = |kind| {
        kinds.push(kind);
        ConflictAction::Omit
    };
    conn.apply(&null).otherwise(omit).run().unwrap();
    assert_eq!(kinds, [Kind::Constraint]);
    // with a patchset, Data occurs only if a trigger ignores the change
    let patchset = Patchset::builder().delete(&item(1, "pear", 9)).build().unwrap();
    for (trigger, expected) in [("", vec![]), ("BEGIN SELECT RAISE(IGNORE); END", vec![Kind::Data])] {
        let mut conn = shop(&[item(1, "apple", 1)]);
        if !trigger.is_empty() {
            exec(&mut conn, &format!("CREATE TRIGGER t BEFORE DELETE ON items {trigger}"));
        }
        let mut kinds = Vec::new();
        conn.apply(&patchset)
            .on_conflict::<items::table>(|conflict| {
                kinds.push(conflict.kind());
                match conflict {
                    Conflict::Data(c) => c.omit(),
                    other => panic!("{other:?}"),
                }
            })
            .run()
            .unwrap();
        assert_eq!(kinds, expected);
    }
}

#[test]
fn constraint_conflicts_follow_the_other_changes_of_their_table() {
    let changeset = Changeset::builder()
        .insert(&item(1, "taken", 1))
        .insert(&item(2, "free", 2))
        .update(&item(3, "gone", 3), &item(3, "gone", 4))
        .insert(&Note { id: 1, item: 2 })
        .build()
        .unwrap();
    let mut conn = shop(&[item(9, "taken", 9)]);
    exec(&mut conn, "PRAGMA foreign_keys = OFF; INSERT INTO notes VALUES (1, 9)");
    let seen = std::cell::RefCell::new(Vec::new());
    conn.apply(&changeset)
        .on_conflict::<items::table>(|conflict| {
            seen.borrow_mut().push(format!("items {:?}", conflict.kind()));
            answer(&conflict, false)
        })
        .on_conflict::<notes::table>(|conflict| {
            seen.borrow_mut().push(format!("notes {:?}", conflict.kind()));
            match conflict {
                Conflict::Conflict(c) => c.replace(),
                other => panic!("{other:?}"),
            }
        })
        .run()
        .unwrap();
    assert_eq!(seen.into_inner(), ["items NotFound", "items Constraint", "notes Conflict"]);
}

#[test]
fn the_foreign_key_handler_sees_the_violations() {
    let changeset =
        Changeset::builder().insert(&Note { id: 4, item: 1 }).insert(&Note { id: 5, item: 2 }).build().unwrap();
    let open = || {
        let mut conn = shop(&[item(1, "apple", 1)]);
        exec(&mut conn, "PRAGMA foreign_keys = ON");
        conn
    };
    let mut conn = open();
    let mut asked = 0;
    let error = conn
        .apply(&changeset)
        .otherwise(|kind| panic!("{kind:?} has a handler"))
        .on_foreign_keys(|broken| {
            asked += 1;
            let [row] = broken.rows() else { panic!("{broken:?}") };
            assert_eq!((broken.violations(), row.table(), row.rowid(), row.parent()), (1, "notes", Some(5), "items"));
            broken.abort()
        })
        .run()
        .unwrap_err();
    assert_eq!(asked, 1);
    assert_eq!(
        error.to_string(),
        "applying the changes would leave 1 foreign key violation: table notes, rowid 5, references a missing row of items"
    );
    assert!(matches!(error, ApplyError::ForeignKeyViolations(_)));
    let count = |conn: &mut SqliteConnection| lines(conn, "SELECT count(*) || '' AS line FROM notes");
    assert_eq!(count(&mut conn), ["0"]);
    // without a handler
    assert!(matches!(conn.apply(&changeset).run(), Err(ApplyError::ForeignKeyViolations(_))));

    // accepted, and repaired in a transaction
    let mut conn = open();
    conn.transaction(|conn| {
        let report = conn.apply(&changeset).on_foreign_keys(|broken| broken.accept()).run().unwrap();
        assert_eq!(report.applied(), 2);
        exec(conn, "INSERT INTO items VALUES (2, 'pear', 2)");
        diesel::QueryResult::Ok(())
    })
    .unwrap();
    assert_eq!(count(&mut conn), ["2"]);
    // accepted, the violations stay
    let mut conn = open();
    conn.apply(&changeset).on_foreign_keys(|broken| broken.accept()).run().unwrap();
    assert_eq!(count(&mut conn), ["2"]);
    assert_eq!(lines(&mut conn, "SELECT \"table\" || rowid AS line FROM pragma_foreign_key_check"), ["notes5"]);
}

#[test]
fn the_current_row_has_columns_that_the_changes_lack() {
    mod newer {
        diesel::table! {
            users (id) {
                id -> Integer,
                name -> Text,
                city -> Nullable<Text>,
            }
        }
        #[derive(Debug, PartialEq, diesel_sqlite_session::Tracked)]
        #[diesel(table_name = users)]
        pub struct User {
            pub id: i32,
            pub name: String,
            #[tracked(default)]
            pub city: Option<String>,
        }
    }
    use newer::users;
    let users = TableInfo::new("users", &[1, 0]);
    let changeset = Changeset::builder()
        .update_values(users, &[1.into(), "Ada".into()], &[1.into(), "Ida".into()])
        .build()
        .unwrap();
    let mut conn = open(
        "PRAGMA encoding = 'UTF-16'; CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, city TEXT,
            shout TEXT AS (upper(city))); INSERT INTO users VALUES (1, 'Eda', 'Zürich')",
    );
    let mut asked = 0;
    conn.apply(&changeset)
        .on_conflict::<users::table>(|conflict| match conflict {
            Conflict::Data(c) => {
                asked += 1;
                let current = newer::User { id: 1, name: "Eda".into(), city: Some("Zürich".into()) };
                assert_eq!(c.current(), &current);
                c.replace()
            }
            other => panic!("{other:?}"),
        })
        .run()
        .unwrap();
    assert_eq!(asked, 1);
    assert_eq!(lines(&mut conn, "SELECT name || city AS line FROM users"), ["IdaZürich"]);
}

#[test]
fn composite_keys_and_rowids_find_their_row() {
    mod tables {
        diesel::table! {
            seats (flight, row) {
                row -> Integer,
                flight -> Text,
                who -> Nullable<Text>,
            }
        }
        diesel::table! {
            log (rowid) {
                rowid -> BigInt,
                line -> Text,
            }
        }
        #[derive(Debug, PartialEq, diesel_sqlite_session::Tracked)]
        #[diesel(table_name = seats)]
        pub struct Seat {
            pub flight: String,
            pub row: i32,
            pub who: Option<String>,
        }
        #[derive(Debug, PartialEq, diesel_sqlite_session::Tracked)]
        #[diesel(table_name = log)]
        pub struct Line {
            pub rowid: i64,
            pub line: String,
        }
    }
    use tables::{Line, Seat, log, seats};
    let seat = |who: &str| Seat { flight: "LX1".into(), row: 3, who: Some(who.into()) };
    let changeset = Changeset::builder()
        .update(&seat("Ada"), &seat("Bob"))
        .insert(&Line { rowid: 5, line: "theirs".into() })
        .build()
        .unwrap();
    let mut conn = open(
        "CREATE TABLE seats (row INTEGER, flight TEXT COLLATE NOCASE, who TEXT, PRIMARY KEY (flight, row)) WITHOUT ROWID;
         INSERT INTO seats VALUES (3, 'lx1', 'Eve'), (3, 'LX2', 'no'), (4, 'LX1', 'no');
         CREATE TABLE log (line TEXT); INSERT INTO log (rowid, line) VALUES (5, 'mine')",
    );
    let report = conn
        .apply(&changeset)
        .on_conflict::<seats::table>(|conflict| match conflict {
            Conflict::Data(c) => {
                assert_eq!(c.current(), &Seat { flight: "lx1".into(), ..seat("Eve") });
                c.replace()
            }
            other => panic!("{other:?}"),
        })
        .on_conflict::<log::table>(|conflict| match conflict {
            Conflict::Conflict(c) => {
                assert_eq!(c.current(), &Line { rowid: 5, line: "mine".into() });
                c.replace()
            }
            other => panic!("{other:?}"),
        })
        .run()
        .unwrap();
    assert_eq!(report.replaced(), 2);
    assert_eq!(lines(&mut conn, "SELECT line FROM log"), ["theirs"]);
    assert_eq!(lines(&mut conn, "SELECT who AS line FROM seats WHERE row = 3 AND flight = 'LX1'"), ["Bob"]);
}

#[test]
fn rebase_data_records_how_conflicts_were_resolved() {
    let changeset = Changeset::builder().insert(&item(1, "theirs", 1)).insert(&item(2, "free", 2)).build().unwrap();
    let mut conn = shop(&[item(1, "mine", 9)]);
    let report = conn.apply(&changeset).on_conflict::<items::table>(|c| answer(&c, true)).run().unwrap();
    let data = report.into_rebase_data();
    // a section as in a changeset, with the INSERT that replaced a row
    assert_eq!(data.as_bytes().first(), Some(&b'T'));
    assert!(data.as_bytes().windows(6).any(|window| window == b"theirs"));
    assert!(!data.as_bytes().windows(4).any(|window| window == b"free"));
    let mut conn = shop(&[]);
    assert!(conn.apply(&changeset).run().unwrap().rebase_data().is_empty());
}
