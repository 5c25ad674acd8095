//! Whatever is accepted can be filtered, renamed, sorted, split and written as SQL, and nothing is lost or added.
#![no_main]

use diesel_sqlite_session_tests::shape;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| shape::check(bytes));
