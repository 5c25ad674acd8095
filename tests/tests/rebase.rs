//! Rebasing equals SQLite's rebaser, and two databases that exchange rebased changes converge.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::wire::{BuildErrorKind, ParseErrorKind, RebaseData, Rebaser, TableInfo};
use diesel_sqlite_session::{
    ApplyError, Changeset, ConflictAction, ConflictType, Operation, Session, SqliteSessionExt,
};
use diesel_sqlite_session_tests::change::{Change, Owned};
use diesel_sqlite_session_tests::random::{change, config, fork, mutation};
use diesel_sqlite_session_tests::rebasing::judge;
use diesel_sqlite_session_tests::sqlite::{self, Code, Database};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::{lines, open};

const SQLITE_ERROR: i32 = 1;

/// Opens a database and a session that records all further changes.
fn replica(schema: &[String], before: &[String]) -> (SqliteConnection, Session) {
    let mut conn = open(&schema.join(";"));
    for statement in before {
        _ = conn.batch_execute(statement);
    }
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    (conn, session)
}

/// Runs the statements that succeed and returns their changes.
fn edit(conn: &mut SqliteConnection, session: &mut Session, statements: &[String]) -> Changeset {
    for statement in statements {
        _ = conn.batch_execute(statement);
    }
    session.changeset().unwrap()
}

