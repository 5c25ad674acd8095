//! Encoded changes put together, at most one for each row, as SQLite's
//! [changegroup](https://www.sqlite.org/session/changegroup.html) does it.
//!
//! [`Fold`] holds a [`TableChanges`] for each table, and a group holds the bytes of its section as they will be written. A change is
//! appended to them, and [settled](TableChanges::settle): if its row has none yet, that is all; otherwise the two are
//! [merged](super::merge). What is in the way of the order, as merged changes got longer or came to nothing, is put
//! right when the bytes are taken, or when half of them are no longer in use.
//!
//! To settle a change is to look its key up, in an index that is soon too large for the processor's caches. So changes wait until
//! there are some, and their places in the index are fetched at once.
//!
//! While each key that arrives is greater than the last one, none can be there twice, so there is nothing to look up: the
//! index is made when the first one arrives of which that is not so.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::index::{Index, MOST_ROWS, Seed, are_equal};
use super::merge::{Merged, merge};
use super::pad::{Defaults, pad};
use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::encode::{EncodeError, EncodeResult};
use crate::wire::codec::error::{BuildError, BuildErrorKind};
use crate::wire::codec::header::{Header, MAX_COLUMNS};
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::record::RawRecord;
use crate::wire::codec::value::{INTEGER, write_varint};

/// See the [module](self).
#[derive(Clone)]
pub(in crate::wire) struct Fold {
    format: Format,
    seed: Seed,
    groups: Vec<TableChanges>,
    /// From a table's name, in lower case, to its group.
    names: Index,
    /// The group of the last change: most often that of the next one too.
    last: usize,
    scratch: Scratch,
}

/// Memory that is kept for the next time.
#[derive(Clone, Default)]
struct Scratch {
    /// Where changes are merged.
    merged: Vec<u8>,
    /// Where changes are that still wait when others are merged.
    waiting: Vec<u8>,
}

impl Fold {
    pub(in crate::wire) fn new(format: Format) -> Self {
        let seed = Seed::new();
        Self { format, seed, groups: Vec::new(), names: Index::default(), last: 0, scratch: Scratch::default() }
    }

    pub(in crate::wire) fn format(&self) -> Format {
        self.format
    }

    /// The group of a table, and what is needed to settle changes in it. Names are compared as SQLite does, without regard to
    /// the case of ASCII letters.
    #[inline(always)]
    pub(in crate::wire) fn table(&mut self, header: Header<'_>) -> EncodeResult<(&mut TableChanges, SettleContext<'_>)> {
        match self.groups.get(self.last) {
            Some(group) if are_equal(group.name.as_bytes(), header.name.as_bytes()) => {}
            _ => self.last = self.find(header)?,
        }
        let context = SettleContext { format: self.format, seed: self.seed, missing: 0, scratch: &mut self.scratch };
        match self.groups.get_mut(self.last) {
            Some(group) if are_equal(&group.key, header.key) => Ok((group, context)),
            Some(group) => group.missing(header).map(|missing| (group, SettleContext { missing, ..context })),
            None => Err(EncodeError::new(BuildErrorKind::TooMany)),
        }
    }

    /// Names a table, and says what its last columns hold where a change has not so many. Where it has been named before, it
    /// must have had as many columns.
    pub(in crate::wire) fn declare(&mut self, header: Header<'_>, defaults: Defaults) -> EncodeResult<()> {
        let (group, SettleContext { missing, .. }) = self.table(header)?;
        if missing != 0 {
            return Err(group.mismatch(header));
        }
        group.defaults = Some(defaults);
        Ok(())
    }

    /// Which table this is, counted in the order in which they were named.
    pub(in crate::wire) fn number(&mut self, header: Header<'_>) -> Option<usize> {
        self.table(header).ok()?;
        Some(self.last)
    }

