//! A hub and two replicas that edit the same tasks while they are apart. Who comes to the hub sends what it did; the hub decides
//! the conflicts, once, and rebases by these decisions what is new on it: the replica can take that without a conflict.
//!
//! ```text
//! cargo run --example hub
//! ```

#![allow(missing_docs)]

use std::error::Error;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::apply::Decision;
use diesel_sqlite_session::{Change, Changeset, Conflict, Session, SqliteSessionExt, Tracked};

diesel::table! {
    tasks (id) {
        id -> Integer,
        title -> Text,
        done -> Bool,
    }
}

#[derive(Debug, PartialEq, Queryable, Tracked)]
#[diesel(table_name = tasks)]
pub struct Task {
    id: i32,
    title: String,
    done: bool,
}

/// Everywhere the same at first.
const SCHEMA: &str = "
    CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, done BOOLEAN NOT NULL);
    INSERT INTO tasks VALUES (1, 'water the plants', 0), (2, 'call Ada', 0), (3, 'mend the tap', 0), (4, 'buy stamps', 0),
        (5, 'paint the fence', 0);
";

const ON_THE_PHONE: &str = "
    UPDATE tasks SET title = 'water the roses' WHERE id = 1;
    UPDATE tasks SET done = 1 WHERE id = 2;
    DELETE FROM tasks WHERE id = 3;
    UPDATE tasks SET title = 'buy ten stamps' WHERE id = 4;
    DELETE FROM tasks WHERE id = 5;
    INSERT INTO tasks VALUES (6, 'milk', 0);
";

const ON_THE_LAPTOP: &str = "
    UPDATE tasks SET title = 'water the ferns' WHERE id = 1;
    UPDATE tasks SET title = 'ring Ada' WHERE id = 2;
    UPDATE tasks SET title = 'mend the tap in the bath' WHERE id = 3;
    DELETE FROM tasks WHERE id = 4;
    DELETE FROM tasks WHERE id = 5;
    INSERT INTO tasks VALUES (6, 'bread', 0), (7, 'tickets', 0);
";

/// A database and what was done to it since it last agreed with the hub.
struct Replica {
    name: &'static str,
    conn: SqliteConnection,
    session: Session,
}

/// A database and, for each replica, what was done to it since it last agreed with that one.
struct Hub {
    conn: SqliteConnection,
    sessions: Vec<(&'static str, Session)>,
}

fn open() -> Result<SqliteConnection, Box<dyn Error>> {
    let mut conn = SqliteConnection::establish(":memory:")?;
    conn.batch_execute(SCHEMA)?;
    Ok(conn)
}

/// From here on, what changes is recorded.
fn record(conn: &mut SqliteConnection) -> Result<Session, Box<dyn Error>> {
    let mut session = conn.create_session()?;
    session.attach::<tasks::table>()?;
    Ok(session)
}

impl Replica {
    fn new(name: &'static str) -> Result<Self, Box<dyn Error>> {
        let mut conn = open()?;
        let session = record(&mut conn)?;
        Ok(Self { name, conn, session })
    }
}

/// What becomes of a replica's change that does not fit what the hub has.
///
/// An edit that comes later replaces the earlier one. To omit it would be possible too, but an UPDATE is omitted whole: of columns
/// that it set and the hub did not, the hub would not tell the replica what to set them back to.
fn decide<'a>(conflict: Conflict<'a, Change<tasks::table>>, log: &mut Vec<String>) -> Decision<'a> {
    let (said, decision) = match conflict {
        Conflict::Data(c) if matches!(c.change(), Change::Delete(_)) => {
            (format!("task {} is to be deleted, but was edited: it stays", c.current().id), c.omit())
        }
        Conflict::Data(c) => {
            (format!("task {} was edited twice, '{}' is replaced", c.current().id, c.current().title), c.replace())
        }
        // new rows of several replicas should have keys that do not meet, such as UUIDs
        Conflict::Conflict(c) => {
            (format!("there is a task {}: '{}' stays", c.current().id, c.current().title), c.omit())
        }
        Conflict::NotFound(c) => {
            let id = match c.change() {
                Change::Update(update) => update.id,
                Change::Delete(task) | Change::Insert(task) => task.id,
            };
            (format!("there is no task {id} any more: it stays deleted"), c.omit())
        }
        other => ("what breaks a constraint ends the sync".into(), other.abort()),
    };
    log.push(said);
    decision
}

