//! UNIQUE values that rows pass on to each other and exchange: applied by order, cycles by parking
//! one row, the same in memory and streamed. Where the database could notice the parked value, the
//! changes of the cycle are conflicts of the kind `Constraint`.

use diesel::prelude::*;
use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{Changeset, ConflictAction, ConflictType, SqliteSessionExt, Value};
use diesel_sqlite_session_tests::random::config;
use proptest::prelude::*;

use super::replica::{
    How, Options, Recorded, appended, apply_omitting, apply_with, assert_sound, contents, in_one_section, record, rows,
};
use crate::common::{exec, lines, open};

/// The source, in which any value can be an intermediate one.
const SOURCE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v);";
const ROWS: &str = "INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c'), (4, 40, 'd');";
const SWAP: &str = "UPDATE t SET u = 30 - u WHERE id <= 2";
const ROTATION: &str = "UPDATE t SET u = 10 + u % 30 WHERE id <= 3";
const PLAIN: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v);";

/// Changes of a table `t`, and its rows afterwards.
struct Case {
    changes: Recorded,
    count: u64,
    after: Vec<String>,
}

fn case_of(source: &str, edits: &str) -> Case {
    let changes = record(source, edits);
    let mut conn = open(source);
    exec(&mut conn, edits);
    Case { count: changes.0.records().count() as u64, after: rows(&mut conn, "main", "t"), changes }
}

fn case(edits: &str) -> Case {
    case_of(&format!("{SOURCE}{ROWS}"), edits)
}

/// Returns the rows of `t`.
fn result(conn: &mut SqliteConnection) -> Vec<String> {
    rows(conn, "main", "t")
}

impl Case {
    /// Checks that all changes are applied without a conflict, also with a commit by the caller, and
    /// that they all conflict without the update loop.
    fn is_resolved(&self, replica: &str) {
        self.is_applied(replica);
        for how in How::ALL {
            let context = format!("{replica}\n{how:?} without the update loop");
            let mut conn = open(replica);
            let before = contents(&mut conn);
            let options = Options { without_update_loop: true, ..Options::default() };
            let (report, kinds) = apply_with(&mut conn, &self.changes, how, options, ConflictAction::Omit);
            assert_eq!(report.unwrap().omitted(), self.count, "{context}");
            assert_eq!(kinds, vec![ConflictType::Constraint; self.count as usize], "{context}");
            assert_eq!(contents(&mut conn), before, "{context}");
        }
    }

    fn is_applied(&self, replica: &str) {
        for how in How::ALL {
            let context = format!("{replica}\n{how:?}");
            let mut conn = open(replica);
            conn.transaction(|conn| {
                let (report, kinds) = apply_with(conn, &self.changes, how, Options::default(), ConflictAction::Abort);
                assert!(kinds.is_empty(), "{context}: {kinds:?}");
                let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
                assert_eq!(report.applied(), self.count, "{context}");
                assert!(report.rebase_data().is_empty(), "{context}");
                QueryResult::Ok(())
            })
            .unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(result(&mut conn), self.after, "{context}");
            assert_sound(&mut conn, &context);
        }
    }

    /// Checks that every change is a `Constraint` conflict, and that omitting them all changes
    /// nothing anywhere.
    fn stays_blocked(&self, replica: &str) {
        self.stays_blocked_with(replica, Options::default());
    }

    fn stays_blocked_with(&self, replica: &str, options: Options) {
        for how in How::ALL {
            let context = format!("{replica}\n{how:?}");
            let mut conn = open(replica);
            let before = contents(&mut conn);
            let (report, kinds) = apply_with(&mut conn, &self.changes, how, options, ConflictAction::Omit);
            let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(kinds, vec![ConflictType::Constraint; self.count as usize], "{context}");
            assert_eq!((report.applied(), report.omitted()), (0, self.count), "{context}");
            assert_eq!(contents(&mut conn), before, "{context}");
            assert_sound(&mut conn, &context);
        }
    }
}

#[test]
fn two_rows_exchange_their_values() {
    for columns in ["u INTEGER UNIQUE, v", "u INTEGER NOT NULL UNIQUE, v", "u UNIQUE, v NOT NULL"] {
        case(SWAP).is_resolved(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {columns});{ROWS}"));
    }
}

#[test]
fn a_check_does_not_prevent_an_exchange() {
    for check in ["u >= 0", "u BETWEEN -100 AND 100", "typeof(u) = 'integer'", "u IS NOT NULL", "u <> v", "u % 10 = 0"]
    {
        for null in ["", "NOT NULL"] {
            let schema =
                format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u INT {null} UNIQUE CHECK ({check}), v);{ROWS}");
            case(SWAP).is_resolved(&schema);
            case(ROTATION).is_resolved(&schema);
        }
    }
}

