//! The changes to one table, at most one for each row, as the bytes of a section.
//!
//! A change is appended to the bytes and then [settled](TableChanges::settle). If its row has no
//! change yet, it stays where it is; otherwise the two are [merged](super::merge). A merged change
//! that is longer than before, or no change at all, leaves waste and disorder in the bytes. They
//! are compacted when half of them is waste, and when the bytes are taken.
//!
//! To settle a change is to look up its key, in an index that soon exceeds the processor's caches.
//! So changes are pending until there are some, and their slots in the index are fetched at once.
//!
//! While the keys are ascending, no row can have two changes, and no look-up is needed. The index
//! is created when the first key arrives that is not greater than the one before it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::index::{Index, MOST_ROWS, Seed};
use super::key::{KeyFields, key_span};
use super::merge::{Merged, merge};
use super::pad::{Defaults, pad};
use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::encode::{EncodeError, EncodeResult};
use crate::wire::codec::error::BuildErrorKind;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::value::INTEGER;

/// The parts of a [`Fold`](super::fold::Fold) that all tables share, to settle a change with.
pub(in crate::wire) struct SettleContext<'a> {
    pub(super) format: Format,
    pub(super) seed: Seed,
    /// The number of columns at the end of the table that the change lacks.
    pub(super) missing: usize,
    pub(super) scratch: &'a mut Scratch,
}

/// Buffers that are reused.
#[derive(Clone, Default)]
pub(super) struct Scratch {
    /// The result of a merge.
    merged: Vec<u8>,
    /// The bytes of pending changes while they are settled one by one.
    pending: Vec<u8>,
}

/// The changes to one table, at most one for each row.
#[derive(Clone)]
pub(in crate::wire) struct TableChanges {
    pub(super) name: Box<str>,
    pub(super) key: Box<[u8]>,
    /// The default values of the last columns, which older changes may lack.
    pub(super) defaults: Option<Defaults>,
    /// See [`key_span`](fn@key_span).
    key_span: usize,
    /// The section: its header, then the changes, some of which may be out of use.
    bytes: Vec<u8>,
    header_length: usize,
    /// The offset of the last change, as long as the keys are ascending.
    ascending: Option<usize>,
    /// Once the keys are not ascending: the offset of the change to each row, in the order of the
    /// output.
    rows: Vec<usize>,
    index: Index,
    /// The last changes, which are not in `rows` yet: their offsets and the hashes of their keys.
    pending: Vec<(usize, u32)>,
    /// The number of bytes out of use, in `bytes` and in `rows`.
    waste: usize,
    /// The number of `rows` that are `REMOVED`.
    removed: usize,
    /// Whether the bytes differ from the output.
    is_disordered: bool,
}

/// Instead of an offset: the changes to the row result in no change.
const REMOVED: usize = usize::MAX;

/// The number of changes that are settled together.
const BATCH: usize = 64;

/// The number of bytes up to which waste is not compacted.
const LITTLE_WASTE: usize = 4096;

impl TableChanges {
    pub(super) fn new(header: Header<'_>, format: Format) -> Self {
        let mut bytes = Vec::new();
        header.write(format, &mut bytes);
        Self {
            name: header.name.into(),
            key: header.key.into(),
            defaults: None,
            key_span: key_span(header.key),
            header_length: bytes.len(),
            ascending: Some(bytes.len()),
            bytes,
            rows: Vec::new(),
            index: Index::default(),
            pending: Vec::new(),
            waste: 0,
            removed: 0,
            is_disordered: false,
        }
    }