    /// Adds a change whose bytes have been checked.
    pub(in crate::wire) fn add(&mut self, header: Header<'_>, record: RawRecord<'_>) -> EncodeResult<()> {
        let (group, context) = self.table(header)?;
        let (start, out) = group.begin(record.operation, record.indirect);
        out.extend_from_slice(record.before);
        out.extend_from_slice(record.after);
        group.settle(start, context)
    }

    #[cold]
    fn find(&mut self, header: Header<'_>) -> EncodeResult<usize> {
        header.check()?;
        let new = self.groups.len();
        if new >= MOST_ROWS {
            return Err(EncodeError::new(BuildErrorKind::TooMany));
        }
        let hash = self.seed.of_name(header.name);
        let groups = &self.groups;
        let is_it = |at: usize| groups.get(at).is_some_and(|group| group.name.eq_ignore_ascii_case(header.name));
        match self.names.find_or_insert(hash, new, is_it) {
            Some((_, at)) => Ok(at),
            None => {
                self.groups.push(TableChanges::new(header, self.format));
                Ok(new)
            }
        }
    }

    /// The bytes: the sections in the order in which their tables were named, those without a change left out.
    pub(in crate::wire) fn into_bytes(mut self) -> Result<Vec<u8>, BuildError> {
        self.settle_all()?;
        let mut sections = self.groups.into_iter().filter_map(|group| group.into_section(self.format));
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

    /// Settles what waits in any of the groups.
    fn settle_all(&mut self) -> Result<(), BuildError> {
        for group in &mut self.groups {
            let context = SettleContext { format: self.format, seed: self.seed, missing: 0, scratch: &mut self.scratch };
            if let Err(error) = group.settle_waiting(context) {
                return Err(BuildError::new(error.kind, &group.name, error.column));
            }
        }
        Ok(())
    }

    /// The same bytes, piece by piece and without a copy of them. Each table's memory is given up as soon as it is written.
    #[cfg(feature = "std")]
    pub(in crate::wire) fn write_to<E: From<BuildError>>(
        mut self,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.settle_all()?;
        self.groups.into_iter().try_for_each(|group| group.write_to(self.format, &mut sink))
    }
}

/// What settling a change takes beside its group.
pub(in crate::wire) struct SettleContext<'a> {
    format: Format,
    seed: Seed,
    /// How many of the table's columns the change has not.
    missing: usize,
    scratch: &'a mut Scratch,
}

/// The changes to one table.
#[derive(Clone)]
pub(in crate::wire) struct TableChanges {
    name: Box<str>,
    key: Box<[u8]>,
    /// What the last columns hold where a change has not so many.
    defaults: Option<Defaults>,
    /// How many columns there are up to the last one of the key.
    key_span: usize,
    /// The section: its header, then the changes, among them such as are no longer in use.
    bytes: Vec<u8>,
    header_length: usize,
    /// Where the last change begins, while each has a greater key than the one before it.
    ascending: Option<usize>,
    /// When that has ended: where the change of each row begins, in the order of the output.
    rows: Vec<usize>,
    index: Index,
    /// The last changes, which are not among `rows` yet: where each begins, and the hash of its key.
    waiting: Vec<(usize, u32)>,
    /// Bytes that are no longer in use, of changes and of `rows`.
    waste: usize,
    /// How many of `rows` are `REMOVED`.
    gone: usize,
    /// Whether the bytes are other than the output.
    is_disordered: bool,
}

/// The row's changes came to nothing.
const REMOVED: usize = usize::MAX;

/// So many changes wait for each other.
const TOGETHER: usize = 64;

/// So much waste is not worth the work.
const LITTLE_WASTE: usize = 4096;

