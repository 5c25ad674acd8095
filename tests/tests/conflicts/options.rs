//! SQLite's options of applying, limits and progress.

use super::*;

#[test]
fn a_changeset_is_applied_inverted() {
    let before = [item(1, "apple", 1), item(2, "pear", 2)];
    let mut conn = shop(&before);
    let captured = conn.capture::<Shop, _, _, _>(|conn| {
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
    // once more: everything is in conflict, and the handler sees the inverse
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
fn what_has_been_done_already_can_be_ignored() {
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
fn foreign_key_actions_can_be_kept_from_acting() {
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
fn updates_in_each_others_way_are_conflicts_if_wished_and_in_streams() {
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
    let result = conn.apply(ChangesetReader::new(exchange.as_bytes())).run();
    assert!(matches!(result, Err(ApplyError::ConflictAborted)), "{result:?}");
    assert_eq!(rows(&mut conn), ["1 a 1", "2 b 2"]);
}

#[test]
fn without_a_savepoint_the_transaction_is_the_callers() {
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
        let with = |apply: diesel_sqlite_session::Apply<'_, Changeset>, max| {
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
fn progress_counts_up_to_everything() {
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
