//! Notices that the schema of a database may have changed, and keeps what has been found out about
//! it since.
//!
//! SQLite compiles a statement again if the schema of a database that it reads has changed, by
//! whichever connection. It does not notice `sqlite3_deserialize`, which the registry counts. Called
//! by [`session`](super::session).

use core::ffi::{CStr, c_int};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::format;

use super::recompilations::CountedQuery;
use super::statement::Connection;

/// What is known of the schema of a database.
#[derive(Default)]
pub(crate) struct KnownSchema {
    /// Differs from all earlier versions if the schema may have changed.
    pub(crate) version: u64,
    /// The registry's count of statements that may change a schema, at the last look.
    pub(super) statements: usize,
    /// The declarations that agree with the schema: the address of each, and whether tables without a
    /// primary key are recorded.
    pub(crate) agrees: BTreeSet<(usize, bool)>,
}

/// A query that reads the schema of a database, and what is known of the schema.
struct SchemaWatch {
    schema: CString,
    query: CountedQuery,
    /// The number of recompilations of the query, and the registry's count of replaced databases, at the
    /// last look.
    seen: Option<(c_int, usize)>,
    known: KnownSchema,
}

impl SchemaWatch {
    /// Returns `None` if there is no such schema, or if it cannot be read.
    ///
    /// # Safety
    ///
    /// The watch must be dropped before the connection closes, while its mutex is held.
    unsafe fn new(connection: Connection<'_>, schema: &CStr) -> Option<Self> {
        let sql = format!("SELECT 1 FROM \"{}\".sqlite_schema LIMIT 0", schema.to_string_lossy().replace('"', "\"\""));
        // SAFETY: as this function requires.
        let query = unsafe { CountedQuery::new(connection, &sql) }?;
        Some(Self { schema: schema.into(), query, seen: None, known: KnownSchema::default() })
    }

    /// Returns what is known of the schema as it is now: nothing if it may have changed. Returns
    /// `None` if it cannot be read. `replacements` is called after the query.
    ///
    /// # Safety
    ///
    /// The connection must be open and its mutex held.
    unsafe fn look(&mut self, replacements: impl FnOnce() -> usize, versions: &mut u64) -> Option<&mut KnownSchema> {
        // SAFETY: the caller guarantees that the mutex is held.
        let recompilations = unsafe { self.query.run() }?;
        let now = Some((recompilations, replacements()));
        if self.seen != now {
            *versions += 1;
            self.seen = now;
            self.known = KnownSchema { version: *versions, ..KnownSchema::default() };
        }
        Some(&mut self.known)
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
    /// Returns what was last known of a schema.
    pub(super) fn last_known(&self, schema: &CStr) -> Option<&KnownSchema> {
        self.watches.iter().find(|watch| watch.schema.as_c_str() == schema).map(|watch| &watch.known)
    }

    /// Calls `work` with what is known of a schema. `replacements` returns how many replacements of
    /// databases the registry has counted, including one that the query of a watch reveals.
    ///
    /// # Safety
    ///
    /// The connection must be open and its mutex held. The watches must be dropped before it closes.
    pub(super) unsafe fn with<R>(
        &mut self,
        connection: Connection<'_>,
        schema: &CStr,
        replacements: impl FnOnce() -> usize,
        work: impl FnOnce(&mut KnownSchema) -> R,
    ) -> R {
        let at = self.watches.iter().position(|watch| watch.schema.as_c_str() == schema).or_else(|| {
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
                work(&mut KnownSchema { version: self.versions, ..KnownSchema::default() })
            }
        }
    }
}
