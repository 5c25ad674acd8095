//! What the compiler says of mistakes, word for word: a file with one mistake each in `ui/`, and beside it what is said.
//!
//! The words are those of one version of Rust; with any other these tests are left out, and say so. To write the files anew:
//! `TRYBUILD=overwrite cargo test -p diesel-sqlite-session-tests --test ui`.

use std::path::Path;
use std::process::Command;

/// The one whose words the files hold.
const RUST: &str = "rustc 1.95.0 ";

#[test]
fn each_mistake_is_said_where_it_is_made() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.starts_with(RUST) {
        eprintln!("left out: the messages are those of {RUST}, and this is {version}");
        return;
    }
    // what a schema's derive reads: files beside the package that trybuild makes, three folders further down
    for file in std::fs::read_dir("tests/ui/schemas").expect("schemas") {
        let file = file.expect("a schema");
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file.file_name());
        std::fs::copy(file.path(), copy).expect("a copy");
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
