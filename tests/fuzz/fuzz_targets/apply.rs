//! Carries out plans of hostile changes: see `diesel_sqlite_session_tests::hostile`. `scripts/fuzz`
//! compiles SQLite under AddressSanitizer for this target.
#![no_main]

use diesel_sqlite_session_tests::hostile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|plan: &[u8]| {
    hostile::attack(plan);
});
