//! Captured closures: their changes are returned and committed, or rolled back with the error.

use diesel::prelude::*;
use diesel_sqlite_session::session::CaptureError;
use diesel_sqlite_session::{Change, SqliteSessionExt, Tracked};

use crate::common::{exec, open};

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
