//! Undo and redo in an editor. Each action of the user is one changeset: undo applies its inverse,
//! redo applies it again.
//!
//! ```text
//! cargo run --example undo
//! ```

#![allow(missing_docs)]

use diesel::prelude::*;
use diesel_sqlite_session::{ApplyError, Change, Changeset, SqliteSessionExt, Tracked};

mod setup;
use setup::{Result, open};

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

/// The changesets of the actions to undo and to redo, with their names. Changesets are bytes: a
/// table or a file can store them.
#[derive(Default)]
struct History {
    to_undo: Vec<(&'static str, Changeset)>,
    to_redo: Vec<(&'static str, Changeset)>,
}

impl History {
    /// Runs an action and stores its changeset.
    fn act(
        &mut self,
        conn: &mut SqliteConnection,
        name: &'static str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<usize>,
    ) -> Result<()> {
        let captured = conn.capture::<Drawing>().run(work)?;
        println!("{name} (changed rows: {})", captured.changes.len());
        // an action without changes needs no undo
        if !captured.changeset.is_empty() {
            self.to_undo.push((name, captured.changeset));
            self.to_redo.clear();
        }
        Ok(())
    }

    /// Undoes the last action. Fails and changes nothing if somebody else has changed the same rows
    /// since.
    fn undo(&mut self, conn: &mut SqliteConnection) -> Result<(), ApplyError> {
        let Some((name, changeset)) = self.to_undo.last() else { return Ok(()) };
        println!("undo {name}:");
        step(conn, &changeset.invert())?;
        self.to_redo.extend(self.to_undo.pop());
        Ok(())
    }

    /// Repeats the last undone action.
    fn redo(&mut self, conn: &mut SqliteConnection) -> Result<(), ApplyError> {
        let Some((name, changeset)) = self.to_redo.last() else { return Ok(()) };
        println!("redo {name}:");
        step(conn, changeset)?;
        self.to_undo.extend(self.to_redo.pop());
        Ok(())
    }
}

/// Applies the changeset of an action, or its inverse, and prints its changes.
fn step(conn: &mut SqliteConnection, changeset: &Changeset) -> Result<(), ApplyError> {
    conn.apply(changeset)
        // the changeset already contains the rows that a cascade deleted
        .without_foreign_key_actions()
        .try_otherwise(|conflict| Err(conflict.to_string()))
        .run()?;
    for change in changeset.changes::<Drawing>() {
        match change? {
            Drawing::Shapes(change) => println!("  {change:?}"),
            Drawing::Points(Change::Update(point)) => {
                for (axis, field) in [("x", &point.x), ("y", &point.y)] {
                    if let Some((old, new)) = field.changed() {
                        println!("  point {} of shape {}: {axis} {old} -> {new}", point.number, point.shape);
                    }
                }
            }
            Drawing::Points(change) => println!("  {change:?}"),
        }
    }
    Ok(())
}

/// Returns the drawing as text.
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

fn main() -> Result<()> {
    let mut conn = open(SCHEMA)?;
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
    history.act(&mut conn, "delete the triangle, which cascades to its corners", |conn| {
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

    // somebody else changes a row that the next undo would change
    diesel::update(points::table.find((1, 2))).set(points::x.eq(7.0)).execute(&mut conn)?;
    if let Err(ApplyError::Handler(why)) = history.undo(&mut conn) {
        println!("  failed, nothing changed: {why}");
    }
    println!("the drawing is {}", drawing(&mut conn)?);
    Ok(())
}
