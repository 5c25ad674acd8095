//! Readers of changesets and patchsets that are larger than memory.
//!
//! The buffer holds one change at a time. It grows only as bytes arrive, never because a length in
//! the input demands it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use std::io::{self, Read};

use super::check::{self, ParseFault};
use super::cursor::Cursor;
use super::error::{Limit, ParseError, ParseErrorKind};
use super::header::Header;
use super::kind::{Format, Operation};
use super::record::{RawRecord, Record};
use super::set::{ChangesetFormat, PatchsetFormat, SetFormat};

/// The smallest number of bytes that is requested from the source at once.
const CHUNK: usize = 64 * 1024;

/// A reader of a changeset from a [`Read`], one record at a time: see [`Reader`].
///
/// ```
/// use diesel_sqlite_session::ChangesetReader;
///
/// let source: &[u8] = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
/// let mut reader = ChangesetReader::new(source);
/// while let Some(record) = reader.next_record()? {
///     assert_eq!(record.to_string(), "INSERT users(1, 'Ada')");
/// }
/// # Ok::<(), diesel_sqlite_session::ParseError>(())
/// ```
pub type ChangesetReader<R> = Reader<ChangesetFormat, R>;

/// A reader of a patchset from a [`Read`], one record at a time: see [`Reader`].
pub type PatchsetReader<R> = Reader<PatchsetFormat, R>;

/// A reader of changesets or patchsets that are larger than memory: see [`ChangesetReader`] and
/// [`PatchsetReader`].
///
/// Each record is checked before it is returned. The reader holds the table header, one record and
/// the bytes read ahead: 64 KiB, or up to about twice the largest record or header so far. It reads
/// large pieces, so a `BufReader` gains nothing.
#[derive(Debug)]
#[must_use]
pub struct Reader<F, R> {
    stream: Stream<R>,
    format: PhantomData<F>,
}

impl<F: SetFormat, R: Read> Reader<F, R> {
    /// Creates a reader of `source`. It reads nothing yet.
    pub fn new(source: R) -> Self {
        Self { stream: Stream::new(source, F::FORMAT), format: PhantomData }
    }

    /// Rejects a source of more than `max` bytes, without reading beyond them.
    ///
    /// ```
    /// use diesel_sqlite_session::ChangesetReader;
    /// use diesel_sqlite_session::wire::{Limit, ParseErrorKind};
    ///
    /// let source: &[u8] = b"T\x02\x01\x00users\0\x12\x00\x01\0\0\0\0\0\0\0\x01\x03\x03Ada";
    /// let error = ChangesetReader::new(source).max_bytes(16).next_record().unwrap_err();
    /// assert_eq!(error.kind(), ParseErrorKind::Limit { limit: Limit::Bytes, max: 16 });
    /// ```
    pub fn max_bytes(mut self, max: u64) -> Self {
        self.stream.limits.bytes = max;
        self
    }

    /// Rejects a source of more than `max` changes.
    pub fn max_changes(mut self, max: u64) -> Self {
        self.stream.limits.changes = max;
        self
    }

    /// Rejects a text or blob of more than `max` bytes before it is read.
    pub fn max_value_bytes(mut self, max: u64) -> Self {
        self.stream.limits.value_bytes = max;
        self
    }

    /// Returns the next record, or `None` at the end of the source.
    ///
    /// After an error of the bytes or of a limit, every further call returns `None`.
    ///
    /// # Errors
    ///
    /// - [`ParseErrorKind::Io`] if the source fails. The next call retries from the same offset.
    /// - [`ParseErrorKind::Limit`] if the source exceeds a limit.
    /// - Another kind if the next bytes are not a well-formed change. The records before it were
    ///   well-formed.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, ParseError> {
        Ok(self.next_with_section()?.map(|(record, _)| record))
    }

    /// Returns the next record, and how many sections have begun.
    pub(crate) fn next_with_section(&mut self) -> Result<Option<(Record<'_>, u64)>, ParseError> {
        self.stream.next_with_section()
    }

    /// Lowers the limits to `limits` where those are lower.
    #[cfg(feature = "sqlite")]
    pub(crate) fn narrow(&mut self, limits: Limits) {
        self.stream.limits = self.stream.limits.and(limits);
    }

    /// Returns the source. Bytes that have been read ahead are lost.
    pub fn into_inner(self) -> R {
        self.stream.source
    }
}

