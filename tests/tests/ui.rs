//! Compile errors, word for word: each file in `ui/` contains one mistake, and the file of the same
//! name with the suffix `.stderr` contains the error.
//!
//! The words depend on the version of Rust. With another version the test is skipped, and prints
//! the reason. To write the files again: `TRYBUILD=overwrite cargo test -p diesel-sqlite-session-tests --test
//! ui`.

use std::path::Path;
use std::process::Command;

/// The version whose messages the files contain.
const RUST: &str = "rustc 1.95.0 ";

#[test]
fn each_mistake_is_reported_at_its_place() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.starts_with(RUST) {
        eprintln!("left out: the messages are those of {RUST}, and this is {version}");
        return;
    }
    // the schema files that the derive reads, next to the package that trybuild creates three
    // folders down
    for file in std::fs::read_dir("tests/ui/schemas").expect("schemas") {
        let file = file.expect("a schema");
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file.file_name());
        std::fs::copy(file.path(), copy).expect("a copy");
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
