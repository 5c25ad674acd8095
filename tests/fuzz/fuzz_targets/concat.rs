//! Any two well-formed inputs concatenate as SQLite's changegroup puts them together. The first two bytes say where the second
//! one begins.
#![no_main]

use diesel_sqlite_session_tests::group;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (first, second) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*length))));
    group::judge(first, second);
});
