//! Any JSON is refused or read, without a panic; what is read, and any changeset or patchset, goes to JSON and back.
#![no_main]

use diesel_sqlite_session::{Change, Changeset, Patch, Patchset, Tracked};
use libfuzzer_sys::fuzz_target;

diesel::table! {
    users (id, name) {
        id -> BigInt,
        name -> Text,
        score -> Nullable<Double>,
        avatar -> Nullable<Binary>,
    }
}

#[derive(Debug, PartialEq, Tracked)]
#[diesel(table_name = users)]
pub struct User {
    id: i64,
    name: String,
    score: Option<f64>,
    avatar: Option<Vec<u8>>,
}

#[derive(Debug, PartialEq, Tracked)]
enum Changes {
    Users(Change<users::table>),
}

#[derive(Debug, PartialEq, Tracked)]
enum Patches {
    Users(Patch<users::table>),
}

/// What was read says the same again.
macro_rules! goes_round {
    ($read:expr, $Set:ty) => {
        let text = serde_json::to_string(&$read).unwrap();
        let back: $Set = serde_json::from_str(&text).unwrap();
        assert_eq!(back, $read, "{text}");
    };
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(changeset) = serde_json::from_slice::<Changeset>(bytes) {
        goes_round!(changeset, Changeset);
    }
    if let Ok(patchset) = serde_json::from_slice::<Patchset>(bytes) {
        goes_round!(patchset, Patchset);
    }
    if let Ok(change) = serde_json::from_slice::<Changes>(bytes) {
        goes_round!(change, Changes);
    }
    if let Ok(patch) = serde_json::from_slice::<Patches>(bytes) {
        goes_round!(patch, Patches);
    }
    // what the bytes of a set lose, the docs say; once in JSON, it loses nothing more
    if let Ok(changeset) = Changeset::try_from(bytes) {
        let read: Changeset = serde_json::from_str(&serde_json::to_string(&changeset).unwrap()).unwrap();
        assert!(read.records().eq(changeset.records()));
        goes_round!(read, Changeset);
    }
    if let Ok(patchset) = Patchset::try_from(bytes) {
        let read: Patchset = serde_json::from_str(&serde_json::to_string(&patchset).unwrap()).unwrap();
        assert!(read.records().eq(patchset.records()));
        goes_round!(read, Patchset);
    }
});
