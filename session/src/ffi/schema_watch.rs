//! Notices that the schema of a database may have changed, and keeps what has been found out about
//! it since.
//!
//! SQLite compiles a statement again if the schema of a database that it reads has changed, by
//! whichever connection. It does not notice `sqlite3_deserialize`, which the registry counts. Called
//! by [`session`](super::session).

use core::ffi::c_int;
use std::collections::BTreeSet;
use std::format;
use std::ptr::NonNull;
use std::string::{String, ToString};

use super::statement::Connection;
use super::sys::{self, sqlite3_stmt};

/// What is known of the schema of a database.
#[derive(Default)]
pub(crate) struct KnownSchema {
    /// Differs from all earlier versions if the schema may have changed.
    pub(crate) version: u64,
    /// The declarations that agree with the schema: the address of each, and whether tables without a
    /// primary key are recorded.
    pub(crate) agrees: BTreeSet<(usize, bool)>,
}

/// A statement that reads the schema of a database, and what is known of the schema.
pub(super) struct SchemaWatch {
    schema: String,
    statement: NonNull<sqlite3_stmt>,
    recompilations: c_int,
    /// The number of replacements of databases that the registry had counted.
    replacements: usize,
    known: KnownSchema,
}

// SAFETY: every method requires that the caller holds the connection's mutex, which serializes all
// threads. SQLite ties no statement to a thread.
unsafe impl Send for SchemaWatch {}

impl SchemaWatch {
    /// Returns `None` if there is no such schema, or if it cannot be read.
    ///
    /// # Safety
    ///
    /// The watch must be dropped before the connection closes.
    pub(super) unsafe fn new(connection: Connection<'_>, schema: &str) -> Option<Self> {
        let sql = format!("SELECT 1 FROM \"{}\".sqlite_schema LIMIT 0", schema.replace('"', "\"\""));
        let statement = connection.prepare_raw(&sql, sys::PREPARE_PERSISTENT).ok()?;
        let (recompilations, known) = (-1, KnownSchema::default());
        Some(Self { schema: schema.to_string(), statement, recompilations, replacements: 0, known })
    }

    pub(super) fn is_of(&self, schema: &str) -> bool {
        self.schema == schema
    }

    /// Returns what is known of the schema as it is now: nothing if it may have changed. Returns
    /// `None` if it cannot be read.
    ///
    /// # Safety
    ///
    /// The connection must be open and its mutex held.
    pub(super) unsafe fn look(&mut self, replacements: usize, versions: &mut u64) -> Option<&mut KnownSchema> {
        let statement = self.statement.as_ptr();
        // SAFETY: the statement is valid until `self` is dropped, and the caller holds the mutex. It
        // calls no function.
        let stepped = unsafe { sys::sqlite3_step(statement) };
        // SAFETY: the statement is valid until `self` is dropped.
        unsafe { sys::sqlite3_reset(statement) };
        // SAFETY: the statement is valid until `self` is dropped. The last argument leaves the
        // counter unchanged.
        let recompilations = unsafe { sys::sqlite3_stmt_status(statement, sys::STMTSTATUS_REPREPARE, 0) };
        if stepped != sys::SQLITE_DONE {
            return None;
        }
        if (self.recompilations, self.replacements) != (recompilations, replacements) {
            *versions += 1;
            (self.recompilations, self.replacements) = (recompilations, replacements);
            self.known = KnownSchema { version: *versions, agrees: BTreeSet::new() };
        }
        Some(&mut self.known)
    }
}

impl Drop for SchemaWatch {
    fn drop(&mut self) {
        // SAFETY: `new` prepared the statement, nobody uses it after this, and its connection is
        // still open, as `new` requires.
        unsafe { sys::sqlite3_finalize(self.statement.as_ptr()) };
    }
}

/// The watches of a connection.
#[derive(Default)]
pub(super) struct SchemaWatches {
    watches: std::vec::Vec<SchemaWatch>,
    versions: u64,
}

/// The number of schemas that are watched. A connection has at most a few.
const MAX_WATCHES: usize = 16;

impl SchemaWatches {
    /// Calls `work` with what is known of a schema.
    ///
    /// # Safety
    ///
    /// The connection must be open and its mutex held. The watches must be dropped before it closes.
    pub(super) unsafe fn with<R>(
        &mut self,
        connection: Connection<'_>,
        schema: &str,
        replacements: usize,
        work: impl FnOnce(&mut KnownSchema) -> R,
    ) -> R {
        let at = self.watches.iter().position(|watch| watch.is_of(schema)).or_else(|| {
            // SAFETY: the caller drops the watches in time.
            let watch = unsafe { SchemaWatch::new(connection, schema) }?;
            if self.watches.len() >= MAX_WATCHES {
                self.watches.clear();
            }
            self.watches.push(watch);
            self.watches.len().checked_sub(1)
        });
        // SAFETY: the caller guarantees that the connection is open and its mutex held.
        let known = at.and_then(|at| unsafe { self.watches.get_mut(at)?.look(replacements, &mut self.versions) });
        match known {
            Some(known) => work(known),
            None => {
                self.versions += 1;
                work(&mut KnownSchema { version: self.versions, agrees: BTreeSet::new() })
            }
        }
    }
}