impl Hub {
    fn new(replicas: &[&Replica]) -> Result<Self, Box<dyn Error>> {
        let mut conn = open()?;
        let sessions = replicas.iter().map(|replica| Ok((replica.name, record(&mut conn)?)));
        let sessions = sessions.collect::<Result<_, Box<dyn Error>>>()?;
        Ok(Self { conn, sessions })
    }

    fn session_of(&mut self, name: &str) -> Result<&mut Session, Box<dyn Error>> {
        let found = self.sessions.iter_mut().find(|(replica, _)| *replica == name);
        Ok(&mut found.ok_or("the hub does not know this replica")?.1)
    }

    /// Takes a replica's changes, and gives what the replica has to change to be like the hub.
    fn exchange(&mut self, name: &str, theirs: &Changeset) -> Result<Changeset, Box<dyn Error>> {
        // 1. What is new here since they last agreed. Both this and the replica's changes begin at the same rows.
        let news = self.session_of(name)?.changeset()?;
        show("  new on the hub", &news);

        // 2. The replica's changes on top of it, with a decision on each conflict.
        let mut log = Vec::new();
        let applied = self.conn.apply(theirs).on_conflict::<tasks::table>(|conflict| decide(conflict, &mut log));
        let data = applied.run()?.into_rebase_data();
        log.iter().for_each(|line| println!("  conflict: {line}"));

        // 3. The news as they are on top of the replica's changes: the other way round, with the same end. The decisions are
        //    all that this takes; it could be done where there is no database.
        let rebased = news.rebase(&data)?;
        println!("  decisions: {data:?}");

        // 4. The other replicas will hear of this sync; to this one it is not new.
        *self.session_of(name)? = record(&mut self.conn)?;
        Ok(rebased)
    }
}

fn sync(replica: &mut Replica, hub: &mut Hub) -> Result<(), Box<dyn Error>> {
    println!("\nThe {} comes to the hub.", replica.name);
    let ours = replica.session.changeset()?;
    show("  it did", &ours);
    let news = hub.exchange(replica.name, &ours)?;
    show("  it gets", &news);
    // no handler: a conflict would be an error
    replica.conn.apply(&news).run()?;
    replica.session = record(&mut replica.conn)?;
    assert_eq!(tasks(&mut replica.conn)?, tasks(&mut hub.conn)?, "who has been at the hub has what the hub has");
    Ok(())
}

fn show(what: &str, changes: &Changeset) {
    if changes.is_empty() {
        println!("{what}: nothing");
    }
    let mut lines: Vec<String> = changes.records().map(|record| record.to_string()).collect();
    // a session has them in no order
    lines.sort_by_key(|line| line.split_once('(').map(|(_, values)| values.to_string()));
    lines.iter().for_each(|line| println!("{what}: {line}"));
}

fn tasks(conn: &mut SqliteConnection) -> QueryResult<Vec<Task>> {
    tasks::table.order(tasks::id).load(conn)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut phone, mut laptop) = (Replica::new("phone")?, Replica::new("laptop")?);
    let mut hub = Hub::new(&[&phone, &laptop])?;

    phone.conn.batch_execute(ON_THE_PHONE)?;
    laptop.conn.batch_execute(ON_THE_LAPTOP)?;
    sync(&mut phone, &mut hub)?;
    sync(&mut laptop, &mut hub)?;
    sync(&mut phone, &mut hub)?;

    println!("\nAll three have:");
    for Task { id, title, done } in tasks(&mut hub.conn)? {
        println!("  {id}  {} {title}", if done { "[x]" } else { "[ ]" });
    }
    let all = [tasks(&mut hub.conn)?, tasks(&mut phone.conn)?, tasks(&mut laptop.conn)?];
    assert!(all.windows(2).all(|two| two[0] == two[1]));
    Ok(())
}
