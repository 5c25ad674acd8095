//! Filtering, renaming, sorting and splitting changesets and patchsets. Changes are copied as they stand, byte for byte.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;

use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::error::{BuildError, BuildErrorKind};
use crate::wire::codec::record::Record;
use crate::wire::codec::set::{Changeset, ChangesetRef, Patchset, PatchsetRef};
use crate::wire::codec::header::Header;
use crate::wire::codec::check;
use crate::wire::codec::kind::{Format, Operation};
use super::sort;

/// A section with a change, as bytes.
struct Section<'a> {
    header: Header<'a>,
    head: &'a [u8],
    changes: &'a [u8],
}

/// The sections of checked bytes, those without a change left out.
struct Sections<'a> {
    rest: Cursor<'a>,
    format: Format,
}

impl<'a> Iterator for Sections<'a> {
    type Item = Section<'a>;

    fn next(&mut self) -> Option<Section<'a>> {
        loop {
            let start = self.rest;
            start.peek()?;
            let header = check::section(&mut self.rest, self.format).ok()?;
            let changes = self.rest;
            while self.rest.peek().is_some_and(|byte| Operation::from_byte(byte).is_some()) {
                check::extent(&mut self.rest, header, self.format)?;
            }
            let (head, changes) = (changes.since(start), self.rest.since(changes));
            if !changes.is_empty() {
                return Some(Section { header, head, changes });
            }
        }
    }
}

fn sections(bytes: &[u8], format: Format) -> Sections<'_> {
    Sections { rest: Cursor::new(bytes), format }
}

/// A change, as bytes.
struct Change<'a> {
    record: Record<'a>,
    bytes: &'a [u8],
    /// The header of its section.
    head: &'a [u8],
    /// Whether it is the first of its section.
    is_first: bool,
}

/// The changes of checked bytes.
struct Changes<'a> {
    rest: Cursor<'a>,
    format: Format,
    table: Option<(Header<'a>, &'a [u8])>,
    total: usize,
}

impl<'a> Iterator for Changes<'a> {
    type Item = Change<'a>;

    #[inline]
    fn next(&mut self) -> Option<Change<'a>> {
        let mut is_first = false;
        loop {
            let start = self.rest;
            if Format::from_byte(start.peek()?).is_some() {
                let header = check::section(&mut self.rest, self.format).ok()?;
                self.table = Some((header, self.rest.since(start)));
                is_first = true;
                continue;
            }
            let (header, head) = self.table?;
            let raw = check::extent(&mut self.rest, header, self.format)?;
            let record = Record::new(header, self.format, raw, self.total.saturating_sub(start.remaining()));
            return Some(Change { record, bytes: self.rest.since(start), head, is_first });
        }
    }
}

fn changes(bytes: &[u8], format: Format) -> Changes<'_> {
    Changes { rest: Cursor::new(bytes), format, table: None, total: bytes.len() }
}

fn filter_tables(bytes: &[u8], format: Format, keep: &mut dyn FnMut(&str) -> bool) -> Vec<u8> {
    let kept = sections(bytes, format).filter(|section| keep(section.header.name));
    join(kept.flat_map(|section| [section.head, section.changes]))
}

fn filter_records(bytes: &[u8], format: Format, keep: &mut dyn FnMut(&Record<'_>) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut is_headed = false;
    // what is kept next to each other is copied at once
    let mut run = 0..0;
    for change in changes(bytes, format) {
        is_headed &= !change.is_first;
        if !keep(&change.record) {
            continue;
        }
        let start = change.record.offset();
        if run.end != start || !is_headed {
            out.extend_from_slice(bytes.get(run).unwrap_or_default());
            run = start..start;
        }
        if !is_headed {
            out.extend_from_slice(change.head);
            is_headed = true;
        }
        run.end = start.saturating_add(change.bytes.len());
    }
    out.extend_from_slice(bytes.get(run).unwrap_or_default());
    out
}

/// What has been renamed to one name.
struct Renamed<'a> {
    /// The first that was, by its old name.
    name: &'a str,
    key: &'a [u8],
    /// Whether there was a section of another table.
    is_joined: bool,
    /// What is other in another section.
    difference: Option<BuildErrorKind>,
}

