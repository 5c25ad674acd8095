//! Changes of the same few rows concatenate as in SQLite's changegroup, and byte for byte as in the
//! builder.
#![no_main]

use diesel_sqlite_session_tests::group;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [first, second] = group::two_of_few_rows(bytes);
    group::judge(&first, &second);
});
