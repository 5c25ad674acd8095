//! An editor's undo and redo: each thing that the user does is one changeset, which is applied inverted, and again.
//!
//! ```text
//! cargo run --example undo
//! ```

#![allow(missing_docs)]

use std::error::Error;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{ApplyError, Change, Changeset, SqliteSessionExt, Tracked};

diesel::table! {
    shapes (id) {
        id -> Integer,
        name -> Text,
    }
}

diesel::table! {
    points (shape, number) {
        shape -> Integer,
        number -> Integer,
        x -> Double,
        y -> Double,
    }
}

#[derive(Debug, Insertable, Tracked)]
#[diesel(table_name = shapes)]
pub struct Shape {
    id: i32,
    name: String,
}

#[derive(Debug, Insertable, Tracked)]
#[diesel(table_name = points)]
pub struct Point {
    shape: i32,
    number: i32,
    x: f64,
    y: f64,
}

#[derive(Debug, Tracked)]
enum Drawing {
    Shapes(Change<shapes::table>),
    Points(Change<points::table>),
}

const SCHEMA: &str = "
    PRAGMA foreign_keys = ON;
    CREATE TABLE shapes (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE points (
        shape INTEGER NOT NULL REFERENCES shapes (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        x REAL NOT NULL,
        y REAL NOT NULL,
        PRIMARY KEY (shape, number)
    );
";

/// What was done, and what was undone again, each with its name. Changesets are bytes: this could be a table, or a file.
#[derive(Default)]
struct History {
    done: Vec<(&'static str, Changeset)>,
    undone: Vec<(&'static str, Changeset)>,
}

impl History {
    /// Does something that can be undone.
    fn act(
        &mut self,
        conn: &mut SqliteConnection,
        name: &'static str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<usize>,
    ) -> Result<(), Box<dyn Error>> {
        let captured = conn.capture::<Drawing, _, _, _>(work)?;
        println!("{name}; rows changed: {}", captured.changes.len());
        // what changed nothing is nothing to undo
        if !captured.changeset.is_empty() {
            self.done.push((name, captured.changeset));
            self.undone.clear();
        }
        Ok(())
    }

    /// Undoes what was done last. Where it cannot, as something else has changed the rows since, nothing happens.
    fn undo(&mut self, conn: &mut SqliteConnection) -> Result<(), ApplyError> {
        let Some((name, changeset)) = self.done.last() else { return Ok(()) };
        println!("undo {name}:");
        step(conn, &changeset.invert())?;
        self.undone.extend(self.done.pop());
        Ok(())
    }

    fn redo(&mut self, conn: &mut SqliteConnection) -> Result<(), ApplyError> {
        let Some((name, changeset)) = self.undone.last() else { return Ok(()) };
        println!("redo {name}:");
        step(conn, changeset)?;
        self.done.extend(self.undone.pop());
        Ok(())
    }
}

/// Makes changes that were made before, or their inverse.
fn step(conn: &mut SqliteConnection, changeset: &Changeset) -> Result<(), ApplyError> {
    conn.apply(changeset)
        // what a cascade did is among the changes, and is not to be done twice
        .without_foreign_key_actions()
        .try_otherwise(|conflict| Err(conflict.to_string()))
        .run()?;
    for change in changeset.changes::<Drawing>() {
        match change? {
            Drawing::Shapes(change) => println!("  {change:?}"),
            Drawing::Points(Change::Update(point)) => {
                println!("  point {} of shape {} moved to {:?}, {:?}", point.number, point.shape, point.x, point.y);
            }
            Drawing::Points(change) => println!("  {change:?}"),
        }
    }
    Ok(())
}

/// The drawing, as text.
fn drawing(conn: &mut SqliteConnection) -> QueryResult<String> {
    let shapes: Vec<(i32, String)> = shapes::table.order(shapes::id).load(conn)?;
    let mut text = Vec::new();
    for (id, name) in shapes {
        let points: Vec<(f64, f64)> = points::table
            .filter(points::shape.eq(id))
            .order(points::number)
            .select((points::x, points::y))
            .load(conn)?;
        text.push(format!("{name} {points:?}"));
    }
    Ok(text.join("; "))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut conn = SqliteConnection::establish(":memory:")?;
    conn.batch_execute(SCHEMA)?;
    let mut history = History::default();
    let mut states = vec![drawing(&mut conn)?];

    history.act(&mut conn, "draw a triangle", |conn| {
        diesel::insert_into(shapes::table).values(Shape { id: 1, name: "triangle".into() }).execute(conn)?;
        let corner = |number, x, y| Point { shape: 1, number, x, y };
        diesel::insert_into(points::table)
            .values(vec![corner(1, 0.0, 0.0), corner(2, 4.0, 0.0), corner(3, 0.0, 3.0)])
            .execute(conn)
    })?;
    states.push(drawing(&mut conn)?);
    history.act(&mut conn, "move a corner", |conn| {
        diesel::update(points::table.find((1, 2))).set(points::x.eq(5.0)).execute(conn)
    })?;
    states.push(drawing(&mut conn)?);
    history.act(&mut conn, "delete the triangle, and by a cascade its corners", |conn| {
        diesel::delete(shapes::table.find(1)).execute(conn)
    })?;
    states.push(drawing(&mut conn)?);

    for state in states.iter().rev().skip(1) {
        history.undo(&mut conn)?;
        assert_eq!(&drawing(&mut conn)?, state);
    }
    for state in states.iter().skip(1) {
        history.redo(&mut conn)?;
        assert_eq!(&drawing(&mut conn)?, state);
    }
    history.undo(&mut conn)?;

    // somebody else, who is not in the history
    diesel::update(points::table.find((1, 2))).set(points::x.eq(7.0)).execute(&mut conn)?;
    if let Err(ApplyError::Handler(why)) = history.undo(&mut conn) {
        println!("  not undone: {why}");
    }
    println!("the drawing: {}", drawing(&mut conn)?);
    Ok(())
}
