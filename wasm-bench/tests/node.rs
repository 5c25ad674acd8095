//! Sessions and applying on wasm32-unknown-unknown, with sqlite-wasm-rs. `scripts/wasm` runs these
//! tests in Node and in browsers.
#![cfg(all(target_family = "wasm", target_os = "unknown"))]

use std::cell::Cell;
use std::io;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{
    ApplyError, Changeset, ChangesetReader, ConflictAction, ConflictType, Operation, Session, SessionError,
    SqliteSessionExt, Value,
};
use wasm_bindgen_test::wasm_bindgen_test;

use schema::{posts, users};

mod schema {
    diesel::table! {
        users (id) {
            id -> Integer,
            name -> Text,
            email -> Nullable<Text>,
        }
    }

    diesel::table! {
        posts (id) {
            id -> Integer,
            user_id -> Integer,
            title -> Text,
        }
    }
}

const SCHEMA: &str = "
    PRAGMA foreign_keys = ON;
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE);
    CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), title TEXT NOT NULL);
";

type User = (i32, String, Option<String>);

fn open() -> SqliteConnection {
    let mut connection = SqliteConnection::establish(":memory:").unwrap();
    connection.batch_execute(SCHEMA).unwrap();
    connection
}

fn insert_user(connection: &mut SqliteConnection, id: i32, name: &str, email: Option<&str>) {
    let row = (users::id.eq(id), users::name.eq(name), users::email.eq(email));
    diesel::insert_into(users::table).values(row).execute(connection).unwrap();
}

fn rename_user(connection: &mut SqliteConnection, id: i32, name: &str) {
    diesel::update(users::table.find(id)).set(users::name.eq(name)).execute(connection).unwrap();
}

fn all_users(connection: &mut SqliteConnection) -> Vec<User> {
    users::table.order(users::id).load(connection).unwrap()
}

fn user(id: i32, name: &str, email: Option<&str>) -> User {
    (id, name.to_string(), email.map(String::from))
}

fn tracking(connection: &mut SqliteConnection) -> Session {
    let mut session = connection.create_session().unwrap();
    session.attach::<users::table>().unwrap();
    session.attach_by_name("posts").unwrap();
    session
}

/// Returns the changes that `work` makes on a connection after `prepare`.
fn changes(prepare: impl FnOnce(&mut SqliteConnection), work: impl FnOnce(&mut SqliteConnection)) -> Changeset {
    let mut connection = open();
    prepare(&mut connection);
    let mut session = tracking(&mut connection);
    work(&mut connection);
    session.changeset().unwrap()
}

/// Applies a changeset, answers every conflict with `action`, and returns the kinds of the
/// conflicts.
fn apply(
    replica: &mut SqliteConnection,
    changeset: &Changeset,
    action: ConflictAction,
) -> (Result<(), ApplyError>, Vec<ConflictType>) {
    let mut conflicts = Vec::new();
    let result = replica.apply_changeset(changeset, |conflict| {
        conflicts.push(conflict);
        action
    });
    (result, conflicts)
}

fn no_conflict(conflict: ConflictType) -> ConflictAction {
    panic!("an unexpected conflict: {conflict:?}")
}

#[wasm_bindgen_test]
fn records_inserts_updates_and_deletes() {
    let mut connection = open();
    insert_user(&mut connection, 1, "Ada", None);
    insert_user(&mut connection, 2, "Bob", None);
    let mut session = tracking(&mut connection);
    assert!(session.is_empty());

    insert_user(&mut connection, 3, "Cleo", Some("c@example.org"));
    rename_user(&mut connection, 1, "Ada L.");
    diesel::delete(users::table.find(2)).execute(&mut connection).unwrap();
    let post = (posts::id.eq(7), posts::user_id.eq(3), posts::title.eq("Hello"));
    diesel::insert_into(posts::table).values(post).execute(&mut connection).unwrap();
    assert!(!session.is_empty());
    assert!(session.memory_used().unwrap() > 0);

    let changeset = session.changeset().unwrap();
    let find = |table: &str, operation| {
        changeset.records().find(|record| record.table() == table && record.operation() == operation).unwrap()
    };
    assert_eq!(changeset.records().count(), 4);
    assert_eq!(find("users", Operation::Insert).new_value(2), Some(Value::Text(b"c@example.org")));
    let update = find("users", Operation::Update);
    assert_eq!(update.old_value(1), Some(Value::Text(b"Ada")));
    assert_eq!(update.new_value(1), Some(Value::Text("Ada L.".as_bytes())));
    assert_eq!(find("users", Operation::Delete).old_value(0), Some(Value::Integer(2)));
    assert_eq!(find("posts", Operation::Insert).new_value(1), Some(Value::Integer(3)));
}

