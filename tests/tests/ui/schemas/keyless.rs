// @generated automatically by Diesel CLI.

diesel::table! {
    log (rowid) {
        rowid -> Integer,
        line -> Text,
    }
}

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
    }
}