impl TableChanges {
    fn new(header: Header<'_>, format: Format) -> Self {
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
            waiting: Vec::new(),
            waste: 0,
            gone: 0,
            is_disordered: false,
        }
    }

    fn header(&self) -> Header<'_> {
        Header { name: &self.name, key: &self.key }
    }

    /// How many columns a change with another header has not.
    #[cold]
    fn missing(&self, header: Header<'_>) -> EncodeResult<usize> {
        let most = self.defaults.as_ref().map_or(0, Defaults::count);
        match self.key.split_at_checked(header.key.len()) {
            Some((_, missing)) if missing.is_empty() || missing.len() > most => Err(self.mismatch(header)),
            Some((same, missing)) if same == header.key && missing.iter().all(|place| *place == 0) => Ok(missing.len()),
            Some(_) => Err(EncodeError::new(BuildErrorKind::OtherKey)),
            None => Err(self.mismatch(header)),
        }
    }

    #[cold]
    fn mismatch(&self, header: Header<'_>) -> Box<EncodeError> {
        if self.key.len() == header.key.len() {
            EncodeError::new(BuildErrorKind::OtherKey)
        } else {
            EncodeError::new(BuildErrorKind::OtherColumns { before: self.key.len(), now: header.key.len() })
        }
    }

    /// Begins a change: its values are appended to the bytes that this gives. Then it is [settled](Self::settle) or
    /// [dropped](Self::drop_from), and nothing else may happen before that.
    #[inline]
    pub(in crate::wire) fn begin(&mut self, operation: Operation, indirect: bool) -> (usize, &mut Vec<u8>) {
        let (start, out) = self.end();
        out.extend_from_slice(&[operation.to_byte(), u8::from(indirect)]);
        (start, out)
    }

    /// As [`begin`](Self::begin), for a change that is appended whole.
    #[inline(always)]
    pub(in crate::wire) fn end(&mut self) -> (usize, &mut Vec<u8>) {
        (self.bytes.len(), &mut self.bytes)
    }

    /// Takes away the change that begins at `start`, the last one.
    #[cold]
    pub(in crate::wire) fn drop_from(&mut self, start: usize) {
        self.bytes.truncate(start);
    }

    /// Makes the change that begins at `start`, the last one, part of the others.
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

    /// Settles a change whose key is not above all others.
    #[inline(never)]
    fn settle_any(&mut self, start: usize, context: SettleContext<'_>) -> EncodeResult<()> {
        if self.ascending.is_some() {
            self.index_up_to(start, context.format, context.seed)?;
        }
        let hash = match self.integer_key(start) {
            Some(field) => context.seed.finish(context.seed.add(context.seed.start(), field)),
            None => self.key_at(start, context.format).hash(context.seed),
        };
        self.waiting.push((start, hash));
        if self.waiting.len() < TOGETHER { Ok(()) } else { self.settle_waiting(context) }
    }

    /// Settles the changes that wait.
    #[inline(never)]
    fn settle_waiting(&mut self, context: SettleContext<'_>) -> EncodeResult<()> {
        let SettleContext { format, seed, scratch, .. } = context;
        let mut waiting = core::mem::take(&mut self.waiting);
        self.index.make_room(waiting.len());
        // nothing waits for one of these to come before the next is asked for
        core::hint::black_box(waiting.iter().fold(0, |all, (_, hash)| all ^ self.index.peek(*hash)));
        let mut changes = waiting.iter();
        while let [(start, hash), later @ ..] = changes.as_slice() {
            if self.rows.len() >= MOST_ROWS || !self.is_new(*start, *hash, format) {
                // one by one, with each the last
                scratch.waiting.clear();
                scratch.waiting.extend_from_slice(self.bytes.get(*start..).unwrap_or_default());
                self.bytes.truncate(*start);
                let ends = later.iter().map(|(start, _)| *start).chain([usize::MAX]);
                for ((at, hash), end) in changes.zip(ends) {
                    let (from, to) = (at.saturating_sub(*start), end.saturating_sub(*start).min(scratch.waiting.len()));
                    let at = self.bytes.len();
                    self.bytes.extend_from_slice(scratch.waiting.get(from..to).unwrap_or_default());
                    self.look_up((at, *hash), format, seed, &mut scratch.merged)?;
                }
                break;
            }
            changes.next();
        }
        waiting.clear();
        self.waiting = waiting;
        Ok(())
    }

    /// Takes a change as that of a new row, if its row has none yet.
    #[inline]
    fn is_new(&mut self, start: usize, hash: u32, format: Format) -> bool {
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

    /// Whether the key of one change is below that of another.
    #[inline(always)]
    fn is_ascending(&self, one: usize, other: usize, format: Format) -> bool {
        if let (Some([_, one @ ..]), Some([_, other @ ..])) = (self.integer_key(one), self.integer_key(other)) {
            return u64::from_be_bytes(*one) < u64::from_be_bytes(*other);
        }
        self.is_any_ascending(one, other, format)
    }

    /// The encoded key of a change, if it is the first column alone and an integer: what most keys are.
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

    /// Gives the change that begins at `start`, the last one, the columns that it has not.
    #[cold]
    fn pad(&mut self, start: usize, missing: usize, format: Format) {
        let columns = self.key.len().saturating_sub(missing);
        let header = Header { name: &self.name, key: self.key.get(..columns).unwrap_or_default() };
        if let Some(defaults) = &self.defaults {
            pad(&mut self.bytes, start, header, format, missing, defaults);
        }
    }

    /// Ends the time of ascending keys.
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

    fn look_up(
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
        let Some((place, row)) = self.index.find_or_insert(hash, new, is_it) else {
            self.rows.push(start);
            return Ok(());
        };
        let at = self.rows.get(row).copied().unwrap_or(REMOVED);
        let (Some((length, first)), Some((_, second))) = (self.record_at(at, format), self.record_at(start, format))
        else {
            return Ok(()); // bytes that were appended whole do not come here
        };
        merged.clear();
        let outcome = merge(&self.key, format, first, second, merged);
        self.bytes.truncate(start);
        match outcome {
            Merged::First => return Ok(()),
            Merged::Nothing => {
                self.index.remove(place);
                self.vacate(at, length);
                self.set_row(row, REMOVED);
                self.gone = self.gone.saturating_add(1);
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
            if self.gone > 0 {
                self.gone = 0;
                self.index_up_to(self.bytes.len(), format, seed)?;
            }
        }
        Ok(())
    }

    fn set_row(&mut self, row: usize, at: usize) {
        if let Some(place) = self.rows.get_mut(row) {
            *place = at;
        }
    }

    /// Gives up the bytes of a change.
    fn vacate(&mut self, at: usize, length: usize) {
        if at.saturating_add(length) == self.bytes.len() {
            self.bytes.truncate(at);
        } else {
            self.waste = self.waste.saturating_add(length);
            self.is_disordered = true;
        }
    }

    /// Writes the changes anew, in the order of their rows.
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

    /// The section, if it has a change.
    fn into_section(mut self, format: Format) -> Option<Vec<u8>> {
        if self.is_disordered {
            self.index = Index::default();
            self.compact(format);
        }
        (self.bytes.len() > self.header_length).then_some(self.bytes)
    }

    /// Hands on the bytes of the section, if it has a change, in its order: as long a piece as stands together at a time.
    #[cfg(feature = "std")]
    fn write_to<E>(self, format: Format, sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
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
        // without a row there is the header alone
        if piece.start == 0 && piece.end == self.header_length {
            return Ok(());
        }
        sink(self.bytes.get(piece).unwrap_or_default())
    }

    #[inline]
    fn key_at(&self, at: usize, format: Format) -> KeyFields<'_> {
        KeyFields::new(&self.bytes, at, &self.key, self.key_span, format)
    }

    /// The change at a byte, and its length.
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

/// How many columns there are up to the last one of the key.
pub(in crate::wire) fn key_span(key: &[u8]) -> usize {
    key.iter().rposition(|place| *place != 0).map_or(0, |last| last.saturating_add(1))
}

/// The encoded values of a change's key.
#[derive(Clone, Copy)]
pub(in crate::wire) struct KeyFields<'a> {
    values: Cursor<'a>,
    /// The columns up to the last one of the key.
    places: &'a [u8],
    /// Whether the key's columns are all that there is.
    alone: bool,
}