#[wasm_bindgen_test]
fn a_changeset_makes_a_replica_equal_and_its_inverse_undoes_it() {
    let prepare = |connection: &mut SqliteConnection| {
        insert_user(connection, 1, "Ada", None);
        insert_user(connection, 2, "Bob", None);
    };
    let changeset = changes(prepare, |connection| {
        insert_user(connection, 3, "Cleo", None);
        rename_user(connection, 1, "Ada L.");
        diesel::delete(users::table.find(2)).execute(connection).unwrap();
    });
    let mut replica = open();
    prepare(&mut replica);
    let before = all_users(&mut replica);
    replica.apply_changeset(&changeset, no_conflict).unwrap();
    assert_eq!(all_users(&mut replica), [user(1, "Ada L.", None), user(3, "Cleo", None)]);
    replica.apply_changeset(&changeset.invert(), no_conflict).unwrap();
    assert_eq!(all_users(&mut replica), before);
}

#[wasm_bindgen_test]
fn a_patchset_makes_a_replica_equal() {
    let mut source = open();
    insert_user(&mut source, 1, "Ada", None);
    let mut session = tracking(&mut source);
    rename_user(&mut source, 1, "Ada L.");
    insert_user(&mut source, 2, "Bob", None);
    let (changeset, patchset) = (session.changeset().unwrap(), session.patchset().unwrap());
    assert!(patchset.as_bytes().len() < changeset.as_bytes().len());

    let mut replica = open();
    insert_user(&mut replica, 1, "other data, which a patchset does not look at", None);
    replica.apply_patchset(&patchset, no_conflict).unwrap();
    assert_eq!(all_users(&mut replica), all_users(&mut source));
}

#[wasm_bindgen_test]
fn a_row_with_other_values_is_a_data_conflict() {
    let changeset = changes(|c| insert_user(c, 1, "Ada", None), |c| rename_user(c, 1, "Ada L."));
    for (action, name) in [(ConflictAction::Omit, "Eve"), (ConflictAction::Replace, "Ada L.")] {
        let mut replica = open();
        insert_user(&mut replica, 1, "Eve", None);
        let (result, conflicts) = apply(&mut replica, &changeset, action);
        result.unwrap();
        assert_eq!(conflicts, [ConflictType::Data]);
        assert_eq!(all_users(&mut replica), [user(1, name, None)]);
    }
}

#[wasm_bindgen_test]
fn a_missing_row_is_a_not_found_conflict() {
    let changeset = changes(|c| insert_user(c, 1, "Ada", None), |c| rename_user(c, 1, "Ada L."));
    let mut replica = open();
    let (result, conflicts) = apply(&mut replica, &changeset, ConflictAction::Omit);
    result.unwrap();
    assert_eq!(conflicts, [ConflictType::NotFound]);
    assert!(all_users(&mut replica).is_empty());

    let (result, _) = apply(&mut replica, &changeset, ConflictAction::Replace);
    assert!(matches!(result, Err(ApplyError::IllegalReplace { conflict: ConflictType::NotFound, .. })), "{result:?}");
}

