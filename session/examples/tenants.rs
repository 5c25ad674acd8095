//! A server with the rows of several tenants applies a changeset of an untrusted client. Limits
//! bound its size, and typed filters skip each change to a row of another tenant.
//!
//! ```text
//! cargo run --example tenants
//! ```

#![allow(missing_docs)]

use std::cell::RefCell;

use diesel::prelude::*;
use diesel_sqlite_session::wire::BuildError;
use diesel_sqlite_session::{ApplyError, Change, Changeset, ChangesetReader, SqliteSessionExt, Tracked};

mod setup;
use setup::{Result, open};

diesel::table! {
    notes (id) {
        id -> Integer,
        tenant -> Integer,
        text -> Text,
    }
}

diesel::table! {
    projects (tenant, number) {
        tenant -> Integer,
        number -> Integer,
        name -> Text,
    }
}

diesel::table! {
    admins (id) {
        id -> Integer,
        name -> Text,
    }
}

#[derive(Tracked)]
#[diesel(table_name = notes)]
pub struct Note {
    id: i32,
    tenant: i32,
    text: String,
}

#[derive(Tracked)]
#[diesel(table_name = projects)]
pub struct Project {
    tenant: i32,
    number: i32,
    name: String,
}

#[derive(Tracked)]
#[diesel(table_name = admins)]
pub struct Admin {
    id: i32,
    name: String,
}

/// The tables that clients may change.
#[derive(Tracked)]
enum Shared {
    Notes(Change<notes::table>),
    Projects(Change<projects::table>),
}

