//! The shared tables: two, one of them with a composite key in another order than its columns.

use diesel::prelude::*;
use diesel_sqlite_session::apply::AppliedTable;
use diesel_sqlite_session::typed::Against;
use diesel_sqlite_session::{Change, Field, Tracked};

diesel::table! {
    cards (id) {
        id -> Integer,
        title -> Text,
        note -> Text,
        done -> Bool,
        edited_at -> BigInt,
    }
}

diesel::table! {
    labels (name, card) {
        card -> Integer,
        color -> Text,
        name -> Text,
        weight -> Integer,
        see -> Nullable<Integer>,
        edited_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(cards, labels);

/// The schema, at first the same everywhere. With foreign keys, a label refers to its card, with
/// which it is deleted and moved, and to another card, until that is deleted.
pub(super) fn schema(has_foreign_keys: bool) -> String {
    let [goes, forgets] = ["CASCADE", "SET NULL"].map(|action| match has_foreign_keys {
        true => format!(" REFERENCES cards ON DELETE {action} ON UPDATE CASCADE"),
        false => String::new(),
    });
    format!(
        "CREATE TABLE cards (id INTEGER PRIMARY KEY, title TEXT NOT NULL, note TEXT NOT NULL, done BOOLEAN NOT NULL,
            edited_at BIGINT NOT NULL);
        CREATE TABLE labels (card INTEGER NOT NULL{goes}, color TEXT NOT NULL, name TEXT NOT NULL,
            weight INTEGER NOT NULL, see INTEGER{forgets}, edited_at BIGINT NOT NULL, PRIMARY KEY (name, card)) WITHOUT ROWID;
        INSERT INTO cards VALUES (1, 'milk', '', 0, 0), (2, 'call Ada', '', 0, 0), (3, 'mend the tap', '', 0, 0);
        INSERT INTO labels VALUES (1, 'red', 'shop', 1, 2, 0), (2, 'blue', 'shop', 1, NULL, 0), (2, 'green', 'phone', 1, 3, 0);"
    )
}

#[derive(Clone, Debug, PartialEq, Queryable, AsChangeset, Tracked)]
#[diesel(table_name = cards)]
pub struct Card {
    id: i32,
    title: String,
    note: String,
    done: bool,
    edited_at: i64,
}

#[derive(Clone, Debug, PartialEq, Queryable, AsChangeset, Tracked)]
#[diesel(table_name = labels, treat_none_as_null = true)]
pub struct Label {
    card: i32,
    color: String,
    name: String,
    weight: i32,
    see: Option<i32>,
    edited_at: i64,
}

/// The tables that are kept equal.
#[derive(Debug, Tracked)]
pub(super) enum Board {
    Cards(#[allow(dead_code)] Change<Card>),
    Labels(#[allow(dead_code)] Change<Label>),
}

/// What the policies require of a table.
pub(super) trait Shared: AppliedTable + Tracked<Row = Self> + Clone + PartialEq {
    const NAME: &'static str;
    /// The columns outside the key.
    const COLUMNS: &'static [&'static str];

    fn key(&self) -> String;
    fn key_of(update: &Self::Update) -> String;

    /// The columns outside the key, as text.
    fn values(&self) -> Vec<(&'static str, String)>;
    fn fields(update: &Self::Update) -> Vec<Field<String>>;

    fn edited_at(&self) -> i64;
    fn newly_edited_at(update: &Self::Update) -> Option<i64>;

    /// Merges two edits of a row column by column. The result does not depend on their order.
    fn merged(&self, update: &Self::Update) -> Self;
    /// Merges two new rows with the same key.
    fn united(&self, other: &Self) -> Self;

    /// Writes the row, replacing the row with its key.
    fn write(&self, conn: &mut SqliteConnection) -> QueryResult<usize>;
}

/// Returns the greater value if both edits changed the column.
fn greater<T: Clone + Ord>(current: &T, field: &Field<T>) -> T {
    match field.against(current) {
        Against::Current(value) | Against::New(value) | Against::Same(value) => value.clone(),
        Against::Both { new, current, .. } => new.max(current).clone(),
    }
}

impl Shared for Card {
    const NAME: &'static str = "cards";
    const COLUMNS: &'static [&'static str] = &["title", "note", "done", "edited_at"];

    fn key(&self) -> String {
        self.id.to_string()
    }

    fn key_of(update: &CardUpdate) -> String {
        update.id.to_string()
    }

    fn values(&self) -> Vec<(&'static str, String)> {
        let Self { title, note, done, edited_at, .. } = self.clone();
        vec![("title", title), ("note", note), ("done", done.to_string()), ("edited_at", edited_at.to_string())]
    }

    fn fields(update: &CardUpdate) -> Vec<Field<String>> {
        let CardUpdate { title, note, done, edited_at, .. } = update.clone();
        vec![title, note, done.map(|done| done.to_string()), edited_at.map(|time| time.to_string())]
    }

    fn edited_at(&self) -> i64 {
        self.edited_at
    }

    fn newly_edited_at(update: &CardUpdate) -> Option<i64> {
        update.edited_at.new_value().copied()
    }

    fn merged(&self, update: &CardUpdate) -> Self {
        Self {
            id: self.id,
            title: greater(&self.title, &update.title),
            note: greater(&self.note, &update.note),
            done: greater(&self.done, &update.done),
            edited_at: greater(&self.edited_at, &update.edited_at),
        }
    }

    fn united(&self, other: &Self) -> Self {
        Self {
            id: self.id,
            title: self.title.clone().max(other.title.clone()),
            note: self.note.clone().max(other.note.clone()),
            done: self.done.max(other.done),
            edited_at: self.edited_at.max(other.edited_at),
        }
    }

    fn write(&self, conn: &mut SqliteConnection) -> QueryResult<usize> {
        diesel::update(cards::table.find(self.id)).set(self).execute(conn)
    }
}

impl Shared for Label {
    const NAME: &'static str = "labels";
    const COLUMNS: &'static [&'static str] = &["color", "weight", "see", "edited_at"];

    fn key(&self) -> String {
        format!("{}/{}", self.name, self.card)
    }

    fn key_of(update: &LabelUpdate) -> String {
        format!("{}/{}", update.name, update.card)
    }

    fn values(&self) -> Vec<(&'static str, String)> {
        let Self { color, weight, see, edited_at, .. } = self.clone();
        let (weight, edited_at) = (weight.to_string(), edited_at.to_string());
        vec![("color", color), ("weight", weight), ("see", card_or_null(see)), ("edited_at", edited_at)]
    }

    fn fields(update: &LabelUpdate) -> Vec<Field<String>> {
        let LabelUpdate { color, weight, see, edited_at, .. } = update.clone();
        vec![
            color,
            weight.map(|weight| weight.to_string()),
            see.map(card_or_null),
            edited_at.map(|time| time.to_string()),
        ]
    }

    fn edited_at(&self) -> i64 {
        self.edited_at
    }

    fn newly_edited_at(update: &LabelUpdate) -> Option<i64> {
        update.edited_at.new_value().copied()
    }

    fn merged(&self, update: &LabelUpdate) -> Self {
        Self {
            color: greater(&self.color, &update.color),
            weight: greater(&self.weight, &update.weight),
            see: greater(&self.see, &update.see),
            edited_at: greater(&self.edited_at, &update.edited_at),
            ..self.clone()
        }
    }

    fn united(&self, other: &Self) -> Self {
        Self {
            color: self.color.clone().max(other.color.clone()),
            weight: self.weight.max(other.weight),
            see: self.see.max(other.see),
            edited_at: self.edited_at.max(other.edited_at),
            ..self.clone()
        }
    }

    fn write(&self, conn: &mut SqliteConnection) -> QueryResult<usize> {
        diesel::update(labels::table.find((&self.name, self.card))).set(self).execute(conn)
    }
}

fn card_or_null(card: Option<i32>) -> String {
    card.map_or_else(|| NULL.into(), |card| card.to_string())
}

/// The text for a column without a value.
pub(super) const NULL: &str = "NULL";

/// All values, by table, key and column.
pub(super) type Contents = std::collections::BTreeMap<Cell, String>;

/// A column of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    pub(super) table: String,
    pub(super) key: String,
    pub(super) column: String,
}