#[wasm_bindgen_test]
fn an_existing_row_is_a_conflict_of_an_insert() {
    let changeset = changes(|_| {}, |c| insert_user(c, 1, "Ada", None));
    for (action, name) in [(ConflictAction::Omit, "Eve"), (ConflictAction::Replace, "Ada")] {
        let mut replica = open();
        insert_user(&mut replica, 1, "Eve", None);
        let (result, conflicts) = apply(&mut replica, &changeset, action);
        result.unwrap();
        assert_eq!(conflicts, [ConflictType::Conflict]);
        assert_eq!(all_users(&mut replica), [user(1, name, None)]);
    }
}

#[wasm_bindgen_test]
fn a_violated_constraint_is_a_conflict() {
    let changeset = changes(|_| {}, |c| insert_user(c, 1, "Ada", Some("a@example.org")));
    let mut replica = open();
    insert_user(&mut replica, 2, "Eve", Some("a@example.org"));
    let (result, conflicts) = apply(&mut replica, &changeset, ConflictAction::Omit);
    result.unwrap();
    assert!(!conflicts.is_empty() && conflicts.iter().all(|kind| *kind == ConflictType::Constraint), "{conflicts:?}");
    assert_eq!(all_users(&mut replica), [user(2, "Eve", Some("a@example.org"))]);
}

#[wasm_bindgen_test]
fn violated_foreign_keys_are_a_conflict() {
    let changeset = changes(
        |c| insert_user(c, 1, "Ada", None),
        |c| {
            let post = (posts::id.eq(7), posts::user_id.eq(1), posts::title.eq("Hello"));
            diesel::insert_into(posts::table).values(post).execute(c).unwrap();
        },
    );
    let mut replica = open();
    let (result, conflicts) = apply(&mut replica, &changeset, ConflictAction::Abort);
    assert!(matches!(result, Err(ApplyError::ForeignKeyViolations(_))), "{result:?}");
    assert_eq!(conflicts, [ConflictType::ForeignKey]);
    assert_eq!(posts::table.count().get_result(&mut replica), Ok(0i64));
}

#[wasm_bindgen_test]
fn unique_values_are_exchanged_in_memory_and_streamed() {
    let prepare = |connection: &mut SqliteConnection| {
        insert_user(connection, 1, "Ada", Some("a@example.org"));
        insert_user(connection, 2, "Bob", Some("b@example.org"));
    };
    let exchanged = changes(prepare, |connection| {
        let exchange =
            "UPDATE users SET email = 'c' WHERE id = 1; UPDATE users SET email = 'a@example.org' WHERE id = 2;
            UPDATE users SET email = 'b@example.org' WHERE id = 1";
        connection.batch_execute(exchange).unwrap();
    });
    for is_streamed in [false, true] {
        let mut replica = open();
        prepare(&mut replica);
        let report = match is_streamed {
            true => replica.apply(ChangesetReader::new(exchanged.as_bytes())).run().unwrap(),
            false => replica.apply(&exchanged).run().unwrap(),
        };
        assert_eq!(report.applied(), 2);
        let expected = vec![user(1, "Ada", Some("b@example.org")), user(2, "Bob", Some("a@example.org"))];
        assert_eq!(all_users(&mut replica), expected);
    }
}

#[wasm_bindgen_test]
fn foreign_key_actions_are_disabled_on_request_and_act_again() {
    let schema = "PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent ON DELETE CASCADE);
        INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (1, 1), (2, 2);";
    let mut source = SqliteConnection::establish(":memory:").unwrap();
    source.batch_execute(schema).unwrap();
    let mut session = source.create_session().unwrap();
    session.attach_by_name("parent").unwrap();
    source.batch_execute("DELETE FROM parent WHERE id = 1").unwrap();
    let deleted = session.changeset().unwrap();

    let children = |connection: &mut SqliteConnection| {
        diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>("(SELECT count(*) FROM child)"))
            .get_result::<i64>(connection)
            .unwrap()
    };
    let mut replica = SqliteConnection::establish(":memory:").unwrap();
    replica.batch_execute(schema).unwrap();
    replica.apply(&deleted).without_foreign_key_actions().on_foreign_keys(|broken| broken.accept()).run().unwrap();
    assert_eq!(children(&mut replica), 2);
    replica.batch_execute("DELETE FROM parent WHERE id = 2").unwrap();
    assert_eq!(children(&mut replica), 1);
}

