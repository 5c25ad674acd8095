//! Filtering, renaming, sorting and splitting sets. Changes are copied byte for byte.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;

use super::sort;
use crate::wire::codec::error::{BuildError, BuildErrorKind};
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::Format;
use crate::wire::codec::record::Record;
use crate::wire::codec::set::{Set, SetFormat, SetRef};
use crate::wire::codec::walk::Walker;

/// The bytes of a section that is not empty.
struct Section<'a> {
    header: Header<'a>,
    head: &'a [u8],
    changes: &'a [u8],
}

/// An iterator over the sections of checked bytes that are not empty.
struct Sections<'a> {
    walk: Walker<'a>,
}

impl<'a> Iterator for Sections<'a> {
    type Item = Section<'a>;

    fn next(&mut self) -> Option<Section<'a>> {
        loop {
            let start = self.walk.position();
            let header = self.walk.header()?;
            let changes = self.walk.position();
            self.walk.skip_records(header)?;
            let (head, changes) = (changes.since(start), self.walk.position().since(changes));
            if !changes.is_empty() {
                return Some(Section { header, head, changes });
            }
        }
    }
}

fn sections(bytes: &[u8], format: Format) -> Sections<'_> {
    Sections { walk: Walker::new(bytes, format) }
}

/// A change with its bytes.
struct Change<'a> {
    record: Record<'a>,
    bytes: &'a [u8],
    /// The header of the section.
    head: &'a [u8],
    /// Whether the change is the first of its section.
    is_first: bool,
}

/// An iterator over the changes of checked bytes.
struct Changes<'a> {
    walk: Walker<'a>,
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
            let start = self.walk.position();
            if !self.walk.is_at_record() {
                let header = self.walk.header()?;
                self.table = Some((header, self.walk.position().since(start)));
                is_first = true;
                continue;
            }
            let (header, head) = self.table?;
            let raw = self.walk.record(header)?;
            let record = Record::new(header, self.format, raw, self.total.saturating_sub(start.remaining()));
            return Some(Change { record, bytes: self.walk.position().since(start), head, is_first });
        }
    }
}

fn changes(bytes: &[u8], format: Format) -> Changes<'_> {
    Changes { walk: Walker::new(bytes, format), format, table: None, total: bytes.len() }
}

fn filter_tables(bytes: &[u8], format: Format, keep: &mut dyn FnMut(&str) -> bool) -> Vec<u8> {
    let kept = sections(bytes, format).filter(|section| keep(section.header.name));
    join(kept.flat_map(|section| [section.head, section.changes]))
}

fn filter_records(bytes: &[u8], format: Format, keep: &mut dyn FnMut(&Record<'_>) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut has_header = false;
    // consecutive changes are copied together
    let mut run = 0..0;
    for change in changes(bytes, format) {
        has_header &= !change.is_first;
        if !keep(&change.record) {
            continue;
        }
        let start = change.record.offset();
        if run.end != start || !has_header {
            out.extend_from_slice(bytes.get(run).unwrap_or_default());
            run = start..start;
        }
        if !has_header {
            out.extend_from_slice(change.head);
            has_header = true;
        }
        run.end = start.saturating_add(change.bytes.len());
    }
    out.extend_from_slice(bytes.get(run).unwrap_or_default());
    out
}

/// The sections that get one name.
struct Renamed<'a> {
    /// The old name of the first section.
    name: &'a str,
    key: &'a [u8],
    /// Whether the sections are of different tables.
    is_joined: bool,
    /// A difference between the columns or keys of two sections.
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

/// An iterator over the pieces of a split by size.
struct Pieces<'a> {
    changes: Peekable<Changes<'a>>,
    remaining: usize,
    max: usize,
}

impl Iterator for Pieces<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let Change { bytes, head, .. } = self.changes.next()?;
        let first = head.len().saturating_add(bytes.len());
        let mut out = Vec::with_capacity(self.max.min(head.len().saturating_add(self.remaining)).max(first));
        out.extend_from_slice(head);
        out.extend_from_slice(bytes);
        self.remaining = self.remaining.saturating_sub(bytes.len());
        let header_len = |change: &Change<'_>| if change.is_first { change.head.len() } else { 0 };
        let fits = |out: &Vec<u8>, change: &Change<'_>| {
            out.len().saturating_add(header_len(change)).saturating_add(change.bytes.len()) <= self.max
        };
        while let Some(change) = self.changes.next_if(|change| fits(&out, change)) {
            if change.is_first {
                out.extend_from_slice(change.head);
            }
            out.extend_from_slice(change.bytes);
            self.remaining = self.remaining.saturating_sub(header_len(&change).saturating_add(change.bytes.len()));
        }
        Some(out)
    }
}

fn split(bytes: &[u8], format: Format, max: usize) -> Pieces<'_> {
    Pieces { changes: changes(bytes, format).peekable(), remaining: bytes.len(), max }
}

