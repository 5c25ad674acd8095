//! Any JSON is rejected or read without a panic. Sets that were read, and any changeset or
//! patchset, survive conversion to JSON and back.
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

/// Checks that a value survives conversion to JSON and back.
macro_rules! survives_json {
    ($read:expr, $Set:ty) => {
        let text = serde_json::to_string(&$read).unwrap();
        let back: $Set = serde_json::from_str(&text).unwrap();
        assert_eq!(back, $read, "{text}");
    };
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(changeset) = serde_json::from_slice::<Changeset>(bytes) {
        survives_json!(changeset, Changeset);
    }
    if let Ok(patchset) = serde_json::from_slice::<Patchset>(bytes) {
        survives_json!(patchset, Patchset);
    }
    if let Ok(change) = serde_json::from_slice::<Changes>(bytes) {
        survives_json!(change, Changes);
    }
    if let Ok(patch) = serde_json::from_slice::<Patches>(bytes) {
        survives_json!(patch, Patches);
    }
    // the first conversion loses documented details, further conversions lose nothing
    if let Ok(changeset) = Changeset::try_from(bytes) {
        let read: Changeset = serde_json::from_str(&serde_json::to_string(&changeset).unwrap()).unwrap();
        assert!(read.records().eq(changeset.records()));
        survives_json!(read, Changeset);
    }
    if let Ok(patchset) = Patchset::try_from(bytes) {
        let read: Patchset = serde_json::from_str(&serde_json::to_string(&patchset).unwrap()).unwrap();
        assert!(read.records().eq(patchset.records()));
        survives_json!(read, Patchset);
    }
});
