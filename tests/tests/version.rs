//! The version of SQLite that all other tests run with.

use std::env;

use diesel_sqlite_session_tests::sqlite;

use crate::common::{lines, open};

/// `scripts/sqlite-versions` runs the tests with other libraries, and says with which one. A test
/// run with the wrong library would show nothing.
#[test]
fn the_library_has_the_expected_version() {
    let expected = env::var("EXPECTED_SQLITE_VERSION").unwrap_or_else(|_| sqlite::BUNDLED_VERSION.to_string());
    println!("SQLite {}", sqlite::version());
    assert_eq!(sqlite::version(), expected, "the version of the referee");
    assert_eq!(lines(&mut open(""), "SELECT sqlite_version() AS line"), [expected], "the version of Diesel");
}
