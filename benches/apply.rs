//! Applying, compared with `sqlite3changeset_apply` on the same bytes, in one run.
//!
//! ```sh
//! cargo bench -p diesel-sqlite-session-benches --bench apply                         # up to 10,000 changes
//! cargo bench -p diesel-sqlite-session-benches --bench apply -- UNIQUE               # rows that contain the text
//! cargo bench -p diesel-sqlite-session-benches --bench apply -- '1 changes, random'  # the same
//! cargo bench -p diesel-sqlite-session-benches --bench apply -- --million            # only 1,000,000 INSERTs
//! scripts/apply-instructions                                                         # instructions, not time
//! ```
//!
//! This crate and SQLite apply the same changes in turns, to equal databases of their own. Each
//! pair of times results in a ratio, and the order within a pair alternates. The table contains the
//! median of the ratios and the quartiles. So a slow moment of the machine affects both sides.
//!
//! Before anything is timed, both sides apply all changes once, and the contents of the databases
//! are compared. They are compared again at the end. With a new connection for each apply, the
//! first round compares them. To repeat changes on one connection, a changeset and its inverse are
//! applied in turns, and both are timed.
//!
//! The column "statements alone" is the ratio that prepared statements reach that a program keeps and
//! runs itself, between BEGIN and COMMIT: see `apply/bare.rs`.
//!
//! "First apply after a session" is the first apply on a connection whose handle this crate has found
//! before, as a program in C always knows it.
//!
//! All databases have `PRAGMA foreign_keys = ON`. Files are in WAL mode with `synchronous = OFF`,
//! since both sides wait for the disk equally.

#[path = "apply/bare.rs"]
mod bare;
#[path = "apply/cases.rs"]
mod cases;
#[path = "apply/contest.rs"]
mod contest;

use std::process::ExitCode;

use cases::Case;
use contest::{Effort, Row, applies};

const USAGE: &str = "usage: apply [--test] [--million] [TEXT]
       apply --applies ours|sqlite inserts|updates|blob-inserts|blob-updates|mixed CHANGES COUNT";

fn main() -> ExitCode {
    let (mut is_bench, mut is_test, mut is_million, mut text) = (false, false, false, String::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // added by `cargo bench`, but not by `cargo test`
            "--bench" => is_bench = true,
            "--test" => is_test = true,
            "--million" => is_million = true,
            "--applies" => {
                let rest: Vec<String> = arguments.filter(|argument| argument != "--bench").collect();
                return if applies(&rest).is_some() { ExitCode::SUCCESS } else { usage() };
            }
            option if option.starts_with("--") => return usage(),
            _ => text = argument,
        }
    }
    let (cases, effort) = match (is_test || !is_bench, is_million) {
        (true, _) => (cases::small(), Effort::ONCE),
        (_, true) => (cases::million(), Effort::FIVE),
        _ => (cases::all(), Effort::USUAL),
    };
    let cases: Vec<Case> = cases.into_iter().filter(|case| case.title().contains(&text)).collect();
    println!("{}", Row::HEADER);
    let (mut count, mut slower) = (0, 0);
    for case in &cases {
        for row in contest::run(case, effort) {
            println!("{row}");
            count += 1;
            slower += usize::from(row.ratio() < 1.0);
        }
    }
    println!("\nslower than SQLite: {slower} of {count} rows");
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::FAILURE
}
