//! Options of an apply, limits and progress.

use diesel_sqlite_session_tests::random::config;
use diesel_sqlite_session_tests::sqlite::{Database, version_number};
use proptest::collection::vec;
use proptest::prelude::*;

use std::ops::ControlFlow;

use diesel::prelude::*;
use diesel_sqlite_session::apply::UntypedConflict;
use diesel_sqlite_session::wire::{ChangesetFormat, Limit, TableInfo};
use diesel_sqlite_session::{
    ApplyError, Change, Changeset, ChangesetReader, ConflictAction, ConflictType, SqliteSessionExt,
};

use super::shop::*;
use crate::common::{exec, lines, open};

#[test]
fn a_changeset_is_applied_inverted() {
    let before = [item(1, "apple", 1), item(2, "pear", 2)];
    let mut conn = shop(&before);
    let captured = conn.capture::<Shop>().run(|conn| {
        diesel::update(items::table.find(1)).set(items::n.eq(5)).execute(conn)?;
        diesel::delete(items::table.find(2)).execute(conn)?;
        diesel::insert_into(items::table).values(item(3, "fig", 3)).execute(conn)
    });
    let changeset = captured.unwrap().changeset;
    assert_eq!(rows(&mut conn), ["1 apple 5", "3 fig 3"]);
    let mut filtered = Vec::new();
    let report = conn
        .apply(&changeset)
        .inverted()
        .filter::<items::table>(|change, _| {
            filtered.push(format!("{change:?}"));
            true
        })
        .run()
        .unwrap();
    assert_eq!(report.applied(), 3);
    assert_eq!(rows(&mut conn), ["1 apple 1", "2 pear 2"]);
    assert!(filtered.iter().any(|change| change.starts_with("Delete(Item { id: 3")), "{filtered:?}");
    // again: every change conflicts, and the handler sees the inverse
    let mut seen = Vec::new();
    conn.apply(&changeset)
        .inverted()
        .on_conflict::<items::table>(|conflict| {
            seen.push(match conflict.change() {
                Change::Insert(row) => format!("insert {}", row.id),
                Change::Update(row) => format!("update {:?}", row.n.changed()),
                Change::Delete(row) => format!("delete {}", row.id),
            });
            answer(&conflict, false)
        })
        .run()
        .unwrap();
    seen.sort();
    assert_eq!(seen, ["delete 3", "insert 2", "update Some((5, 1))"]);
}

#[test]
fn changes_that_are_already_made_can_be_ignored() {
    let changeset = Changeset::builder()
        .insert(&item(1, "apple", 1))
        .update(&item(2, "pear", 2), &item(2, "pear", 20))
        .delete(&item(3, "fig", 3))
        .build()
        .unwrap();
    let mut conn = shop(&[item(2, "pear", 2), item(3, "fig", 3)]);
    assert_eq!(conn.apply(&changeset).run().unwrap().applied(), 3);
    assert!(matches!(conn.apply(&changeset).run(), Err(ApplyError::ConflictAborted)));
    let report = conn.apply(&changeset).ignore_noops().run().unwrap();
    assert_eq!((report.applied(), report.omitted()), (3, 0));
    assert_eq!(rows(&mut conn), ["1 apple 1", "2 pear 20"]);
}

#[test]
fn ignoring_noops_works_with_any_column_names() {
    // SQLite's own flag fails for the names, or treats `unit-price` as a difference
    let schema = r#"CREATE TABLE "group" (id INTEGER PRIMARY KEY, unit, price, "unit-price", "order");"#;
    let group = TableInfo::new("group", &[1, 0, 0, 0, 0]);
    let row = |unit_price: i64| [1.into(), 5.into(), 3.into(), unit_price.into(), "x".into()];
    let changeset = Changeset::builder().update_values(group, &row(10), &row(2)).build().unwrap();
    let mut conn = open(&format!("{schema} INSERT INTO \"group\" VALUES (1, 5, 3, 99, 'x')"));
    let mut kinds = Vec::new();
    let omit = |kind| {
        kinds.push(kind);
        ConflictAction::Omit
    };
    let report = conn.apply(&changeset).ignore_noops().otherwise(omit).run().unwrap();
    assert_eq!((report.applied(), report.omitted()), (0, 1));
    assert_eq!(kinds, [ConflictType::Data]);
    exec(&mut conn, "UPDATE \"group\" SET \"unit-price\" = 2.0");
    let report = conn.apply(&changeset).ignore_noops().run().unwrap();
    assert_eq!((report.applied(), report.omitted()), (1, 0));
}

