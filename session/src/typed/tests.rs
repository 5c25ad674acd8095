//! Tests of typed changes without SQLite, with `--no-default-features --features derive`. The
//! package `tests` compares with SQLite and Diesel.

use std::vec::Vec;

use crate::typed::encode::EncodeRow;
use crate::typed::{DecodeErrorKind, ValueError};
use crate::{Change, Changeset, Field, Patch, Patchset, Tracked};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        score -> Nullable<Double>,
        born -> Date,
    }
}

#[derive(Clone, Debug, PartialEq, Tracked)]
#[diesel(table_name = users)]
#[tracked(crate = crate)]
struct User<'a> {
    id: i32,
    name: &'a str,
    score: Option<f64>,
    born: std::string::String,
}

/// An INSERT, an UPDATE of the name and a DELETE.
const CHANGESET: &[u8] = b"T\x04\x01\0\0\0users\0\
    \x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada\x01\0\0\0\0\0\0\0\x09\x03\x041815\
    \x17\x00\x01\0\0\0\0\0\0\0\x02\x03\x03Bob\x00\x00\x00\x03\x01B\x00\x00\
    \x09\x00\x01\0\0\0\0\0\0\0\x03\x03\x02Cy\x05\x03\x041900";

const PATCHSET: &[u8] =
    b"P\x04\x01\0\0\0users\0\x17\x00\x01\0\0\0\0\0\0\0\x02\x03\x01B\x00\x00\x09\x00\x01\0\0\0\0\0\0\0\x03";

#[test]
fn rows_are_read_and_written_without_a_backend() {
    let changeset = Changeset::try_from(CHANGESET.to_vec()).unwrap();
    let changes: Vec<_> = changeset.changes::<Change<User<'_>>>().collect::<Result<_, _>>().unwrap();
    let [Change::Insert(ada), Change::Update(bob), Change::Delete(cy)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(*ada, User { id: 1, name: "Ada", score: Some(9.0), born: "1815".into() });
    assert_eq!((bob.id, &bob.name), (2, &Field::Changed { old: "Bob", new: "B" }));
    assert_eq!((bob.score.is_changed(), bob.born.is_changed()), (false, false));
    assert_eq!(*cy, User { id: 3, name: "Cy", score: None, born: "1900".into() });

    let values = ada.encode(|values| values.iter().map(std::string::ToString::to_string).collect::<Vec<_>>()).unwrap();
    assert_eq!(values, ["1", "'Ada'", "9.0", "'1815'"]);

    let patchset = Patchset::try_from(PATCHSET.to_vec()).unwrap();
    let patches: Vec<_> = patchset.patches::<Patch<User<'_>>>().collect::<Result<_, _>>().unwrap();
    let [Patch::Update(bob), Patch::Delete(key)] = &patches[..] else { panic!("{patches:?}") };
    assert_eq!((bob.id, bob.name, bob.score, key), (2, Some("B"), None, &3));
}

#[test]
fn a_value_that_does_not_fit_is_an_error_that_names_its_column() {
    let mut bytes = CHANGESET.to_vec();
    let name = bytes.windows(3).position(|bytes| bytes == b"Ada").unwrap();
    bytes[name] = 0xff;
    let changeset = Changeset::try_from(bytes).unwrap();
    let error = changeset.changes::<Change<User<'_>>>().next().unwrap().unwrap_err();
    assert_eq!((error.table(), error.column()), ("users", Some("name")));
    assert_eq!(*error.kind(), DecodeErrorKind::Value(ValueError::Utf8));
}
