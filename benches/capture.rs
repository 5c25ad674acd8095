//! The cost of a capture of one UPDATE, and of taking its changes from a session, compared with
//! SQLite's session functions around the same statement of Diesel.
//!
//! ```sh
//! cargo bench -p diesel-sqlite-session-benches --bench capture
//! cargo bench -p diesel-sqlite-session-benches --bench capture -- --runs ours|sqlite capture|take TABLES COUNT
//! ```
//!
//! Both run the same statements on connections of Diesel, in turns; the order within a pair
//! alternates. The table contains the median of the ratios and the quartiles. `--runs` is for counting
//! instructions with callgrind.
//!
//! The schema has further tables, of which the capture needs nothing.

use std::process::ExitCode;
use std::time::Instant;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Change, Session, SqliteSessionExt, Tracked};
use diesel_sqlite_session_benches::raw;
use diesel_sqlite_session_tests::sqlite::connection;

diesel::table! {
    /// The table that is changed.
    items (id) {
        /// The primary key.
        id -> Integer,
        /// A name.
        name -> Text,
        /// A number.
        quantity -> Integer,
    }
}

/// A row of the table.
#[derive(Tracked)]
#[diesel(table_name = items)]
pub struct Item {
    id: i32,
    name: String,
    quantity: i32,
}

type Set = Change<items::table>;

fn open(tables: usize) -> SqliteConnection {
    let mut connection = connection::connect(":memory:");
    let others: String =
        (1..tables).map(|number| format!("CREATE TABLE other_{number} (id INTEGER PRIMARY KEY, v TEXT);")).collect();
    let items = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, quantity INTEGER NOT NULL);
        INSERT INTO items VALUES (1, 'lamp', 0);";
    connection.batch_execute(&format!("{others}{items}")).unwrap();
    connection
}

fn update(connection: &mut SqliteConnection) -> QueryResult<usize> {
    diesel::update(items::table.find(1)).set(items::quantity.eq(items::quantity + 1)).execute(connection)
}

/// What is measured.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A transaction with a session for one UPDATE.
    Capture,
    /// An UPDATE, and what it has changed, from a session that goes on.
    Take,
}

/// A connection on which one UPDATE after the other is made.
trait Contestant {
    fn new(kind: Kind, tables: usize) -> Self;
    /// Makes an UPDATE, and returns the length of its changeset.
    fn run(&mut self) -> usize;
}

/// This crate.
struct Ours(SqliteConnection, Option<Session>);

impl Contestant for Ours {
    fn new(kind: Kind, tables: usize) -> Self {
        let mut connection = open(tables);
        let session = (kind == Kind::Take).then(|| connection.track::<Set>().unwrap());
        Self(connection, session)
    }

    fn run(&mut self) -> usize {
        let Self(connection, session) = self;
        let changeset = match session {
            None => connection.capture::<Set>().run(update).unwrap().changeset,
            Some(session) => {
                update(connection).unwrap();
                session.take_changeset().unwrap()
            }
        };
        changeset.as_bytes().len()
    }
}

/// SQLite's functions. The session must be dropped before the connection.
struct Theirs {
    session: Option<raw::Session<'static>>,
    connection: SqliteConnection,
    db: *mut libsqlite3_sys::sqlite3,
    kind: Kind,
}

fn track(db: *mut libsqlite3_sys::sqlite3) -> raw::Session<'static> {
    // SAFETY: the connection is open, and outlives the session.
    unsafe { raw::Connection::track_on(db, c"items") }
}

impl Contestant for Theirs {
    fn new(kind: Kind, tables: usize) -> Self {
        let mut connection = open(tables);
        let db = connection::address(&mut connection);
        Self { session: (kind == Kind::Take).then(|| track(db)), connection, db, kind }
    }

    fn run(&mut self) -> usize {
        let Self { session: kept, connection, db, kind } = self;
        if *kind == Kind::Capture {
            return connection
                .transaction(|connection| {
                    let session = track(*db);
                    update(connection)?;
                    QueryResult::Ok(session.changeset().len())
                })
                .unwrap();
        }
        update(connection).unwrap();
        let length = kept.as_ref().unwrap().changeset().len();
        *kept = Some(track(*db));
        length
    }
}

fn timed(contestant: &mut impl Contestant, count: usize) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| assert!(contestant.run() > 0));
    start.elapsed().as_secs_f64() / count as f64
}

fn compare(kind: Kind, tables: usize, pairs: usize) {
    const COUNT: usize = 50;
    let (mut ours, mut theirs) = (Ours::new(kind, tables), Theirs::new(kind, tables));
    assert_eq!(ours.run(), theirs.run(), "other changes than SQLite's");
    let (mut ratios, mut times) = (Vec::new(), Vec::new());
    for turn in 0..pairs {
        let (own, other) = if turn % 2 == 0 {
            let own = timed(&mut ours, COUNT);
            (own, timed(&mut theirs, COUNT))
        } else {
            let other = timed(&mut theirs, COUNT);
            (timed(&mut ours, COUNT), other)
        };
        ratios.push(own / other);
        times.push(own);
    }
    let sorted = |values: &mut Vec<f64>| values.sort_by(f64::total_cmp);
    sorted(&mut ratios);
    sorted(&mut times);
    let at = |values: &[f64], quarter: usize| values[values.len() * quarter / 4];
    let name = if kind == Kind::Capture { "capture" } else { "take_changeset" };
    println!(
        "| {name}, one UPDATE | {tables} | {:.1} µs | {:.2} | {:.2} to {:.2} |",
        at(&times, 2) * 1e6,
        at(&ratios, 2),
        at(&ratios, 1),
        at(&ratios, 3)
    );
}

fn repeat<C: Contestant>(kind: Kind, tables: usize, count: usize) {
    let mut contestant = C::new(kind, tables);
    (0..count).for_each(|_| assert!(contestant.run() > 0));
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--runs", who, kind, tables, count] => {
            let kind = if kind == "capture" { Kind::Capture } else { Kind::Take };
            let (Ok(tables), Ok(count)) = (tables.parse(), count.parse()) else { return ExitCode::FAILURE };
            match who {
                "ours" => repeat::<Ours>(kind, tables, count),
                _ => repeat::<Theirs>(kind, tables, count),
            }
        }
        ref others => {
            let pairs = if others.contains(&"--test") { 2 } else { 400 };
            println!("| | tables | this crate | time, SQLite = 1 | quartiles |\n|---|---|---|---|---|");
            for kind in [Kind::Capture, Kind::Take] {
                for tables in [2, 200] {
                    compare(kind, tables, pairs);
                }
            }
        }
    }
    ExitCode::SUCCESS
}
