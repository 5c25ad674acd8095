//! `#[derive(Tracked)]` on rows and sets of any form; whole schemas are in
//! [`schemas`](super::schemas).

#![allow(unreachable_pub, reason = "`pub` rows are one of the cases")]

mod changed;
mod keys;
mod rows;
mod scopes;
mod skipped;
mod tables;

use std::borrow::Cow;

use diesel::prelude::*;
use diesel_sqlite_session::{Change, Changeset, Field, Patch, Patchset, SqliteSessionExt, Tracked};

use crate::common::{open, recorded};

mod schema {
    diesel::table! {
        users (id) {
            id -> Integer,
            name -> Text,
            email -> Nullable<Text>,
            avatar -> Nullable<Binary>,
        }
    }
    diesel::table! {
        r#enum (r#type) {
            r#type -> Integer,
            r#match -> Text,
            #[sql_name = "two words"]
            two_words -> Nullable<Text>,
        }
    }
    diesel::table! {
        seats (row, flight) {
            flight -> Text,
            free -> Bool,
            row -> Integer,
        }
    }
    diesel::table! {
        ids (id) {
            id -> BigInt,
        }
    }
    diesel::table! {
        log (rowid) {
            rowid -> BigInt,
            line -> Text,
        }
    }
}

const USERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, avatar BLOB);";
const SEATS: &str = "CREATE TABLE seats (flight TEXT NOT NULL, free BOOLEAN NOT NULL, row INTEGER NOT NULL, \
                     PRIMARY KEY (row, flight));";
