//! Notes in a browser, in a database that outlives the page: the example of the documentation page
//! "In the browser". The worker in `worker.js` calls these functions, and `scripts/wasm` tests the
//! page.
#![cfg(all(target_family = "wasm", target_os = "unknown"))]
#![allow(missing_docs, clippy::missing_errors_doc)]

use std::cell::RefCell;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{Change, Changeset, ConflictAction, ConflictType, SqliteSessionExt, Tracked};
use sqlite_wasm_rs::WasmOsCallback;
use sqlite_wasm_vfs::sahpool::{OpfsSAHPoolCfg, install};
use wasm_bindgen::prelude::*;

diesel::table! {
    notes (id) {
        id -> Integer,
        text -> Text,
    }
}

#[derive(Debug, PartialEq, Queryable, Insertable, Tracked)]
#[diesel(table_name = notes)]
pub struct Note {
    id: i32,
    text: String,
}

thread_local! {
    static CONNECTION: RefCell<Option<SqliteConnection>> = const { RefCell::new(None) };
}

fn with<T>(work: impl FnOnce(&mut SqliteConnection) -> Result<T, JsError>) -> Result<T, JsError> {
    CONNECTION.with_borrow_mut(|connection| match connection {
        Some(connection) => work(connection),
        None => Err(JsError::new("the database is not open")),
    })
}

/// Opens the database. Its files stay locked until the worker ends.
#[wasm_bindgen]
pub async fn open() -> Result<(), JsError> {
    install::<WasmOsCallback>(&OpfsSAHPoolCfg::default(), true).await?;
    let mut connection = SqliteConnection::establish("notes.db")?;
    connection.batch_execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")?;
    CONNECTION.set(Some(connection));
    Ok(())
}

/// Saves a note. Returns the changes, to send them to a server.
#[wasm_bindgen]
pub fn save(id: i32, text: String) -> Result<Vec<u8>, JsError> {
    with(|connection| {
        let written = connection
            .write::<Change<notes::table>>()
            .run(|connection| diesel::replace_into(notes::table).values(Note { id, text }).execute(connection))?;
        Ok(written.changeset.into_bytes())
    })
}

/// Applies changes that a server passes on. The last writer wins.
#[wasm_bindgen]
pub fn receive(changes: Vec<u8>) -> Result<(), JsError> {
    with(|connection| {
        let changeset = Changeset::try_from(changes)?;
        let decide = |kind| match kind {
            ConflictType::Data | ConflictType::Conflict => ConflictAction::Replace,
            ConflictType::NotFound => ConflictAction::Omit,
            ConflictType::Constraint | ConflictType::ForeignKey => ConflictAction::Abort,
        };
        connection.apply(&changeset).only::<Change<notes::table>>().otherwise(decide).run()?;
        Ok(())
    })
}

/// Returns the texts of all notes, in the order of their numbers.
#[wasm_bindgen]
pub fn texts() -> Result<Vec<String>, JsError> {
    with(|connection| Ok(notes::table.select(notes::text).order(notes::id).load(connection)?))
}