/// Applies changes and replaces or omits by `replaces` in turn. Returns `None` if the apply fails.
fn apply(conn: &mut SqliteConnection, changeset: &Changeset, replaces: &[bool]) -> Option<RebaseData> {
    let mut answers = replaces.iter().cycle();
    let applied = conn.apply(changeset).otherwise(|kind: ConflictType| {
        let replace = *answers.next().unwrap() && kind.takes_replace();
        if replace { ConflictAction::Replace } else { ConflictAction::Omit }
    });
    match applied.run() {
        Ok(report) => Some(report.into_rebase_data()),
        // a row was deleted for a row that violates a constraint, or a trigger's row conflicts
        Err(ApplyError::ReplacedRowLost { .. } | ApplyError::Sqlite { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Any resolution, made from a change. For an UPDATE it is an INSERT that lacks values.
fn resolution() -> impl Strategy<Value = Change> {
    change().prop_map(|mut change| {
        if change.operation == 23 {
            change.operation = 18;
            for (column, place) in change.key.iter().enumerate() {
                if *place != 0 {
                    change.new[column] = change.old[column].take();
                }
            }
        }
        change
    })
}

/// Encodes the sections of changes in order.
fn encode(changes: &[Change]) -> Vec<u8> {
    changes.iter().flat_map(|change| change.encode(diesel_sqlite_session::Format::Changeset)).collect()
}

const SCHEMA: &str = "
    CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c);
    CREATE TABLE pairs (v, x TEXT, y INTEGER, w, PRIMARY KEY (y, x)) WITHOUT ROWID;
    CREATE TABLE keys (k INTEGER PRIMARY KEY)";

/// Any statement that changes some of a few rows.
fn small_edit() -> impl Strategy<Value = String> {
    let value = || select(vec!["NULL", "1", "2.5", "'a'", "'b'", "x'00ff'", "''"]);
    (0..10, 0..4, 0..3, select(vec!["a", "b", "c"]), value(), value(), value()).prop_map(
        |(kind, id, x, column, a, b, c)| match kind {
            0 => format!("INSERT OR IGNORE INTO t VALUES ({id}, {a}, {b}, {c})"),
            1 => format!("INSERT OR REPLACE INTO t VALUES ({id}, {a}, {b}, {c})"),
            2 | 3 => format!("UPDATE t SET {column} = {a} WHERE id = {id}"),
            4 => format!("UPDATE t SET a = {a}, b = {b} WHERE id >= {id}"),
            5 => format!("DELETE FROM t WHERE id = {id}"),
            6 => format!("INSERT OR REPLACE INTO pairs VALUES ({a}, 'k{x}', {id}, {b})"),
            7 => format!("UPDATE pairs SET v = {a} WHERE x = 'k{x}'"),
            8 => format!("DELETE FROM pairs WHERE y = {id}"),
            _ => format!("INSERT OR IGNORE INTO keys VALUES ({id}); DELETE FROM keys WHERE k = {x}"),
        },
    )
}

/// Returns whether the rebase data omits a remote UPDATE that also sets columns which no local
/// UPDATE of the row sets.
fn is_half_omitted(local: &Changeset, data: &RebaseData) -> bool {
    let (resolutions, _) = sqlite::read(data.as_bytes());
    resolutions.iter().filter(|remote| remote.operation == 18 && !remote.indirect).any(|remote| {
        let mut updates = local.records().map(Change::from).filter(|local| local.operation == 23);
        updates.any(|local| {
            let mut columns = (0..local.key.len()).map(|column| (local.key[column] != 0, column));
            local.table == remote.table
                && columns.clone().all(|(is_key, column)| !is_key || local.old[column] == remote.new[column])
                && columns.any(|(is_key, at)| !is_key && remote.new[at].is_some() && local.new[at].is_none())
        })
    })
}

/// Returns the content of the tables of `SCHEMA`.
fn contents(conn: &mut SqliteConnection) -> Vec<String> {
    lines(
        conn,
        "SELECT format('t %d %s %s %s', id, quote(a), quote(b), quote(c)) AS line FROM t
         UNION ALL SELECT format('pairs %s %d %s %s', x, y, quote(v), quote(w)) FROM pairs
         UNION ALL SELECT format('keys %d', k) FROM keys ORDER BY 1",
    )
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn histories_are_rebased_byte_for_byte_as_by_sqlite(fork in fork(3), replaces in vec(any::<bool>(), 1..8)) {
        let (mut conn, mut session) = replica(&fork.schema, &fork.before);
        let local = edit(&mut conn, &mut session, &fork.edits[0]);
        let mut all = Vec::new();
        for edits in &fork.edits[1..] {
            let (mut other, mut session) = replica(&fork.schema, &fork.before);
            let remote = edit(&mut other, &mut session, edits);
            let Some(data) = apply(&mut conn, &remote, &replaces) else { break };
            prop_assert!(RebaseData::try_from(data.as_bytes()).is_ok(), "what SQLite writes is taken");
            all.push(data);
            let bytes: Vec<&[u8]> = all.iter().map(RebaseData::as_bytes).collect();
            prop_assert!(judge(&bytes, local.as_bytes()).is_some(), "it is rebased");
        }
    }

    #[test]
    fn resolutions_and_changes_of_every_kind_are_rebased_as_by_sqlite(
        all in vec(vec(resolution(), 0..8), 1..4),
        changes in vec(change(), 1..12),
    ) {
        let all: Vec<Vec<u8>> = all.iter().map(|data| encode(data)).collect();
        let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        prop_assert!(judge(&all, &encode(&changes)).is_some(), "it is rebased");
    }

    #[test]
    fn mutated_rebase_data_and_changes_are_judged_as_by_sqlite(
        data in vec(resolution(), 1..5),
        changes in vec(change(), 1..6),
        mutations in vec(mutation(), 1..4),
    ) {
        let (mut data, mut changes) = (encode(&data), encode(&changes));
        for mutation in &mutations {
            mutation.apply(&mut data);
            judge(&[&data], &changes);
        }
        mutations[0].apply(&mut changes);
        judge(&[&data], &changes);
    }

    #[test]
    fn two_replicas_that_exchange_their_changes_converge(
        before in vec(small_edit(), 0..12),
        (mine, theirs) in (vec(small_edit(), 1..12), vec(small_edit(), 1..12)),
        replaces in vec(any::<bool>(), 1..8),
    ) {
        let schema = [SCHEMA.to_string()];
        let (mut here, mut session) = replica(&schema, &before);
        let local = edit(&mut here, &mut session, &mine);
        let (mut there, mut session) = replica(&schema, &before);
        let remote = edit(&mut there, &mut session, &theirs);
        let data = apply(&mut here, &remote, &replaces).unwrap();
        judge(&[data.as_bytes()], local.as_bytes()).unwrap();
        there.apply(&local.rebase(&data).unwrap()).run().expect("no conflict");
        // an omitted UPDATE stays in the other database if it set columns that no local UPDATE of
        // the row sets
        if !is_half_omitted(&local, &data) {
            prop_assert_eq!(contents(&mut here), contents(&mut there));
        }
    }
}

/// Checks the tests themselves: forks without conflicts would prove next to nothing.
#[test]
fn forks_have_conflicts_of_every_kind() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut seen, mut different) = ([0; 4], 0);
    for round in 0..100 {
        let fork = fork(2).new_tree(&mut runner).unwrap().current();
        let (mut conn, mut session) = replica(&fork.schema, &fork.before);
        let local = edit(&mut conn, &mut session, &fork.edits[0]);
        let (mut other, mut session) = replica(&fork.schema, &fork.before);
        let remote = edit(&mut other, &mut session, &fork.edits[1]);
        let Some(data) = apply(&mut conn, &remote, &[round % 2 == 0, true, false]) else { continue };
        let shown = format!("{data:?}");
        for (place, what) in
            ["omitted INSERT", "replaced by INSERT", "omitted DELETE", "replaced by DELETE"].iter().enumerate()
        {
            seen[place] += shown.matches(what).count();
        }
        different += usize::from(local.rebase(&data).unwrap() != local);
    }
    assert!(seen.iter().all(|count| *count > 10) && different > 30, "{seen:?} {different}");
}

/// A row of a table `t` with key 1 and columns `a` and `b`.
const T: TableInfo<'_> = TableInfo::new("t", &[1, 0, 0]);

fn text(value: &str) -> Option<Owned> {
    Some(Owned::Text(value.into()))
}

/// Returns rebase data with one resolution of row 1. `_` is not recorded.
fn resolved(operation: Operation, replaced: bool, a: &str, b: &str) -> RebaseData {
    let record = [a, b].map(|value| if value == "_" { None } else { text(value) });
    let [a, b] = record;
    let row = vec![Some(Owned::Integer(1)), a, b];
    let is_delete = operation == Operation::Delete;
    let change = Change {
        table: b"t".to_vec(),
        key: vec![1, 0, 0],
        operation: operation.to_byte().into(),
        indirect: replaced,
        old: if is_delete { row.clone() } else { vec![None; 3] },
        new: row,
    };
    RebaseData::try_from(encode(&[change])).unwrap()
}

/// Rebases local changes to row 1 and checks that SQLite does the same.
fn rebased(local: &Changeset, all: &[RebaseData]) -> String {
    let mut rebaser = Rebaser::new();
    all.iter().for_each(|data| rebaser.add(data).unwrap());
    let bytes: Vec<&[u8]> = all.iter().map(RebaseData::as_bytes).collect();
    let rebased = judge(&bytes, local.as_bytes()).unwrap();
    assert_eq!(rebaser.rebase(local).unwrap().as_bytes(), rebased);
    let lines: Vec<String> = Changeset::try_from(rebased).unwrap().records().map(|record| record.to_string()).collect();
    assert!(lines.len() <= 1);
    lines.concat()
}

fn row<'a>(a: &'a str, b: &'a str) -> [diesel_sqlite_session::Value<'a>; 3] {
    [1.into(), a.into(), b.into()]
}