    fn header(&self) -> Header<'_> {
        Header { name: &self.name, key: &self.key }
    }

    /// Returns the number of columns that a change with another header lacks.
    ///
    /// # Errors
    ///
    /// Fails if the headers differ in anything but columns that have declared defaults.
    #[cold]
    pub(super) fn missing(&self, header: Header<'_>) -> EncodeResult<usize> {
        let most = self.defaults.as_ref().map_or(0, Defaults::count);
        match self.key.split_at_checked(header.key.len()) {
            Some((_, missing)) if missing.is_empty() || missing.len() > most => Err(self.mismatch(header)),
            Some((same, missing)) if same == header.key && missing.iter().all(|ordinal| *ordinal == 0) => {
                Ok(missing.len())
            }
            Some(_) => Err(EncodeError::new(BuildErrorKind::OtherKey)),
            None => Err(self.mismatch(header)),
        }
    }

    /// Returns the error of a header that does not match.
    #[cold]
    pub(super) fn mismatch(&self, header: Header<'_>) -> Box<EncodeError> {
        if self.key.len() == header.key.len() {
            EncodeError::new(BuildErrorKind::OtherKey)
        } else {
            EncodeError::new(BuildErrorKind::OtherColumns { before: self.key.len(), now: header.key.len() })
        }
    }

    /// Begins a change. Returns its offset and the bytes, to which the caller appends its values.
    ///
    /// The next call must [settle](Self::settle) the change or [drop](Self::drop_from) it.
    #[inline]
    pub(in crate::wire) fn begin(&mut self, operation: Operation, indirect: bool) -> (usize, &mut Vec<u8>) {
        let (start, out) = self.begin_whole();
        out.extend_from_slice(&[operation.to_byte(), u8::from(indirect)]);
        (start, out)
    }

    /// Does the same as [`begin`](Self::begin), for a caller that appends the operation and the
    /// flag too.
    #[inline(always)]
    pub(in crate::wire) fn begin_whole(&mut self) -> (usize, &mut Vec<u8>) {
        (self.bytes.len(), &mut self.bytes)
    }

    /// Removes the last change, which begins at `start`.
    #[cold]
    pub(in crate::wire) fn drop_from(&mut self, start: usize) {
        self.bytes.truncate(start);
    }

    /// Settles the last change, which begins at `start`: merges it with the earlier change to its
    /// row.
    ///
    /// # Errors
    ///
    /// Fails if the table has too many rows.
    #[inline(always)]
    pub(in crate::wire) fn settle(&mut self, start: usize, context: SettleContext<'_>) -> EncodeResult<()> {
        if context.missing != 0 {
            self.pad(start, context.missing, context.format);
        }
        if let Some(last) = self.ascending {
            if start == self.header_length || self.is_ascending(last, start, context.format) {
                self.ascending = Some(start);
                return Ok(());
            }
        }
        self.settle_any(start, context)
    }

    /// Settles a change whose key is not greater than all others.
    #[inline(never)]
    fn settle_any(&mut self, start: usize, context: SettleContext<'_>) -> EncodeResult<()> {
        if self.ascending.is_some() {
            self.index_up_to(start, context.format, context.seed)?;
        }
        let hash = match self.integer_key(start) {
            Some(field) => context.seed.finish(context.seed.add(context.seed.start(), field)),
            None => self.key_at(start, context.format).hash(context.seed),
        };
        self.pending.push((start, hash));
        if self.pending.len() < BATCH { Ok(()) } else { self.settle_pending(context) }
    }

    /// Settles the pending changes.
    #[inline(never)]
    pub(super) fn settle_pending(&mut self, context: SettleContext<'_>) -> EncodeResult<()> {
        let SettleContext { format, seed, scratch, .. } = context;
        let mut pending = core::mem::take(&mut self.pending);
        self.index.make_room(pending.len());
        // all slots are fetched into the cache at once: no fetch waits for another
        core::hint::black_box(pending.iter().fold(0, |all, (_, hash)| all ^ self.index.home_slot(*hash)));
        let mut changes = pending.iter();
        while let [(start, hash), later @ ..] = changes.as_slice() {
            if self.rows.len() >= MOST_ROWS || !self.add_if_new(*start, *hash, format) {
                // one by one, so that each is the last change of the bytes
                scratch.pending.clear();
                scratch.pending.extend_from_slice(self.bytes.get(*start..).unwrap_or_default());
                self.bytes.truncate(*start);
                let ends = later.iter().map(|(start, _)| *start).chain([usize::MAX]);
                for ((at, hash), end) in changes.zip(ends) {
                    let (from, to) = (at.saturating_sub(*start), end.saturating_sub(*start).min(scratch.pending.len()));
                    let at = self.bytes.len();
                    self.bytes.extend_from_slice(scratch.pending.get(from..to).unwrap_or_default());
                    self.settle_one((at, *hash), format, seed, &mut scratch.merged)?;
                }
                break;
            }
            changes.next();
        }
        pending.clear();
        self.pending = pending;
        Ok(())
    }

    /// Adds a change to `rows` if its row has no change yet. Returns whether it was added.
    #[inline]
    fn add_if_new(&mut self, start: usize, hash: u32, format: Format) -> bool {
        let new = self.rows.len();
        let Self { rows, bytes, index, key, key_span, .. } = self;
        let at = |row: usize| rows.get(row).copied().unwrap_or(REMOVED);
        let key_at = |at: usize| KeyFields::new(bytes, at, key, *key_span, format);
        let is_new =
            index.find_or_insert(hash, new, |row| key_at(at(row)).compare(key_at(start)) == Ordering::Equal).is_none();
        if is_new {
            rows.push(start);
        }
        is_new
    }

    /// Returns whether the key of one change is less than the key of another.
    #[inline(always)]
    fn is_ascending(&self, one: usize, other: usize, format: Format) -> bool {
        if let (Some([_, one @ ..]), Some([_, other @ ..])) = (self.integer_key(one), self.integer_key(other)) {
            return u64::from_be_bytes(*one) < u64::from_be_bytes(*other);
        }
        self.is_any_ascending(one, other, format)
    }

    /// Returns the encoded key of a change if it is an integer in the first column, as most keys
    /// are.
    #[inline(always)]
    fn integer_key(&self, at: usize) -> Option<&[u8; 9]> {
        if self.key_span != 1 {
            return None;
        }
        let first = self.bytes.get(at.saturating_add(2)..).and_then(<[u8]>::first_chunk::<9>);
        first.filter(|field| field[0] == INTEGER)
    }

    #[inline(never)]
    fn is_any_ascending(&self, one: usize, other: usize, format: Format) -> bool {
        self.key_at(one, format).is_below(self.key_at(other, format))
    }

    /// Adds the columns that the last change lacks, which begins at `start`.
    #[cold]
    fn pad(&mut self, start: usize, missing: usize, format: Format) {
        let columns = self.key.len().saturating_sub(missing);
        let header = Header { name: &self.name, key: self.key.get(..columns).unwrap_or_default() };
        if let Some(defaults) = &self.defaults {
            pad(&mut self.bytes, start, header, format, missing, defaults);
        }
    }

    /// Adds the changes before `end` to `rows` and to the index, when the keys are no longer
    /// ascending.
    #[cold]
    fn index_up_to(&mut self, end: usize, format: Format, seed: Seed) -> EncodeResult<()> {
        self.ascending = None;
        self.rows.clear();
        self.index = Index::default();
        let mut at = self.header_length;
        while at < end {
            if self.rows.len() >= MOST_ROWS {
                return Err(EncodeError::new(BuildErrorKind::TooMany));
            }
            let hash = self.key_at(at, format).hash(seed);
            self.index.find_or_insert(hash, self.rows.len(), |_| false);
            self.rows.push(at);
            at = at.saturating_add(self.length_at(at, format).max(1));
        }
        Ok(())
    }

    /// Settles one change, the last of the bytes, by a look-up in the index.
    fn settle_one(
        &mut self,
        (start, hash): (usize, u32),
        format: Format,
        seed: Seed,
        merged: &mut Vec<u8>,
    ) -> EncodeResult<()> {
        let key = KeyFields::new(&self.bytes, start, &self.key, self.key_span, format);
        let new = self.rows.len();
        if new >= MOST_ROWS {
            self.bytes.truncate(start);
            return Err(EncodeError::new(BuildErrorKind::TooMany));
        }
        let (rows, bytes) = (&self.rows, &self.bytes);
        let is_it = |row: usize| {
            let at = rows.get(row).copied().unwrap_or(REMOVED);
            KeyFields::new(bytes, at, &self.key, self.key_span, format).compare(key) == Ordering::Equal
        };
        let Some((slot, row)) = self.index.find_or_insert(hash, new, is_it) else {
            self.rows.push(start);
            return Ok(());
        };
        let at = self.rows.get(row).copied().unwrap_or(REMOVED);
        let (Some((length, first)), Some((_, second))) = (self.record_at(at, format), self.record_at(start, format))
        else {
            return Ok(()); // not reached: both changes are well-formed
        };
        merged.clear();
        let outcome = merge(&self.key, format, first, second, merged);
        self.bytes.truncate(start);
        match outcome {
            Merged::First => return Ok(()),
            Merged::Nothing => {
                self.index.remove(slot);
                self.vacate(at, length);
                self.set_row(row, REMOVED);
                self.removed = self.removed.saturating_add(1);
                self.waste = self.waste.saturating_add(size_of::<usize>());
            }
            Merged::Combined => match self.bytes.get_mut(at..at.saturating_add(length)) {
                Some(old) if old.len() == merged.len() => old.copy_from_slice(merged),
                _ => {
                    self.vacate(at, length);
                    self.set_row(row, self.bytes.len());
                    self.bytes.extend_from_slice(merged);
                }
            },
        }
        let all = self.bytes.len().saturating_add(self.rows.len().saturating_mul(size_of::<usize>()));
        if self.waste > LITTLE_WASTE && self.waste > all / 2 {
            self.compact(format);
            if self.removed > 0 {
                self.removed = 0;
                self.index_up_to(self.bytes.len(), format, seed)?;
            }
        }
        Ok(())
    }

    fn set_row(&mut self, row: usize, at: usize) {
        if let Some(offset) = self.rows.get_mut(row) {
            *offset = at;
        }
    }

    /// Frees the bytes of a change.
    fn vacate(&mut self, at: usize, length: usize) {
        if at.saturating_add(length) == self.bytes.len() {
            self.bytes.truncate(at);
        } else {
            self.waste = self.waste.saturating_add(length);
            self.is_disordered = true;
        }
    }

    /// Rewrites the bytes without waste, in the order of the rows.
    #[cold]
    fn compact(&mut self, format: Format) {
        let mut out = Vec::with_capacity(self.bytes.len().saturating_sub(self.waste).max(self.header_length));
        self.header().write(format, &mut out);
        let mut rows = core::mem::take(&mut self.rows);
        for row in rows.iter_mut().filter(|row| **row != REMOVED) {
            let end = row.saturating_add(self.length_at(*row, format));
            let change = self.bytes.get(*row..end).unwrap_or_default();
            *row = out.len();
            out.extend_from_slice(change);
        }
        self.rows = rows;
        self.bytes = out;
        self.waste = 0;
        self.is_disordered = false;
    }

    /// Returns the section, or `None` if it has no change.
    pub(super) fn into_section(mut self, format: Format) -> Option<Vec<u8>> {
        if self.is_disordered {
            self.index = Index::default();
            self.compact(format);
        }
        (self.bytes.len() > self.header_length).then_some(self.bytes)
    }

    /// Passes the bytes of the section to `sink` in the order of the output, in contiguous pieces
    /// that are as long as possible. A section without a change is skipped.
    #[cfg(feature = "std")]
    pub(super) fn write_to<E>(self, format: Format, sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if !self.is_disordered {
            return if self.bytes.len() > self.header_length { sink(&self.bytes) } else { Ok(()) };
        }
        let mut piece = 0..self.header_length;
        for at in self.rows.iter().copied().filter(|row| *row != REMOVED) {
            if at != piece.end {
                sink(self.bytes.get(piece).unwrap_or_default())?;
                piece = at..at;
            }
            piece.end = at.saturating_add(self.length_at(at, format));
        }
        // without a row, the piece is the header alone
        if piece.start == 0 && piece.end == self.header_length {
            return Ok(());
        }
        sink(self.bytes.get(piece).unwrap_or_default())
    }

    #[inline]
    fn key_at(&self, at: usize, format: Format) -> KeyFields<'_> {
        KeyFields::new(&self.bytes, at, &self.key, self.key_span, format)
    }

    /// Returns the change at an offset, and its length.
    fn record_at(&self, at: usize, format: Format) -> Option<(usize, RawRecord<'_>)> {
        let start = Cursor::new(self.bytes.get(at..)?);
        let mut cursor = start;
        let record = check::read_checked(&mut cursor, self.header(), format)?;
        Some((cursor.since(start).len(), record))
    }

    fn length_at(&self, at: usize, format: Format) -> usize {
        self.record_at(at, format).map_or(0, |(length, _)| length)
    }
}
