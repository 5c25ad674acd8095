//! A hub and two replicas that edit the same tasks while they are offline. A replica sends its
//! changes to the hub. The hub decides each conflict once, rebases its own new changes by these
//! decisions, and sends them back: the replica applies them without a conflict.
//!
//! ```text
//! cargo run --example hub
//! ```

#![allow(missing_docs)]

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::apply::Decision;
use diesel_sqlite_session::{Change, Changeset, Conflict, Session, SqliteSessionExt, Tracked};

mod setup;
use setup::{Result, open};

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

/// The tasks at the start, the same in all databases.
const SCHEMA: &str = "
    CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, done BOOLEAN NOT NULL);
    INSERT INTO tasks VALUES (1, 'water the plants', 0), (2, 'call Ada', 0), (3, 'fix the tap', 0), (4, 'buy stamps', 0),
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
    UPDATE tasks SET title = 'fix the tap in the bath' WHERE id = 3;
    DELETE FROM tasks WHERE id = 4;
    DELETE FROM tasks WHERE id = 5;
    INSERT INTO tasks VALUES (6, 'bread', 0), (7, 'tickets', 0);
";

/// A database, and the changes since its last sync with the hub.
struct Replica {
    name: &'static str,
    conn: SqliteConnection,
    session: Session,
}

/// A database and, for each replica, the changes since the last sync with that replica.
struct Hub {
    conn: SqliteConnection,
    sessions: Vec<(&'static str, Session)>,
}

/// Records the changes to the tasks from now on.
fn record(conn: &mut SqliteConnection) -> Result<Session> {
    let mut session = conn.create_session()?;
    session.attach::<tasks::table>()?;
    Ok(session)
}

impl Replica {
    fn new(name: &'static str) -> Result<Self> {
        let mut conn = open(SCHEMA)?;
        let session = record(&mut conn)?;
        Ok(Self { name, conn, session })
    }
}

/// Decides the conflict of a replica's change with the rows of the hub. Of two edits, the last
/// writer wins.
///
/// `omit` for two edits is possible too, but `omit` skips the whole UPDATE. The replica would keep
/// its values in columns that only the replica changed.
fn decide<'a>(conflict: Conflict<'a, Change<tasks::table>>, log: &mut Vec<String>) -> Decision<'a> {
    let (line, decision) = match conflict {
        Conflict::Data(c) if matches!(c.change(), Change::Delete(_)) => {
            (format!("DELETE of task {}, which was edited on the hub: omitted", c.current().id), c.omit())
        }
        Conflict::Data(c) => {
            (format!("UPDATE of task {}, on the hub '{}': replaced", c.current().id, c.current().title), c.replace())
        }
        // in an application, keys such as UUIDs prevent this conflict
        Conflict::Conflict(c) => {
            (format!("INSERT of task {}, on the hub '{}': omitted", c.current().id, c.current().title), c.omit())
        }
        Conflict::NotFound(c) => {
            let id = match c.change() {
                Change::Update(update) => update.id,
                Change::Delete(task) | Change::Insert(task) => task.id,
            };
            (format!("{} of task {id}, which was deleted on the hub: omitted", c.change().operation()), c.omit())
        }
        other => ("a constraint violation: the sync is aborted".into(), other.abort()),
    };
    log.push(line);
    decision
}

impl Hub {
    fn new(replicas: &[&Replica]) -> Result<Self> {
        let mut conn = open(SCHEMA)?;
        let sessions = replicas.iter().map(|replica| Ok((replica.name, record(&mut conn)?)));
        let sessions = sessions.collect::<Result<_>>()?;
        Ok(Self { conn, sessions })
    }

    fn session_of(&mut self, name: &str) -> Result<&mut Session> {
        let found = self.sessions.iter_mut().find(|(replica, _)| *replica == name);
        Ok(&mut found.ok_or("unknown replica")?.1)
    }

    /// Applies the changes of a replica and returns the changes that make the replica equal to the
    /// hub.
    fn exchange(&mut self, name: &str, theirs: &Changeset) -> Result<Changeset> {
        // 1. Take the changes of the hub since the last sync. They start from the same rows as the
        //    replica's changes.
        let news = self.session_of(name)?.changeset()?;
        show("  new on the hub", &news);

        // 2. Apply the replica's changes, with a decision for each conflict.
        let mut log = Vec::new();
        let applied = self
            .conn
            .apply(theirs)
            .only::<Change<tasks::table>>()
            .on_conflict::<tasks::table>(|conflict| decide(conflict, &mut log));
        let data = applied.run()?.into_rebase_data();
        log.iter().for_each(|line| println!("  conflict: {line}"));

        // 3. Rebase the hub's changes onto the replica's changes. This requires the decisions, but
        //    no database.
        let rebased = news.rebase(&data)?;

        // 4. Start a new session for this replica. The sessions of the other replicas go on: they
        //    record this sync.
        *self.session_of(name)? = record(&mut self.conn)?;
        Ok(rebased)
    }
}

fn sync(replica: &mut Replica, hub: &mut Hub) -> Result<()> {
    println!("\nThe {} syncs with the hub.", replica.name);
    let ours = replica.session.changeset()?;
    show("  sent", &ours);
    let news = hub.exchange(replica.name, &ours)?;
    show("  received", &news);
    // without a handler, a conflict is an error
    replica.conn.apply(&news).run()?;
    replica.session = record(&mut replica.conn)?;
    assert_eq!(tasks(&mut replica.conn)?, tasks(&mut hub.conn)?);
    Ok(())
}

fn show(what: &str, changes: &Changeset) {
    if changes.is_empty() {
        println!("{what}: nothing");
    }
    let mut lines: Vec<String> = changes.records().map(|record| record.to_string()).collect();
    // sessions write records in hash order
    lines.sort_by_key(|line| line.split_once('(').map(|(_, values)| values.to_string()));
    lines.iter().for_each(|line| println!("{what}: {line}"));
}

fn tasks(conn: &mut SqliteConnection) -> QueryResult<Vec<Task>> {
    tasks::table.order(tasks::id).load(conn)
}

fn main() -> Result<()> {
    let (mut phone, mut laptop) = (Replica::new("phone")?, Replica::new("laptop")?);
    let mut hub = Hub::new(&[&phone, &laptop])?;

    phone.conn.batch_execute(ON_THE_PHONE)?;
    laptop.conn.batch_execute(ON_THE_LAPTOP)?;
    sync(&mut phone, &mut hub)?;
    sync(&mut laptop, &mut hub)?;
    sync(&mut phone, &mut hub)?;

    println!("\nThe tasks in all three databases:");
    for Task { id, title, done } in tasks(&mut hub.conn)? {
        println!("  {id}  {} {title}", if done { "[x]" } else { "[ ]" });
    }
    let all = [tasks(&mut hub.conn)?, tasks(&mut phone.conn)?, tasks(&mut laptop.conn)?];
    assert!(all.windows(2).all(|two| two[0] == two[1]));
    Ok(())
}
