//! Sessions: recording the changes of a connection.
//!
//! A [`Session`] records the changes made on a `SqliteConnection`, from the moment a table is
//! attached. The recorded changes are returned as a [changeset](crate::Changeset) or a
//! [patchset](crate::Patchset), which can be read as typed values, stored, sent, and
//! [applied](crate::apply) to another database.
//!
//! ```
//! use diesel::prelude::*;
//! use diesel_sqlite_session::SqliteSessionExt;
//!
//! diesel::table! {
//!     users (id) {
//!         id -> Integer,
//!         name -> Text,
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut conn = SqliteConnection::establish(":memory:")?;
//! # diesel::sql_query("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)").execute(&mut conn)?;
//! let mut session = conn.create_session()?;
//! session.attach::<users::table>()?;
//! diesel::insert_into(users::table).values((users::id.eq(1), users::name.eq("Ada"))).execute(&mut conn)?;
//! let changeset = session.changeset()?;
//! assert_eq!(changeset.records().count(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! | item | use |
//! |---|---|
//! | [`SqliteSessionExt::create_session`](crate::SqliteSessionExt::create_session) | Creates a session on the `main` database, [`create_session_on`](crate::SqliteSessionExt::create_session_on) on another schema. |
//! | [`Session::attach`], [`attach_set`](Session::attach_set) | Attach tables after a comparison with their `table!`. |
//! | [`Session::attach_by_name`], [`attach_all`](Session::attach_all) | Attach tables by name, or all tables. |
//! | [`Session::changeset`], [`patchset`](Session::patchset) | Return everything recorded so far. |
//! | [`Session::take_changeset`], [`take_patchset`](Session::take_patchset) | Return the changes since the last call. |
//! | [`Session::on`] | Borrows the connection for calls that need not wait: a [`BorrowedSession`]. |
//! | [`BorrowedSession::write_changeset_to`], [`write_patchset_to`](BorrowedSession::write_patchset_to) | Stream the changes to a `Write`. |
//! | [`Session::diff`] | Records the differences between two schemas. |
//! | [`SqliteSessionExt::capture`](crate::SqliteSessionExt::capture) | Captures the changes that a closure makes: a [`Capture`], which returns [`Captured`]. |
//! | [`SessionError`], [`CaptureError`], [`HandleError`], [`SqliteError`], [`SchemaMismatch`] | The errors. |
//! | [`TrackableTable`], [`UntrackedTable`] | Tables that can be attached, and tables that SQLite does not record. |
//!
//! # Requirements for tables
//!
//! SQLite records a table only if it has a primary key, and a row only if no column of the key is
//! NULL. Attaching a table without a primary key is an error; [`Session::untracked_tables`] lists
//! such tables, and [`Session::track_rowids`] records them by their rowids.
//!
//! # Further reading
//!
//! - [How do I …](crate::_documentation::how_do_i): short recipes
//! - [SQLite's session functions](crate::_documentation::functions) and their counterparts here
//! - SQLite: [the session extension](https://www.sqlite.org/sessionintro.html)

mod borrowed;
mod capture;
mod changes;
mod declarations;
mod error;
mod tracking;

pub use self::borrowed::BorrowedSession;
pub use self::capture::{Capture, CaptureError, Captured};
pub use self::error::SessionError;
pub use self::tracking::Session;
pub use crate::ffi::error::{HandleError, SqliteError};
pub use crate::schema::{SchemaMismatch, TrackableTable, UntrackedTable};
