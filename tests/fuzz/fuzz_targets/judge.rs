//! Bytes are judged and read as SQLite's own iterator judges and reads them.
#![no_main]

use diesel_sqlite_session_tests::agree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| agree::judge(bytes));