#[test]
fn the_checks_still_apply_to_the_new_values() {
    // the rotation is blocked by the row whose other column gets a value that is not allowed
    for bad in 1..=3 {
        let edits = format!("{ROTATION}; UPDATE t SET v = 'bad' WHERE id = {bad}");
        let null = format!("{ROTATION}; UPDATE t SET v = NULL WHERE id = {bad}");
        for columns in ["u INT UNIQUE, v CHECK (v <> 'bad')", "u INT NOT NULL UNIQUE, v CHECK (v <> 'bad')"] {
            case(&edits).stays_blocked(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {columns});{ROWS}"));
        }
        case(&null).stays_blocked(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u INT UNIQUE, v NOT NULL);{ROWS}"));
    }
    // the checks are those of the connection afterwards
    let mut conn = open(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u INT UNIQUE CHECK (u > 0), v);{ROWS}"));
    conn.apply(&case(ROTATION).changes.0).run().unwrap();
    assert!(diesel::sql_query("UPDATE t SET u = -1").execute(&mut conn).is_err());
    assert_eq!(
        lines(&mut conn, "SELECT '' || ignore_check_constraints AS line FROM pragma_ignore_check_constraints"),
        ["0"]
    );
}

#[test]
fn a_blocked_exchange_does_not_prevent_other_changes() {
    let edits = format!(
        "{ROTATION}; UPDATE t SET v = 'bad' WHERE id = 2; UPDATE t SET u = 41 WHERE id = 4; INSERT INTO t VALUES (5, 50, 'e')"
    );
    let schema = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u INT UNIQUE, v CHECK (v <> 'bad'));{ROWS}");
    for how in How::ALL {
        let mut conn = open(&schema);
        let (report, kinds) = apply_omitting(&mut conn, &case(&edits).changes, how);
        let report = report.unwrap();
        assert_eq!((report.applied(), report.omitted()), (2, 3), "{how:?}");
        assert_eq!(kinds, [ConflictType::Constraint; 3], "{how:?}");
        assert_eq!(result(&mut conn), ["1 10 'a'", "2 20 'b'", "3 30 'c'", "4 41 'd'", "5 50 'e'"], "{how:?}");
    }
}

#[test]
fn an_update_trigger_keeps_a_cycle_blocked() {
    let log = "CREATE TABLE log (line);";
    for trigger in [
        "CREATE TRIGGER r AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.u); END;",
        "CREATE TRIGGER r BEFORE UPDATE ON t BEGIN INSERT INTO log VALUES (new.u); END;",
        "CREATE TRIGGER r AFTER UPDATE OF u ON t BEGIN INSERT INTO log VALUES (new.u); END;",
        "CREATE TEMP TRIGGER r AFTER UPDATE ON main.t BEGIN INSERT INTO log VALUES (new.u); END;",
        "CREATE TEMP TRIGGER r BEFORE UPDATE ON main.T BEGIN INSERT INTO log VALUES (new.u); END;",
    ] {
        let schema = format!("{PLAIN}{log}{ROWS}{trigger}");
        case(ROTATION).stays_blocked(&schema);
        case(SWAP).stays_blocked(&schema);
    }
}

#[test]
fn a_cycle_fires_no_triggers_of_inserts_and_deletes() {
    let triggers = "CREATE TABLE log (line);
        CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('insert'); END;
        CREATE TRIGGER d BEFORE DELETE ON t BEGIN INSERT INTO log VALUES ('delete'); END;";
    let schema = format!("{PLAIN}{ROWS}{triggers}");
    case(ROTATION).is_resolved(&schema);
    for how in How::ALL {
        let mut conn = open(&schema);
        apply_omitting(&mut conn, &case(ROTATION).changes, how).0.unwrap();
        assert!(rows(&mut conn, "main", "log").is_empty(), "{how:?}");
    }
}

#[test]
fn a_chain_fires_each_trigger_once_and_with_true_values() {
    let trigger = "CREATE TABLE log (line);
        CREATE TRIGGER r AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (old.u || '>' || new.u); END;";
    let schema = format!("{PLAIN}{ROWS}{trigger}");
    for (edits, log) in [
        ("UPDATE t SET u = u + 10", ["'10>20'", "'20>30'", "'30>40'", "'40>50'"]),
        ("UPDATE t SET u = u - 10", ["'10>0'", "'20>10'", "'30>20'", "'40>30'"]),
    ] {
        let case = case(edits);
        case.is_applied(&schema);
        for how in How::ALL {
            let mut conn = open(&schema);
            apply_omitting(&mut conn, &case.changes, how).0.unwrap();
            assert_eq!(rows(&mut conn, "main", "log"), log, "{how:?}");
        }
    }
}

#[test]
fn a_rotation_loses_no_children() {
    for child in [
        "parent INTEGER REFERENCES t (id) ON DELETE CASCADE",
        "parent INTEGER REFERENCES t (id) ON DELETE SET NULL",
        "parent INTEGER NOT NULL REFERENCES t (id) ON DELETE CASCADE ON UPDATE CASCADE",
        "parent INTEGER REFERENCES t (id) ON DELETE RESTRICT ON UPDATE RESTRICT",
        "parent INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED",
    ] {
        let schema = format!(
            "PRAGMA foreign_keys = ON; {PLAIN}{ROWS}
            CREATE TABLE child (id INTEGER PRIMARY KEY, {child}); INSERT INTO child VALUES (1, 1), (2, 2), (3, 3);"
        );
        case(ROTATION).is_resolved(&schema);
        for how in How::ALL {
            let mut conn = open(&schema);
            apply_omitting(&mut conn, &case(ROTATION).changes, how).0.unwrap();
            assert_eq!(rows(&mut conn, "main", "child"), ["1 1", "2 2", "3 3"], "{child}, {how:?}");
        }
    }
}

