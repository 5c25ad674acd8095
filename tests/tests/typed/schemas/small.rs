// @generated automatically by Diesel CLI.

diesel::table! {
    things (id) {
        id -> Integer,
        label -> Nullable<Text>,
    }
}
