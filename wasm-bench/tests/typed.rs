//! Typed changes on wasm32-unknown-unknown. `scripts/wasm` runs these tests in Node
//! and in browsers.
#![cfg(all(target_family = "wasm", target_os = "unknown"))]
#![allow(missing_docs)]

use diesel::backend::Backend;
use diesel::connection::{DefaultLoadingMode, SimpleConnection};
use diesel::deserialize::{FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::serialize::{Output, ToSql};
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use diesel_sqlite_session::{
    Change, Changeset, ChangesetReader, Conflict, ConflictAction, Field, Patch, Patchset, SessionError,
    SqliteSessionExt, Tracked,
};
use wasm_bindgen_test::wasm_bindgen_test;

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        role -> Text,
        score -> Nullable<Double>,
    }
}

diesel::table! {
    members (team, user_id) {
        team -> Text,
        user_id -> Integer,
    }
}

/// A type that implements only Diesel's traits.
#[derive(Debug, Clone, Copy, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub enum Role {
    Guest,
    Owner,
}

impl FromSql<Text, Sqlite> for Role {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> diesel::deserialize::Result<Self> {
        match <String as FromSql<Text, Sqlite>>::from_sql(value)?.as_str() {
            "guest" => Ok(Self::Guest),
            "owner" => Ok(Self::Owner),
            other => Err(format!("no role: {other}").into()),
        }
    }
}

impl ToSql<Text, Sqlite> for Role {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> diesel::serialize::Result {
        out.set_value(match self {
            Self::Guest => "guest",
            Self::Owner => "owner",
        });
        Ok(diesel::serialize::IsNull::No)
    }
}

#[derive(Debug, Clone, PartialEq, Insertable, Queryable, Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i32,
    name: String,
    role: Role,
    score: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Insertable, Queryable, Tracked)]
#[diesel(table_name = members)]
pub struct Member {
    user_id: i32,
    team: String,
}

#[derive(Debug, Clone, PartialEq, Tracked)]
enum Club {
    Users(Change<users::table>),
    Members(Change<members::table>),
}

fn open() -> SqliteConnection {
    let mut connection = SqliteConnection::establish(":memory:").unwrap();
    connection
        .batch_execute(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, score REAL); \
             CREATE TABLE members (team TEXT NOT NULL, user_id INTEGER NOT NULL, PRIMARY KEY (team, user_id))",
        )
        .unwrap();
    connection
}

fn ada() -> User {
    User { id: 1, name: "Ada".into(), role: Role::Owner, score: Some(1.5) }
}

#[wasm_bindgen_test]
fn changes_are_read_as_typed_values() {
    let mut connection = open();
    diesel::insert_into(users::table).values(User { id: 2, ..ada() }).execute(&mut connection).unwrap();
    let mut session = connection.create_session().unwrap();
    session.attach_set::<Club>().unwrap();
    diesel::insert_into(users::table).values(ada()).execute(&mut connection).unwrap();
    diesel::update(users::table.find(2)).set(users::role.eq(Role::Guest)).execute(&mut connection).unwrap();
    let member = Member { user_id: 1, team: "red".into() };
    diesel::insert_into(members::table).values(&member).execute(&mut connection).unwrap();

    let changeset = session.changeset().unwrap();
    let changes: Vec<Club> = changeset.changes().collect::<Result<_, _>>().unwrap();
    assert_eq!(changes.len(), 3);
    for change in changes {
        match change {
            Club::Users(Change::Insert(user)) => assert_eq!(user, ada()),
            Club::Users(Change::Update(user)) => {
                assert_eq!((user.id, user.score), (2, Field::Unchanged));
                assert_eq!(user.role, Field::Changed { old: Role::Owner, new: Role::Guest });
            }
            Club::Members(Change::Insert(other)) => assert_eq!(other, member),
            other => panic!("{other:?}"),
        }
    }
}