/// Children that refer to the UNIQUE column itself.
fn with_children(t: &str, child: &str) -> String {
    format!(
        "PRAGMA foreign_keys = ON; {t}{ROWS}
        CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES t (u) {child});
        INSERT INTO child VALUES (1, 10), (2, 20), (3, 30);"
    )
}

#[test]
fn an_exchanged_parent_key_leaves_no_violation() {
    for t in [PLAIN, "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER NOT NULL UNIQUE, v);"] {
        for child in ["", "ON DELETE CASCADE", "DEFERRABLE INITIALLY DEFERRED", "ON UPDATE NO ACTION"] {
            let schema = with_children(t, child);
            case(SWAP).is_resolved(&schema);
            case(ROTATION).is_resolved(&schema);
            for how in How::ALL {
                let mut conn = open(&schema);
                conn.transaction(|conn| {
                    apply_omitting(conn, &case(ROTATION).changes, how).0.unwrap();
                    // the counters are 0: a violation and its repair leave them so
                    exec(conn, "PRAGMA defer_foreign_keys = ON; INSERT INTO child VALUES (9, 99); DELETE FROM child WHERE id = 9");
                    QueryResult::Ok(())
                })
                .unwrap();
                assert_eq!(rows(&mut conn, "main", "child"), ["1 10", "2 20", "3 30"]);
                // and an orphan is still noticed
                assert!(diesel::sql_query("INSERT INTO child VALUES (9, 99)").execute(&mut conn).is_err());
                assert!(
                    diesel::sql_query("DELETE FROM t WHERE u = 20").execute(&mut conn).is_err()
                        || child.contains("CASCADE")
                        || child.contains("DEFERRED")
                );
            }
        }
    }
}

#[test]
fn a_table_that_refers_to_itself_exchanges_parent_and_child_keys() {
    let rows = "INSERT INTO t VALUES (1, 10, 20), (2, 20, 30), (3, 30, 10), (4, 40, 40);";
    for u in ["INTEGER UNIQUE", "INTEGER NOT NULL UNIQUE"] {
        let schema = format!(
            "PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, u {u}, v INTEGER REFERENCES t (u));{rows}"
        );
        for edits in [ROTATION, SWAP, "UPDATE t SET u = 10 + u % 30, v = 10 + v % 30 WHERE id <= 3"] {
            case_of(&format!("{SOURCE}{rows}"), edits).is_resolved(&schema);
        }
    }
}

#[test]
fn an_action_on_the_exchanged_column_keeps_a_cycle_blocked() {
    for action in ["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"] {
        let schema = with_children(PLAIN, &format!("ON UPDATE {action}"));
        case(ROTATION).stays_blocked(&schema);
        case(SWAP).stays_blocked(&schema);
        // without foreign keys, or without their actions, nothing acts
        case(ROTATION).is_resolved(&schema.replace("= ON", "= OFF"));
        if action != "RESTRICT" {
            for how in How::ALL {
                let mut conn = open(&schema);
                let options = Options { without_foreign_key_actions: true, ..Options::default() };
                let case = case(ROTATION);
                let (report, kinds) = apply_with(&mut conn, &case.changes, how, options, ConflictAction::Omit);
                assert_eq!((report.unwrap().applied(), kinds), (3, vec![]), "{action}, {how:?}");
                assert_eq!(result(&mut conn), case.after, "{action}, {how:?}");
                assert_eq!(rows(&mut conn, "main", "child"), ["1 10", "2 20", "3 30"], "{action}, {how:?}");
                assert_sound(&mut conn, action);
            }
        }
    }
}

#[test]
fn a_cycle_can_span_two_sections() {
    let one = |id: i32| case(&format!("{SWAP}; UPDATE t SET u = id * 10 WHERE id = {id}"));
    // each records only the UPDATE of the other row
    let (second, first) = (one(1), one(2));
    for (first, second) in [(&first, &second), (&second, &first)] {
        let changes: Recorded =
            (appended(&[&first.changes.0, &second.changes.0]), appended(&[&first.changes.1, &second.changes.1]));
        assert_eq!(changes.0.sections().count(), 2);
        Case { changes, count: 2, after: case(SWAP).after }.is_resolved(&format!("{PLAIN}{ROWS}"));
    }
}

