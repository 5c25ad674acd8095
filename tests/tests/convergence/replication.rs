//! Recording on one database and applying to another makes them equal.

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;
use diesel_sqlite_session::{Changeset, ConflictAction, ConflictType, Patchset, SqliteSessionExt};
use diesel_sqlite_session_tests::random::{History, config, history};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{exec, lines, open};

/// Runs statements that may fail because of their values, as those of a history may.
fn try_each(conn: &mut SqliteConnection, statements: &[String]) {
    for statement in statements {
        if let Err(error) = conn.batch_execute(statement) {
            let message = error.to_string();
            assert!(message.contains("datatype mismatch") || message.contains("NOT NULL constraint"), "{message}");
        }
    }
}

/// Returns all rows that a session can record: those without NULL in the key.
fn dump(conn: &mut SqliteConnection) -> Vec<String> {
    let tables = lines(conn, "SELECT name AS line FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    let mut all = Vec::new();
    for table in tables {
        let columns = format!("FROM pragma_table_xinfo('{table}')");
        let values = lines(
            conn,
            &format!(
                "SELECT 'CASE WHEN typeof(' || name || ') IN (''text'', ''blob'') THEN typeof(' || name || ') || hex(' || name \
                 || ') ELSE quote(' || name || ') END' AS line {columns}"
            ),
        );
        let keys = lines(conn, &format!("SELECT name || ' IS NOT NULL' AS line {columns} WHERE pk > 0"));
        let query = format!(
            "SELECT {} AS line FROM \"{table}\" WHERE {} ORDER BY line",
            values.join(" || ', ' || "),
            keys.join(" AND ")
        );
        all.extend(lines(conn, &query).into_iter().map(|line| format!("{table}: {line}")));
    }
    all
}

/// Returns whether a column of the key has the affinity REAL: SQLite records a row twice if its key
/// there is a whole number. See `conformance`.
fn has_real_key(create: &str) -> bool {
    create
        .split("PRIMARY KEY (")
        .nth(1)
        .and_then(|rest| rest.split(')').next())
        .is_some_and(|key| key.split(", ").any(|column| create.contains(&format!("{column} REAL"))))
}

/// No conflict occurs, except if a key changed to an equal key: the row is inserted again with its
/// new key.
fn over_equal_keys(conflict: ConflictType) -> ConflictAction {
    match conflict {
        ConflictType::Conflict | ConflictType::Data => ConflictAction::Replace,
        _ => ConflictAction::Abort,
    }
}

/// Opens a replica with the state before the edits and without triggers, whose effects arrive as
/// changes.
fn replica(history: &History, start: &Changeset) -> SqliteConnection {
    let mut conn = open("");
    for statement in history.schema.iter().filter(|statement| !statement.starts_with("CREATE TRIGGER")) {
        exec(&mut conn, statement);
    }
    conn.apply_changeset(start, over_equal_keys).unwrap();
    conn
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 1_000_000, ..config(200) })]

    #[test]
    fn a_replica_equals_its_source(history in history(), transactions in vec((1usize..6, any::<Option<bool>>()), 20)) {
        prop_assume!(!history.schema.iter().any(|create| has_real_key(create)));
        let mut source = open("");
        for statement in &history.schema {
            exec(&mut source, statement);
        }
        let mut session = source.create_session().unwrap();
        session.attach_all().unwrap();
        try_each(&mut source, &history.before);
        let start = session.changeset().unwrap();
        drop(session);

        let mut session = source.create_session().unwrap();
        session.attach_all().unwrap();
        let mut rest = &history.edits[..];
        for (length, end) in transactions {
            let (now, later) = rest.split_at(length.min(rest.len()));
            rest = later;
            match end {
                None => try_each(&mut source, now),
                Some(commit) => {
                    exec(&mut source, "BEGIN");
                    try_each(&mut source, now);
                    exec(&mut source, if commit { "COMMIT" } else { "ROLLBACK" });
                }
            }
        }
        let (changeset, patchset) = (session.changeset().unwrap(), session.patchset().unwrap());
        let (mut streamed, mut streamed_patchset) = (Vec::new(), Vec::new());
        session.on(&mut source).write_changeset_to(&mut streamed).unwrap();
        session.on(&mut source).write_patchset_to(&mut streamed_patchset).unwrap();
        prop_assert_eq!(&Changeset::try_from(streamed).unwrap(), &changeset);
        prop_assert_eq!(&Patchset::try_from(streamed_patchset).unwrap(), &patchset);

        let expected = dump(&mut source);
        let mut by_changeset = replica(&history, &start);
        let before = dump(&mut by_changeset);
        let mut conflicts = 0;
        by_changeset
            .apply_changeset(&changeset, |conflict| {
                conflicts += 1;
                over_equal_keys(conflict)
            })
            .unwrap();
        prop_assert_eq!(dump(&mut by_changeset), &expected[..]);
        let mut by_patchset = replica(&history, &start);
        by_patchset.apply_patchset(&patchset, over_equal_keys).unwrap();
        prop_assert_eq!(dump(&mut by_patchset), &expected[..]);

        // and back, unless a key changed to an equal key, which an inverse does not contain
        if conflicts == 0 {
            by_changeset.apply_changeset(&changeset.invert(), |_| ConflictAction::Abort).unwrap();
            prop_assert_eq!(dump(&mut by_changeset), before);
        }
    }
}
