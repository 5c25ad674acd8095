//! Captured closures: their changes are returned and committed, or rolled back with the error.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::session::CaptureError;
use diesel_sqlite_session::{Change, Changeset, SqliteSessionExt, Tracked};

use crate::common::{exec, lines, open};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        email -> Nullable<Text>,
    }
}

diesel::table! {
    posts (id) {
        id -> BigInt,
        user_id -> Integer,
        body -> Binary,
    }
}

#[derive(Debug, Clone, PartialEq, Insertable, Queryable, Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i32,
    name: String,
    email: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Insertable, Queryable, Tracked)]
#[diesel(table_name = posts)]
pub struct Post {
    id: i64,
    user_id: i32,
    body: Vec<u8>,
}

#[derive(Debug, PartialEq, Tracked)]
enum Blog {
    Users(Change<users::table>),
    Posts(Change<posts::table>),
}

const TABLES: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT); \
                      CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, body BLOB NOT NULL); \
                      CREATE TABLE other (id INTEGER PRIMARY KEY);";

fn ada() -> User {
    User { id: 1, name: "Ada".into(), email: None }
}

#[test]
fn changes_of_a_closure_are_captured_and_committed() {
    let mut conn = open(TABLES);
    diesel::insert_into(users::table).values(ada()).execute(&mut conn).unwrap();
    let captured = conn
        .capture::<Blog>()
        .run(|conn| {
            diesel::update(users::table.find(1)).set(users::email.eq("ada@example.org")).execute(conn)?;
            diesel::insert_into(posts::table).values(Post { id: 1, user_id: 1, body: vec![1] }).execute(conn)
        })
        .unwrap();
    assert_eq!((captured.value, captured.changes.len()), (1, 2));
    assert!(captured.changes.iter().any(|change| matches!(
        change,
        Blog::Users(Change::Update(user)) if user.email.new_value() == Some(&Some("ada@example.org".into()))
    )));
    conn.apply_changeset(&captured.changeset.invert(), |conflict| panic!("{conflict:?}")).unwrap();
    assert_eq!(users::table.load::<User>(&mut conn).unwrap(), [ada()]);
}

#[test]
fn a_failed_capture_is_rolled_back() {
    let mut conn = open(TABLES);
    let failed = conn.capture::<Blog>().run::<()>(|conn| {
        diesel::insert_into(users::table).values(ada()).execute(conn)?;
        Err(diesel::result::Error::NotFound)
    });
    assert!(matches!(failed, Err(CaptureError::Closure(diesel::result::Error::NotFound))));
    // a change that the set cannot read fails too
    let failed =
        conn.capture::<Blog>().run(|conn| diesel::sql_query("INSERT INTO users VALUES (1, x'00', NULL)").execute(conn));
    assert!(matches!(failed, Err(CaptureError::Decode(_))), "{failed:?}");
    // and a set that does not match the database
    exec(&mut conn, "DROP TABLE posts");
    let failed = conn.capture::<Blog>().run(|conn| diesel::insert_into(users::table).values(ada()).execute(conn));
    assert!(matches!(failed, Err(CaptureError::Session(_))), "{failed:?}");
    assert_eq!(users::table.count().get_result::<i64>(&mut conn).unwrap(), 0);
}

#[test]
fn a_closure_may_fail_with_any_error_and_debug_hides_the_changeset() {
    fn work(conn: &mut SqliteConnection, fails: bool) -> Result<usize, Box<dyn std::error::Error>> {
        let captured = conn.capture::<Change<users::table>>().try_run(|conn| {
            let rows = diesel::insert_into(users::table).values(ada()).execute(conn)?;
            if fails { Err("not this time".into()) } else { Ok::<_, Box<dyn std::error::Error>>(rows) }
        })?;
        let shown = format!("{captured:?}");
        assert!(shown.ends_with(&format!("changeset: {} bytes }}", captured.changeset.as_bytes().len())), "{shown}");
        Ok(captured.value)
    }
    let mut conn = open(TABLES);
    let error = work(&mut conn, true).unwrap_err();
    assert_eq!(error.to_string(), "not this time");
    assert!(matches!(error.downcast_ref(), Some(CaptureError::<Box<dyn std::error::Error>>::Closure(_))));
    assert_eq!(work(&mut conn, false).unwrap(), 1);
}