/// Deletes the labels without a card, as `ON DELETE CASCADE` would have, and returns them.
pub(super) fn delete_orphans(conn: &mut SqliteConnection) -> QueryResult<Vec<Label>> {
    let orphans = || labels::table.filter(labels::card.ne_all(cards::table.select(cards::id)));
    let found = orphans().load(conn)?;
    diesel::delete(orphans()).execute(conn)?;
    Ok(found)
}

/// Clears references to missing cards, as `ON DELETE SET NULL` would have, and returns the labels
/// from before.
pub(super) fn forget_orphans(conn: &mut SqliteConnection) -> QueryResult<Vec<Label>> {
    let is_gone = || labels::see.ne_all(cards::table.select(cards::id.nullable()));
    let found = labels::table.filter(is_gone()).load(conn)?;
    diesel::update(labels::table.filter(is_gone())).set(labels::see.eq(None::<i32>)).execute(conn)?;
    Ok(found)
}

/// Returns the content of a database.
pub(super) fn contents(conn: &mut SqliteConnection) -> QueryResult<Contents> {
    fn cells<T: Shared>(rows: Vec<T>) -> impl Iterator<Item = (Cell, String)> {
        let cells = |row: T| {
            let cell = |key: &str, column: &str| Cell { table: T::NAME.into(), key: key.into(), column: column.into() };
            let key = row.key();
            row.values().into_iter().map(move |(column, value)| (cell(&key, column), value))
        };
        rows.into_iter().flat_map(cells)
    }
    let cards: Vec<Card> = cards::table.load(conn)?;
    let labels: Vec<Label> = labels::table.load(conn)?;
    Ok(cells(cards).chain(cells(labels)).collect())
}