/// The header of the current section, copied out of the buffer.
struct OwnedHeader {
    name: String,
    key: Vec<u8>,
}

impl OwnedHeader {
    fn header(&self) -> Header<'_> {
        Header { name: &self.name, key: &self.key }
    }
}

/// The position of a change in the buffer. The change ends at `consumed`.
struct Found {
    start: usize,
    operation: Operation,
    indirect: bool,
    /// The length of the old values of a changeset's UPDATE; otherwise 0.
    before: usize,
}

/// The limits of a reader or an apply. `u64::MAX` is no limit.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    pub(crate) changes: u64,
    pub(crate) value_bytes: u64,
}

#[cfg(feature = "sqlite")]
impl Limits {
    /// Returns the lower of each two limits.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.min(other.bytes),
            changes: self.changes.min(other.changes),
            value_bytes: self.value_bytes.min(other.value_bytes),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: u64::MAX, changes: u64::MAX, value_bytes: u64::MAX }
    }
}

struct Stream<R> {
    source: R,
    format: Format,
    /// The bytes before `consumed` have been returned; the bytes before `filled` have been read.
    buffer: Vec<u8>,
    consumed: usize,
    filled: usize,
    /// The offset in the input at which the buffer begins.
    base: u64,
    header: Option<OwnedHeader>,
    /// The number of sections that have begun.
    section: u64,
    /// The number of changes that have been returned.
    changes: u64,
    limits: Limits,
    /// Whether the bytes of the last `fill` contain a NUL.
    has_nul_in_last: bool,
    /// Whether the source has ended.
    drained: bool,
    failed: bool,
}

impl<R> fmt::Debug for Stream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("format", &self.format)
            .field("offset", &self.position(self.consumed))
            .field("table", &self.header.as_ref().map(|header| &header.name))
            .finish_non_exhaustive()
    }
}

impl<R> Stream<R> {
    /// Returns the offset in the input of a byte of the buffer.
    fn position(&self, in_buffer: usize) -> usize {
        usize::try_from(self.base.saturating_add(in_buffer as u64)).unwrap_or(usize::MAX)
    }

    /// Returns the error of a limit that the input exceeds.
    #[cold]
    fn limit(&self, limit: Limit, max: u64) -> ParseError {
        ParseError::new(ParseErrorKind::Limit { limit, max }, self.position(self.consumed), None, None)
    }

    fn unread(&self) -> Cursor<'_> {
        Cursor::new(self.buffer.get(self.consumed..self.filled).unwrap_or_default())
    }
}

impl<R: Read> Stream<R> {
    fn new(source: R, format: Format) -> Self {
        Self {
            source,
            format,
            buffer: Vec::new(),
            consumed: 0,
            filled: 0,
            base: 0,
            header: None,
            section: 0,
            changes: 0,
            limits: Limits::default(),
            has_nul_in_last: false,
            drained: false,
            failed: false,
        }
    }

    fn next_with_section(&mut self) -> Result<Option<(Record<'_>, u64)>, ParseError> {
        if self.failed {
            return Ok(None);
        }
        // until this succeeds: a reader whose source panics is at its end
        self.failed = true;
        let advanced = self.advance();
        self.failed = advanced.as_ref().is_err_and(|error| error.kind() != ParseErrorKind::Io);
        let Some(found) = advanced? else {
            return Ok(None);
        };
        let Some(header) = self.header.as_ref().map(OwnedHeader::header) else {
            return Ok(None);
        };
        let mut bytes = Cursor::new(self.buffer.get(found.start..self.consumed).unwrap_or_default());
        bytes.take(2); // operation and indirect flag
        let before = bytes.take(found.before).unwrap_or_default();
        let raw = RawRecord { operation: found.operation, indirect: found.indirect, before, after: bytes.rest() };
        let record = Record::new(header, self.format, raw, self.position(found.start));
        let limits = self.limits;
        if limits.value_bytes != u64::MAX && record.longest_value() as u64 > limits.value_bytes {
            self.failed = true;
            return Err(self.limit(Limit::ValueBytes, limits.value_bytes));
        }
        Ok(Some((record, self.section)))
    }

