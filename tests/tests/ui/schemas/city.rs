// @generated automatically by Diesel CLI.

diesel::table! {
    city (id) {
        id -> Integer,
        name -> Text,
    }
}