proptest! {
    #![proptest_config(config(300))]

    /// The cases where SQLite's own flag is right: plain names, no NULL, and texts that equal only
    /// themselves.
    #[test]
    fn ignored_noops_are_those_of_sqlite(
        before in vec((1..9, 0..3, 0..3), 0..9),
        edits in vec((0..3, 1..9, 0..3, 0..3), 1..12),
        others in vec((0..3, 1..9, 0..3, 0..3), 0..12),
        patchset: bool,
    ) {
        const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a NOT NULL, b REAL NOT NULL);";
        let edit = |edits: &[(i32, i32, i32, i32)]| -> String {
            let edit = |(kind, id, a, b): &(i32, i32, i32, i32)| match kind {
                0 => format!("INSERT OR REPLACE INTO t VALUES ({id}, 'a{a}', {b});"),
                1 => format!("DELETE FROM t WHERE id = {id};"),
                _ => format!("UPDATE t SET a = 'a{a}', b = {b} WHERE id = {id};"),
            };
            edits.iter().map(edit).collect()
        };
        let rows: String =
            before.iter().map(|(id, a, b)| format!("INSERT OR REPLACE INTO t VALUES ({id}, 'a{a}', {b});")).collect();
        let mut source = open(&format!("{SCHEMA} {rows}"));
        let mut session = source.create_session().unwrap();
        session.attach_all().unwrap();
        exec(&mut source, &edit(&edits));
        let changeset = session.changeset().unwrap();
        let (mut kinds, theirs) = (Vec::new(), Database::new());
        let start = format!("{SCHEMA} {rows} {}", edit(&others));
        theirs.execute(&start).unwrap();
        let mut ours = open(&start);
        let omit = |kind: ConflictType| {
            kinds.push(kind.to_raw());
            ConflictAction::Omit
        };
        let (expected, rebase) = if patchset {
            let patchset = session.patchset().unwrap();
            ours.apply(&patchset).ignore_noops().keep_order().otherwise(omit).run().unwrap();
            (theirs.apply_ignoring_noops(patchset.as_bytes()).unwrap(), None)
        } else {
            let report = ours.apply(&changeset).ignore_noops().keep_order().otherwise(omit).run().unwrap();
            (theirs.apply_ignoring_noops(changeset.as_bytes()).unwrap(), Some(report.into_rebase_data()))
        };
        // before SQLite 3.51 its flag hides the conflicts of DELETEs, too
        if version_number() >= 3_051_000 {
            prop_assert_eq!(kinds, expected.0);
            if let Some(rebase) = rebase {
                prop_assert_eq!(rebase.as_bytes(), expected.1);
            }
        }
        let rows = "SELECT id || ' ' || quote(a) || ' ' || quote(b) AS line FROM t ORDER BY id";
        prop_assert_eq!(lines(&mut ours, rows), theirs.texts(rows));
    }
}

#[test]
fn a_delete_of_a_row_with_other_values_is_no_noop() {
    let table = TableInfo::new("t", &[1, 0]);
    let changeset = Changeset::builder().delete_values(table, &[1.into(), "a".into()]).build().unwrap();
    // with SQLite's own flag, a row of NULLs silently remains
    for there in ["NULL", "'b'"] {
        let mut conn = open(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, {there})"));
        let result = conn.apply(&changeset).ignore_noops().run();
        assert!(matches!(result, Err(ApplyError::ConflictAborted)), "{there}: {result:?}");
        let replace = |_| ConflictAction::Replace;
        assert_eq!(conn.apply(&changeset).ignore_noops().otherwise(replace).run().unwrap().replaced(), 1);
        assert!(lines(&mut conn, "SELECT '' || id AS line FROM t").is_empty());
    }
}

