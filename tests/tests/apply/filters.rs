//! Filters and table sets: which changes are applied at all.

use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{ApplyError, Change, Changeset, ChangesetReader, Patch, Patchset, SqliteSessionExt};

use super::shop::*;
use crate::common::{exec, lines, open};

#[test]
fn a_filter_that_panics_rolls_back_earlier_changes() {
    // SQLite's own filter can skip changes, but not abort
    let changeset = Changeset::builder().insert(&item(1, "a", 1)).insert(&item(2, "b", 2)).build().unwrap();
    for outer in [false, true] {
        let mut conn = shop(&[]);
        if outer {
            exec(&mut conn, "BEGIN; INSERT INTO items VALUES (9, 'mine', 9)");
        }
        let mut calls = 0;
        let result = conn
            .apply(&changeset)
            .filter::<items::table>(|_, _| {
                calls += 1;
                assert!(calls < 2, "the second change");
                true
            })
            .run();
        assert!(matches!(result, Err(ApplyError::ConflictHandlerPanicked)), "{result:?}");
        let expected: &[&str] = if outer { &["9 mine 9"] } else { &[] };
        assert_eq!(rows(&mut conn), expected);
        exec(&mut conn, if outer { "COMMIT" } else { "BEGIN; COMMIT" });
    }
}

#[test]
fn a_filter_sees_the_current_row_just_before_the_change() {
    let changeset = Changeset::builder()
        .insert(&item(1, "new", 1))
        .update(&item(2, "pear", 2), &item(2, "pear", 20))
        .delete(&item(3, "fig", 3))
        .update(&item(4, "gone", 4), &item(4, "gone", 40))
        .build()
        .unwrap();
    let mut conn = shop(&[item(2, "pear", 2), item(3, "fig", 3)]);
    let mut seen = Vec::new();
    let report = conn
        .apply(&changeset)
        .filter::<items::table>(|change, current| {
            let current = current.map(|row| row.name.clone());
            seen.push((current, matches!(change, Change::Update(_))));
            !matches!(change, Change::Delete(_)) && !matches!(change, Change::Update(update) if update.id == 4)
        })
        .run()
        .unwrap();
    seen.sort();
    assert_eq!(seen, [(None, false), (None, true), (Some("fig".into()), false), (Some("pear".into()), true)]);
    assert_eq!((report.applied(), report.skipped()), (2, 2));
    assert_eq!(rows(&mut conn), ["1 new 1", "2 pear 20", "3 fig 3"]);

    // two changes to one row, as other software writes them: the second filter call sees the effect
    // of the first
    let twice =
        [inserted(&item(5, "once", 1)).into_bytes(), updated(&item(5, "once", 1), &item(5, "twice", 1)).into_bytes()];
    let twice = Changeset::try_from(twice.concat()).unwrap();
    let mut seen = Vec::new();
    conn.apply(&twice)
        .filter::<items::table>(|_, current| {
            seen.push(current.cloned());
            true
        })
        .run()
        .unwrap();
    assert_eq!(seen, [None, Some(item(5, "once", 1))]);
}

#[test]
fn a_filter_of_a_patchset_receives_patches() {
    let patchset = Patchset::builder()
        .update(&item(1, "apple", 1), &item(1, "apple", 10))
        .delete(&item(2, "pear", 2))
        .build()
        .unwrap();
    let mut conn = shop(&[item(1, "apple", 1), item(2, "pear", 2)]);
    let report = conn
        .apply(&patchset)
        .filter::<items::table>(|change, current| match change {
            Patch::Delete(id) => {
                assert_eq!((*id, current), (2, Some(&item(2, "pear", 2))));
                false
            }
            _ => true,
        })
        .run()
        .unwrap();
    assert_eq!((report.applied(), report.skipped()), (1, 1));
    assert_eq!(rows(&mut conn), ["1 apple 10", "2 pear 2"]);
}

#[test]
fn only_rejects_other_tables_unless_they_are_skipped() {
    let changeset = Changeset::builder()
        .insert_values(TableInfo::new("admins", &[1]), &[1.into()])
        .insert(&item(1, "apple", 1))
        .insert_values(TableInfo::new("absent", &[1]), &[1.into()])
        .build()
        .unwrap();
    let mut conn = shop(&[]);
    exec(&mut conn, "CREATE TABLE admins (id INTEGER PRIMARY KEY)");
    let error = conn.apply(&changeset).only::<Shop>().run().unwrap_err();
    assert_eq!(
        error.to_string(),
        "table admins: the changes at byte 10 are to a table that `only` does not list; `skip_other_tables` skips them"
    );
    assert!(rows(&mut conn).is_empty());
    // a skipped table need not exist
    let report = conn.apply(&changeset).only::<Change<items::table>>().skip_other_tables().run().unwrap();
    assert_eq!((report.applied(), report.skipped()), (1, 2));
    assert_eq!(report.to_string(), "admins: 0 applied, 1 skipped\nitems: 1 applied\nabsent: 0 applied, 1 skipped");
    assert_eq!(report.of::<items::table>().unwrap().applied(), 1);
    assert_eq!(report.find("ADMINS").unwrap().skipped(), 1);
    assert!(lines(&mut conn, "SELECT '' || id AS line FROM admins").is_empty());
    // sets accumulate, and names are compared as in SQLite
    let mut conn = open(
        "CREATE TABLE Items (id INTEGER PRIMARY KEY, name TEXT, n BIGINT); CREATE TABLE ADMINS (id INTEGER PRIMARY KEY)",
    );
    conn.apply(&changeset).only::<Shop>().only_tables(["AdminS"]).skip_other_tables().run().unwrap();
    assert_eq!(lines(&mut conn, "SELECT '' || id AS line FROM admins"), ["1"]);
}

#[test]
fn a_table_rejected_late_in_a_stream_rolls_back_everything() {
    let bytes = Changeset::builder()
        .insert(&item(1, "apple", 1))
        .insert_values(TableInfo::new("admins", &[1]), &[1.into()])
        .build()
        .unwrap()
        .into_bytes();
    let mut conn = shop(&[]);
    exec(&mut conn, "CREATE TABLE admins (id INTEGER PRIMARY KEY)");
    let error = conn.apply(ChangesetReader::new(&bytes[..])).only::<Shop>().run().unwrap_err();
    assert!(matches!(&error, ApplyError::UnexpectedTable { table, .. } if table == "admins"), "{error}");
    assert!(rows(&mut conn).is_empty());
    let report = conn.apply(ChangesetReader::new(&bytes[..])).only::<Shop>().skip_other_tables().run().unwrap();
    assert_eq!((report.applied(), report.skipped()), (1, 1));
}
