//! A three-way merge. A client and a server edit the same cards offline. The server merges the
//! client's changes column by column, and the client applies the result: both databases contain the
//! same rows again.
//!
//! ```text
//! cargo run --example merge
//! ```

#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Debug;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::typed::Against;
use diesel_sqlite_session::{ApplyError, Change, Conflict, Field, SqliteSessionExt, Tracked};

mod setup;
use setup::{Result, open};

diesel::table! {
    cards (id) {
        id -> Integer,
        title -> Text,
        text -> Text,
        done -> Bool,
        edited_at -> Text,
    }
}

#[derive(Clone, Debug, PartialEq, Queryable, AsChangeset, Tracked)]
#[diesel(table_name = cards)]
pub struct Card {
    id: i32,
    title: String,
    text: String,
    done: bool,
    edited_at: String,
}

const SCHEMA: &str = "
    CREATE TABLE cards (id INTEGER PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL, done BOOLEAN NOT NULL,
        edited_at TEXT NOT NULL);
    INSERT INTO cards VALUES (1, 'milk', 'two bottles', 0, '09:00'), (2, 'call Ada', '', 0, '09:00'),
        (3, 'paint', 'the fence', 0, '09:00'), (4, 'stamps', '', 0, '09:00'), (5, 'hat', '', 0, '09:00'),
        (6, 'boots', '', 0, '09:00');
";

const CLIENT: &str = "
    UPDATE cards SET title = 'oat milk', edited_at = '10:05' WHERE id = 1;
    UPDATE cards SET title = 'ring Ada', text = 'after six, not before', edited_at = '10:10' WHERE id = 2;
    UPDATE cards SET title = 'paint it blue', done = 1, edited_at = '10:40' WHERE id = 3;
    DELETE FROM cards WHERE id = 4;
    UPDATE cards SET text = 'a warm one', edited_at = '10:15' WHERE id = 5;
    UPDATE cards SET done = 1, edited_at = '10:20' WHERE id = 6;
    INSERT INTO cards VALUES (7, 'tickets', 'for two', 0, '10:25');
";

const SERVER: &str = "
    UPDATE cards SET done = 1, edited_at = '10:30' WHERE id = 1;
    UPDATE cards SET title = 'write to Ada', text = 'today', edited_at = '10:30' WHERE id = 2;
    UPDATE cards SET title = 'paint it red', text = 'fence and gate', done = 1, edited_at = '10:30' WHERE id = 3;
    UPDATE cards SET text = 'ten of them', edited_at = '10:30' WHERE id = 4;
    DELETE FROM cards WHERE id = 5;
    INSERT INTO cards VALUES (7, 'cake', 'for Bob', 0, '10:30');
";

/// Merges the columns of a card one by one.
#[derive(Default)]
struct Merge {
    log: Vec<String>,
    /// Whether the server's value won in a column that the client changed.
    keeps_server: bool,
}

impl Merge {
    /// Returns the merged value of a column. If both sides changed the column, `client_wins`
    /// decides.
    fn field<T: Clone + Debug + PartialEq>(
        &mut self,
        name: &str,
        client: &Field<T>,
        server: &T,
        client_wins: impl FnOnce(&T, &T) -> bool,
    ) -> T {
        let (value, why) = match client.against(server) {
            Against::Current(server) => (server, "unchanged by the client".into()),
            Against::Same(server) => (server, "both changed to the same value".into()),
            Against::New(client) => (client, format!("only the client changed {server:?}")),
            Against::Both { new, current, .. } if client_wins(new, current) => {
                (new, format!("client wins over {current:?}"))
            }
            Against::Both { new, current, .. } => {
                self.keeps_server = true;
                (current, format!("server wins over {new:?}"))
            }
        };
        self.log.push(format!("{name:<9} = {value:?} ({why})"));
        value.clone()
    }

    /// Merges two edits of a card: the newer edit wins, but of two texts the longer text wins.
    ///
    /// SQLite compares only the columns that an UPDATE changes. Every edit sets `edited_at`, so two
    /// edits of a card always conflict.
    fn card(&mut self, client: &CardUpdate, server: &Card) -> Card {
        let is_newer = client.edited_at.new_value() > Some(&server.edited_at);
        Card {
            id: client.id,
            title: self.field("title", &client.title, &server.title, |_, _| is_newer),
            text: self.field("text", &client.text, &server.text, |client, server| client.len() > server.len()),
            done: self.field("done", &client.done, &server.done, |_, _| is_newer),
            edited_at: self.field("edited_at", &client.edited_at, &server.edited_at, |_, _| is_newer),
        }
    }
}

