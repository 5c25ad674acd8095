//! Typed changes of single records and of streams are those of the whole set in memory.

use std::io::{self, Read};

use diesel::prelude::*;
use diesel_sqlite_session::typed::{DecodeErrorKind, ReadChangeError};
use diesel_sqlite_session::wire::{Limit, ParseErrorKind};
use diesel_sqlite_session::{
    Change, Changeset, ChangesetReader, DecodeError, Field, Format, Patch, Patchset, PatchsetReader, SqliteSessionExt,
    Tracked,
};

use crate::common::{exec, open};

diesel::table! {
    seats (flight, row) {
        row -> Integer,
        passenger -> Nullable<Text>,
        flight -> Text,
        paid -> Double,
    }
}

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        city -> Nullable<Text>,
    }
}

#[derive(Clone, Debug, PartialEq, Queryable, Tracked)]
#[diesel(table_name = seats)]
pub struct Seat {
    row: i32,
    passenger: Option<String>,
    flight: String,
    paid: f64,
}

#[derive(Clone, Debug, PartialEq, Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i32,
    name: String,
    #[tracked(default)]
    city: Option<String>,
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = users)]
struct UserRef<'a> {
    id: i32,
    name: &'a str,
    #[tracked(default)]
    city: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Tracked)]
enum Flights {
    Seats(Change<seats::table>),
    Users(Change<users::table>),
}

#[derive(Clone, Debug, PartialEq, Tracked)]
enum FlightPatches {
    Users(Patch<users::table>),
    Seats(Patch<seats::table>),
}

/// A source that returns a few bytes at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(3);
        self.0.read(&mut buffer[..wanted])
    }
}

/// Returns both formats of the same edits: every operation, in tables inside and outside the set,
/// values of every class, some of which do not fit, and a table that was changed before it got its
/// last column.
fn recorded() -> (Changeset, Patchset) {
    let mut conn = open(
        "CREATE TABLE seats (row INTEGER, passenger, flight TEXT, paid REAL, PRIMARY KEY (flight, row)); \
         CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL); \
         CREATE TABLE other (id INTEGER PRIMARY KEY); \
         INSERT INTO seats VALUES (1, 'Ada', 'A', 1.5), (2, NULL, 'A', 2), (3, 'Cy', 'A', 3), (4, 'Di', 'B', 4); \
         INSERT INTO users VALUES (1, 'Ada'), (2, 'Bob')",
    );
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    exec(
        &mut conn,
        "INSERT INTO other VALUES (1), (2); \
         UPDATE seats SET passenger = 'Bob', paid = 9.5 WHERE row = 1; \
         UPDATE seats SET passenger = NULL WHERE row = 3; \
         UPDATE seats SET passenger = x'00' WHERE row = 4; \
         DELETE FROM seats WHERE row = 2; \
         INSERT INTO seats VALUES (5, 'Eve', 'C', 5), (6, x'ff', 'C', 6); \
         UPDATE users SET name = 'Robert' WHERE id = 2; DELETE FROM users WHERE id = 1; INSERT INTO users VALUES (3, 'Cy')",
    );
    let (changeset, patchset) = (session.changeset().unwrap(), session.patchset().unwrap());
    // again, with another section of each table
    let twice = |bytes: &[u8]| [bytes, bytes].concat();
    (twice(changeset.as_bytes()).try_into().unwrap(), twice(patchset.as_bytes()).try_into().unwrap())
}

fn decoded<S>(read: Result<S, ReadChangeError>) -> Result<S, DecodeError> {
    read.map_err(|error| match error {
        ReadChangeError::Decode(error) => error,
        other => panic!("{other}"),
    })
}

#[test]
fn records_and_streams_have_the_changes_and_errors_of_the_whole() {
    let (changeset, patchset) = recorded();
    let changes: Vec<Result<Flights, _>> = changeset.changes().collect();
    assert_eq!(changes.iter().filter(|change| change.is_err()).count(), 2 * (2 + 2));
    assert_eq!(changes.len(), 2 * (2 + 6 + 3));
    let of_records: Vec<Result<Flights, _>> = changeset.records().map(|record| record.change()).collect();
    assert_eq!(of_records, changes);
    let mut reader = ChangesetReader::new(Slow(changeset.as_bytes()));
    assert_eq!(reader.changes().map(decoded).collect::<Vec<Result<Flights, _>>>(), changes);
    let mut reader = ChangesetReader::new(Slow(changeset.as_bytes()));
    let mut one_by_one = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        one_by_one.push(record.change::<Flights>());
    }
    assert_eq!(one_by_one, changes);

    let patches: Vec<Result<FlightPatches, _>> = patchset.patches().collect();
    assert_eq!(patches.iter().filter(|patch| patch.is_err()).count(), 2 * (2 + 2));
    let of_records: Vec<Result<FlightPatches, _>> = patchset.records().map(|record| record.patch()).collect();
    assert_eq!(of_records, patches);
    let mut reader = PatchsetReader::new(Slow(patchset.as_bytes()));
    assert_eq!(reader.patches().map(decoded).collect::<Vec<Result<FlightPatches, _>>>(), patches);
}