#[test]
fn values_that_a_collation_calls_equal_are_not_the_same() {
    let table = TableInfo::new("t", &[1, 0]);
    let changeset = Changeset::builder()
        .update_values(table, &[1.into(), "x".into()], &[1.into(), "A".into()])
        .insert_values(table, &[2.into(), "B".into()])
        .build()
        .unwrap();
    let mut conn =
        open("CREATE TABLE t (id INTEGER PRIMARY KEY, v COLLATE NOCASE); INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    let report = conn.apply(&changeset).ignore_noops().otherwise(|_| ConflictAction::Replace).run().unwrap();
    assert_eq!((report.applied(), report.replaced()), (0, 2));
    assert_eq!(lines(&mut conn, "SELECT v AS line FROM t ORDER BY id"), ["A", "B"]);
}

#[test]
fn statistics_of_a_table_without_an_index_can_exist_already() {
    let schema = "CREATE TABLE t (v); INSERT INTO t VALUES (1); CREATE TABLE u (v); ANALYZE; DELETE FROM sqlite_stat1";
    let mut source = open(schema);
    let mut session = source.create_session().unwrap();
    session.attach_all().unwrap();
    exec(&mut source, "ANALYZE");
    let changeset = session.changeset().unwrap();
    assert_eq!(changeset.records().count(), 1);
    let mut replica = open(schema);
    replica.apply(&changeset).run().unwrap();
    assert_eq!(replica.apply(&changeset).ignore_noops().run().unwrap().applied(), 1);
    exec(&mut replica, "UPDATE sqlite_stat1 SET stat = '9'");
    let mut found = Vec::new();
    let report = replica
        .apply(&changeset)
        .ignore_noops()
        .try_otherwise(|conflict| {
            found.push((conflict.to_string(), conflict.current(2) == Some("9".into())));
            Ok::<_, ApplyError>(ConflictAction::Replace)
        })
        .run()
        .unwrap();
    assert_eq!(report.replaced(), 1);
    assert_eq!(found, [("table sqlite_stat1: INSERT finds an existing row, key 't', x''".to_string(), true)]);
}

#[test]
fn one_handler_receives_the_conflicts_of_all_tables() {
    let (fig, plum) = (item(1, "fig", 1), item(2, "plum", 2));
    let changeset = Changeset::builder()
        .insert(&fig)
        .update(&plum, &item(2, "plum", 3))
        .delete(&Note { id: 1, item: 1 })
        .insert(&Note { id: 2, item: 1 })
        .build()
        .unwrap();
    let mut conn = shop(&[item(1, "pear", 7), item(2, "plum", 5)]);
    let mut told = Vec::new();
    let report = conn
        .apply(&changeset)
        .on_conflict::<notes::table>(|conflict| conflict.omit())
        .try_otherwise(|conflict| {
            let is = (conflict.table(), conflict.change().operation(), conflict.current(2).is_some());
            told.push((conflict.to_string(), format!("{is:?}")));
            Ok::<_, ApplyError>(ConflictAction::Replace)
        })
        .run()
        .unwrap();
    assert_eq!((report.applied(), report.replaced(), report.omitted()), (1, 2, 1));
    let told: Vec<(&str, &str)> = told.iter().map(|(one, other)| (one.as_str(), other.as_str())).collect();
    assert_eq!(
        told,
        [
            ("table items: INSERT finds an existing row, key 1", "(\"items\", Insert, true)"),
            ("table items: UPDATE finds a row with other values, key 2", "(\"items\", Update, true)"),
        ]
    );
    // a kind that does not accept replace, a handler's error, and foreign keys, which do not call
    // it
    let gone = Changeset::builder().delete(&Note { id: 7, item: 1 }).build().unwrap();
    let replace = |_: &UntypedConflict<'_>| Ok::<_, ApplyError>(ConflictAction::Replace);
    let error = conn.apply(&gone).try_otherwise(replace).run().unwrap_err();
    assert!(matches!(error, ApplyError::IllegalReplace { .. }), "{error:?}");
    let error = conn.apply(&gone).try_otherwise(|conflict| Err(conflict.to_string())).run().unwrap_err();
    assert!(matches!(&error, ApplyError::Handler(error) if error.to_string().contains("DELETE finds no row")));
    let orphan = Changeset::builder().insert(&Note { id: 9, item: 99 }).build().unwrap();
    exec(&mut conn, "PRAGMA foreign_keys = ON");
    let error = conn.apply(&orphan).try_otherwise(replace).run().unwrap_err();
    assert!(matches!(error, ApplyError::ForeignKeyViolations(_)), "{error:?}");
}

#[test]
fn a_set_names_the_columns() {
    let mut conn = open("CREATE TABLE notes (item INTEGER NOT NULL, id INTEGER PRIMARY KEY)");
    let mut exchanged = open("CREATE TABLE items (id INTEGER PRIMARY KEY, n BIGINT NOT NULL, name TEXT NOT NULL)");
    let changeset = inserted(&item(1, "fig", 1));
    let error = exchanged.apply(&changeset).only::<Shop>().run().unwrap_err();
    assert!(matches!(&error, ApplyError::SchemaMismatch(mismatch) if mismatch.column() == Some("name")), "{error}");
    assert!(lines(&mut exchanged, "SELECT name AS line FROM items").is_empty());
    // a table without changes need not exist
    exec(&mut conn, ITEMS.split_once(";").unwrap().0);
    assert_eq!(conn.apply(&changeset).only::<Shop>().run().unwrap().applied(), 1);
}

#[test]
fn foreign_key_actions_can_be_disabled() {
    let schema =
        "PRAGMA foreign_keys = ON; CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n BIGINT NOT NULL);
        CREATE TABLE notes (id INTEGER PRIMARY KEY, item INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE);
        INSERT INTO items VALUES (1, 'apple', 1); INSERT INTO notes VALUES (7, 1)";
    let mut source = open(schema);
    let mut session = source.create_session().unwrap();
    session.attach_all().unwrap();
    exec(&mut source, "DELETE FROM items");
    let changeset = session.changeset().unwrap();
    assert_eq!(changeset.records().count(), 2, "the note is among the changes");

    let mut replica = open(schema);
    let mut kinds = Vec::new();
    let omit = |kind| {
        kinds.push(kind);
        ConflictAction::Omit
    };
    replica.apply(&changeset).otherwise(omit).run().unwrap();
    assert_eq!(kinds, [ConflictType::NotFound], "it was deleted by the cascade, and then again");
    let mut replica = open(schema);
    let report = replica.apply(&changeset).without_foreign_key_actions().run().unwrap();
    assert_eq!(report.applied(), 2);
    assert!(lines(&mut replica, "SELECT '' || id AS line FROM notes").is_empty());
}

#[test]
fn updates_that_block_each_other_conflict_on_request() {
    let before = [item(1, "a", 1), item(2, "b", 2)];
    let exchange =
        Changeset::builder().update(&before[0], &item(1, "b", 1)).update(&before[1], &item(2, "a", 2)).build().unwrap();
    let shop = |before: &[Item]| {
        let mut conn = shop(before);
        exec(&mut conn, "PRAGMA foreign_keys = OFF");
        conn
    };
    let mut conn = shop(&before);
    conn.apply(&exchange).run().unwrap();
    assert_eq!(rows(&mut conn), ["1 b 1", "2 a 2"]);
    let mut conn = shop(&before);
    assert!(matches!(conn.apply(&exchange).without_update_loop().run(), Err(ApplyError::ConflictAborted)));
    assert_eq!(rows(&mut conn), ["1 a 1", "2 b 2"]);
    conn.apply(ChangesetReader::new(exchange.as_bytes())).run().unwrap();
    assert_eq!(rows(&mut conn), ["1 b 1", "2 a 2"]);
}

#[test]
fn without_a_savepoint_the_caller_owns_the_transaction() {
    let changeset = Changeset::builder().insert(&item(1, "a", 1)).insert(&item(9, "b", 2)).build().unwrap();
    let mut conn = shop(&[item(9, "mine", 9)]);
    let result = conn.apply(&changeset).without_savepoint().run();
    assert!(matches!(result, Err(ApplyError::NoTransaction)), "{result:?}");
    let result: diesel::QueryResult<()> = conn.transaction(|conn| {
        let result = conn.apply(&changeset).without_savepoint().run();
        assert!(matches!(result, Err(ApplyError::ConflictAborted)), "{result:?}");
        Err(diesel::result::Error::RollbackTransaction)
    });
    assert!(result.is_err());
    assert_eq!(rows(&mut conn), ["9 mine 9"]);
    conn.transaction(|conn| {
        conn.apply(&changeset).without_savepoint().otherwise(|_| ConflictAction::Omit).run().unwrap();
        diesel::QueryResult::Ok(())
    })
    .unwrap();
    assert_eq!(rows(&mut conn), ["1 a 1", "9 mine 9"]);
}

#[test]
fn limits_hold_in_memory_and_in_streams() {
    let changeset =
        Changeset::builder().insert(&item(1, "a", 1)).insert(&item(2, &"b".repeat(100), 2)).build().unwrap();
    let bytes = changeset.as_bytes();
    let length = bytes.len() as u64;
    let mut conn = shop(&[]);
    for (limit, max, enough) in
        [(Limit::Bytes, length - 1, length), (Limit::Changes, 1, 2), (Limit::ValueBytes, 99, 100)]
    {
        let with = |apply: diesel_sqlite_session::apply::Apply<'_, ChangesetFormat>, max| {
            match limit {
                Limit::Bytes => apply.max_bytes(max),
                Limit::Changes => apply.max_changes(max),
                _ => apply.max_value_bytes(max),
            }
            .run()
        };
        let is_it =
            |error: &ApplyError| matches!(error, ApplyError::Limit { limit: l, max: m } if (*l, *m) == (limit, max));
        let error = with(conn.apply(&changeset), max).unwrap_err();
        assert!(is_it(&error), "{error}");
        let error = with(conn.apply(ChangesetReader::new(bytes)), max).unwrap_err();
        assert!(is_it(&error), "{error}");
        assert!(rows(&mut conn).is_empty());
        assert_eq!(with(conn.apply(&changeset), enough).unwrap().applied(), 2);
        exec(&mut conn, "DELETE FROM items");
        assert_eq!(with(conn.apply(ChangesetReader::new(bytes)), enough).unwrap().applied(), 2);
        exec(&mut conn, "DELETE FROM items");
    }
    assert_eq!(conn.apply(&changeset).max_changes(1).run().unwrap_err().to_string(), "more than 1 changes");
}

#[test]
fn progress_reaches_the_whole_input() {
    let changeset =
        (0..5000).fold(Changeset::builder(), |builder, id| builder.insert(&item(id, &format!("item {id}"), 1)));
    let changeset = changeset.build().unwrap();
    for streamed in [false, true] {
        let mut conn = shop(&[]);
        let mut seen = Vec::new();
        let apply =
            if streamed { conn.apply(ChangesetReader::new(changeset.as_bytes())) } else { conn.apply(&changeset) };
        apply
            .on_progress(|progress| {
                seen.push(progress);
                ControlFlow::Continue(())
            })
            .run()
            .unwrap();
        assert!(seen.len() > 5 && seen.is_sorted_by_key(|progress| (progress.changes, progress.bytes)));
        assert_eq!(seen[0].changes, 0);
        let last = seen.last().unwrap();
        assert_eq!((last.changes, last.bytes), (5000, changeset.as_bytes().len() as u64));
        assert_eq!(last.total_bytes, (!streamed).then_some(last.bytes));
        assert_eq!(rows(&mut conn).len(), 5000);
    }
}