fn cards(conn: &mut SqliteConnection) -> QueryResult<Vec<Card>> {
    cards::table.order(cards::id).load(conn)
}

fn main() -> Result<()> {
    let (mut client, mut server) = (open(SCHEMA)?, open(SCHEMA)?);

    // 1. Edit both databases, and send the changes of the client.
    let sent = client.capture::<Change<cards::table>>().run(|conn| conn.batch_execute(CLIENT))?.changeset;
    let mut session = server.create_session()?;
    session.attach::<cards::table>()?;
    server.batch_execute(SERVER)?;
    println!("The client sends {} changes, {} bytes.", sent.records().count(), sent.as_bytes().len());

    // 2. Apply them on the server, and write the merged cards with Diesel in the same transaction.
    //    The maps are ordered by key, since changes come in any order.
    let mut log = BTreeMap::new();
    let (mut merged, mut renumbered) = (BTreeMap::new(), BTreeMap::new());
    let report = server.transaction(|conn| {
        let report = conn
            .apply(&sent)
            .on_conflict::<cards::table>(|conflict| match (&conflict, conflict.change()) {
                (Conflict::Data(c), Change::Update(client)) => {
                    let mut merge = Merge::default();
                    let card = merge.card(client, c.current());
                    log.insert(client.id, merge.log);
                    if !merge.keeps_server {
                        return c.replace(); // sets only the columns that the client changed
                    }
                    merged.insert(card.id, card);
                    c.omit()
                }
                (Conflict::Data(c), Change::Delete(card)) => {
                    log.insert(card.id, vec!["deleted by the client, edited by the server: kept".into()]);
                    c.omit()
                }
                (Conflict::NotFound(c), Change::Update(card)) => {
                    log.insert(card.id, vec!["edited by the client, deleted by the server: stays deleted".into()]);
                    c.omit()
                }
                (Conflict::Conflict(c), Change::Insert(card)) => {
                    log.insert(card.id, vec!["inserted on both sides: the client's card gets a new key".into()]);
                    renumbered.insert(card.id, card.clone());
                    c.omit()
                }
                (other, _) => other.abort(),
            })
            .run()?;
        for card in merged.values() {
            diesel::update(cards::table.find(card.id)).set(card).execute(conn)?;
        }
        for Card { title, text, done, edited_at, .. } in renumbered.into_values() {
            let card =
                (cards::title.eq(title), cards::text.eq(text), cards::done.eq(done), cards::edited_at.eq(edited_at));
            diesel::insert_into(cards::table).values(card).execute(conn)?;
        }
        Ok::<_, ApplyError>(report)
    })?;
    println!("\nThe conflicts on the server:");
    for (id, lines) in &log {
        println!("  card {id}\n    {}", lines.join("\n    "));
    }
    println!("\nThe report of the server: {report}");

    // 3. The client undoes its own changes, which restores the common start, and applies all
    //    changes of the server.
    let result = session.changeset()?;
    let taken = client.transaction(|conn| {
        conn.apply(&sent).inverted().run()?;
        conn.apply(&result).run()
    })?;
    println!("\nThe report of the client: {taken}");
    let (on_client, on_server) = (cards(&mut client)?, cards(&mut server)?);
    println!("\nThe cards in both databases:");
    for Card { id, title, text, done, edited_at } in &on_server {
        println!("  {id}  {title:<14} {text:<22} {:<5} {edited_at}", if *done { "done" } else { "" });
    }

    let card = |id, title: &str, text: &str, done, edited_at: &str| Card {
        id,
        title: title.into(),
        text: text.into(),
        done,
        edited_at: edited_at.into(),
    };
    let expected = [
        card(1, "oat milk", "two bottles", true, "10:30"),
        card(2, "write to Ada", "after six, not before", false, "10:30"),
        card(3, "paint it blue", "fence and gate", true, "10:40"),
        card(4, "stamps", "ten of them", false, "10:30"),
        card(6, "boots", "", true, "10:20"),
        card(7, "cake", "for Bob", false, "10:30"),
        card(8, "tickets", "for two", false, "10:25"),
    ];
    assert_eq!(on_server, expected);
    assert_eq!(on_client, on_server);
    assert_eq!((report.applied(), report.replaced(), report.omitted()), (1, 1, 5));
    assert_eq!((taken.omitted(), taken.replaced()), (0, 0));
    assert_eq!(log.keys().collect::<Vec<_>>(), [&1, &2, &3, &4, &5, &7]);
    assert_eq!(merged.keys().collect::<Vec<_>>(), [&1, &2]);
    Ok(())
}