#[wasm_bindgen_test]
fn a_changed_schema_is_noticed_between_two_applies() {
    let first = changes(|_| (), |connection| insert_user(connection, 1, "Ada", None));
    let second = changes(|_| (), |connection| insert_user(connection, 2, "Bob", None));
    let mut replica = open();
    replica.apply(&first).run().unwrap();
    replica.batch_execute("DROP TABLE users; CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT)").unwrap();
    assert!(matches!(replica.apply(&second).run(), Err(ApplyError::SchemaMismatch(_))));
}

#[wasm_bindgen_test]
fn abort_rolls_back_the_whole_changeset() {
    let changeset = changes(|_| {}, |c| (1..=9).for_each(|id| insert_user(c, id, "Ada", None)));
    let mut replica = open();
    insert_user(&mut replica, 5, "Eve", None);
    let (result, _) = apply(&mut replica, &changeset, ConflictAction::Abort);
    assert!(matches!(result, Err(ApplyError::ConflictAborted)), "{result:?}");
    assert_eq!(all_users(&mut replica), [user(5, "Eve", None)]);
}

#[wasm_bindgen_test]
fn a_session_outlives_its_connection() {
    let mut connection = open();
    let mut session = tracking(&mut connection);
    let other = tracking(&mut connection);
    drop(other);
    insert_user(&mut connection, 1, "Ada", None);
    assert!(!session.is_closed());
    drop(connection);
    assert!(session.is_closed());
    assert!(session.is_empty());
    assert!(matches!(session.changeset(), Err(SessionError::ConnectionClosed)));
    assert!(matches!(session.attach::<users::table>(), Err(SessionError::ConnectionClosed)));
}

#[wasm_bindgen_test]
fn the_handle_is_found_in_a_transaction_and_again() {
    let mut connection = open();
    let mut first = connection
        .transaction(|connection| {
            // the first look-up of the handle, in a transaction that has begun to write
            insert_user(connection, 1, "Ada", None);
            let session = tracking(connection);
            insert_user(connection, 2, "Bob", None);
            diesel::QueryResult::Ok(session)
        })
        .unwrap();
    // the second look-up uses another way
    let mut second = tracking(&mut connection);
    let mut third = connection.transaction(|connection| diesel::QueryResult::Ok(tracking(connection))).unwrap();
    insert_user(&mut connection, 3, "Cleo", None);
    let mut count = |session: &mut Session| session.changeset().unwrap().records().count();
    assert_eq!([&mut first, &mut second, &mut third].map(&mut count), [2, 1, 1]);

    let mut other = open();
    let mut elsewhere = tracking(&mut other);
    insert_user(&mut connection, 4, "Dan", None);
    assert!(elsewhere.is_empty());
    assert_eq!(count(&mut elsewhere), 0);
}

#[wasm_bindgen_test]
fn rolled_back_changes_are_not_recorded() {
    let mut connection = open();
    let mut session = tracking(&mut connection);
    let result: QueryResult<()> = connection.transaction(|connection| {
        insert_user(connection, 1, "Ada", None);
        Err(diesel::result::Error::RollbackTransaction)
    });
    assert!(result.is_err());
    assert!(session.changeset().unwrap().is_empty());
}

#[wasm_bindgen_test]
fn a_schema_that_does_not_match_is_an_error() {
    let mut connection = SqliteConnection::establish(":memory:").unwrap();
    connection.batch_execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name TEXT)").unwrap();
    connection.batch_execute("CREATE TABLE keyless (a, b)").unwrap();
    let mut session = connection.create_session().unwrap();
    match session.attach::<users::table>() {
        Err(SessionError::SchemaMismatch(mismatch)) => {
            assert_eq!((mismatch.table(), mismatch.column()), ("users", Some("name")));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(session.attach_by_name("keyless"), Err(SessionError::SchemaMismatch(_))));
    assert!(matches!(session.attach_by_name("absent"), Err(SessionError::SchemaMismatch(_))));

    let changeset = changes(|_| {}, |c| insert_user(c, 1, "Ada", None));
    connection.batch_execute("DROP TABLE users").unwrap();
    let (result, _) = apply(&mut connection, &changeset, ConflictAction::Abort);
    assert!(matches!(result, Err(ApplyError::SchemaMismatch(_))), "{result:?}");
}