#[test]
fn exchanges_that_follow_each_other_are_applied_in_their_order() {
    // the second exchange starts from the result of the first
    let source = format!("{SOURCE}{ROWS}");
    let first = record(&source, SWAP);
    let second = record(&format!("{source}{SWAP};"), ROTATION);
    let mut after = open(&source);
    exec(&mut after, &format!("{SWAP};{ROTATION}"));
    let after = rows(&mut after, "main", "t");
    let both = [
        (appended(&[&first.0, &second.0]), appended(&[&first.1, &second.1])),
        (in_one_section(&[&first.0, &second.0]), in_one_section(&[&first.1, &second.1])),
    ];
    for changes in both {
        Case { changes, count: 5, after: after.clone() }.is_applied(&format!("{PLAIN}{ROWS}"));
    }
}

#[test]
fn every_declaration_of_the_column_allows_an_exchange() {
    let strict = [
        ("INT", ["1", "2", "3"]),
        ("INTEGER", ["-9223372036854775808", "2", "9223372036854775807"]),
        ("REAL", ["1.5", "-2.5", "9e99"]),
        ("TEXT", ["'a'", "''", "'c'"]),
        ("BLOB", ["x''", "x'00'", "x'ff'"]),
        ("ANY", ["1", "'1'", "x'31'"]),
    ];
    for (kind, [a, b, c]) in strict {
        let rows = format!("INSERT INTO t VALUES (1, {a}, 'a'), (2, {b}, 'b'), (3, {c}, 'c');");
        let rotation =
            format!("UPDATE t SET u = CASE id WHEN 1 THEN {b} WHEN 2 THEN {c} WHEN 3 THEN {a} END WHERE id <= 3");
        let swap = format!("UPDATE t SET u = CASE id WHEN 1 THEN {b} WHEN 2 THEN {a} END WHERE id <= 2");
        for null in ["", " NOT NULL"] {
            for table in ["", "STRICT", "WITHOUT ROWID", "STRICT, WITHOUT ROWID"] {
                let schema = format!(
                    "CREATE TABLE t (id INTEGER PRIMARY KEY, u {}{null} UNIQUE, v TEXT) {table};{rows}",
                    if kind == "ANY" && !table.contains("STRICT") { "" } else { kind }
                );
                for edits in [&rotation, &swap] {
                    case_of(&format!("{SOURCE}{rows}"), edits).is_resolved(&schema);
                }
            }
        }
    }
}

#[test]
fn a_key_of_any_kind_has_its_values_exchanged() {
    let names = "INSERT INTO t VALUES ('x', 10, 'a'), ('y', 20, 'b'), ('z', 30, 'c'), ('', 40, 'd');";
    let source = format!("CREATE TABLE t (id TEXT PRIMARY KEY, u, v);{names}");
    let rotation = "UPDATE t SET u = 10 + u % 30 WHERE id <> ''";
    for schema in [
        "CREATE TABLE t (id TEXT PRIMARY KEY, u INTEGER UNIQUE, v);",
        "CREATE TABLE t (id TEXT PRIMARY KEY, u INTEGER NOT NULL UNIQUE, v) WITHOUT ROWID;",
        "CREATE TABLE t (id PRIMARY KEY NOT NULL, u INTEGER, v); CREATE UNIQUE INDEX i ON t (u DESC);",
        "CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY, u INTEGER UNIQUE, v);",
    ] {
        case_of(&source, rotation).is_resolved(&format!("{schema}{names}"));
    }
    // with rowids as keys, and with two key columns of which one is in the index
    let rows = "INSERT INTO t VALUES (1, 1, 10, 'a'), (1, 2, 20, 'b'), (2, 2, 30, 'c'), (1, 3, 30, 'd');";
    let source = format!("CREATE TABLE t (a, id, u, v, PRIMARY KEY (a, id));{rows}");
    for table in ["", "WITHOUT ROWID"] {
        let schema =
            format!("CREATE TABLE t (a, id, u NOT NULL, v, PRIMARY KEY (a, id), UNIQUE (a, u)) {table};{rows}");
        case_of(&source, "UPDATE t SET u = 10 + u % 30 WHERE a = 1").is_resolved(&schema);
    }
}

#[test]
fn one_column_of_a_composite_index_moves() {
    let rows = "INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'a'), (3, 30, 'a'), (4, 10, 'b'), (5, 20, 'b');";
    for columns in ["u INTEGER, v", "u INTEGER NOT NULL, v TEXT NOT NULL"] {
        for index in ["u, v", "v, u", "v COLLATE NOCASE, u"] {
            let schema = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {columns}, UNIQUE ({index}));{rows}");
            for edits in
                [ROTATION, SWAP, "UPDATE t SET v = CASE v WHEN 'a' THEN 'b' ELSE 'a' END WHERE id IN (1, 2, 4, 5)"]
            {
                case_of(&format!("{SOURCE}{rows}"), edits).is_resolved(&schema);
            }
        }
    }
}

