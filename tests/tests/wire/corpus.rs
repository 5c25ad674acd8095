//! The files in `tests/corpus`, and changesets by other software in `../shared/data`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use diesel_sqlite_session::{Changeset, ChangesetRef, Format, ParseError, PatchsetRef};
use diesel_sqlite_session_tests::{agree, sqlite};

fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn parse(bytes: &[u8]) -> Result<(), ParseError> {
    match bytes.first().and_then(|byte| Format::from_byte(*byte)) {
        Some(Format::Patchset) => PatchsetRef::parse(bytes).map(drop),
        _ => ChangesetRef::parse(bytes).map(drop),
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn well_formed_bytes_are_accepted() {
    let files = files(&corpus().join("accepted"));
    assert!(files.len() >= 18);
    for (path, bytes) in files {
        agree::judge(&bytes);
        parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn malformed_bytes_are_rejected_with_the_right_reason() {
    let mut kinds = 0;
    for entry in fs::read_dir(corpus().join("refused")).unwrap() {
        let directory = entry.unwrap().path();
        let kind = directory.file_name().unwrap().to_str().unwrap().to_string();
        for (path, bytes) in files(&directory) {
            agree::judge(&bytes);
            let error = parse(&bytes).expect_err(&path.display().to_string());
            assert!(format!("{:?}", error.kind()).starts_with(&kind), "{}: {error}", path.display());
            assert!(error.offset() <= bytes.len(), "{}: {error}", path.display());
        }
        kinds += 1;
    }
    assert_eq!(kinds, 11, "a folder for each kind of error");
}

#[test]
fn every_cut_and_every_changed_byte_of_the_corpus_is_judged_as_sqlite_judges_it() {
    for (_, bytes) in files(&corpus().join("accepted")).into_iter().filter(|(_, bytes)| bytes.len() < 100) {
        for cut in 0..bytes.len() {
            agree::judge(&bytes[..cut]);
        }
        for at in 0..bytes.len() {
            for byte in [0, 3, 5, b'T', 0xff] {
                let mut changed = bytes.clone();
                changed[at] = byte;
                agree::judge(&changed);
            }
        }
    }
}

#[test]
fn changesets_by_other_software_are_read() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/geodiff");
    if !shared.is_dir() {
        // directly to stderr, which the test runner does not capture
        let _ = writeln!(std::io::stderr(), "skipped: no changesets by other software in ../shared/data/geodiff");
        return;
    }
    let mut count = 0;
    for (path, bytes) in files(&shared).into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "diff")) {
        agree::judge(&bytes);
        let changeset = Changeset::try_from(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!changeset.is_empty(), "{}", path.display());
        assert_eq!(sqlite::read(changeset.as_bytes()).0.len(), changeset.records().count());
        count += 1;
    }
    assert_eq!(count, 13);
}