#[wasm_bindgen_test]
fn patches_hold_keys_and_new_values() {
    let mut connection = open();
    let member = Member { user_id: 1, team: "red".into() };
    diesel::insert_into(members::table).values(&member).execute(&mut connection).unwrap();
    let mut session = connection.create_session().unwrap();
    session.attach::<members::table>().unwrap();
    diesel::delete(members::table).execute(&mut connection).unwrap();
    let patchset = session.patchset().unwrap();
    let patches: Vec<Patch<members::table>> = patchset.patches().collect::<Result<_, _>>().unwrap();
    assert_eq!(patches, [Patch::Delete(("red".to_string(), 1))]);
}

#[wasm_bindgen_test]
fn built_changesets_equal_those_of_sqlite_and_apply() {
    let mut connection = open();
    let mut session = connection.create_session().unwrap();
    session.attach::<users::table>().unwrap();
    diesel::insert_into(users::table).values(ada()).execute(&mut connection).unwrap();
    let built = Changeset::builder().insert(&ada()).build().unwrap();
    assert_eq!(built, session.changeset().unwrap());
    assert_eq!(Patchset::builder().insert(&ada()).build().unwrap(), session.patchset().unwrap());
    let mut replica = open();
    replica.apply_changeset(&built, |_| ConflictAction::Abort).unwrap();
    assert_eq!(users::table.load::<User>(&mut replica).unwrap(), [ada()]);
}

#[wasm_bindgen_test]
fn capture_returns_the_changes_of_a_closure() {
    let mut connection = open();
    let captured = connection
        .capture::<Club>()
        .run(|connection| diesel::insert_into(users::table).values(ada()).execute(connection))
        .unwrap();
    assert_eq!(captured.changes, [Club::Users(Change::Insert(ada()))]);
}

#[wasm_bindgen_test]
fn a_session_is_busy_between_the_rows_of_a_statement() {
    let mut connection = open();
    diesel::insert_into(users::table).values(vec![ada(), User { id: 2, ..ada() }]).execute(&mut connection).unwrap();
    let mut session = connection.create_session().unwrap();
    session.attach_set::<Club>().unwrap();
    let mut rows = users::table.load_iter::<User, DefaultLoadingMode>(&mut connection).unwrap();
    assert!(rows.next().is_some());
    assert!(matches!(session.changeset(), Err(SessionError::Busy)));
    drop(rows);
    // the error of an earlier statement does not make the session busy
    assert!(diesel::insert_into(users::table).values(ada()).execute(&mut connection).is_err());
    assert!(session.changeset().is_ok());
}

#[wasm_bindgen_test]
fn conflicts_are_typed_and_changes_filtered() {
    let mut connection = open();
    diesel::insert_into(users::table).values(ada()).execute(&mut connection).unwrap();
    let (theirs, bob) = (User { role: Role::Guest, ..ada() }, User { id: 7, ..ada() });
    let changeset = Changeset::builder().insert(&theirs).insert(&bob).build().unwrap();
    let mut asked = 0;
    let report = connection
        .apply(&changeset)
        .on_conflict::<users::table>(|conflict| match conflict {
            Conflict::Conflict(c) => {
                asked += 1;
                assert_eq!((c.change(), c.current()), (&Change::Insert(theirs.clone()), &ada()));
                c.replace()
            }
            other => other.abort(),
        })
        .filter::<users::table>(|change, current| {
            matches!(change, Change::Insert(user) if user.id != 7) && current == Some(&ada())
        })
        .run()
        .unwrap();
    assert_eq!((asked, report.replaced(), report.skipped()), (1, 1, 1));
    assert_eq!(users::table.load::<User>(&mut connection).unwrap(), [theirs]);
    // a reader as input
    let report = connection.apply(ChangesetReader::new(changeset.as_bytes())).ignore_noops().run().unwrap();
    assert_eq!(report.applied(), 2);
}