#[test]
fn several_indexes_release_their_values_together() {
    let rows = "INSERT INTO t VALUES (1, 10, 100), (2, 20, 200), (3, 30, 300), (4, 40, 400);";
    let up = "u = CASE id WHEN 1 THEN 20 WHEN 2 THEN 30 WHEN 3 THEN 10 END";
    let down = "v = CASE id WHEN 1 THEN 300 WHEN 2 THEN 100 WHEN 3 THEN 200 END";
    let same = "v = CASE id WHEN 1 THEN 200 WHEN 2 THEN 300 WHEN 3 THEN 100 END";
    for schema in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v INTEGER UNIQUE);",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER NOT NULL UNIQUE, v INTEGER NOT NULL UNIQUE) STRICT;",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v INTEGER UNIQUE, UNIQUE (u, v)) WITHOUT ROWID;",
    ] {
        let schema = format!("{schema}{rows}");
        for set in [up, down, &format!("{up}, {same}")] {
            let edits = format!("UPDATE t SET {set} WHERE id <= 3");
            case_of(&format!("{SOURCE}{rows}"), &edits).is_resolved(&schema);
        }
    }
}

/// Returns an UPDATE after which the pairs of rows have exchanged their values.
fn exchange(u: &[(i32, i32)], v: &[(i32, i32)]) -> String {
    let set = |column: &str, factor: i32, pairs: &[(i32, i32)]| -> String {
        let arms = pairs.iter().map(|(a, b)| format!("WHEN {a} THEN {} WHEN {b} THEN {} ", b * factor, a * factor));
        format!("{column} = CASE id {}ELSE {column} END", arms.collect::<String>())
    };
    format!("UPDATE t SET {}, {}", set("u", 10, u), set("v", 100, v))
}

fn is_resolved_with_two_indexes(edits: &str) {
    let rows = "INSERT INTO t VALUES (1, 10, 100), (2, 20, 200), (3, 30, 300), (4, 40, 400), (5, 50, 500);";
    for columns in ["u INT UNIQUE, v INT UNIQUE", "u INT NOT NULL UNIQUE, v INT NOT NULL UNIQUE"] {
        let schema = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {columns});{rows}");
        case_of(&format!("{SOURCE}{rows}"), edits).is_resolved(&schema);
    }
}

#[test]
fn two_cycles_that_touch_are_resolved() {
    for (u, v) in [((1, 2), (1, 3)), ((1, 2), (2, 3)), ((1, 3), (2, 3)), ((2, 3), (1, 2))] {
        is_resolved_with_two_indexes(&exchange(&[u], &[v]));
    }
}

/// After one row is parked, the others still block each other.
#[test]
fn cycles_that_need_two_parked_rows_are_resolved() {
    is_resolved_with_two_indexes(&exchange(&[(1, 2), (3, 4)], &[(2, 3), (4, 5)]));
    is_resolved_with_two_indexes(&exchange(&[(1, 2), (3, 4)], &[(1, 4), (2, 3)]));
    // two rotations of the same rows in opposite directions
    is_resolved_with_two_indexes(
        "UPDATE t SET u = CASE id WHEN 1 THEN 20 WHEN 2 THEN 30 WHEN 3 THEN 10 END,
            v = CASE id WHEN 1 THEN 300 WHEN 2 THEN 100 WHEN 3 THEN 200 END WHERE id <= 3",
    );
}

/// SQLite 3.53 reports four of the five as conflicts.
#[test]
fn a_chain_into_a_cycle_through_two_indexes_is_applied() {
    let table = "CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT, w INTEGER);";
    let rows = "INSERT INTO t VALUES ('a', 'b', 3), ('b', 'c', 4), ('c', 'd', 5), ('d', 'e', 6), ('e', 'f', 1);";
    let values = [("c", "c", 6), ("b", "d", 5), ("a", "e", 4), ("e", "a", 2), ("d", "b", 1)];
    let updates = values.map(|(k, v, w)| format!("UPDATE t SET v = '{v}', w = {w} WHERE k = '{k}';"));
    let changes = record(&format!("{table}{rows}"), &updates.concat());
    let schema = table.replace("v TEXT", "v TEXT UNIQUE").replace("w INTEGER", "w INTEGER UNIQUE");
    for how in How::ALL {
        let mut conn = open(&format!("{schema}{rows}"));
        apply_with(&mut conn, &changes, how, Options::default(), ConflictAction::Abort).0.unwrap();
        let expected = ["a e 4", "b d 5", "c c 6", "d b 1", "e a 2"];
        assert_eq!(lines(&mut conn, "SELECT k || ' ' || v || ' ' || w AS line FROM t ORDER BY k"), expected, "{how:?}");
    }
}

#[test]
fn a_partial_or_expression_index_keeps_a_cycle_blocked() {
    for index in [
        "CREATE UNIQUE INDEX i ON t (u) WHERE u > 0",
        "CREATE UNIQUE INDEX i ON t (u + 0)",
        "CREATE UNIQUE INDEX j ON t (u); CREATE INDEX i ON t (abs(u))",
        "CREATE UNIQUE INDEX j ON t (u); CREATE INDEX i ON t (v) WHERE u > 0",
        "CREATE UNIQUE INDEX j ON t (u); CREATE UNIQUE INDEX i ON t (u, lower(v))",
    ] {
        let schema = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER, v);{ROWS}{index};");
        case(ROTATION).stays_blocked(&schema);
        case(SWAP).stays_blocked(&schema);
    }
    // an index whose values do not move is no obstacle
    for index in ["CREATE UNIQUE INDEX i ON t (lower(v))", "CREATE INDEX i ON t (v) WHERE v > 0"] {
        case(ROTATION).is_resolved(&format!("{PLAIN}{ROWS}{index};"));
    }
}