fn local_changes() -> [Changeset; 3] {
    let new = Changeset::builder;
    [
        new().insert_values(T, &row("mine", "b")).build().unwrap(),
        new().update_values(T, &row("old", "b"), &row("mine", "b")).build().unwrap(),
        new().delete_values(T, &row("old", "b")).build().unwrap(),
    ]
}

#[test]
fn every_case_of_the_documented_table_holds() {
    use Operation::{Delete, Insert};
    let [insert, update, delete] = local_changes();
    let set = |replaced| [resolved(Insert, replaced, "theirs", "_")];
    let gone = |replaced| [resolved(Delete, replaced, "theirs", "their b")];

    assert_eq!(rebased(&insert, &set(false)), "UPDATE t(1 -> 1, 'theirs' -> 'mine', -> 'b')");
    let whole = [resolved(Insert, false, "theirs", "their b")];
    assert_eq!(rebased(&insert, &whole), "UPDATE t(1 -> 1, 'theirs' -> 'mine', 'their b' -> 'b')");
    assert_eq!(rebased(&insert, &set(true)), "");
    assert_eq!(rebased(&insert, &gone(false)), "INSERT t(1, 'mine', 'b')");
    assert_eq!(rebased(&insert, &gone(true)), "INSERT t(1, 'mine', 'b')");

    assert_eq!(rebased(&update, &set(false)), "UPDATE t(1, 'theirs' -> 'mine', _)");
    assert_eq!(rebased(&update, &set(true)), "");
    let other_column = [resolved(Insert, true, "_", "their b")];
    assert_eq!(rebased(&update, &other_column), "UPDATE t(1, 'old' -> 'mine', _)");
    assert_eq!(rebased(&update, &gone(false)), "INSERT t(1, 'mine', 'their b')");
    assert_eq!(rebased(&update, &gone(true)), "");

    assert_eq!(rebased(&delete, &set(false)), "DELETE t(1, 'theirs', 'b')");
    assert_eq!(rebased(&delete, &set(true)), "DELETE t(1, 'old', 'b')");
    assert_eq!(rebased(&delete, &gone(false)), "");
    assert_eq!(rebased(&delete, &gone(true)), "");
}