#[test]
fn a_stream_skips_tables_outside_the_set_on_request() {
    let (changeset, patchset) = recorded();
    let known: Vec<_> = changeset.changes::<Change<users::table>>().skip_unknown_tables().map(Result::unwrap).collect();
    assert_eq!(known.len(), 6);
    let mut reader = ChangesetReader::new(changeset.as_bytes());
    let read: Vec<Change<users::table>> = reader.changes().skip_unknown_tables().map(Result::unwrap).collect();
    assert_eq!(read, known);
    let known: Vec<_> = patchset.patches::<Patch<users::table>>().skip_unknown_tables().map(Result::unwrap).collect();
    let mut reader = PatchsetReader::new(patchset.as_bytes());
    let read: Vec<Patch<users::table>> = reader.patches().skip_unknown_tables().map(Result::unwrap).collect();
    assert_eq!((read.len(), read), (6, known));
}

#[test]
fn a_row_borrows_from_the_source_of_its_record() {
    let (changeset, patchset) = recorded();
    let bytes = changeset.as_bytes().as_ptr_range();
    let names: Vec<&str> = changeset
        .records()
        .filter(|record| record.table() == "users")
        .map(|record| match record.change::<Change<UserRef<'_>>>().unwrap() {
            Change::Insert(user) | Change::Delete(user) => user.name,
            Change::Update(user) => user.name.into_changed().unwrap().1,
        })
        .collect();
    assert!(names.iter().all(|name| bytes.contains(&name.as_ptr())));
    let mut names: Vec<_> = names[..3].to_vec();
    names.sort_unstable();
    assert_eq!(names, ["Ada", "Cy", "Robert"]);
    // from a stream, until the next record is read
    let mut reader = PatchsetReader::new(patchset.as_bytes());
    let mut read = String::new();
    while let Some(record) = reader.next_record().unwrap() {
        if let Ok(Patch::Update(UserRefPatch { id, name: Some(name), .. })) = record.patch::<Patch<UserRef<'_>>>() {
            read += &format!("{id} {name};");
        }
    }
    assert_eq!(read, "2 Robert;2 Robert;");
}

#[test]
fn a_record_of_the_other_format_is_an_error() {
    let (changeset, patchset) = recorded();
    let error = patchset.records().next().unwrap().change::<Flights>().unwrap_err();
    assert_eq!(*error.kind(), DecodeErrorKind::WrongFormat { found: Format::Patchset });
    assert!(error.to_string().contains("expected a change of a changeset, found a change of a patchset"), "{error}");
    let error = changeset.records().next().unwrap().patch::<FlightPatches>().unwrap_err();
    assert_eq!(*error.kind(), DecodeErrorKind::WrongFormat { found: Format::Changeset });
}

#[test]
fn an_update_with_an_equal_key_is_read_from_its_record_too() {
    // the key changes from 2 to 2.0, as SQLite records it in a column without a type
    let bytes = b"T\x03\x01\0\0users\0\x17\0\x01\0\0\0\0\0\0\0\x02\x03\x03Bob\0\x02\x40\0\0\0\0\0\0\0\x03\x01B\0";
    let changeset = Changeset::try_from(bytes.to_vec()).unwrap();
    let Change::Update(user) = changeset.records().next().unwrap().change::<Change<User>>().unwrap() else { panic!() };
    assert_eq!((user.id, user.name), (2, Field::Changed { old: "Bob".into(), new: "B".into() }));
}

/// A source that fails in between.
struct Failing<'a> {
    pieces: Vec<Option<&'a [u8]>>,
}

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.pieces.pop() {
            Some(Some(mut piece)) => piece.read(buffer),
            Some(None) => Err(io::Error::other("unplugged")),
            None => Ok(0),
        }
    }
}

#[test]
fn iteration_ends_where_the_source_fails_and_another_continues() {
    let file = b"T\x02\x01\0users\0\x12\0\x01\0\0\0\0\0\0\0\x01\x03\x03Ada\x12\0\x01\0\0\0\0\0\0\0\x02\x03\x03Bob";
    let mut reader = ChangesetReader::new(Failing { pieces: vec![Some(&file[30..]), None, Some(&file[..30])] });
    let mut changes = reader.changes::<Change<User>>();
    assert!(matches!(changes.next(), Some(Ok(Change::Insert(user))) if user.name == "Ada"));
    let failed = changes.next().unwrap().unwrap_err();
    assert!(matches!(&failed, ReadChangeError::Read(error) if error.kind() == ParseErrorKind::Io), "{failed:?}");
    assert_eq!(std::error::Error::source(&failed).unwrap().to_string(), "unplugged");
    assert!(changes.next().is_none());
    let rest: Vec<_> = reader.changes::<Change<User>>().map(Result::unwrap).collect();
    assert!(matches!(&rest[..], [Change::Insert(user)] if user.name == "Bob"));
    assert!(reader.changes::<Change<User>>().next().is_none());
}

#[test]
fn malformed_or_excessive_input_ends_the_iteration() {
    let file = b"T\x02\x01\0users\0\x12\0\x01\0\0\0\0\0\0\0\x01\x03\x03Ada\x12\0\x05";
    let read: Vec<_> = ChangesetReader::new(&file[..]).changes::<Change<User>>().collect();
    assert!(
        matches!(&read[..], [Ok(_), Err(ReadChangeError::Read(error))] if error.kind() == ParseErrorKind::NullKey),
        "{read:?}"
    );
    let read: Vec<_> = ChangesetReader::new(&file[..]).max_changes(0).changes::<Change<User>>().collect();
    let [Err(ReadChangeError::Read(error))] = &read[..] else { panic!("{read:?}") };
    assert_eq!(error.kind(), ParseErrorKind::Limit { limit: Limit::Changes, max: 0 });
}
