//! A larger page cache while changes are generated.
//!
//! SQLite reads each changed row back, in the order of its hash table: all over the database. With the cache that holds 2 MB by
//! default, nearly each row is another read of the file. Where the whole database may be held for the time of the call, each page
//! is read once. A cache that holds only a part gains nothing that could be measured, so it is all or nothing.
//!
//! A cache that is large enough by itself is made larger too. Compiled with `SQLITE_ENABLE_MEMORY_MANAGEMENT`, as by
//! libsqlite3-sys, SQLite counts the pages of all connections together (`PGroup` in its `pcache1.c`): one that is busy takes up
//! the room of another, which then drops each page as soon as it has been read. There is room for the whole database on top
//! of all that may be there if the cache may hold it beside what it could before.
//!
//! `PRAGMA cache_size` expires no prepared statement and writes nothing. What it was is put back when [`LargerCache`] is dropped:
//! after an error and a panic too. In a shared cache the size is shared as well; there it is put back only if nobody else has set
//! another meanwhile.

use std::format;
use std::string::String;

use super::callback;
use super::statement::Connection;

/// How much memory the page cache may take while changes are generated, and of which schema.
pub(crate) struct CacheLimit<'a> {
    pub(crate) schema: &'a str,
    pub(crate) bytes: u64,
}

/// What a session takes at least, some 6,000 rows, for a question to be worth while: all that is asked here takes as long as to
/// look up some ten rows.
const SMALL: u64 = 512 << 10;

/// The most that a page in the cache takes beside its content.
const PAGE_OVERHEAD: u64 = 300;

/// A page cache that has been made larger, and goes back to what it was when this is dropped.
pub(super) struct LargerCache<'conn> {
    connection: Connection<'conn>,
    schema: String,
    before: i64,
    during: i64,
    _inside: callback::Inside,
}

impl<'conn> LargerCache<'conn> {
    /// Makes room in the cache for the whole database, if that is a file, and if it takes no more than the cache may anyway, or
    /// neither more than the limit nor more than twice as much as the session: one that takes less has few rows to look for.
    /// Where SQLite does not answer, nothing is done; what is wrong shows again when the changes are generated.
    ///
    /// `inside` says that what follows is inside SQLite's code on the connection.
    pub(super) fn of(
        connection: Connection<'conn>,
        inside: callback::Inside,
        limit: &CacheLimit<'_>,
        session_bytes: u64,
    ) -> Option<Self> {
        if limit.bytes == 0 || session_bytes < SMALL || !connection.is_in_file(limit.schema) {
            return None;
        }
        let schema = limit.schema.replace('"', "\"\"");
        let pragma = |name| setting(connection, &schema, name);
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
        // the guard first, so that nothing comes in between
        let larger = Self { connection, schema, before, during, _inside: inside };
        larger.set(during);
        Some(larger)
    }

    fn set(&self, size: i64) {
        let pragma = format!("PRAGMA \"{}\".cache_size = {size}", self.schema);
        // it has no rows; where it fails, the cache stays as it is
        let _ = self.connection.for_each(&pragma, |_| ());
    }
}

impl Drop for LargerCache<'_> {
    fn drop(&mut self) {
        if setting(self.connection, &self.schema, "cache_size").is_none_or(|now| now == self.during) {
            self.set(self.before);
        }
    }
}

/// What a pragma of a schema says, the name of which is escaped.
fn setting(connection: Connection<'_>, schema: &str, name: &str) -> Option<i64> {
    let mut value = None;
    connection.for_each(&format!("PRAGMA \"{schema}\".{name}"), |row| value = Some(row.integer(0))).ok()?;
    value
}