#[test]
fn resolutions_of_several_remote_changesets_are_merged() {
    use Operation::{Delete, Insert};
    let [insert, update, delete] = local_changes();
    let on = |local, all: [RebaseData; 2]| rebased(local, &all);
    let (a, b) = (resolved(Insert, false, "first", "_"), resolved(Insert, false, "_", "second"));
    assert_eq!(on(&delete, [a.clone(), b.clone()]), "DELETE t(1, 'first', 'second')");
    // a later replace stays, and covers every column
    let replaced = resolved(Insert, true, "_", "second");
    assert_eq!(on(&update, [replaced.clone(), a.clone()]), "UPDATE t(1, 'first' -> 'mine', _)");
    assert_eq!(on(&update, [a.clone(), replaced.clone()]), "");
    assert_eq!(on(&insert, [replaced, a.clone()]), "");
    // the last operation counts, except after a DELETE that replaced
    let gone = |replaced| resolved(Delete, replaced, "gone", "gone b");
    assert_eq!(on(&update, [a.clone(), gone(false)]), "INSERT t(1, 'mine', 'gone b')");
    assert_eq!(on(&delete, [gone(false), a.clone()]), "DELETE t(1, 'first', 'gone b')");
    assert_eq!(on(&update, [gone(true), a.clone()]), "");
    assert_eq!(on(&insert, [gone(true), a]), "INSERT t(1, 'mine', 'b')");
}

#[test]
fn sqlite_forgets_a_row_after_a_replacing_delete() {
    let [_, update, _] = local_changes();
    let gone = resolved(Operation::Delete, true, "gone", "gone b");
    let set = resolved(Operation::Insert, false, "theirs", "_");
    let theirs = |all: &[&RebaseData]| {
        let bytes = all.iter().map(|data| data.as_bytes());
        Changeset::try_from(sqlite::rebase_on_all(update.as_bytes(), bytes).unwrap()).unwrap()
    };
    assert!(theirs(&[&gone]).is_empty());
    assert_eq!(theirs(&[&gone, &set]), update, "an UPDATE of a row that is not there");
    assert_eq!(format!("{:?}", theirs(&[&gone, &set, &set])), "Changeset [UPDATE t(1, 'theirs' -> 'mine', _)]");
    assert_eq!(rebased(&update, &[gone, set]), "");
}

