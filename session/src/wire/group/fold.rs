//! Changes to any number of tables, folded to at most one for each row, as SQLite's
//! [changegroup](https://www.sqlite.org/session/changegroup.html) folds them.
//!
//! [`Fold`] finds the [`TableChanges`] of a table by its name, and puts the sections together at
//! the end. Builders call it for each change that is added.

use alloc::vec::Vec;

use super::index::{Index, MOST_ROWS, Seed, are_equal};
use super::pad::Defaults;
use super::table_changes::{Scratch, SettleContext, TableChanges};
use crate::wire::codec::encode::{EncodeError, EncodeResult};
use crate::wire::codec::error::{BuildError, BuildErrorKind};
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::Format;
use crate::wire::codec::record::RawRecord;

/// The changes of a set that is being built: see the [module](self).
#[derive(Clone)]
pub(in crate::wire) struct Fold {
    format: Format,
    seed: Seed,
    /// The tables in the order in which they were first named.
    tables: Vec<TableChanges>,
    /// From the lower-case name of a table to its number in `tables`.
    names: Index,
    /// The number of the table of the last change, which is most often the table of the next
    /// change.
    last: usize,
    scratch: Scratch,
}

impl Fold {
    pub(in crate::wire) fn new(format: Format) -> Self {
        let seed = Seed::new();
        Self { format, seed, tables: Vec::new(), names: Index::default(), last: 0, scratch: Scratch::default() }
    }

    pub(in crate::wire) fn format(&self) -> Format {
        self.format
    }

    /// Returns the changes to a table, and the context to settle further changes with.
    ///
    /// Names are compared as SQLite compares them, without regard to the case of ASCII letters.
    ///
    /// # Errors
    ///
    /// Fails if the header is not valid, or if the table has other columns than in an earlier
    /// change.
    #[inline(always)]
    pub(in crate::wire) fn find_or_declare(
        &mut self,
        header: Header<'_>,
    ) -> EncodeResult<(&mut TableChanges, SettleContext<'_>)> {
        match self.tables.get(self.last) {
            Some(table) if are_equal(table.name.as_bytes(), header.name.as_bytes()) => {}
            _ => self.last = self.find(header)?,
        }
        let context = SettleContext { format: self.format, seed: self.seed, missing: 0, scratch: &mut self.scratch };
        match self.tables.get_mut(self.last) {
            Some(table) if are_equal(&table.key, header.key) => Ok((table, context)),
            Some(table) => table.missing(header).map(|missing| (table, SettleContext { missing, ..context })),
            None => Err(EncodeError::new(BuildErrorKind::TooMany)),
        }
    }

    /// Declares a table and the default values of its last columns.
    ///
    /// # Errors
    ///
    /// Fails if the table has been named before with another number of columns.
    pub(in crate::wire) fn declare(&mut self, header: Header<'_>, defaults: Defaults) -> EncodeResult<()> {
        let (table, SettleContext { missing, .. }) = self.find_or_declare(header)?;
        if missing != 0 {
            return Err(table.mismatch(header));
        }
        table.defaults = Some(defaults);
        Ok(())
    }

    /// Returns the number of a table, counted in the order in which tables are first named.
    pub(in crate::wire) fn number(&mut self, header: Header<'_>) -> Option<usize> {
        self.find_or_declare(header).ok()?;
        Some(self.last)
    }

    /// Adds a change whose bytes have been checked.
    ///
    /// # Errors
    ///
    /// Fails as [`declare`](Self::declare) does, and if there are too many rows.
    pub(in crate::wire) fn add(&mut self, header: Header<'_>, record: RawRecord<'_>) -> EncodeResult<()> {
        let (table, context) = self.find_or_declare(header)?;
        let (start, out) = table.begin(record.operation, record.indirect);
        out.extend_from_slice(record.before);
        out.extend_from_slice(record.after);
        table.settle(start, context)
    }

    /// Returns the number of a table, which is added if it is new.
    #[cold]
    fn find(&mut self, header: Header<'_>) -> EncodeResult<usize> {
        header.check()?;
        let new = self.tables.len();
        if new >= MOST_ROWS {
            return Err(EncodeError::new(BuildErrorKind::TooMany));
        }
        let hash = self.seed.of_name(header.name);
        let tables = &self.tables;
        let is_it = |at: usize| tables.get(at).is_some_and(|table| table.name.eq_ignore_ascii_case(header.name));
        match self.names.find_or_insert(hash, new, is_it) {
            Some((_, at)) => Ok(at),
            None => {
                self.tables.push(TableChanges::new(header, self.format));
                Ok(new)
            }
        }
    }

    /// Returns the bytes: the sections in the order in which their tables were named, without empty
    /// ones.
    ///
    /// # Errors
    ///
    /// Fails if a table has too many rows.
    pub(in crate::wire) fn into_bytes(mut self) -> Result<Vec<u8>, BuildError> {
        self.settle_all()?;
        let mut sections = self.tables.into_iter().filter_map(|table| table.into_section(self.format));
        let Some(mut out) = sections.next() else {
            return Ok(Vec::new());
        };
        let rest: Vec<Vec<u8>> = sections.collect();
        out.reserve_exact(rest.iter().map(Vec::len).fold(0, usize::saturating_add));
        for section in rest {
            out.extend_from_slice(&section);
        }
        Ok(out)
    }

    /// Settles the pending changes of all tables.
    fn settle_all(&mut self) -> Result<(), BuildError> {
        for table in &mut self.tables {
            let context =
                SettleContext { format: self.format, seed: self.seed, missing: 0, scratch: &mut self.scratch };
            if let Err(error) = table.settle_pending(context) {
                return Err(BuildError::new(error.kind, &table.name, error.column));
            }
        }
        Ok(())
    }

    /// Passes the same bytes to `sink` in pieces, without a copy. Frees the memory of each table
    /// after it has been written.
    ///
    /// # Errors
    ///
    /// Fails with the errors of [`into_bytes`](Self::into_bytes) and of `sink`.
    #[cfg(feature = "std")]
    pub(in crate::wire) fn write_to<E: From<BuildError>>(
        mut self,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.settle_all()?;
        self.tables.into_iter().try_for_each(|table| table.write_to(self.format, &mut sink))
    }
}
