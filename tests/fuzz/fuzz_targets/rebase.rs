//! Changes are rebased as SQLite rebases them, whatever the rebase data. Of the input the first byte says how much of it, in
//! steps of 8 bytes, is the rebase data; the rest are the changes.
#![no_main]

use diesel_sqlite_session_tests::rebasing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((steps, bytes)) = bytes.split_first() else { return };
    let (data, changes) = bytes.split_at(bytes.len().min(usize::from(*steps) * 8));
    rebasing::judge(&[data], changes);
    // what looks like changes often looks like rebase data too
    rebasing::judge(&[bytes], bytes);
});
