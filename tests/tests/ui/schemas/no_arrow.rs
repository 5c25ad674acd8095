// @generated automatically by Diesel CLI.

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
    }
}

diesel::table! {
    /// What is for sale.
    products (id) {
        id -> Integer,
        /// In cents.
        price Integer,
        name -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(users, products,);