    /// Reads the next change into the buffer and moves past it.
    fn advance(&mut self) -> Result<Option<Found>, ParseError> {
        loop {
            let start = self.unread();
            let mut cursor = start;
            let (fault, table) = match (start.peek(), &self.header) {
                (None, _) if self.drained => return Ok(None),
                (None, _) => (ParseFault::end(start, 1), None),
                (Some(first), Some(header)) if Format::from_byte(first).is_none() => {
                    match check::record(&mut cursor, header.header(), self.format) {
                        Ok(RawRecord { operation, indirect, before, .. }) => {
                            let found = Found { start: self.consumed, operation, indirect, before: before.len() };
                            self.consumed = self.consumed.saturating_add(cursor.since(start).len());
                            self.changes = self.changes.saturating_add(1);
                            if self.changes > self.limits.changes {
                                return Err(self.limit(Limit::Changes, self.limits.changes));
                            }
                            return Ok(Some(found));
                        }
                        Err(fault) => (fault, Some(header.name.as_str())),
                    }
                }
                (Some(_), _) => match check::header(&mut cursor, self.format) {
                    Ok(header) => {
                        let length = cursor.since(start).len();
                        let header = OwnedHeader { name: header.name.into(), key: header.key.to_vec() };
                        self.header = Some(header);
                        self.section = self.section.saturating_add(1);
                        self.consumed = self.consumed.saturating_add(length);
                        continue;
                    }
                    Err(fault) => (fault, None),
                },
            };
            if !fault.is_end() || self.drained {
                return Err(fault.into_error(self.base.saturating_add(self.filled as u64), table));
            }
            let (needed, until_nul) = (fault.needed, fault.until_nul);
            // inside a change, `needed` is the rest of a value and a byte for each value after it
            let others = self.header.as_ref().map_or(0, |header| header.key.len().saturating_mul(2));
            let is_in_change = table.is_some();
            if is_in_change && needed.saturating_sub(others) as u64 > self.limits.value_bytes.saturating_add(10) {
                return Err(self.limit(Limit::ValueBytes, self.limits.value_bytes));
            }
            self.fill(needed)?;
            // a name that arrives in many pieces is parsed once
            while until_nul && !self.drained && !self.has_nul_in_last {
                self.fill(1)?;
            }
        }
    }

    /// Reads at least `needed` more bytes. If the source ends before, sets `drained`.
    ///
    /// # Errors
    ///
    /// Fails if the source fails, and if the input exceeds the limit of bytes.
    fn fill(&mut self, needed: usize) -> Result<(), ParseError> {
        self.buffer.copy_within(self.consumed..self.filled, 0);
        self.base = self.base.saturating_add(self.consumed as u64);
        self.filled = self.filled.saturating_sub(self.consumed);
        self.consumed = 0;

        let start = self.filled;
        let wanted = start.saturating_add(needed);
        while self.filled < wanted {
            // one byte more than the limit shows that the input exceeds it
            let allowed = self.limits.bytes.saturating_sub(self.base).saturating_add(1);
            let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
            if self.filled == self.buffer.len() {
                // the input determines `needed`: the buffer grows only as fast as bytes arrive
                let more = wanted.saturating_sub(self.filled).min(self.filled).max(CHUNK);
                self.buffer.resize(self.filled.saturating_add(more).min(allowed), 0);
            }
            let end = self.buffer.len().min(allowed);
            let space = self.buffer.get_mut(self.filled..end).unwrap_or_default();
            let room = space.len();
            match self.source.read(space) {
                Ok(0) => {
                    self.drained = true;
                    return Ok(());
                }
                Ok(read) => {
                    self.filled = self.filled.saturating_add(read.min(room));
                    if self.base.saturating_add(self.filled as u64) > self.limits.bytes {
                        return Err(self.limit(Limit::Bytes, self.limits.bytes));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ParseError::of_source(error, self.position(self.filled))),
            }
        }
        self.has_nul_in_last = self.buffer.get(start..self.filled).is_some_and(|new| new.contains(&0));
        Ok(())
    }
}