#[wasm_bindgen_test]
fn streaming_writes_the_bytes_of_the_changeset_and_patchset() {
    let mut connection = open();
    let mut session = tracking(&mut connection);
    (1..=500).for_each(|id| insert_user(&mut connection, id, "a name that fills the pages", None));
    let (mut changes, mut patches) = (Vec::new(), Vec::new());
    session.on(&mut connection).write_changeset_to(&mut changes).unwrap();
    session.on(&mut connection).write_patchset_to(&mut patches).unwrap();
    assert_eq!(changes, session.changeset().unwrap().into_bytes());
    assert_eq!(patches, session.patchset().unwrap().into_bytes());

    let mut reader = ChangesetReader::new(changes.as_slice());
    let mut count = 0;
    while reader.next_record().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 500);
}

#[wasm_bindgen_test]
fn a_writer_that_fails_is_an_error() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut connection = open();
    let mut session = tracking(&mut connection);
    insert_user(&mut connection, 1, "Ada", None);
    let result = session.on(&mut connection).write_changeset_to(&mut Full);
    assert!(
        matches!(&result, Err(SessionError::Io(error)) if error.kind() == io::ErrorKind::StorageFull),
        "{result:?}"
    );
    assert_eq!(session.changeset().unwrap().records().count(), 1);
}

#[wasm_bindgen_test]
fn a_filter_selects_tables() {
    let mut connection = open();
    let mut session = connection.create_session().unwrap();
    session.set_table_filter(|table| table == "posts").unwrap();
    session.attach_all().unwrap();
    insert_user(&mut connection, 1, "Ada", None);
    let post = (posts::id.eq(7), posts::user_id.eq(1), posts::title.eq("Hello"));
    diesel::insert_into(posts::table).values(post).execute(&mut connection).unwrap();
    let changeset = session.changeset().unwrap();
    assert_eq!(changeset.records().map(|record| record.table()).collect::<Vec<_>>(), ["posts"]);
}

#[wasm_bindgen_test]
fn a_session_is_busy_inside_a_callback_of_its_connection() {
    let changeset = changes(|_| {}, |c| insert_user(c, 1, "Ada", None));
    let mut replica = open();
    insert_user(&mut replica, 1, "Eve", None);
    let mut session = tracking(&mut replica);
    let asked = Cell::new(0);
    let result = replica.apply_changeset(&changeset, |_| {
        asked.set(asked.get() + 1);
        assert!(matches!(session.changeset(), Err(SessionError::Busy)));
        ConflictAction::Replace
    });
    result.unwrap();
    assert_eq!(asked.get(), 1);
    assert_eq!(session.changeset().unwrap().records().count(), 1);
}

#[wasm_bindgen_test]
fn diff_returns_the_difference_of_two_schemas() {
    let mut connection = open();
    connection.batch_execute("ATTACH ':memory:' AS older").unwrap();
    connection
        .batch_execute("CREATE TABLE older.users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE)")
        .unwrap();
    insert_user(&mut connection, 1, "Ada", None);
    let mut session = connection.create_session().unwrap();
    session.diff::<users::table>("older").unwrap();
    let changeset = session.changeset().unwrap();
    let operations: Vec<Operation> = changeset.records().map(|record| record.operation()).collect();
    assert_eq!(operations, [Operation::Insert]);
    assert!(session.diff::<users::table>("absent").is_err());
}

#[wasm_bindgen_test]
fn invalid_bytes_are_an_error() {
    let mut replica = open();
    let result = replica.apply_changeset(b"no changeset", no_conflict);
    assert!(matches!(result, Err(ApplyError::Parse(_))), "{result:?}");
}