impl<'a> KeyFields<'a> {
    /// Of a record with a value for each column.
    #[inline]
    pub(in crate::wire) fn of_record(record: &'a [u8], key: &'a [u8], key_span: usize) -> Self {
        Self { values: Cursor::new(record), places: key.get(..key_span).unwrap_or(key), alone: false }
    }

    /// Of the change that begins at `at`, if `key_span` columns go as far as the last one of the key.
    #[inline]
    pub(in crate::wire) fn new(bytes: &'a [u8], at: usize, key: &'a [u8], key_span: usize, format: Format) -> Self {
        let mut values = Cursor::new(bytes.get(at..).unwrap_or_default());
        let operation = values.byte().and_then(Operation::from_byte);
        values.byte();
        let alone = format == Format::Patchset && operation == Some(Operation::Delete);
        Self { values, places: key.get(..key_span).unwrap_or(key), alone }
    }

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some((place, rest)) = self.places.split_first() {
            self.places = rest;
            if *place != 0 {
                return self.values.field();
            }
            if !self.alone {
                self.values.field();
            }
        }
        None
    }

    /// Hands on each of the values.
    #[inline]
    pub(in crate::wire) fn fold<T>(mut self, first: T, mut work: impl FnMut(T, &'a [u8]) -> T) -> T {
        let mut folded = first;
        while let Some(field) = self.next() {
            folded = work(folded, field);
        }
        folded
    }

    /// Some order of all keys: that of their bytes, value by value.
    #[inline]
    pub(in crate::wire) fn compare(mut self, mut other: KeyFields<'_>) -> Ordering {
        while let (Some(one), Some(other)) = (self.next(), other.next()) {
            match order(one, other) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        Ordering::Equal
    }

    #[inline]
    fn is_below(self, other: KeyFields<'_>) -> bool {
        self.compare(other) == Ordering::Less
    }

    /// All bits of the hash, on top of another.
    #[inline]
    pub(in crate::wire) fn whole_hash(mut self, seed: Seed, start: u64) -> u64 {
        let mut hash = start;
        while let Some(field) = self.next() {
            hash = seed.add(hash, field);
        }
        seed.finish_whole(hash)
    }

    #[inline]
    pub(in crate::wire) fn hash(mut self, seed: Seed) -> u32 {
        let mut hash = seed.start();
        while let Some(field) = self.next() {
            hash = seed.add(hash, field);
        }
        seed.finish(hash)
    }
}

/// The order of encoded values: without a call for numbers, of which most keys are made.
#[inline]
fn order(one: &[u8], other: &[u8]) -> Ordering {
    if let (Ok([class, one @ ..]), Ok([other_class, other @ ..])) =
        (<[u8; 9]>::try_from(one), <[u8; 9]>::try_from(other))
    {
        return (class, u64::from_be_bytes(one)).cmp(&(other_class, u64::from_be_bytes(other)));
    }
    one.cmp(other)
}

impl Header<'_> {
    /// Refuses what [`Header::read`] would refuse.
    fn check(self) -> EncodeResult<()> {
        if self.key.is_empty() || self.key.len() as u64 > MAX_COLUMNS {
            return Err(EncodeError::new(BuildErrorKind::ColumnCount(self.key.len())));
        }
        if self.key.iter().all(|place| *place == 0) {
            return Err(EncodeError::new(BuildErrorKind::NoPrimaryKey));
        }
        if self.name.contains('\0') { Err(EncodeError::new(BuildErrorKind::TableName)) } else { Ok(()) }
    }

    /// Appends the header as a section begins with it.
    pub(in crate::wire) fn write(self, format: Format, out: &mut Vec<u8>) {
        out.push(format.to_byte());
        write_varint(out, self.key.len() as u64);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.name.as_bytes());
        out.push(0);
    }
}
