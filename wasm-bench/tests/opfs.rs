//! Databases in the origin private file system (OPFS) of a browser, with the VFS `sahpool` of
//! sqlite-wasm-vfs. It requires a dedicated worker: Node cannot run these tests.
#![cfg(all(target_family = "wasm", target_os = "unknown"))]
#![allow(missing_docs)]

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::{ApplyError, Change, Changeset, ConflictAction, Field, SqliteSessionExt, Tracked};
use js_sys::{Function, Promise};
use sqlite_wasm_rs::WasmOsCallback;
use sqlite_wasm_rs::vfs::VfsFilesManager;
use sqlite_wasm_vfs::sahpool::{OpfsSAHError, OpfsSAHPoolCfg, OpfsSAHPoolCfgBuilder, OpfsSAHPoolUtil, install};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen(module = "/tests/opfs.js")]
extern "C" {
    #[wasm_bindgen(js_name = writeAndTerminate)]
    fn write_and_terminate(directory: &str) -> Promise;
    #[wasm_bindgen(js_name = lockFiles)]
    fn lock_files(directory: &str) -> Promise;
    #[wasm_bindgen(js_name = fillDisk)]
    fn fill_disk() -> Function;
    fn wait(milliseconds: u32) -> Promise;
}

diesel::table! {
    notes (id) {
        id -> Integer,
        text -> Text,
    }
}

diesel::table! {
    outbox (id) {
        id -> Integer,
        changes -> Binary,
    }
}

#[derive(Debug, PartialEq, Queryable, Insertable, Tracked)]
#[diesel(table_name = notes)]
pub struct Note {
    id: i32,
    text: String,
}

type Set = Change<notes::table>;

const SCHEMA: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
    CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, changes BLOB NOT NULL);";

fn config(directory: &str, is_cleared: bool) -> OpfsSAHPoolCfg {
    OpfsSAHPoolCfgBuilder::new().vfs_name(directory).directory(directory).clear_on_init(is_cleared).build()
}

/// Returns an empty pool of files.
async fn pool(directory: &str) -> OpfsSAHPoolUtil {
    install::<WasmOsCallback>(&config(directory, true), false).await.unwrap()
}

fn open(directory: &str, file: &str) -> SqliteConnection {
    SqliteConnection::establish(&format!("file:{file}?vfs={directory}")).unwrap()
}

fn create(directory: &str, file: &str) -> SqliteConnection {
    let mut conn = open(directory, file);
    conn.batch_execute(SCHEMA).unwrap();
    conn
}

fn note(id: i32, text: &str) -> Note {
    Note { id, text: text.into() }
}

fn insert(conn: &mut SqliteConnection, note: Note) -> QueryResult<usize> {
    diesel::insert_into(notes::table).values(note).execute(conn)
}

fn changed(old: &str, new: &str) -> Field<String> {
    Field::Changed { old: old.into(), new: new.into() }
}

fn all(conn: &mut SqliteConnection) -> Vec<Note> {
    notes::table.order(notes::id).load(conn).unwrap()
}