#[test]
fn an_omitted_update_stays_in_the_other_database_if_it_set_other_columns() {
    let schema = ["CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 'a', 'b')".to_string()];
    let ((mut here, mut session), (mut there, mut other)) = (replica(&schema, &[]), replica(&schema, &[]));
    let local = edit(&mut here, &mut session, &["UPDATE t SET a = 'mine'".into()]);
    let remote = edit(&mut there, &mut other, &["UPDATE t SET a = 'theirs', b = 'theirs'".into()]);
    let data = apply(&mut here, &remote, &[false]).unwrap();
    let ours = local.rebase(&data).unwrap();
    assert_eq!(sqlite::rebase(local.as_bytes(), data.as_bytes()).unwrap(), ours.as_bytes());
    there.apply(&ours).run().unwrap();
    assert_eq!(lines(&mut here, "SELECT a || ' ' || b AS line FROM t"), ["mine b"]);
    assert_eq!(lines(&mut there, "SELECT a || ' ' || b AS line FROM t"), ["mine theirs"]);
}

#[test]
fn sqlite_cannot_apply_its_result_for_equal_inserts_into_a_table_of_only_key_columns() {
    let keys = TableInfo::new("keys", &[1]);
    let local = Changeset::builder().insert_values(keys, &[1.into()]).build().unwrap();
    let there = Database::new();
    there.execute("CREATE TABLE keys (k INTEGER PRIMARY KEY); INSERT INTO keys VALUES (1)").unwrap();
    let data = {
        let here = Database::new();
        here.execute("CREATE TABLE keys (k INTEGER PRIMARY KEY); INSERT INTO keys VALUES (1)").unwrap();
        RebaseData::try_from(here.apply_omitting(local.as_bytes()).unwrap()).unwrap()
    };
    let theirs = Changeset::try_from(sqlite::rebase(local.as_bytes(), data.as_bytes()).unwrap()).unwrap();
    assert_eq!(format!("{theirs:?}"), "Changeset [UPDATE keys(1 -> 1)]");
    assert_eq!(there.apply(theirs.as_bytes()), Err(Code(SQLITE_ERROR)));
    let ours = local.rebase(&data).unwrap();
    assert!(ours.is_empty());
    assert_eq!(there.apply(ours.as_bytes()), Ok(()));
    judge(&[data.as_bytes()], local.as_bytes()).unwrap();
}

#[test]
fn many_resolutions_of_a_row_take_the_memory_of_one() {
    // values that grow and shrink, so that they do not fit into their old places
    let data: Vec<Vec<u8>> = (0..60usize)
        .map(|round| {
            let of_row = |id: i64| Change {
                table: b"t".to_vec(),
                key: vec![1, 0, 0],
                operation: if (round + id as usize) % 7 == 0 { 9 } else { 18 },
                indirect: (round + id as usize) % 31 == 30,
                old: vec![Some(Owned::Integer(id)), text("old"), Some(Owned::Blob(vec![7; round * 13 % 50]))],
                new: vec![Some(Owned::Integer(id)), Some(Owned::Text(vec![b'x'; round * 7 % 100])), None],
            };
            encode(&(0..100).map(of_row).collect::<Vec<_>>())
        })
        .collect();
    let changes: Vec<Change> = (0..150)
        .map(|id| Change {
            table: b"T".to_vec(),
            key: vec![1, 0, 0],
            operation: [18, 23, 9][id % 3],
            indirect: id % 2 == 0,
            old: vec![Some(Owned::Integer(id as i64)), text("old"), text("old")],
            new: vec![Some(Owned::Integer(id as i64)), text("new"), text("new")],
        })
        .collect();
    let all: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    judge(&all, &encode(&changes)).unwrap();
}