fn rename_tables<'a>(
    bytes: &'a [u8],
    format: Format,
    rename: &mut dyn FnMut(&'a str) -> Option<Box<str>>,
) -> Result<Vec<u8>, BuildError> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut tables: BTreeMap<String, Renamed<'a>> = BTreeMap::new();
    for Section { header, head, changes } in sections(bytes, format) {
        let renamed = rename(header.name);
        let name = renamed.as_deref().unwrap_or(header.name);
        let error = |kind| BuildError::new(kind, name, None);
        if name.contains('\0') {
            return Err(error(BuildErrorKind::TableName));
        }
        let Header { name: old, key } = header;
        let table = tables.entry(name.to_ascii_lowercase()).or_insert(Renamed {
            name: old,
            key,
            is_joined: false,
            difference: None,
        });
        table.is_joined |= !table.name.eq_ignore_ascii_case(old);
        if table.key != key {
            table.difference = Some(if table.key.len() == key.len() {
                BuildErrorKind::OtherKey
            } else {
                BuildErrorKind::OtherColumns { before: table.key.len(), now: key.len() }
            });
        }
        if let (true, Some(difference)) = (table.is_joined, table.difference) {
            return Err(error(difference));
        }
        match renamed {
            Some(name) => Header { name: &name, key }.write(format, &mut out),
            None => out.extend_from_slice(head),
        }
        out.extend_from_slice(changes);
    }
    Ok(out)
}

/// The pieces of a split by size.
struct Pieces<'a> {
    changes: Peekable<Changes<'a>>,
    left: usize,
    max: usize,
}

impl Iterator for Pieces<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let Change { bytes, head, .. } = self.changes.next()?;
        let first = head.len().saturating_add(bytes.len());
        let mut out = Vec::with_capacity(self.max.min(head.len().saturating_add(self.left)).max(first));
        out.extend_from_slice(head);
        out.extend_from_slice(bytes);
        self.left = self.left.saturating_sub(bytes.len());
        let room = |change: &Change<'_>| if change.is_first { change.head.len() } else { 0 };
        let fits = |out: &Vec<u8>, change: &Change<'_>| {
            out.len().saturating_add(room(change)).saturating_add(change.bytes.len()) <= self.max
        };
        while let Some(change) = self.changes.next_if(|change| fits(&out, change)) {
            if change.is_first {
                out.extend_from_slice(change.head);
            }
            out.extend_from_slice(change.bytes);
            self.left = self.left.saturating_sub(room(&change).saturating_add(change.bytes.len()));
        }
        Some(out)
    }
}

fn split(bytes: &[u8], format: Format, max: usize) -> Pieces<'_> {
    Pieces { changes: changes(bytes, format).peekable(), left: bytes.len(), max }
}

fn split_tables(bytes: &[u8], format: Format) -> impl Iterator<Item = Vec<u8>> + use<'_> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut tables: Vec<Vec<Section<'_>>> = Vec::new();
    for section in sections(bytes, format) {
        let place = *places.entry(section.header.name.to_ascii_lowercase()).or_insert(tables.len());
        match tables.get_mut(place) {
            Some(table) => table.push(section),
            None => tables.push(Vec::from([section])),
        }
    }
    tables.into_iter().map(|table| join(table.iter().flat_map(|section| [section.head, section.changes])))
}

fn join<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    parts.fold(Vec::new(), |mut out, part| {
        out.extend_from_slice(part);
        out
    })
}