#[test]
fn captures_nest() {
    let mut conn = open(TABLES);
    let outer = conn
        .capture::<Blog>()
        .try_run(|conn| {
            diesel::insert_into(users::table).values(ada()).execute(conn)?;
            let inner = conn
                .capture::<Change<users::table>>()
                .run(|conn| diesel::update(users::table.find(1)).set(users::name.eq("Eve")).execute(conn))?;
            assert!(matches!(&inner.changes[..], [Change::Update(_)]));
            let failed = conn.capture::<Blog>().run::<()>(|conn| {
                diesel::delete(users::table).execute(conn)?;
                Err(diesel::result::Error::RollbackTransaction)
            });
            assert!(failed.is_err());
            Ok::<_, CaptureError<diesel::result::Error>>(inner.value)
        })
        .unwrap();
    let eve = User { name: "Eve".into(), ..ada() };
    assert_eq!(outer.changes, [Blog::Users(Change::Insert(eve))]);
}

#[test]
fn a_strict_capture_names_the_table_outside_of_its_set() {
    let schema = format!(
        "{TABLES} PRAGMA foreign_keys = ON; CREATE TABLE keyless (v); CREATE TABLE \"odd name\" (k TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE child (id INTEGER PRIMARY KEY, user REFERENCES users ON DELETE CASCADE);
        CREATE TABLE log (line); INSERT INTO users VALUES (7, 'Eve', NULL); INSERT INTO child VALUES (1, 7);
        CREATE TRIGGER logs AFTER UPDATE ON users BEGIN INSERT INTO log VALUES (new.name); END;"
    );
    for (edit, table) in [
        ("INSERT INTO users (id, name) VALUES (1, 'Ada')", None),
        ("INSERT INTO posts VALUES (1, 1, x'')", None),
        ("DELETE FROM other", None),
        ("INSERT INTO other VALUES (1)", Some("other")),
        ("INSERT INTO keyless VALUES (1)", Some("keyless")),
        ("INSERT INTO \"ODD NAME\" VALUES ('x')", Some("odd name")),
        ("UPDATE users SET name = 'Ada'", Some("log")),
        ("DELETE FROM users", Some("child")),
        ("DELETE FROM child", Some("child")),
        ("SAVEPOINT a; INSERT INTO other VALUES (1); ROLLBACK TO a; RELEASE a", Some("other")),
    ] {
        for is_strict in [false, true] {
            let mut conn = open(&schema);
            let capture = if is_strict { conn.capture::<Blog>().strict() } else { conn.capture::<Blog>() };
            let captured = capture.run(|conn| conn.batch_execute(edit));
            match table.filter(|_| is_strict) {
                None => drop(captured.unwrap()),
                Some(expected) => {
                    let error = captured.unwrap_err();
                    assert!(
                        matches!(&error, CaptureError::OtherTable { table } if table == expected),
                        "{edit}: {error}"
                    );
                    assert_eq!(
                        error.to_string(),
                        format!("table {expected}: a strict capture changed this table, which is not in its set")
                    );
                    let rows = "SELECT name || count(*) AS line FROM users";
                    assert_eq!(lines(&mut conn, rows), ["Eve1"], "{edit}: rolled back");
                }
            }
        }
    }
}

/// SQLite rolls back by itself, and Diesel's rollback fails then.
#[test]
fn a_full_database_is_the_error_and_the_connection_goes_on() {
    let fill = |conn: &mut SqliteConnection| {
        let email = Some("a long address".repeat(100));
        (10..500)
            .map(|id| {
                diesel::insert_into(users::table).values(User { id, email: email.clone(), ..ada() }).execute(conn)
            })
            .sum::<QueryResult<usize>>()
    };
    let mut conn = open(TABLES);
    exec(&mut conn, "PRAGMA max_page_count = 20");
    let is_usable = |conn: &mut SqliteConnection| {
        assert_eq!(users::table.count().get_result::<i64>(conn).unwrap(), 0);
        let insert = diesel::insert_into(users::table).values(ada());
        assert_eq!(conn.capture::<Blog>().run(|conn| insert.execute(conn)).unwrap().changes.len(), 1);
        conn.transaction(|conn| diesel::delete(users::table).execute(conn)).unwrap();
    };
    for _ in 0..2 {
        for error in [conn.capture::<Blog>().run(fill), conn.write::<Blog>().run(fill)].map(Result::unwrap_err) {
            assert!(matches!(error, CaptureError::Closure(_)), "{error:?}");
            assert_eq!(error.to_string(), "database or disk is full");
            is_usable(&mut conn);
        }
        // in a transaction of the application, which is gone too
        let outer = conn.transaction(|conn| {
            let error = conn.capture::<Blog>().run(fill).unwrap_err();
            assert!(matches!(error, CaptureError::RolledBack(_)), "{error:?}");
            assert_eq!(error.to_string(), "the whole transaction was rolled back: database or disk is full");
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        });
        outer.unwrap_err();
        is_usable(&mut conn);
    }
}