#[test]
fn a_chain_over_a_partial_or_expression_index_is_applied() {
    for index in ["CREATE UNIQUE INDEX i ON t (u) WHERE u > 0", "CREATE UNIQUE INDEX i ON t (u + 0)"] {
        let schema = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER, v);{ROWS}{index};");
        for edits in ["UPDATE t SET u = u + 10", "UPDATE t SET u = u - 10"] {
            case(edits).is_applied(&schema);
        }
    }
}

#[test]
fn a_generated_column_over_the_values_keeps_a_cycle_blocked() {
    for columns in
        ["u INT UNIQUE, w AS (u * 2), v", "u INT UNIQUE, v, w INT AS (u * 2) STORED", "u INT, v, w AS (u) UNIQUE"]
    {
        let schema = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {columns});")
            + &ROWS.replace("INTO t", "INTO t (id, u, v)");
        case(ROTATION).stays_blocked(&schema);
    }
    // one over other columns is no obstacle
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INT UNIQUE, v, w AS (v || id) UNIQUE);".to_string()
        + &ROWS.replace("INTO t", "INTO t (id, u, v)");
    for how in How::ALL {
        let mut conn = open(&schema);
        let (report, kinds) = apply_omitting(&mut conn, &case(ROTATION).changes, how);
        assert_eq!((report.unwrap().applied(), kinds), (3, vec![]), "{how:?}");
    }
}

#[test]
fn what_blocked_an_exchange_in_sqlite_does_not_matter() {
    // more columns than the changes
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u INT UNIQUE, v, w DEFAULT 7 NOT NULL, x AS (w));"
        .to_string()
        + &ROWS.replace("INTO t", "INTO t (id, u, v)");
    for how in How::ALL {
        let mut conn = open(&format!("{schema} UPDATE t SET w = id"));
        let (report, kinds) = apply_omitting(&mut conn, &case(ROTATION).changes, how);
        assert_eq!((report.unwrap().applied(), kinds), (3, vec![]), "{how:?}");
        assert_eq!(result(&mut conn), ["1 20 'a' 1 1", "2 30 'b' 2 2", "3 10 'c' 3 3", "4 40 'd' 4 4"], "{how:?}");
    }
    // foreign keys that do not concern the table, and tables of the same name
    for more in [
        "PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p ON UPDATE CASCADE);",
        "CREATE TEMP TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v); INSERT INTO temp.t VALUES (1, 10, 'temp');",
        "ATTACH ':memory:' AS other; CREATE TABLE other.t (id INTEGER PRIMARY KEY, u UNIQUE, v);",
    ] {
        case(ROTATION).is_resolved(&format!("{PLAIN}{ROWS}{more}"));
    }
    // a table's own clauses do not act
    for clause in ["IGNORE", "REPLACE", "FAIL", "ABORT"] {
        let t = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE ON CONFLICT {clause}, v);{ROWS}");
        case(ROTATION).is_resolved(&t);
        case("UPDATE t SET u = u + 10").is_applied(&t);
    }
}

#[test]
fn values_that_are_equal_in_the_index_are_exchanged() {
    for (columns, a, b, other_a, other_b) in [
        ("u TEXT COLLATE NOCASE UNIQUE, v", "'ada'", "'bob'", "'ADA'", "'Bob'"),
        ("u TEXT COLLATE RTRIM UNIQUE, v", "'ada'", "'bob  '", "'ada '", "'bob'"),
        ("u TEXT, v, UNIQUE (u COLLATE NOCASE)", "'ada'", "'bob'", "'ADA'", "'Bob'"),
        ("u INTEGER UNIQUE, v", "1", "2", "'1'", "2.0"),
        ("u REAL UNIQUE, v", "1.0", "2.5", "1", "'2.5'"),
        ("u TEXT UNIQUE, v", "'1'", "'2'", "1", "2"),
        ("u UNIQUE, v", "1", "2", "1.0", "2.0"),
    ] {
        let rows = format!("INSERT INTO t VALUES (1, {a}, 'a'), (2, {b}, 'b');");
        let t = TableInfo::new("t", &[1, 0, 0]);
        let literal = |text: &'static str| -> Value<'static> {
            match text.strip_prefix('\'') {
                Some(text) => text.strip_suffix('\'').unwrap().into(),
                None if text.contains('.') => Value::Real(text.parse().unwrap()),
                None => Value::Integer(text.parse().unwrap()),
            }
        };
        let changeset = Changeset::builder()
            .update_values(t, &[1.into(), literal(a), "a".into()], &[1.into(), literal(other_b), "a".into()])
            .update_values(t, &[2.into(), literal(b), "b".into()], &[2.into(), literal(other_a), "b".into()])
            .build()
            .unwrap();
        for how in How::CHANGESETS {
            let mut conn = open(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {columns});{rows}"));
            let changes = (changeset.clone(), Default::default());
            let (report, kinds) = apply_omitting(&mut conn, &changes, how);
            assert_eq!((report.unwrap().applied(), kinds), (2, vec![]), "{columns}, {how:?}");
            let found = format!("SELECT '' || id AS line FROM t WHERE u = {other_b}");
            assert_eq!(lines(&mut conn, &found), ["1"], "{columns}, {how:?}");
            assert_sound(&mut conn, columns);
        }
    }
}