fn split_tables(bytes: &[u8], format: Format) -> impl Iterator<Item = Vec<u8>> + use<'_> {
    let mut positions: BTreeMap<String, usize> = BTreeMap::new();
    let mut tables: Vec<Vec<Section<'_>>> = Vec::new();
    for section in sections(bytes, format) {
        let position = *positions.entry(section.header.name.to_ascii_lowercase()).or_insert(tables.len());
        match tables.get_mut(position) {
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

impl<F: SetFormat> Set<F> {
    /// Returns the changes to the tables whose names `keep` accepts.
    ///
    /// Calls `keep` once for each section that is not empty. SQLite compares table names without
    /// regard to the case of ASCII letters.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let (users, log) = (TableInfo::new("users", &[1]), TableInfo::new("log", &[1]));
    /// let all = Changeset::builder()
    ///     .insert_values(users, &[1.into()])
    ///     .insert_values(log, &[7.into()])
    ///     .build()?;
    /// let kept = all.filter_tables(|name| name != "log");
    /// assert_eq!(format!("{kept:?}"), "Changeset [INSERT users(1)]");
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    #[must_use]
    pub fn filter_tables(&self, keep: impl FnMut(&str) -> bool) -> Set<F> {
        self.as_borrowed().filter_tables(keep)
    }

    /// Returns the changes that `keep` accepts, byte for byte and in the same order. Empty sections
    /// are dropped.
    ///
    /// ```
    /// use diesel_sqlite_session::wire::TableInfo;
    /// use diesel_sqlite_session::{Changeset, Operation};
    ///
    /// let users = TableInfo::new("users", &[1, 0]);
    /// let all = Changeset::builder()
    ///     .insert_values(users, &[1.into(), "Ada".into()])
    ///     .delete_values(users, &[2.into(), "Bob".into()])
    ///     .build()?;
    /// let kept = all.filter_records(|record| record.operation() == Operation::Insert);
    /// assert_eq!(format!("{kept:?}"), "Changeset [INSERT users(1, 'Ada')]");
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    #[must_use]
    pub fn filter_records(&self, keep: impl FnMut(&Record<'_>) -> bool) -> Set<F> {
        self.as_borrowed().filter_records(keep)
    }

    /// Returns the same changes to tables of other names.
    ///
    /// Calls `rename` with the table name of each section that is not empty. `rename` returns the
    /// new name, or `None` to keep the name.
    ///
    /// Sections are not merged, even if two of them name the same table afterwards. An apply
    /// executes the sections one after the other. If two sections contain a change to the same row,
    /// use a [builder](Self::builder) to merge them.
    ///
    /// # Errors
    ///
    /// - [`TableName`](BuildErrorKind::TableName) for a name that contains a NUL.
    /// - [`OtherColumns`](BuildErrorKind::OtherColumns) and [`OtherKey`](BuildErrorKind::OtherKey)
    ///   if two tables get one name but differ in their number of columns or in their key. Names
    ///   that differ only in the case of ASCII letters are the same name.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("tenant_7_users", &[1]);
    /// let theirs = Changeset::builder().insert_values(users, &[1.into()]).build()?;
    /// let ours = theirs.rename_tables(|name| name.strip_prefix("tenant_7_"))?;
    /// assert_eq!(format!("{ours:?}"), "Changeset [INSERT users(1)]");
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn rename_tables<'a, N: AsRef<str>>(
        &'a self,
        rename: impl FnMut(&'a str) -> Option<N>,
    ) -> Result<Set<F>, BuildError> {
        self.as_borrowed().rename_tables(rename)
    }

    /// Returns the same changes with each section sorted by primary key, so that they are applied
    /// faster.
    ///
    /// A session writes changes in the order of a hash table, so that each change affects another
    /// page of the database. With 1,000,000 INSERTs into a database file, sorting and applying was
    /// faster than applying without sorting by these factors:
    ///
    /// | key | original order | factor |
    /// |---|---|---|
    /// | integer | random | 10 |
    /// | 16 random bytes | random | 4 |
    /// | integer | that of a session | 1.5 |
    ///
    /// Keys are compared as in an index with the collation
    /// [BINARY](https://www.sqlite.org/datatype3.html#collation): numbers by value, then texts by
    /// their bytes, then blobs. The key columns are compared in the order of their
    /// [ordinals](crate::wire::Section::key_ordinals), or in the order of the table if the ordinals
    /// are equal. The sort is stable, and the order of the sections does not change.
    ///
    /// The order in which a session writes changes has no meaning. Another order can still have
    /// other effects, if a change affects more than its row:
    ///
    /// - foreign keys with an action that refer to the same table
    /// - triggers that read or write the same table
    /// - UNIQUE columns outside of the key, if two changes need the same value
    ///
    /// Do not sort for a replica that treats keys of different bytes as equal, for example with the
    /// collation NOCASE. A DELETE and an INSERT of one row could be swapped.
    ///
    /// In addition to the result, sorting uses 16 to 32 bytes for each change of the largest
    /// section.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let seats = TableInfo::new("seats", &[2, 1]); // PRIMARY KEY (seat, row)
    /// let unsorted = Changeset::builder()
    ///     .insert_values(seats, &[1.into(), 2.into()])
    ///     .insert_values(seats, &[2.into(), 1.into()])
    ///     .insert_values(seats, &[1.into(), 1.into()])
    ///     .build()?;
    /// let lines: Vec<String> = unsorted.sort_by_key().records().map(|record| record.to_string()).collect();
    /// assert_eq!(lines, ["INSERT seats(1, 1)", "INSERT seats(2, 1)", "INSERT seats(1, 2)"]);
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    #[must_use]
    pub fn sort_by_key(&self) -> Set<F> {
        self.as_borrowed().sort_by_key()
    }

    /// Splits the changes into pieces of at most `max_bytes`, in the same order, each with the
    /// headers that it needs.
    ///
    /// A change that is larger than `max_bytes` together with its header is a piece by itself. An
    /// empty set has no pieces.
    ///
    /// Apply the pieces in their order. A piece alone can break a foreign key that the whole set
    /// keeps, or need a UNIQUE value that a later piece releases. Where foreign keys are enforced,
    /// apply all pieces in one transaction, accept violations (`Apply::on_foreign_keys`), and run
    /// [`PRAGMA foreign_key_check`](https://www.sqlite.org/pragma.html#pragma_foreign_key_check)
    /// before the commit.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let users = TableInfo::new("users", &[1]);
    /// let builder = Changeset::builder();
    /// let all = (0..100).fold(builder, |builder, id| builder.insert_values(users, &[id.into()])).build()?;
    /// let pieces: Vec<Changeset> = all.split(500).collect();
    /// assert_eq!(pieces.len(), 3);
    /// assert!(pieces.iter().all(|piece| piece.as_bytes().len() <= 500));
    /// assert!(pieces.iter().flatten().eq(&all));
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn split(&self, max_bytes: usize) -> impl Iterator<Item = Set<F>> + use<'_, F> {
        self.as_borrowed().split(max_bytes)
    }

    /// Splits the changes by table, in the order of each table's first section.
    ///
    /// All sections of one table are in one piece, even if their names differ in the case of ASCII
    /// letters. Empty sections are dropped. As with [`split`](Self::split), foreign keys between
    /// tables can be broken until all pieces are applied.
    ///
    /// ```
    /// use diesel_sqlite_session::Changeset;
    /// use diesel_sqlite_session::wire::TableInfo;
    ///
    /// let (users, log) = (TableInfo::new("users", &[1]), TableInfo::new("log", &[1]));
    /// let all = Changeset::builder()
    ///     .insert_values(users, &[1.into()])
    ///     .insert_values(log, &[7.into()])
    ///     .insert_values(users, &[2.into()])
    ///     .build()?;
    /// let counts: Vec<usize> = all.split_tables().map(|table| table.records().count()).collect();
    /// assert_eq!(counts, [2, 1]);
    /// # Ok::<(), diesel_sqlite_session::wire::BuildError>(())
    /// ```
    pub fn split_tables(&self) -> impl Iterator<Item = Set<F>> + use<'_, F> {
        self.as_borrowed().split_tables()
    }
}

impl<'a, F: SetFormat> SetRef<'a, F> {
    /// Returns the changes to some tables: see [`Set::filter_tables`].
    #[must_use]
    pub fn filter_tables(self, mut keep: impl FnMut(&str) -> bool) -> Set<F> {
        Set::from_checked(filter_tables(self.as_bytes(), F::FORMAT, &mut keep))
    }

    /// Returns some of the changes: see [`Set::filter_records`].
    #[must_use]
    pub fn filter_records(self, mut keep: impl FnMut(&Record<'_>) -> bool) -> Set<F> {
        Set::from_checked(filter_records(self.as_bytes(), F::FORMAT, &mut keep))
    }

    /// Returns the same changes to tables of other names: see [`Set::rename_tables`].
    ///
    /// # Errors
    ///
    /// The same as [`Set::rename_tables`].
    pub fn rename_tables<N: AsRef<str>>(
        self,
        mut rename: impl FnMut(&'a str) -> Option<N>,
    ) -> Result<Set<F>, BuildError> {
        let mut rename = |name| rename(name).map(|name| Box::from(name.as_ref()));
        rename_tables(self.as_bytes(), F::FORMAT, &mut rename).map(Set::from_checked)
    }

    /// Returns the same changes sorted by primary key: see [`Set::sort_by_key`].
    #[must_use]
    pub fn sort_by_key(self) -> Set<F> {
        Set::from_checked(sort::sort(self.as_bytes(), F::FORMAT))
    }

    /// Splits the changes into pieces: see [`Set::split`].
    pub fn split(self, max_bytes: usize) -> impl Iterator<Item = Set<F>> + use<'a, F> {
        split(self.as_bytes(), F::FORMAT, max_bytes).map(Set::from_checked)
    }

    /// Splits the changes by table: see [`Set::split_tables`].
    pub fn split_tables(self) -> impl Iterator<Item = Set<F>> + use<'a, F> {
        split_tables(self.as_bytes(), F::FORMAT).map(Set::from_checked)
    }
}
