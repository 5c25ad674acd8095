//! All accepted bytes can be filtered, renamed, sorted, split and written as SQL, without losing or
//! adding a change.
#![no_main]

use diesel_sqlite_session_tests::shape;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| shape::check(bytes));
