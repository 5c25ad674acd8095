//! Changes of the same few rows concatenate as SQLite's changegroup puts them together, and as the builder does, byte for byte.
#![no_main]

use diesel_sqlite_session_tests::group;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [first, second] = group::two_of_few_rows(bytes);
    group::judge(&first, &second);
});
