//! Rows in any scope, from a macro, and under any lint.

use super::*;

mod strange_scope {
    #![allow(dead_code, unused_macros, unused_imports, non_camel_case_types, non_snake_case, non_upper_case_globals)]
    use super::schema;
    use super::schema::users;
    use super::schema::users::dsl::*;

    struct Result;
    struct Option;
    struct String;
    struct Vec;
    struct Box;
    struct Field;
    struct Change;
    struct str;
    struct i32;
    fn Ok() {}
    fn Err() {}
    fn Some() {}
    const None: () = ();
    mod core {}
    mod std {}
    mod diesel {}
    mod diesel_sqlite_session {}
    trait Tracked {}
    macro_rules! panic {
        () => {};
    }
    macro_rules! stringify {
        () => {};
    }
    macro_rules! matches {
        () => {};
    }

    #[derive(::diesel_sqlite_session::Tracked)]
    #[diesel(table_name = users)]
    #[tracked(row_only)]
    pub struct User {
        id: ::core::primitive::i32,
        name: ::std::string::String,
        email: ::std::option::Option<::std::string::String>,
        avatar: ::std::option::Option<::std::vec::Vec<u8>>,
    }

    #[derive(::diesel_sqlite_session::Tracked)]
    enum Set {
        Users(::diesel_sqlite_session::Change<User>),
    }

    #[derive(::diesel_sqlite_session::Tracked)]
    #[tracked(schema = "tests/typed/schemas/small.rs", module = crate::typed::schemas::small)]
    struct Whole;

    #[test]
    fn the_names_in_scope_do_not_matter() {
        let (changes, _) = super::recorded(super::USERS, "INSERT INTO users VALUES (1, 'Ada', NULL, NULL)");
        assert_eq!(changes.changes::<Set>().count(), 1);
    }
}

mod macros {
    use super::*;

    macro_rules! tracked {
        ($Row:ident, $table:path, $set:ident, $($field:ident: $Type:ty),*) => {
            #[derive(Debug, PartialEq, Tracked)]
            #[diesel(table_name = $table)]
            #[tracked(row_only)]
            pub struct $Row {
                $($field: $Type,)*
            }

            #[derive(Debug, PartialEq, Tracked)]
            enum $set {
                Rows(Change<$Row>),
            }
        };
        (crate) => {
            #[derive(Debug, PartialEq, Tracked)]
            #[diesel(table_name = $crate::typed::deriving::schema::seats)]
            #[tracked(row_only, crate = $crate::typed::deriving::scopes::macros::again)]
            pub struct Seat {
                flight: String,
                free: bool,
                row: i32,
            }
        };
    }

    pub(crate) mod again {
        pub(crate) use diesel_sqlite_session::*;
    }

    tracked!(User, schema::users, Users, id: i32, name: String, email: Option<String>, avatar: Option<Vec<u8>>);
    tracked!(crate);

    #[test]
    fn items_may_come_from_macros() {
        let (changes, _) = recorded(
            &format!("{USERS}{SEATS}"),
            "INSERT INTO users VALUES (1, 'Ada', NULL, NULL); INSERT INTO seats VALUES ('LH1', 1, 2)",
        );
        assert_eq!(changes.changes::<Users>().skip_unknown_tables().count(), 1);
        let seat = Seat { flight: "LH1".into(), free: true, row: 2 };
        assert_eq!(changes.changes().skip_unknown_tables().next(), Some(Ok(Change::<Seat>::Insert(seat))));
    }

    #[test]
    fn items_may_be_inside_functions() {
        diesel::table! {
            inner (id) {
                id -> Integer,
            }
        }
        #[derive(Debug, PartialEq, Tracked)]
        #[diesel(table_name = inner)]
        pub struct Inner {
            id: i32,
        }
        #[derive(Debug, PartialEq, Tracked)]
        enum Set {
            Inner(Change<inner::table>),
        }
        let (changes, _) = recorded("CREATE TABLE inner (id INTEGER PRIMARY KEY)", "INSERT INTO inner VALUES (1)");
        assert_eq!(changes.changes().next(), Some(Ok(Set::Inner(Change::Insert(Inner { id: 1 })))));
    }
}

/// Generated code must not warn, whatever lints are enabled.
mod strict {
    #![deny(
        warnings,
        missing_docs,
        missing_debug_implementations,
        unreachable_pub,
        unused,
        unused_qualifications,
        unused_lifetimes,
        single_use_lifetimes,
        explicit_outlives_requirements,
        elided_lifetimes_in_paths,
        trivial_casts,
        unit_bindings,
        clippy::all,
        clippy::pedantic,
        clippy::nursery,
        clippy::absolute_paths,
        clippy::missing_const_for_fn,
        clippy::missing_inline_in_public_items,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::str_to_string,
        clippy::exhaustive_structs,
        clippy::unwrap_used
    )]
    #![forbid(unsafe_code)]
    #![allow(clippy::redundant_pub_crate, reason = "the rows' own")]

    pub(crate) mod rows {
        use crate::typed::deriving::schema::{log, users};
        use diesel_sqlite_session::{Change, Patch, Tracked};

        /// A user.
        #[derive(Debug, Tracked)]
        #[diesel(table_name = users)]
        #[tracked(row_only)]
        #[allow(unreachable_pub)]
        #[allow(dead_code)]
        pub struct User {
            /// The user.
            pub id: i32,
            /// The text.
            pub name: String,
            /// The place.
            pub email: Option<String>,
            /// The way.
            pub avatar: Option<Vec<u8>>,
        }

        /// A borrowed user.
        #[derive(Debug, Tracked)]
        #[diesel(table_name = users)]
        #[tracked(skip(avatar))]
        #[allow(dead_code)]
        pub(crate) struct UserRef<'a> {
            pub(crate) id: i32,
            pub(crate) name: &'a str,
            pub(crate) email: Option<&'a str>,
        }

        /// A line with the names of its database.
        #[derive(Debug, Tracked)]
        #[diesel(table_name = log)]
        #[allow(non_snake_case)]
        pub(crate) struct Log {
            #[diesel(column_name = rowid)]
            pub(crate) rowId: i64,
            #[diesel(column_name = line)]
            pub(crate) theLine: String,
        }

        #[derive(Debug, Tracked)]
        #[allow(dead_code)]
        pub(crate) enum Users<'a> {
            Users(Change<UserRef<'a>>),
            Log(Change<Log>),
        }

        #[derive(Debug, Tracked)]
        #[allow(dead_code)]
        pub(crate) enum Patches {
            Log(Patch<Log>),
        }

        #[derive(Tracked)]
        #[tracked(schema = "tests/typed/schemas/small.rs", module = crate::typed::schemas::small)]
        struct Whole;
    }

    #[test]
    fn generated_code_in_a_strict_module_does_not_warn() {
        let (changes, patches) =
            super::recorded("CREATE TABLE log (line TEXT NOT NULL)", "INSERT INTO log VALUES ('x')");
        for change in changes.changes::<rows::Users<'_>>() {
            match change.expect("a change") {
                rows::Users::Log(diesel_sqlite_session::Change::Insert(log)) => {
                    assert_eq!((log.rowId, log.theLine.as_str()), (1, "x"));
                }
                other => unreachable!("{other:?}"),
            }
        }
        assert_eq!(patches.patches::<rows::Patches>().count(), 1);
    }
}
