//! Any two well-formed inputs concatenate as in SQLite's changegroup. The first two bytes are the
//! offset of the second input.
#![no_main]

use diesel_sqlite_session_tests::group;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (first, second) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*length))));
    group::judge(first, second);
});
