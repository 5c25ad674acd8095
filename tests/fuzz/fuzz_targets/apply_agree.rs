//! Carries out plans of changes that are applied with this crate and with SQLite's own function: see
//! `diesel_sqlite_session_tests::apply_agree`.
#![no_main]

use diesel_sqlite_session_tests::apply_agree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|plan: &[u8]| {
    apply_agree::check(plan);
});
