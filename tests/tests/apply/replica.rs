//! Recording changes, applying them in every way, and reading whole databases as text.

use diesel::prelude::*;
use diesel_sqlite_session::apply::Apply;
use diesel_sqlite_session::wire::{Set, SetFormat};
use diesel_sqlite_session::{
    ApplyError, ApplyReport, Changeset, ChangesetReader, ConflictAction, ConflictType, Patchset, PatchsetReader,
    SqliteSessionExt,
};

use crate::common::{exec, lines, open};

/// The changes of one history in both formats.
pub(super) type Recorded = (Changeset, Patchset);

/// Returns what a session records of `edits` in a database that `setup` creates, without foreign
/// keys.
pub(super) fn record(setup: &str, edits: &str) -> Recorded {
    let mut conn = open(setup);
    exec(&mut conn, "PRAGMA foreign_keys = OFF");
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    exec(&mut conn, edits);
    (session.changeset().unwrap(), session.patchset().unwrap())
}

/// How changes are passed to an apply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum How {
    Changeset,
    ChangesetStream,
    Patchset,
    PatchsetStream,
}

impl How {
    pub(super) const ALL: [Self; 4] = [Self::Changeset, Self::ChangesetStream, Self::Patchset, Self::PatchsetStream];
    pub(super) const CHANGESETS: [Self; 2] = [Self::Changeset, Self::ChangesetStream];
}

/// Options that every format has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) without_update_loop: bool,
    pub(super) without_foreign_key_actions: bool,
    pub(super) ignore_noops: bool,
    pub(super) keep_order: bool,
}

fn finish<F: SetFormat>(
    mut apply: Apply<'_, F>,
    options: Options,
    answer: ConflictAction,
) -> (Result<ApplyReport, ApplyError>, Vec<ConflictType>) {
    if options.without_update_loop {
        apply = apply.without_update_loop();
    }
    if options.without_foreign_key_actions {
        apply = apply.without_foreign_key_actions();
    }
    if options.ignore_noops {
        apply = apply.ignore_noops();
    }
    if options.keep_order {
        apply = apply.keep_order();
    }
    let kinds = std::cell::RefCell::new(Vec::new());
    let handler = |kind: ConflictType| {
        kinds.borrow_mut().push(kind);
        if answer == ConflictAction::Replace && !kind.takes_replace() { ConflictAction::Omit } else { answer }
    };
    let result = apply.otherwise(handler).run();
    (result, kinds.into_inner())
}

/// Applies `changes`. Every conflict has the same answer, or is omitted if the answer is to replace
/// and the kind does not accept it. Returns the kinds of the conflicts too.
pub(super) fn apply_with(
    conn: &mut SqliteConnection,
    changes: &Recorded,
    how: How,
    options: Options,
    answer: ConflictAction,
) -> (Result<ApplyReport, ApplyError>, Vec<ConflictType>) {
    let (changeset, patchset) = changes;
    match how {
        How::Changeset => finish(conn.apply(changeset), options, answer),
        How::ChangesetStream => finish(conn.apply(ChangesetReader::new(changeset.as_bytes())), options, answer),
        How::Patchset => finish(conn.apply(patchset), options, answer),
        How::PatchsetStream => finish(conn.apply(PatchsetReader::new(patchset.as_bytes())), options, answer),
    }
}

/// Applies `changes` and omits every change that conflicts.
pub(super) fn apply_omitting(
    conn: &mut SqliteConnection,
    changes: &Recorded,
    how: How,
) -> (Result<ApplyReport, ApplyError>, Vec<ConflictType>) {
    apply_with(conn, changes, how, Options::default(), ConflictAction::Omit)
}

/// Appends sets of one table, which stay sections of their own.
pub(super) fn appended<F: SetFormat>(sets: &[&Set<F>]) -> Set<F> {
    let bytes: Vec<u8> = sets.iter().flat_map(|set| set.as_bytes()).copied().collect();
    Set::try_from(bytes).unwrap()
}

/// Returns the changes of sets of one table in a single section, in their order.
pub(super) fn in_one_section<F: SetFormat>(sets: &[&Set<F>]) -> Set<F> {
    let header = |set: &Set<F>| {
        let bytes = set.as_bytes();
        let columns = usize::from(bytes[1]);
        assert!(columns < 128, "the number of columns is one byte");
        2 + columns + bytes[2 + columns..].iter().position(|byte| *byte == 0).unwrap() + 1
    };
    let mut bytes = sets[0].as_bytes().to_vec();
    for set in &sets[1..] {
        let length = header(set);
        assert_eq!(bytes[..length], set.as_bytes()[..length], "one table");
        bytes.extend_from_slice(&set.as_bytes()[length..]);
    }
    let set = Set::try_from(bytes).unwrap();
    assert_eq!(set.sections().count(), 1);
    set
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

/// Returns the column `name` of a pragma. Its table-valued function cannot be used after
/// `sqlite3_deserialize`: SQLite keeps a pointer to the schema that is gone.
fn names(conn: &mut SqliteConnection, pragma: &str) -> Vec<String> {
    diesel::sql_query(pragma).load::<Name>(conn).unwrap().into_iter().map(|row| row.name).collect()
}

/// Returns all rows of all tables of all schemas of the connection, in an order that depends on
/// their values alone.
pub(super) fn contents(conn: &mut SqliteConnection) -> Vec<String> {
    let mut all = Vec::new();
    let mut schemas = names(conn, "PRAGMA database_list");
    schemas.sort_unstable();
    for schema in schemas {
        let catalog =
            if schema == "temp" { "sqlite_temp_schema".into() } else { format!("\"{schema}\".sqlite_schema") };
        let tables = lines(
            conn,
            &format!(
                "SELECT name AS line FROM {catalog} WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
            ),
        );
        for table in tables {
            all.extend(rows(conn, &schema, &table).iter().map(|row| format!("{schema}.{table}: {row}")));
        }
    }
    all
}

/// Returns the rows of a table as SQL literals, sorted.
pub(super) fn rows(conn: &mut SqliteConnection, schema: &str, table: &str) -> Vec<String> {
    let columns = names(conn, &format!("PRAGMA \"{schema}\".table_xinfo(\"{table}\")"));
    let quoted: Vec<String> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
    let mut rows = lines(conn, &format!("SELECT {} AS line FROM \"{schema}\".\"{table}\"", quoted.join(" || ' ' || ")));
    rows.sort_unstable();
    rows
}

/// Checks the indexes and the foreign keys of the database.
pub(super) fn assert_sound(conn: &mut SqliteConnection, context: &str) {
    let integrity = lines(conn, "SELECT integrity_check AS line FROM pragma_integrity_check");
    assert_eq!(integrity, ["ok"], "{context}");
    let violations =
        lines(conn, "SELECT \"table\" || ' ' || coalesce(rowid, '') AS line FROM pragma_foreign_key_check");
    assert!(violations.is_empty(), "{context}: {violations:?}");
}
