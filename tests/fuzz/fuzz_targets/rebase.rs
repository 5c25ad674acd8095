//! Changes are rebased as by SQLite, whatever the rebase data. The first byte is the length of the
//! rebase data in steps of 8 bytes; the rest are the changes.
#![no_main]

use diesel_sqlite_session_tests::rebasing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((steps, bytes)) = bytes.split_first() else { return };
    let (data, changes) = bytes.split_at(bytes.len().min(usize::from(*steps) * 8));
    rebasing::judge(&[data], changes);
    // bytes that look like changes often look like rebase data too
    rebasing::judge(&[bytes], bytes);
});
