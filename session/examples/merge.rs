//! Two databases with the same cards are edited apart from each other. The client's changes come to the server, which decides
//! field by field where they meet its own; then the client takes over what came of it, and both are the same again.
//!
//! ```text
//! cargo run --example merge
//! ```

#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::typed::Against;
use diesel_sqlite_session::{Change, Conflict, Field, SqliteSessionExt, Tracked};

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

/// Decides the fields of a card one by one.
#[derive(Default)]
struct Merge {
    log: Vec<String>,
    /// Whether a field that the client changed stays the server's.
    keeps_servers: bool,
}

impl Merge {
    /// If both sides changed the field, `is_clients` says whether it is to be the client's.
    fn field<T: Clone + Debug + PartialEq>(
        &mut self,
        name: &str,
        client: &Field<T>,
        server: &T,
        is_clients: impl FnOnce(&T, &T) -> bool,
    ) -> T {
        let (value, why) = match client.against(server) {
            Against::Current(server) => (server, "the client did not change it".into()),
            Against::Same(server) => (server, "both changed it to this".into()),
            Against::New(client) => (client, format!("only the client changed it, from {server:?}")),
            Against::Both { new, current, .. } if is_clients(new, current) => {
                (new, format!("the client's, not the server's {current:?}"))
            }
            Against::Both { new, current, .. } => {
                self.keeps_servers = true;
                (current, format!("the server's, not the client's {new:?}"))
            }
        };
        self.log.push(format!("{name:<10} {value:?}: {why}"));
        value.clone()
    }

    /// The newer edit wins, but of two texts the longer one.
    ///
    /// SQLite compares the columns alone that an UPDATE changes. As every edit sets `edited_at`, two of one card always meet here.
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

fn main() -> Result<(), Box<dyn Error>> {
    let (mut client, mut server) = (SqliteConnection::establish(":memory:")?, SqliteConnection::establish(":memory:")?);
    client.batch_execute(SCHEMA)?;
    server.batch_execute(SCHEMA)?;

    // 1. Both are edited; what the client does is sent.
    let sent = client.capture::<Change<cards::table>, _, _, _>(|conn| conn.batch_execute(CLIENT))?.changeset;
    let mut session = server.create_session()?;
    session.attach::<cards::table>()?;
    server.batch_execute(SERVER)?;
    println!("The client sends {} changes, {} bytes.", sent.records().count(), sent.as_bytes().len());

    // 2. The server applies it. What was merged is written by Diesel, in the same transaction.
    //    Maps by key, as changes come in any order, and a handler can be asked about one more than once.
    let mut log = BTreeMap::new();
    let (mut merged, mut renumbered) = (BTreeMap::new(), BTreeMap::new());
    let report = server.transaction::<_, Box<dyn Error>, _>(|conn| {
        let report = conn
            .apply(&sent)
            .on_conflict::<cards::table>(|conflict| match (&conflict, conflict.change()) {
                (Conflict::Data(c), Change::Update(client)) => {
                    let mut merge = Merge::default();
                    let card = merge.card(client, c.current());
                    log.insert(client.id, merge.log);
                    if !merge.keeps_servers {
                        return c.replace(); // which leaves the fields alone that the client did not change
                    }
                    merged.insert(card.id, card);
                    c.omit()
                }
                (Conflict::Data(c), Change::Delete(card)) => {
                    log.insert(card.id, vec!["the client deleted it, the server edited it: it stays".into()]);
                    c.omit()
                }
                (Conflict::NotFound(c), Change::Update(card)) => {
                    log.insert(card.id, vec!["the client edited it, the server deleted it: it is gone".into()]);
                    c.omit()
                }
                (Conflict::Conflict(c), Change::Insert(card)) => {
                    log.insert(card.id, vec!["new on both sides: the client's gets another key".into()]);
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
        Ok(report)
    })?;
    println!("\nWhere they met the server's:");
    for (id, lines) in &log {
        println!("  card {id}\n    {}", lines.join("\n    "));
    }
    println!("\nThe report: {report}");

    // 3. The client goes back to where both were the same, and from there takes what the server did and made of it.
    let result = session.changeset()?;
    let taken = client.transaction::<_, Box<dyn Error>, _>(|conn| {
        conn.apply(&sent).inverted().run()?;
        Ok(conn.apply(&result).run()?)
    })?;
    println!("\nThe client takes over the server's: {taken}");
    let (clients, servers) = (cards(&mut client)?, cards(&mut server)?);
    for (whose, cards) in [("client", &clients), ("server", &servers)] {
        println!("\nThe {whose} has:");
        for Card { id, title, text, done, edited_at } in cards {
            println!("  {id}  {title:<14} {text:<22} {:<5} {edited_at}", if *done { "done" } else { "" });
        }
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
    assert_eq!(servers, expected);
    assert_eq!(clients, servers);
    assert_eq!((report.applied(), report.replaced(), report.omitted()), (1, 1, 5));
    assert_eq!((taken.omitted(), taken.replaced()), (0, 0));
    assert_eq!(log.keys().collect::<Vec<_>>(), [&1, &2, &3, &4, &5, &7]);
    assert_eq!(merged.keys().collect::<Vec<_>>(), [&1, &2]);
    Ok(())
}
