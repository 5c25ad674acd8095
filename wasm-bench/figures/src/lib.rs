//! The time of sessions and applying in memory, native and in a browser. `scripts/browser-figures`
//! runs the same work with SQLite's own JavaScript build (`theirs.js`) on the same page.
//!
//! Each figure is the time of one operation in milliseconds. A batch of operations is timed, because
//! the clocks of browsers are coarse; what an operation needs is made before.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Change, Changeset, Patchset, Session, SqliteSessionExt, Tracked};

diesel::table! {
    /// The table that is tracked.
    users (id) {
        /// The primary key.
        id -> Integer,
        /// A name.
        name -> Text,
        /// An address.
        email -> Nullable<Text>,
    }
}

/// A row with values of its own.
#[derive(Debug, PartialEq, Insertable, Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i32,
    name: String,
    email: Option<String>,
}

/// A row that borrows from the changes.
#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = users, primary_key(id))]
pub(crate) struct UserRef<'a> {
    id: i32,
    name: &'a str,
    email: Option<&'a str>,
}

const SCHEMA: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT)";

/// Returns the time in milliseconds.
pub type Clock<'a> = &'a dyn Fn() -> f64;

/// Some work, and its time.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The name in the table.
    pub name: &'static str,
    /// Returns the milliseconds of one operation.
    pub run: fn(Clock<'_>) -> f64,
}

/// All figures.
pub const FIGURES: [Figure; 10] = [
    Figure { name: "session creation, first on a connection", run: first_session },
    Figure { name: "session creation, again", run: next_session },
    Figure { name: "attach, compared with table!", run: attach },
    Figure { name: "patchset 100", run: |clock| patchset(clock, 100) },
    Figure { name: "patchset 1000", run: |clock| patchset(clock, 1000) },
    Figure { name: "apply 100 on a fresh replica", run: |clock| apply(clock, 100) },
    Figure { name: "apply 1000 on a fresh replica", run: |clock| apply(clock, 1000) },
    Figure { name: "full replication of 100", run: replication },
    Figure { name: "100,000 typed rows, owned", run: typed_owned },
    Figure { name: "100,000 typed rows, borrowed", run: typed_borrowed },
];

/// The number of connections in a batch.
const CONNECTIONS: usize = 40;

fn open() -> SqliteConnection {
    let mut conn = SqliteConnection::establish(":memory:").expect("SQLite opens");
    conn.batch_execute(SCHEMA).expect("the table is created");
    conn
}

fn fill(conn: &mut SqliteConnection, count: i32) {
    let fill = conn.transaction(|conn| {
        (1..=count).try_for_each(|id| {
            let user = User { id, name: format!("user {id}"), email: Some(format!("user{id}@example.com")) };
            diesel::insert_into(users::table).values(user).execute(conn).map(drop)
        })
    });
    fill.expect("the rows are inserted");
}

fn tracked() -> (SqliteConnection, Session) {
    let mut conn = open();
    let session = conn.track::<Change<users::table>>().expect("the table is tracked");
    (conn, session)
}

/// Returns the milliseconds of one of `count` operations.
fn timed(clock: Clock<'_>, count: usize, work: impl FnOnce()) -> f64 {
    let start = clock();
    work();
    (clock() - start) / count as f64
}

fn first_session(clock: Clock<'_>) -> f64 {
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    let mut sessions = Vec::with_capacity(CONNECTIONS);
    timed(clock, CONNECTIONS, || {
        sessions.extend(connections.iter_mut().map(|conn| conn.create_session().expect("a session")));
    })
}

fn next_session(clock: Clock<'_>) -> f64 {
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    connections.iter_mut().for_each(|conn| drop(conn.create_session()));
    let mut sessions = Vec::with_capacity(CONNECTIONS);
    timed(clock, CONNECTIONS, || {
        sessions.extend(connections.iter_mut().map(|conn| conn.create_session().expect("a session")));
    })
}

fn attach(clock: Clock<'_>) -> f64 {
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    let mut sessions: Vec<_> = connections.iter_mut().map(|conn| conn.create_session().expect("a session")).collect();
    timed(clock, CONNECTIONS, || {
        sessions.iter_mut().for_each(|session| session.attach::<users::table>().expect("the table is attached"));
    })
}

fn patchset(clock: Clock<'_>, rows: i32) -> f64 {
    let (mut conn, mut session) = tracked();
    fill(&mut conn, rows);
    let count = 4000 / rows as usize;
    timed(clock, count, || {
        (0..count).for_each(|_| assert!(!session.patchset().expect("a patchset").is_empty()));
    })
}

fn patchset_of(rows: i32) -> Patchset {
    let (mut conn, mut session) = tracked();
    fill(&mut conn, rows);
    session.patchset().expect("a patchset")
}

fn apply(clock: Clock<'_>, rows: i32) -> f64 {
    let patchset = patchset_of(rows);
    let count = (4000 / rows as usize).min(20);
    let mut replicas: Vec<_> = (0..count).map(|_| open()).collect();
    timed(clock, count, || {
        replicas.iter_mut().for_each(|conn| drop(conn.apply(&patchset).run().expect("no conflict")));
    })
}

/// Creates a session, attaches the table, inserts 100 rows, takes a patchset and applies it.
fn replication(clock: Clock<'_>) -> f64 {
    const COUNT: usize = 10;
    let mut pairs: Vec<_> = (0..COUNT).map(|_| (open(), open())).collect();
    timed(clock, COUNT, || {
        for (source, replica) in &mut pairs {
            let mut session = source.track::<Change<users::table>>().expect("the table is tracked");
            fill(source, 100);
            let patchset = session.patchset().expect("a patchset");
            replica.apply(&patchset).run().expect("no conflict");
        }
    })
}

fn many() -> Changeset {
    let mut builder = Changeset::builder();
    for id in 1..=100_000 {
        let user = User { id, name: format!("user {id}"), email: Some(format!("user{id}@example.com")) };
        builder = builder.insert(&user);
    }
    builder.build().expect("a changeset")
}

fn typed_owned(clock: Clock<'_>) -> f64 {
    let changeset = many();
    timed(clock, 1, || {
        let sum: i64 = changeset
            .changes::<Change<User>>()
            .map(|change| match change {
                Ok(Change::Insert(user)) => i64::from(user.id) + user.name.len() as i64,
                _ => 0,
            })
            .sum();
        assert!(sum > 5_000_000_000);
    })
}

fn typed_borrowed(clock: Clock<'_>) -> f64 {
    let changeset = many();
    timed(clock, 1, || {
        let sum: i64 = changeset
            .changes::<Change<UserRef<'_>>>()
            .map(|change| match change {
                Ok(Change::Insert(user)) => i64::from(user.id) + user.name.len() as i64,
                _ => 0,
            })
            .sum();
        assert!(sum > 5_000_000_000);
    })
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
/// The functions that the worker calls.
pub mod browser {
    use js_sys::Function;
    use wasm_bindgen::prelude::*;

    use super::FIGURES;

    /// Returns the names of the figures.
    #[wasm_bindgen]
    pub fn names() -> Vec<String> {
        FIGURES.iter().map(|figure| figure.name.to_owned()).collect()
    }

    /// Returns the milliseconds of one operation of the figure with this position.
    #[wasm_bindgen]
    pub fn measure(position: usize, now: &Function) -> f64 {
        let clock = || now.call0(&JsValue::NULL).ok().and_then(|now| now.as_f64()).unwrap_or(f64::NAN);
        FIGURES.get(position).map_or(f64::NAN, |figure| (figure.run)(&clock))
    }
}