#[test]
fn a_capture_in_a_transaction_that_sqlite_has_ended_is_an_error() {
    let mut conn = open(TABLES);
    let trigger = "CREATE TRIGGER refused BEFORE UPDATE ON users BEGIN SELECT RAISE(ROLLBACK, 'refused'); END";
    exec(&mut conn, trigger);
    diesel::insert_into(users::table).values(ada()).execute(&mut conn).unwrap();
    let outer = conn.transaction(|conn| {
        // Diesel does not notice
        diesel::update(users::table).set(users::name.eq("Eve")).execute(conn).unwrap_err();
        for captured in [
            conn.capture::<Blog>().run(|conn| diesel::delete(users::table).execute(conn)),
            conn.write::<Blog>().run(|conn| diesel::delete(users::table).execute(conn)),
        ] {
            assert!(matches!(captured, Err(CaptureError::Transaction(_))), "{captured:?}");
        }
        QueryResult::Ok(())
    });
    outer.unwrap_err();
    assert_eq!(users::table.count().get_result::<i64>(&mut conn).unwrap(), 1);
}

#[test]
fn a_write_takes_the_lock_before_it_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blog.db").to_str().unwrap().to_string();
    let [mut conn, mut other] = [(), ()].map(|()| SqliteConnection::establish(&path).unwrap());
    exec(&mut conn, "PRAGMA journal_mode = WAL");
    exec(&mut conn, TABLES);
    let mut write = |conn: &mut SqliteConnection, id: i32| {
        conn.write::<Blog>()
            .run(|conn| {
                let count = users::table.count().get_result::<i64>(conn)?;
                // as after the first write, and before this one reads
                let blocked = diesel::sql_query("INSERT INTO other VALUES (1)").execute(&mut other);
                assert_eq!(blocked.unwrap_err().to_string(), "database is locked");
                diesel::insert_into(users::table).values(User { id, ..ada() }).execute(conn)?;
                Ok(count)
            })
            .unwrap()
    };
    let written = write(&mut conn, 1);
    assert_eq!((written.value, written.changes.len()), (0, 1));
    // inside a transaction it is a savepoint
    let written = conn.immediate_transaction(|conn| Ok::<_, diesel::result::Error>(write(conn, 2))).unwrap();
    assert_eq!((written.value, written.changes.len()), (1, 1));
    // what derefs to a connection has the methods of one
    let manager = diesel::r2d2::ConnectionManager::<SqliteConnection>::new(&path);
    let pool = diesel::r2d2::Pool::builder().max_size(1).build(manager).unwrap();
    assert_eq!(write(&mut pool.get().unwrap(), 3).value, 2);
    let written = pool.get().unwrap().write::<Blog>().run(|conn| diesel::delete(users::table).execute(conn)).unwrap();
    assert_eq!((written.value, written.changes.len()), (3, 3));
}

#[test]
fn writes_of_the_wrapper_of_diesel_async_form_one_stream() {
    use diesel_async::AsyncConnection;
    use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blog.db").to_str().unwrap().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut conn = SyncConnectionWrapper::<SqliteConnection>::establish(&path).await.unwrap();
        let mut other = SyncConnectionWrapper::<SqliteConnection>::establish(&path).await.unwrap();
        conn.spawn_blocking(|conn| {
            exec(conn, &format!("PRAGMA journal_mode = WAL; {TABLES}"));
            exec(conn, "CREATE TABLE stream (id INTEGER PRIMARY KEY AUTOINCREMENT, changes BLOB NOT NULL)");
            Ok(())
        })
        .await
        .unwrap();
        let write = |id: i32| {
            move |conn: &mut SqliteConnection| {
                conn.immediate_transaction(|conn| {
                    let insert = diesel::insert_into(users::table).values(User { id, ..ada() });
                    let written = conn.write::<Blog>().run(|conn| insert.execute(conn)).unwrap();
                    let changes = written.changeset.into_bytes();
                    diesel::sql_query("INSERT INTO stream (changes) VALUES (?)")
                        .bind::<diesel::sql_types::Binary, _>(changes)
                        .execute(conn)
                })
            }
        };
        for id in 1..=3 {
            conn.spawn_blocking(write(2 * id)).await.unwrap();
            other.spawn_blocking(write(2 * id + 1)).await.unwrap();
        }
        let stream = conn
            .spawn_blocking(|conn| {
                diesel::dsl::sql::<diesel::sql_types::Binary>("SELECT changes FROM stream ORDER BY id")
                    .load::<Vec<u8>>(conn)
            })
            .await
            .unwrap();
        let ids: Vec<i32> = stream
            .into_iter()
            .flat_map(|bytes| {
                let changeset = Changeset::try_from(bytes).unwrap();
                changeset.changes::<Change<users::table>>().map(|change| change.unwrap().key()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(ids, [2, 3, 4, 5, 6, 7]);
    });
}