#[wasm_bindgen_test]
async fn tracked_rows_are_there_after_reopening() {
    let pool = pool("reopened").await;
    let mut conn = create("reopened", "app.db");
    let mut session = conn.track::<Set>().unwrap();
    conn.transaction(|conn| (1..=500).try_for_each(|id| insert(conn, note(id, "first")).map(drop))).unwrap();
    assert_eq!(session.take_changeset().unwrap().records().count(), 500);
    drop(conn);
    assert!(session.is_closed());

    pool.pause().unwrap();
    assert!(SqliteConnection::establish("file:app.db?vfs=reopened").is_err());
    pool.resume().await.unwrap();

    let mut conn = open("reopened", "app.db");
    assert_eq!(notes::table.count().get_result::<i64>(&mut conn).unwrap(), 500);
    let mut session = conn.track::<Set>().unwrap();
    diesel::update(notes::table.find(7)).set(notes::text.eq("second")).execute(&mut conn).unwrap();
    let changes: Vec<Set> = session.changeset().unwrap().changes().collect::<Result<_, _>>().unwrap();
    let [Change::Update(update)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((update.id, &update.text), (7, &changed("first", "second")));
}

#[wasm_bindgen_test]
async fn an_edit_and_its_changeset_are_one_transaction() {
    let pool = pool("outbox").await;
    let mut conn = create("outbox", "app.db");
    let edit = |conn: &mut SqliteConnection, id: i32, fails: bool| {
        conn.immediate_transaction(|conn| {
            let written = conn.write::<Set>().run(|conn| insert(conn, note(id, "sent"))).unwrap();
            let row = outbox::changes.eq(written.changeset.as_bytes());
            diesel::insert_into(outbox::table).values(row).execute(conn)?;
            if fails { Err(diesel::result::Error::RollbackTransaction) } else { Ok(()) }
        })
    };
    edit(&mut conn, 1, false).unwrap();
    edit(&mut conn, 2, true).unwrap_err();
    edit(&mut conn, 3, false).unwrap();
    drop(conn);
    pool.pause().unwrap();
    pool.resume().await.unwrap();

    let mut conn = open("outbox", "app.db");
    let sent: Vec<Vec<u8>> = outbox::table.select(outbox::changes).order(outbox::id).load(&mut conn).unwrap();
    let mut replica = SqliteConnection::establish(":memory:").unwrap();
    replica.batch_execute(SCHEMA).unwrap();
    for changes in sent {
        replica.apply(&Changeset::try_from(changes).unwrap()).run().unwrap();
    }
    assert_eq!(all(&mut replica), [note(1, "sent"), note(3, "sent")]);
    assert_eq!(all(&mut conn), all(&mut replica));
}

#[wasm_bindgen_test]
async fn two_files_are_compared() {
    let _pool = pool("compared").await;
    let mut before = create("compared", "before.db");
    insert(&mut before, note(1, "same")).unwrap();
    insert(&mut before, note(2, "old")).unwrap();
    drop(before);
    let mut conn = create("compared", "after.db");
    insert(&mut conn, note(1, "same")).unwrap();
    insert(&mut conn, note(2, "new")).unwrap();
    conn.batch_execute("ATTACH 'file:before.db?vfs=compared' AS before").unwrap();
    let difference = conn.diff::<Set>("before", "main").unwrap();
    let changes: Vec<Set> = difference.changes().collect::<Result<_, _>>().unwrap();
    let [Change::Update(update)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((update.id, &update.text), (2, &changed("old", "new")));
}

#[wasm_bindgen_test]
async fn an_aborted_apply_is_rolled_back() {
    let _pool = pool("aborted").await;
    let mut source = SqliteConnection::establish(":memory:").unwrap();
    source.batch_execute(SCHEMA).unwrap();
    let captured = source
        .capture::<Set>()
        .run(|conn| (1..=200).try_for_each(|id| insert(conn, note(id, "from the source")).map(drop)))
        .unwrap();
    let mut conn = create("aborted", "app.db");
    insert(&mut conn, note(150, "in the way")).unwrap();
    let error = conn.apply(&captured.changeset).run().unwrap_err();
    assert!(matches!(error, ApplyError::ConflictAborted), "{error}");
    drop(conn);
    let mut conn = open("aborted", "app.db");
    assert_eq!(all(&mut conn), [note(150, "in the way")]);
    let report = conn.apply(&captured.changeset).otherwise(|_| ConflictAction::Omit).run().unwrap();
    assert_eq!((report.applied(), report.omitted()), (199, 1));
}

#[wasm_bindgen_test]
async fn the_pool_can_be_the_default_vfs() {
    let pool = install::<WasmOsCallback>(&config("default", true), true).await.unwrap();
    let mut conn = SqliteConnection::establish("app.db").unwrap();
    conn.batch_execute(SCHEMA).unwrap();
    drop(conn);
    // the first look-up of the handle, in a transaction that has written
    let mut conn = SqliteConnection::establish("app.db").unwrap();
    conn.transaction(|conn| {
        insert(conn, note(1, "before"))?;
        let mut session = conn.track::<Set>().unwrap();
        insert(conn, note(2, "after"))?;
        assert_eq!(session.on(conn).changeset().unwrap().records().count(), 1);
        QueryResult::Ok(())
    })
    .unwrap();
    assert!(pool.contains("app.db").unwrap());
    let mut memory = SqliteConnection::establish(":memory:").unwrap();
    memory.batch_execute(SCHEMA).unwrap();
    drop(memory.track::<Set>().unwrap());
    drop((conn, memory));
    // SAFETY: no connection of this VFS is open: those of other tests name their VFS.
    unsafe { pool.uninstall() }.unwrap();
}

/// Writes rows that exceed the page cache, so that they are in the file, and does not commit.
#[wasm_bindgen]
pub async fn write_without_commit(directory: String) {
    install::<WasmOsCallback>(&config(&directory, false), false).await.unwrap();
    let mut conn = open(&directory, "app.db");
    conn.batch_execute("PRAGMA cache_size = 5; BEGIN; UPDATE notes SET text = 'lost'").unwrap();
    (1001..=3000).try_for_each(|id| insert(&mut conn, note(id, "lost")).map(drop)).unwrap();
    core::mem::forget(conn);
}

#[wasm_bindgen_test]
async fn a_worker_that_is_terminated_in_a_transaction_loses_only_the_transaction() {
    let pool = pool("terminated").await;
    let mut conn = create("terminated", "app.db");
    conn.transaction(|conn| (1..=1000).try_for_each(|id| insert(conn, note(id, "committed")).map(drop))).unwrap();
    drop(conn);
    pool.pause().unwrap();
    let message = JsFuture::from(write_and_terminate("terminated")).await.unwrap();
    assert_eq!(message.as_string().as_deref(), Some("written"));
    // the browser releases the files a moment after the worker has ended
    for _ in 0..100 {
        if pool.resume().await.is_ok() {
            break;
        }
        JsFuture::from(wait(50)).await.unwrap();
    }
    // the next connection rolls the transaction back
    assert!(pool.contains("app.db-journal").unwrap());
    let mut conn = open("terminated", "app.db");
    let rows = all(&mut conn);
    assert_eq!(rows.len(), 1000);
    assert!(rows.iter().all(|note| note.text == "committed"));
    assert_eq!(
        diesel::dsl::sql::<diesel::sql_types::Text>("PRAGMA integrity_check").get_result::<String>(&mut conn).unwrap(),
        "ok"
    );
    let mut session = conn.track::<Set>().unwrap();
    insert(&mut conn, note(1001, "after")).unwrap();
    assert_eq!(session.changeset().unwrap().records().count(), 1);
}

#[wasm_bindgen_test]
async fn a_full_disk_is_an_error_and_loses_nothing() {
    let _pool = pool("full").await;
    let mut source = SqliteConnection::establish(":memory:").unwrap();
    source.batch_execute(SCHEMA).unwrap();
    let many = |conn: &mut SqliteConnection| {
        (2..=500).try_for_each(|id| insert(conn, note(id, &"many bytes ".repeat(100))).map(drop))
    };
    let changes = source.capture::<Set>().run(many).unwrap().changeset;

    let mut conn = create("full", "app.db");
    insert(&mut conn, note(1, "before")).unwrap();
    let mut session = conn.track::<Set>().unwrap();
    let restore = fill_disk();
    let captured = conn.capture::<Set>().run(many).unwrap_err();
    let applied = conn.apply(&changes).run().unwrap_err();
    let rows = all(&mut conn);
    restore.call0(&JsValue::NULL).unwrap();
    for error in [captured.to_string(), applied.to_string()] {
        assert!(error.contains("disk is full"), "{error}");
    }
    assert_eq!(rows, [note(1, "before")]);
    assert!(session.changeset().unwrap().is_empty());
    conn.apply(&changes).run().unwrap();
    assert_eq!(session.changeset().unwrap().records().count(), 499);
    drop(conn);
    assert_eq!(all(&mut open("full", "app.db")).len(), 500);
}

#[wasm_bindgen_test]
async fn a_directory_has_one_owner() {
    let pool = pool("owned").await;
    drop(create("owned", "app.db"));
    pool.pause().unwrap();
    let unlock: Function = JsFuture::from(lock_files("owned")).await.unwrap().unchecked_into();
    let Err(error) = pool.resume().await else { panic!("two owners") };
    let OpfsSAHError::Opfs { message, .. } = &error else { panic!("{error}") };
    assert!(message.starts_with("NoModificationAllowedError"), "{message}");
    let locked = unlock.call0(&JsValue::NULL).unwrap();
    assert!(locked.as_f64().unwrap() > 0.0);
    pool.resume().await.unwrap();
    drop(open("owned", "app.db").track::<Set>().unwrap());
}