#[test]
fn rows_are_found_whatever_their_order_and_number() {
    let row = |id: usize| [Some(Owned::Integer(id as i64)), text("a"), None];
    let change = |id: usize, operation: i32| Change {
        table: b"t".to_vec(),
        key: vec![1, 0, 0],
        operation,
        indirect: id % 2 == 0,
        old: if operation == 18 { vec![None; 3] } else { vec![Some(Owned::Integer(id as i64)), text("b"), text("c")] },
        new: if operation == 18 { row(id).to_vec() } else { vec![None, text("d"), None] },
    };
    for count in [1, 2, 40, 3000] {
        for step in [1, 3, 7] {
            // rebase data of some rows; changes of these and others, in the same order, reversed,
            // and in steps
            let data = encode(&(0..count).map(|at| change(at * step, 18)).collect::<Vec<_>>());
            let ids = 0..count * 2 + 40;
            let orders: [Vec<usize>; 3] = [
                ids.clone().collect(),
                ids.clone().rev().collect(),
                ids.clone().map(|id| id * 37 % (ids.end | 1)).collect(),
            ];
            for order in orders {
                let changes = encode(&order.iter().map(|id| change(*id, 23)).collect::<Vec<_>>());
                // one section, as a session writes it
                let header = changes.iter().position(|byte| *byte == 0x17).unwrap();
                let (header, _) = changes.split_at(header);
                let changes = Changeset::try_from(&changes[..]).unwrap();
                let starts: Vec<usize> = changes.records().map(|record| record.offset()).collect();
                let ends = starts.iter().skip(1).map(|start| start - header.len()).chain([changes.as_bytes().len()]);
                let mut section = header.to_vec();
                starts.iter().zip(ends).for_each(|(start, end)| section.extend(&changes.as_bytes()[*start..end]));
                assert_ne!(judge(&[&data], &section).unwrap(), section);
            }
        }
    }
}

/// Returns changes of two tables with the given number of rows each and texts of up to 300 bytes.
fn many_changes(rows: usize, seed: usize) -> Changeset {
    let tables = [TableInfo::new("t", &[1, 0, 0]), TableInfo::new("u", &[0, 1, 0])];
    let mut builder = Changeset::builder();
    for at in 0..rows * 2 {
        let (table, id) = (at / rows, (at * 7 + seed) % (rows * 3));
        let (name, long) = (format!("row {id}"), "x".repeat(id * 31 % 300));
        let row = |text| match table {
            0 => [(id as i64).into(), text, 7.into()],
            _ => [text, name.as_str().into(), 7.into()],
        };
        builder = match (id + seed) % 3 {
            0 => builder.insert_values(tables[table], &row(long.as_str().into())),
            1 => builder.update_values(tables[table], &row("a".into()), &row(long.as_str().into())),
            _ => builder.delete_values(tables[table], &row(long.as_str().into())),
        };
    }
    builder.build().unwrap()
}

/// Encodes rebase data for some of the changed rows, in the same order, with a section for each
/// table.
fn said_of(changes: &Changeset, text: &str, what: impl Fn(usize) -> Option<(Operation, bool)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for section in changes.sections() {
        bytes.extend_from_slice(b"T\x03");
        bytes.extend_from_slice(section.key_ordinals());
        bytes.extend_from_slice(section.table().as_bytes());
        bytes.push(0);
        for (at, record) in section.records().enumerate() {
            let Some((operation, replaced)) = what(at) else { continue };
            bytes.extend_from_slice(&[operation.to_byte(), u8::from(replaced)]);
            let mut key = record.key_values();
            for place in section.key_ordinals() {
                let value = if *place == 0 { text.into() } else { key.next().unwrap() };
                Owned::from(value).write(&mut bytes);
            }
        }
    }
    bytes
}