/// Writes the methods of an owned type and its borrowed form.
macro_rules! shape {
    ($Owned:ident, $Borrowed:ident, $format:expr) => {
        impl $Owned {
            /// The changes to the tables whose names `keep` lets through. It is asked once for each section that has a change;
            /// SQLite compares table names without regard to the case of ASCII letters.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Owned), ", TableSchema};")]
            ///
            /// let (users, log) = (TableSchema::new("users", &[1]), TableSchema::new("log", &[1]));
            #[doc = concat!("let all = ", stringify!($Owned), "::builder()")]
            ///     .insert_values(users, &[1.into()])
            ///     .insert_values(log, &[7.into()])
            ///     .build()?;
            /// let kept = all.filter_tables(|name| name != "log");
            #[doc = concat!("assert_eq!(format!(\"{kept:?}\"), \"", stringify!($Owned), " [INSERT users(1)]\");")]
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            #[must_use]
            pub fn filter_tables(&self, keep: impl FnMut(&str) -> bool) -> $Owned {
                self.as_borrowed().filter_tables(keep)
            }

            /// The changes that `keep` lets through, byte for byte and in the same order. Sections without a change are left
            /// out.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Owned), ", Operation, TableSchema};")]
            ///
            /// let users = TableSchema::new("users", &[1, 0]);
            #[doc = concat!("let all = ", stringify!($Owned), "::builder()")]
            ///     .insert_values(users, &[1.into(), "Ada".into()])
            ///     .delete_values(users, &[2.into(), "Bob".into()])
            ///     .build()?;
            /// let kept = all.filter_records(|record| record.operation() == Operation::Insert);
            #[doc = concat!("assert_eq!(format!(\"{kept:?}\"), \"", stringify!($Owned), " [INSERT users(1, 'Ada')]\");")]
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            #[must_use]
            pub fn filter_records(&self, keep: impl FnMut(&Record<'_>) -> bool) -> $Owned {
                self.as_borrowed().filter_records(keep)
            }

            /// The same changes to tables of other names: `rename` is given the name of each section that has a change, and
            /// says the new one, or `None` where it stays.
            ///
            /// Each section stays one by itself, also where two are of one table then. Applying takes them one after the
            /// other, as it takes several sections of one table that had the same name before. If both have a change of one
            /// row, that is two changes; the [builder](Self::builder) folds them into one.
            ///
            /// # Errors
            ///
            /// [`TableName`](BuildErrorKind::TableName) for a name with a NUL in it,
            /// [`OtherColumns`](BuildErrorKind::OtherColumns) and [`OtherKey`](BuildErrorKind::OtherKey) if tables become one
            /// that have not the same number of columns and the same key. Names that differ in the case of ASCII letters alone
            /// are of one table.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Owned), ", TableSchema};")]
            ///
            /// let users = TableSchema::new("tenant_7_users", &[1]);
            #[doc = concat!("let theirs = ", stringify!($Owned), "::builder().insert_values(users, &[1.into()]).build()?;")]
            /// let ours = theirs.rename_tables(|name| name.strip_prefix("tenant_7_"))?;
            #[doc = concat!("assert_eq!(format!(\"{ours:?}\"), \"", stringify!($Owned), " [INSERT users(1)]\");")]
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            pub fn rename_tables<'a, N: AsRef<str>>(
                &'a self,
                rename: impl FnMut(&'a str) -> Option<N>,
            ) -> Result<$Owned, BuildError> {
                self.as_borrowed().rename_tables(rename)
            }

            /// The same changes, those of each section in the order of their keys, so that a replica applies them faster: a
            /// session writes them in the order of a hash table, and each lands on another page of the database. Into a
            /// database file, 1,000,000 INSERTs in random order took ten times as long as sorted ones and the sorting with
            /// integer keys, four times with keys of 16 random bytes; integers as a session writes them, 1.5 times.
            ///
            /// Keys are compared as SQLite does in an index with the collation
            /// [BINARY](https://www.sqlite.org/datatype3.html#collation): numbers by value, then texts by their bytes, then
            /// blobs; the columns of a key in the order of their [ordinals](super::Table::key_ordinals), or in the table's where
            /// those are the same. Changes of equal keys stay in their order, and sections where they are.
            ///
            /// A session's order says nothing, but another can have other effects on a replica where a change has effects
            /// beyond its row: foreign keys of a table to itself with an action, triggers that read or write the same table, and
            /// UNIQUE columns beside the key, above all with ON CONFLICT REPLACE. Nor should changes be sorted for a replica that takes keys of
            /// different bytes for one, as with the collation NOCASE: a DELETE and an INSERT of what is one row there can change places.
            ///
            /// Beside the result, it takes 16 bytes for each change of the largest section, or up to twice as many.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Owned), ", TableSchema};")]
            ///
            /// let seats = TableSchema::new("seats", &[2, 1]); // PRIMARY KEY (seat, row)
            #[doc = concat!("let unsorted = ", stringify!($Owned), "::builder()")]
            ///     .insert_values(seats, &[1.into(), 2.into()])
            ///     .insert_values(seats, &[2.into(), 1.into()])
            ///     .insert_values(seats, &[1.into(), 1.into()])
            ///     .build()?;
            /// let lines: Vec<String> = unsorted.sort_by_key().records().map(|record| record.to_string()).collect();
            /// assert_eq!(lines, ["INSERT seats(1, 1)", "INSERT seats(2, 1)", "INSERT seats(1, 2)"]);
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            #[must_use]
            pub fn sort_by_key(&self) -> $Owned {
                self.as_borrowed().sort_by_key()
            }

            /// The same changes in the same order, in pieces of at most `max_bytes`, each with the headers that it needs. A
            /// change that is larger, with its header, is a piece by itself. Of no changes there is no piece.
            ///
            /// Apply the pieces in their order. What holds for the whole need not hold between them: a row can be there before
            /// the one that its foreign key names, or the other way round, so where foreign keys are enforced, apply all pieces
            /// in one transaction with
            /// [`PRAGMA defer_foreign_keys`](https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys), which each apply
            /// turns off again, or the pieces of a set that has none.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Owned), ", TableSchema};")]
            ///
            /// let users = TableSchema::new("users", &[1]);
            #[doc = concat!("let builder = ", stringify!($Owned), "::builder();")]
            /// let all = (0..100).fold(builder, |builder, id| builder.insert_values(users, &[id.into()])).build()?;
            #[doc = concat!("let pieces: Vec<", stringify!($Owned), "> = all.split(500).collect();")]
            /// assert_eq!(pieces.len(), 3);
            /// assert!(pieces.iter().all(|piece| piece.as_bytes().len() <= 500));
            /// assert!(pieces.iter().flatten().eq(&all));
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            pub fn split(&self, max_bytes: usize) -> impl Iterator<Item = $Owned> + use<'_> {
                self.as_borrowed().split(max_bytes)
            }

            /// The changes of each table by themselves, in the order in which the tables are first named. All sections of one
            /// table, whose names may differ in the case of ASCII letters, are in one piece; those without a change are left out.
            ///
            /// As with [`split`](Self::split), foreign keys between tables can be broken until all pieces are applied.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Owned), ", TableSchema};")]
            ///
            /// let (users, log) = (TableSchema::new("users", &[1]), TableSchema::new("log", &[1]));
            #[doc = concat!("let all = ", stringify!($Owned), "::builder()")]
            ///     .insert_values(users, &[1.into()])
            ///     .insert_values(log, &[7.into()])
            ///     .insert_values(users, &[2.into()])
            ///     .build()?;
            /// let counts: Vec<usize> = all.split_tables().map(|table| table.records().count()).collect();
            /// assert_eq!(counts, [2, 1]);
            /// # Ok::<(), diesel_sqlite_session::BuildError>(())
            /// ```
            pub fn split_tables(&self) -> impl Iterator<Item = $Owned> + use<'_> {
                self.as_borrowed().split_tables()
            }
        }

        impl<'a> $Borrowed<'a> {
            #[doc = concat!("The changes to some tables: see [`", stringify!($Owned), "::filter_tables`].")]
            #[must_use]
            pub fn filter_tables(self, mut keep: impl FnMut(&str) -> bool) -> $Owned {
                $Owned::from_checked(filter_tables(self.as_bytes(), $format, &mut keep))
            }

            #[doc = concat!("Some of the changes: see [`", stringify!($Owned), "::filter_records`].")]
            #[must_use]
            pub fn filter_records(self, mut keep: impl FnMut(&Record<'_>) -> bool) -> $Owned {
                $Owned::from_checked(filter_records(self.as_bytes(), $format, &mut keep))
            }

            #[doc = concat!("The same changes to tables of other names: see [`", stringify!($Owned), "::rename_tables`].")]
            ///
            /// # Errors
            ///
            #[doc = concat!("The same as [`", stringify!($Owned), "::rename_tables`].")]
            pub fn rename_tables<N: AsRef<str>>(
                self,
                mut rename: impl FnMut(&'a str) -> Option<N>,
            ) -> Result<$Owned, BuildError> {
                let mut rename = |name| rename(name).map(|name| Box::from(name.as_ref()));
                rename_tables(self.as_bytes(), $format, &mut rename).map($Owned::from_checked)
            }

            #[doc = concat!("The same changes in the order of their keys: see [`", stringify!($Owned), "::sort_by_key`].")]
            #[must_use]
            pub fn sort_by_key(self) -> $Owned {
                $Owned::from_checked(sort::sort(self.as_bytes(), $format))
            }

            #[doc = concat!("The same changes in pieces: see [`", stringify!($Owned), "::split`].")]
            pub fn split(self, max_bytes: usize) -> impl Iterator<Item = $Owned> + use<'a> {
                split(self.as_bytes(), $format, max_bytes).map($Owned::from_checked)
            }

            #[doc = concat!("The changes of each table by themselves: see [`", stringify!($Owned), "::split_tables`].")]
            pub fn split_tables(self) -> impl Iterator<Item = $Owned> + use<'a> {
                split_tables(self.as_bytes(), $format).map($Owned::from_checked)
            }
        }
    };
}

shape!(Changeset, ChangesetRef, Format::Changeset);
shape!(Patchset, PatchsetRef, Format::Patchset);