const SCHEMA: &str = "
    CREATE TABLE notes (id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, text TEXT NOT NULL);
    CREATE TABLE projects (tenant INTEGER, number INTEGER, name TEXT NOT NULL, PRIMARY KEY (tenant, number));
    CREATE TABLE admins (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    INSERT INTO notes VALUES (1, 1, 'rent'), (2, 1, 'taxes'), (3, 1, 'wages'), (4, 2, 'bread'), (5, 2, 'soap'),
        (6, 2, 'salt'), (7, 2, 'wild rice');
    INSERT INTO projects VALUES (1, 1, 'tower'), (2, 1, 'shed');
    INSERT INTO admins VALUES (1, 'root');
";

/// Builds the changeset that a client of tenant 2 sends. A client can send anything, including
/// false old values.
fn hostile() -> Result<Changeset, BuildError> {
    let note = |id, tenant, text: &str| Note { id, tenant, text: text.into() };
    let project = |tenant, number, name: &str| Project { tenant, number, name: name.into() };
    let admin = |id, name: &str| Admin { id, name: name.into() };
    Changeset::builder()
        .insert(&note(8, 2, "eggs"))
        .update(&note(4, 2, "bread"), &note(4, 2, "brown bread"))
        .delete(&note(5, 2, "soap"))
        .update(&note(7, 2, "rice"), &note(7, 2, "brown rice")) // the server has another text
        .insert(&note(9, 1, "pay Mallory")) // a row of tenant 1
        .update(&note(6, 2, "salt"), &note(6, 1, "salt")) // moves a row to tenant 1
        .update(&note(1, 2, "rent"), &note(1, 2, "no rent")) // a row of tenant 1, with a false old value
        .delete(&note(2, 1, "taxes"))
        .insert(&note(3, 2, "mine now")) // the key of a row of tenant 1
        .insert(&project(2, 2, "garden"))
        .update(&project(1, 1, "tower"), &project(1, 1, "ruin"))
        .insert(&admin(2, "Mallory"))
        .delete(&admin(1, "root"))
        .build()
}

/// Decides which changes a tenant may make, and logs why. All filters and handlers write to one
/// log.
struct Guard {
    tenant: i32,
    log: RefCell<Vec<String>>,
}

impl Guard {
    /// Returns whether the tenant may make a change.
    ///
    /// `before` is the tenant of the row in the database, if the row exists. `after` is the tenant
    /// that the change sets.
    fn allows(&self, change: &str, before: Option<i32>, after: Option<i32>) -> bool {
        let of_others = |tenant: &i32| *tenant != self.tenant;
        let why_not = match (before.filter(of_others), after.filter(of_others)) {
            (Some(tenant), _) => Some(format!("the row belongs to tenant {tenant}")),
            (None, Some(tenant)) => Some(format!("the row would belong to tenant {tenant}")),
            (None, None) => None,
        };
        match &why_not {
            Some(why) => self.note("skipped", change, why),
            None => self.note("allowed", change, ""),
        }
        why_not.is_none()
    }

    fn note(&self, verdict: &str, change: &str, why: &str) {
        self.log.borrow_mut().push(format!("{verdict:<8} {change:<19} {why}").trim_end().into());
    }
}

/// Returns a description of a change, and the tenant that the change sets.
fn of_note(change: &Change<notes::table>) -> (String, Option<i32>) {
    match change {
        Change::Insert(note) => (format!("INSERT note {}", note.id), Some(note.tenant)),
        Change::Update(note) => (format!("UPDATE note {}", note.id), note.tenant.new_value().copied()),
        Change::Delete(note) => (format!("DELETE note {}", note.id), None),
    }
}

fn of_project(change: &Change<projects::table>) -> (String, Option<i32>) {
    let (what, tenant, number) = match change {
        Change::Insert(project) => ("INSERT", project.tenant, project.number),
        Change::Update(project) => ("UPDATE", project.tenant, project.number),
        Change::Delete(project) => ("DELETE", project.tenant, project.number),
    };
    (format!("{what} project {tenant}/{number}"), Some(tenant))
}

/// Returns the rows of each tenant, and the admins.
fn rows(conn: &mut SqliteConnection) -> QueryResult<[String; 3]> {
    let mut of_tenant = |tenant: i32| {
        let notes = notes::table.filter(notes::tenant.eq(tenant)).select((notes::id, notes::text)).order(notes::id);
        let notes = notes.load::<(i32, String)>(conn)?.into_iter().map(|(id, text)| format!("{id} {text}"));
        let projects =
            projects::table.filter(projects::tenant.eq(tenant)).select(projects::name).order(projects::number);
        let (notes, projects) = (notes.collect::<Vec<_>>().join(", "), projects.load::<String>(conn)?.join(", "));
        QueryResult::Ok(format!("tenant {tenant}: {notes}; {projects}"))
    };
    let (one, two) = (of_tenant(1)?, of_tenant(2)?);
    let admins = admins::table.select(admins::name).load::<String>(conn)?.join(", ");
    Ok([one, two, format!("admins: {admins}")])
}

fn main() -> Result<()> {
    let mut server = open(SCHEMA)?;
    let before = rows(&mut server)?;
    println!("The rows on the server:\n  {}", before.join("\n  "));

    let changeset = hostile()?;
    println!("\nA client of tenant 2 sends:");
    for record in &changeset {
        println!("  {record}");
    }
    let body = changeset.into_bytes();
    let sent = || ChangesetReader::new(&body[..]);

    // 1. Reject the whole changeset: limits bound the input, and `only` fails on tables outside of
    //    the set.
    println!("\nThe whole changeset is rejected:");
    let many = server.apply(sent()).max_changes(10).run();
    let large = server.apply(sent()).max_bytes(256).run();
    let other = server.apply(sent()).only::<Shared>().run();
    assert!(matches!(&other, Err(ApplyError::UnexpectedTable { table, .. }) if table == "admins"));
    for (what, result) in [("max_changes(10)", many), ("max_bytes(256)", large), ("only::<Shared>()", other)] {
        println!("  {what:<17} {}", result.expect_err("rejected"));
    }
    assert_eq!(rows(&mut server)?, before);

    // 2. Or decide change by change: skip other tables, and filter each change together with the
    //    current row.
    let guard = Guard { tenant: 2, log: RefCell::default() };
    let captured = server.capture::<Shared>().try_run(|server| {
        let apply = server.apply(sent()).max_bytes(1 << 20).max_changes(1000).only::<Shared>().skip_other_tables();
        apply
            .filter::<notes::table>(|change, current| {
                let (what, after) = of_note(change);
                guard.allows(&what, current.map(|note| note.tenant), after)
            })
            .filter::<projects::table>(|change, current| {
                let (what, after) = of_project(change);
                guard.allows(&what, current.map(|project| project.tenant), after)
            })
            .on_conflict::<notes::table>(|conflict| {
                let why =
                    conflict.current().map_or("no such row".into(), |note| format!("the text is {:?}", note.text));
                guard.note("omitted", &of_note(conflict.change()).0, &format!("conflict: {why}"));
                conflict.omit()
            })
            .run()
    })?;
    println!("\nOr each change is decided by itself:\n  {}", guard.log.borrow().join("\n  "));
    let report = captured.value;
    println!("\nThe report:");
    for table in report.tables() {
        println!("  {table}");
    }
    let after = rows(&mut server)?;
    println!("\nThe rows on the server afterwards:\n  {}", after.join("\n  "));

    let counts = report.tables().iter().map(|table| (table.applied(), table.omitted(), table.skipped()));
    assert_eq!(counts.collect::<Vec<_>>(), [(3, 1, 5), (1, 0, 1), (0, 0, 2)]);
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_eq!(after[1], "tenant 2: 4 brown bread, 6 salt, 7 wild rice, 8 eggs; shed, garden");
    // 3. The captured changes confirm that only rows of tenant 2 changed.
    assert_eq!(captured.changes.len() as u64, report.applied());
    assert!(captured.changes.iter().all(|change| match change {
        Shared::Notes(Change::Insert(note) | Change::Delete(note)) => note.tenant == 2,
        Shared::Notes(Change::Update(note)) => !note.tenant.is_changed(),
        Shared::Projects(Change::Insert(project) | Change::Delete(project)) => project.tenant == 2,
        Shared::Projects(Change::Update(project)) => project.tenant == 2,
    }));
    Ok(())
}