#[test]
fn changes_and_rebase_data_in_one_order_are_rebased_as_by_sqlite() {
    let hashed = |changes: Changeset| Changeset::try_from(sqlite::group([changes.as_bytes()]).unwrap()).unwrap();
    let plain = many_changes(1000, 1);
    let recorded = hashed(plain.clone());
    // the first half is in order, the rest is not
    let half = recorded.records().nth(500).unwrap().offset();
    let in_half = |changes: &Changeset, first: bool| {
        let keep =
            |record: &diesel_sqlite_session::Record<'_>| (record.offset() < half) == first && record.table() == "t";
        changes.filter_records(keep)
    };
    let (first, last) = (in_half(&recorded, true), in_half(&recorded, false));
    let mut broken = last.into_bytes();
    let header = b"T\x03\x01\0\0t\0".len();
    broken.extend_from_slice(&first.as_bytes()[header..]);
    let broken = Changeset::try_from(broken).unwrap();
    assert_eq!(broken.records().count(), 1000);

    let long = "y".repeat(200);
    let (insert, delete) = (Operation::Insert, Operation::Delete);
    for local in [&recorded, &plain.sort_by_key(), &broken, &plain, &hashed(many_changes(200, 2))] {
        for source in [&recorded, &plain.sort_by_key(), &hashed(many_changes(1000, 5))] {
            let all = [
                said_of(source, &long, |_| Some((insert, false))), // the changes get longer
                said_of(source, "y", |_| Some((insert, true))),    // shorter
                said_of(source, "y", |at| (at % 100 == 3).then_some((delete, at % 200 == 3))),
                said_of(source, &long, |at| {
                    (at % 7 > 2).then_some((if at % 5 == 0 { delete } else { insert }, at % 11 < 4))
                }),
            ];
            for data in &all {
                judge(&[data], local.as_bytes()).unwrap();
            }
            // a row with further entries, in another section and in the same section
            let end = all[2].iter().rposition(|byte| *byte == b'T').unwrap();
            judge(&[&[&all[2][..], &all[1]].concat()], local.as_bytes()).unwrap();
            judge(&[&[&all[2][..end], &all[2][header..end]].concat()], local.as_bytes()).unwrap();
        }
    }
}

#[test]
fn tables_that_differ_from_the_rebase_data_are_rejected() {
    let data = resolved(Operation::Insert, false, "theirs", "_");
    let changes = |key: &[u8]| {
        let values = vec![diesel_sqlite_session::Value::from(1); key.len()];
        Changeset::builder().insert_values(TableInfo::new("T", key), &values).build().unwrap()
    };
    let error = changes(&[1, 0]).rebase(&data).unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::RebaseColumns { columns: 2, rebased_on: 3 });
    assert_eq!(error.to_string(), "table T: 2 columns, but 3 in the rebase data");
    let error = changes(&[0, 1, 0]).rebase(&data).unwrap_err();
    assert_eq!((error.kind(), error.table()), (BuildErrorKind::RebaseKey, Some("T")));
    assert!(changes(&[3, 0, 0]).rebase(&data).is_ok(), "which columns are the key is what counts");
    // a table without changes is not checked
    let empty = Changeset::try_from(b"T\x01\x01t\0".to_vec()).unwrap();
    assert_eq!(empty.rebase(&data), Ok(Changeset::new()));
    assert!(judge(&[data.as_bytes()], empty.as_bytes()).is_some());

    let mut rebaser = Rebaser::new();
    rebaser.add(&data).unwrap();
    let ordinals = RebaseData::try_from(b"T\x03\x02\0\0t\0\x09\0\x03\x01k\x05\x05".to_vec()).unwrap();
    let error = rebaser.add(&ordinals).unwrap_err();
    assert_eq!((error.kind(), error.table()), (BuildErrorKind::RebaseKey, Some("t")), "SQLITE_SCHEMA in SQLite");
    assert!(judge(&[data.as_bytes(), ordinals.as_bytes()], &[]).is_none());
}

