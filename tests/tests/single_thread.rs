//! A program with one thread: sessions wait for nobody. A program of its own, because the test
//! harness has threads.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::SqliteSessionExt;

fn main() {
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    conn.batch_execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)").unwrap();
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    let started = Instant::now();
    for id in 0..500 {
        conn.batch_execute(&format!("INSERT INTO t VALUES ({id}, 'x')")).unwrap();
        conn.batch_execute("no SQL").unwrap_err();
        assert_eq!(session.take_changeset().unwrap().records().count(), 1);
    }
    if cfg!(target_os = "linux") {
        // a wait of ten milliseconds each takes five seconds
        assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
    }
    println!("test result: ok. 1 passed; 0 failed");
}
