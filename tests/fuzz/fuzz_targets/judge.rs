//! Bytes are judged and read as by SQLite's own iterator.
#![no_main]

use diesel_sqlite_session_tests::agree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| agree::judge(bytes));