#[test]
fn a_long_rotation_is_resolved() {
    let rows = "INSERT INTO t SELECT value, value, 'v' || value FROM generate_series";
    let rows = rows.replace(
        "generate_series",
        "(WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 1000) SELECT value FROM n);",
    );
    for edits in ["UPDATE t SET u = 1 + u % 1000", "UPDATE t SET u = 1 + (u + 998) % 1000"] {
        let case = case_of(&format!("{SOURCE}{rows}"), edits);
        assert_eq!(case.count, 1000);
        for u in ["INTEGER UNIQUE", "INTEGER NOT NULL UNIQUE CHECK (u BETWEEN 1 AND 1000)"] {
            case.is_resolved(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u {u}, v);{rows}"));
        }
    }
}

#[test]
fn a_row_with_other_values_breaks_its_cycle() {
    let case = case(ROTATION);
    // a column that the changes do not set can differ
    for how in How::CHANGESETS {
        let mut conn = open(&format!("{PLAIN}{ROWS} UPDATE t SET v = 'mine' WHERE id = 2"));
        let (report, kinds) = apply_omitting(&mut conn, &case.changes, how);
        assert_eq!((report.unwrap().applied(), kinds), (3, vec![]), "{how:?}");
    }
    // a column that they set must not: its row keeps its value, and the rows that wait for it are
    // blocked
    let with_other = case_of(&format!("{SOURCE}{ROWS}"), &format!("{ROTATION}; UPDATE t SET v = 'new' WHERE id <= 3"));
    for id in 1..=3 {
        for how in How::CHANGESETS {
            let mut conn = open(&format!("{PLAIN}{ROWS} UPDATE t SET v = 'mine' WHERE id = {id}"));
            let before = contents(&mut conn);
            let (report, mut kinds) = apply_omitting(&mut conn, &with_other.changes, how);
            kinds.sort_unstable_by_key(|kind| kind.to_raw());
            assert_eq!(report.unwrap().omitted(), 3, "{id}, {how:?}");
            assert_eq!(
                kinds,
                [ConflictType::Data, ConflictType::Constraint, ConflictType::Constraint],
                "{id}, {how:?}"
            );
            assert_eq!(contents(&mut conn), before, "{id}, {how:?}");
        }
        // a patchset does not contain the old values
        let mut conn = open(&format!("{PLAIN}{ROWS} UPDATE t SET v = 'mine' WHERE id = {id}"));
        let (report, kinds) = apply_omitting(&mut conn, &with_other.changes, How::Patchset);
        assert_eq!((report.unwrap().applied(), kinds), (3, vec![]), "{id}");
        assert_eq!(result(&mut conn), with_other.after, "{id}");
    }
}

#[test]
fn a_row_that_is_missing_or_has_moved_on_frees_its_cycle() {
    let case = case(ROTATION);
    for (edit, kind) in [
        ("DELETE FROM t WHERE id = 2", ConflictType::NotFound),
        ("UPDATE t SET u = 99 WHERE id = 2", ConflictType::Data),
    ] {
        for how in How::CHANGESETS {
            let mut conn = open(&format!("{PLAIN}{ROWS} {edit}"));
            let (report, kinds) = apply_omitting(&mut conn, &case.changes, how);
            let report = report.unwrap();
            assert_eq!((report.applied(), report.omitted()), (2, 1), "{edit}, {how:?}");
            assert_eq!(kinds, [kind], "{edit}, {how:?}");
            let found = "SELECT id || ':' || u AS line FROM t WHERE id IN (1, 3) ORDER BY id";
            assert_eq!(lines(&mut conn, found), ["1:20", "3:10"], "{edit}, {how:?}");
        }
    }
}

#[test]
fn a_stranger_that_has_a_value_of_the_cycle_blocks_it() {
    // row 9 of the replica has the value that row 3 leads to; the cycle of the source is a chain
    // here
    let edits = "UPDATE t SET u = CASE id WHEN 1 THEN 20 WHEN 2 THEN 90 WHEN 3 THEN 10 END WHERE id <= 3";
    let case = case(edits);
    case.stays_blocked(&format!("{PLAIN}{ROWS} INSERT INTO t VALUES (9, 90, 'mine');"));
}

