//! A larger page cache while changes are generated.
//!
//! SQLite reads each changed row back in the order of a hash table, that is, from all over the
//! database. With the default cache of 2 MB, almost every row costs a read of the file. If the
//! cache can hold the whole database, each page is read once. A cache that holds only a part had no
//! measurable benefit, so the cache is enlarged to the whole database or not at all.
//!
//! A cache that is already large enough is enlarged as well. SQLite compiled with
//! `SQLITE_ENABLE_MEMORY_MANAGEMENT`, as by libsqlite3-sys, counts the pages of all connections
//! together (`PGroup` in `pcache1.c`): a busy connection uses up the space of another, which then
//! drops each page right after reading it. Therefore the new size is the size of the whole database
//! plus the previous size.
//!
//! `PRAGMA cache_size` expires no prepared statement and writes nothing. Dropping [`EnlargedCache`]
//! restores the previous size, after errors and panics too. Connections with a shared cache share
//! the size as well; it is then restored only if nobody else has changed it.

use core::ffi::CStr;

use super::callback;
use super::statement::Connection;

/// The limit of the page cache of a schema while changes are generated.
pub(crate) struct CacheLimit<'a> {
    pub(crate) schema: &'a CStr,
    pub(crate) bytes: u64,
}

/// The memory use of a session, about 6,000 rows, from which enlarging the cache pays off: the
/// queries below take as long as looking up about ten rows.
const MIN_SESSION_BYTES: u64 = 512 << 10;

/// The most bytes that a page in the cache takes in addition to its content.
const PAGE_OVERHEAD: u64 = 300;

/// An enlarged page cache. Dropping it restores the previous size.
pub(super) struct EnlargedCache<'conn> {
    connection: Connection<'conn>,
    schema: String,
    before: i64,
    during: i64,
    _inside: callback::CallbackGuard,
}

impl<'conn> EnlargedCache<'conn> {
    /// Enlarges the cache to hold the whole database, if the database is a file and either
    ///
    /// - takes no more than the cache may hold anyway, or
    /// - takes neither more than the limit nor more than twice the memory of the session. A smaller
    ///   session has few rows to look up.
    ///
    /// Does nothing if SQLite fails. The same failure appears again when the changes are generated.
    ///
    /// `guard` marks that this thread is inside SQLite's code on the connection.
    pub(super) fn enlarge(
        connection: Connection<'conn>,
        guard: callback::CallbackGuard,
        limit: &CacheLimit<'_>,
        session_bytes: u64,
    ) -> Option<Self> {
        if limit.bytes == 0 || session_bytes < MIN_SESSION_BYTES || !connection.is_in_file(limit.schema) {
            return None;
        }
        let schema = limit.schema.to_string_lossy().replace('"', "\"\"");
        let pragma = |name| read_setting(connection, &schema, name);
        let pages = u64::try_from(pragma("page_count")?).ok()?;
        let page_size = u64::try_from(pragma("page_size")?).ok().filter(|size| *size > 0)?;
        let before = pragma("cache_size")?;
        // pages, or negative KiB
        let held = u64::try_from(before).unwrap_or_else(|_| before.unsigned_abs().saturating_mul(1024) / page_size);
        let most = limit.bytes.min(session_bytes.saturating_mul(2));
        if pages > held && pages.checked_mul(page_size + PAGE_OVERHEAD)? > most {
            return None;
        }
        let during = i32::try_from(pages.checked_add(held)?).ok()?.into();
        // the guard exists before the size changes, so that the size is always restored
        let larger = Self { connection, schema, before, during, _inside: guard };
        larger.set(during);
        Some(larger)
    }

    fn set(&self, size: i64) {
        let pragma = format!("PRAGMA \"{}\".cache_size = {size}", self.schema);
        // the pragma returns no rows; if it fails, the cache keeps its size
        let _ = self.connection.for_each(&pragma, |_| ());
    }
}

impl Drop for EnlargedCache<'_> {
    fn drop(&mut self) {
        if read_setting(self.connection, &self.schema, "cache_size").is_none_or(|now| now == self.during) {
            self.set(self.before);
        }
    }
}

/// Returns the value of a pragma. `schema` is escaped.
fn read_setting(connection: Connection<'_>, schema: &str, name: &str) -> Option<i64> {
    let mut value = None;
    connection.for_each(&format!("PRAGMA \"{schema}\".{name}"), |row| value = Some(row.integer(0))).ok()?;
    value
}