#[test]
fn patchsets_and_null_keys_are_not_rebased() {
    let data = b"T\x02\x01\0t\0\x09\0\x03\x01k\x05";
    let patchset = b"P\x02\x01\0t\0\x12\0\x03\x01k\x05";
    assert_eq!(sqlite::rebase(patchset, data), Err(Code(SQLITE_ERROR)));
    let error = RebaseData::try_from(&patchset[..]).unwrap_err();
    assert!(matches!(error.kind(), ParseErrorKind::WrongFormat { .. }));

    let update = Changeset::try_from(b"T\x02\x01\0t\0\x17\0\x03\x01k\x05\x05\x03\x01v".to_vec()).unwrap();
    let data = RebaseData::try_from(&data[..]).unwrap();
    let error = update.rebase(&data).unwrap_err();
    assert_eq!((error.kind(), error.table(), error.column()), (BuildErrorKind::NullKey, Some("t"), Some(0)));
    assert!(judge(&[data.as_bytes()], update.as_bytes()).is_none());
}

#[test]
fn malformed_rebase_data_is_rejected_with_the_place() {
    let refused = |bytes: &[u8]| {
        judge(&[bytes], &[]);
        RebaseData::try_from(bytes).unwrap_err().to_string()
    };
    assert_eq!(
        refused(b"T\x02\x01\0t\0\x17\0\x03\x01k\x05\0\x05"),
        "at byte 6, table t: 0x17 is not an operation of rebase data (INSERT is 0x12, DELETE 0x09)"
    );
    assert_eq!(
        refused(b"T\x02\x01\0t\0\x09\0\x03\x01k\0"),
        "at byte 11, table t, column 1: a required value is not recorded"
    );
    assert_eq!(
        refused(b"T\x02\x01\0t\0\x12\0\x05\0"),
        "at byte 8, table t, column 0: NULL in a column of the primary key"
    );
    assert_eq!(refused(b"T\x02\x01\0t\0\x12"), "at byte 7, table t: the input ends inside a table header or a change");
    assert_eq!(refused(b"\x12\0"), "at byte 0: neither a changeset nor a patchset: no table header (0x54 or 0x50)");
}

#[test]
fn a_revoked_replace_is_not_rebased_on() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, u UNIQUE)".to_string();
    let before = ["INSERT INTO t VALUES (1, 'a', 1), (2, 'x', 2), (3, 'z', 3)".to_string()];
    let fork = || replica(std::slice::from_ref(&schema), &before);
    let (mut remote, mut of_remote) = fork();
    let theirs = edit(
        &mut remote,
        &mut of_remote,
        &["UPDATE t SET v = 'c', u = 5 WHERE id = 1".into(), "UPDATE t SET v = 'their z' WHERE id = 3".into()],
    );
    let (mut local, mut of_local) = fork();
    let mine = edit(
        &mut local,
        &mut of_local,
        &[
            "UPDATE t SET v = 'b' WHERE id = 1".into(),
            "UPDATE t SET u = 5 WHERE id = 2".into(),
            "UPDATE t SET v = 'my z' WHERE id = 3".into(),
        ],
    );
    let report = local
        .apply(&theirs)
        .otherwise(|kind| if kind.takes_replace() { ConflictAction::Replace } else { ConflictAction::Omit })
        .run()
        .unwrap();
    assert_eq!((report.replaced(), report.omitted()), (1, 1));
    let mut answers: Vec<String> =
        format!("{:?}", report.rebase_data()).split_inclusive("),").map(String::from).collect();
    answers.sort();
    assert_eq!(answers.concat().matches("omitted").count(), 1, "{answers:?}");
    assert_eq!(answers.concat().matches("replaced").count(), 1, "{answers:?}");
    // local edits that are still in effect are sent
    let rebased = mine.rebase(report.rebase_data()).unwrap();
    let mut sent: Vec<String> = rebased.records().map(|record| record.to_string()).collect();
    sent.sort();
    assert_eq!(sent, ["UPDATE t(1, 'c' -> 'b', _)", "UPDATE t(2, _, 2 -> 5)"]);
}