#[test]
fn deletes_and_inserts_take_part_in_an_exchange() {
    let edits = format!(
        "{ROTATION}; DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (5, 40, 'e'), (-1, 60, 'f');
        UPDATE t SET u = 50 WHERE id = 1; UPDATE t SET v = 'last' WHERE id = 2"
    );
    case(&edits).is_applied(&format!("{PLAIN}{ROWS}"));
    // a row takes the value of a row of the cycle, which takes that of a deleted row
    let edits = "DELETE FROM t WHERE id = 4; UPDATE t SET u = CASE id WHEN 1 THEN 20 WHEN 2 THEN 10 WHEN 3 THEN 40 END; INSERT INTO t VALUES (5, 30, 'e')";
    case(edits).is_applied(&format!("{PLAIN}{ROWS}"));
}

#[test]
fn values_become_null_and_stop_being_null() {
    let rows = "INSERT INTO t VALUES (1, 10, 'a'), (2, NULL, 'b'), (3, 30, 'c'), (4, NULL, 'd');";
    let edits = "UPDATE t SET u = CASE id WHEN 1 THEN 30 WHEN 2 THEN 10 WHEN 3 THEN NULL WHEN 4 THEN 40 END";
    case_of(&format!("{SOURCE}{rows}"), edits).is_applied(&format!("{PLAIN}{rows}"));
}

#[test]
fn an_inverted_cycle_is_resolved() {
    let case = case(ROTATION);
    let mut conn = open(&format!("{PLAIN}{ROWS}"));
    let before = result(&mut conn);
    conn.apply(&case.changes.0).run().unwrap();
    assert_eq!(result(&mut conn), case.after);
    conn.apply(&case.changes.0).inverted().run().unwrap();
    assert_eq!(result(&mut conn), before);
}

#[test]
fn a_session_records_no_parked_value() {
    let case = case(ROTATION);
    for null in ["", "NOT NULL"] {
        for how in How::ALL {
            let mut conn = open(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER {null} UNIQUE, v);{ROWS}"));
            let mut session = conn.create_session().unwrap();
            session.attach_all().unwrap();
            apply_omitting(&mut conn, &case.changes, how).0.unwrap();
            let sorted = |changeset: &Changeset| changeset.sort_by_key();
            assert_eq!(sorted(&session.changeset().unwrap()), sorted(&case.changes.0), "{null}, {how:?}");
        }
    }
}

#[test]
fn values_that_could_be_markers_are_exchanged_too() {
    // rows that have the extreme values which a parked row might get
    let extreme = "INSERT INTO t VALUES (11, -9223372036854775808, 'x'), (12, -9223372036854775807, 'x'), (13, -9223372036854775806, 'x');";
    for strict in ["", "STRICT"] {
        let schema = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER NOT NULL UNIQUE, v TEXT) {strict};{ROWS}{extreme}"
        );
        let edits = format!(
            "{ROTATION}; UPDATE t SET u = CASE id WHEN 11 THEN -9223372036854775807 WHEN 12 THEN -9223372036854775808 END WHERE id IN (11, 12)"
        );
        case_of(&format!("{SOURCE}{ROWS}{extreme}"), &edits).is_resolved(&schema);
    }
}

#[test]
fn a_shift_by_one_is_applied_in_both_directions() {
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t SELECT i, i, 'v' FROM n;";
    for edits in
        ["UPDATE t SET u = u + 1", "UPDATE t SET u = u - 1", "UPDATE t SET u = u + 250", "UPDATE t SET u = 501 - u"]
    {
        let case = case_of(&format!("{SOURCE}{many}"), edits);
        for u in ["INTEGER UNIQUE", "INTEGER NOT NULL UNIQUE"] {
            case.is_applied(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u {u}, v);{many}"));
        }
    }
}

proptest! {
    #![proptest_config(config(6))]

    /// Any permutation of the values of 500 rows is applied, in any order of the changes.
    #[test]
    fn any_permutation_is_applied(
        places in Just((0..500_i64).collect::<Vec<_>>()).prop_shuffle(),
        order in Just((0..500_usize).collect::<Vec<_>>()).prop_shuffle(),
        nullable: bool,
    ) {
        let t = TableInfo::new("t", &[1, 0, 0]);
        let row = |id: usize, u: i64| [Value::Integer(id as i64), Value::Integer(u), "v".into()];
        let changes = order.iter().fold((Changeset::builder(), diesel_sqlite_session::Patchset::builder()), |(changeset, patchset), &id| {
            let (old, new) = (row(id, id as i64), row(id, places[id]));
            (changeset.update_values(t, &old, &new), patchset.update_values(t, &old, &new))
        });
        let changes = (changes.0.build().unwrap(), changes.1.build().unwrap());
        let null = if nullable { "" } else { "NOT NULL" };
        let schema = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER {null} UNIQUE CHECK (u BETWEEN 0 AND 499), v);
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499) INSERT INTO t SELECT i, i, 'v' FROM n;"
        );
        for how in How::ALL {
            let mut conn = open(&schema);
            let (report, kinds) = apply_omitting(&mut conn, &changes, how);
            prop_assert!(kinds.is_empty(), "{:?}: {:?}", how, kinds);
            prop_assert_eq!(report.unwrap().applied(), changes.0.records().count() as u64);
            let found = lines(&mut conn, "SELECT '' || u AS line FROM t ORDER BY id");
            let expected: Vec<String> = places.iter().map(ToString::to_string).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
