//! The bytes that SQLite reads as a stream: read, checked and corrected in chunks. Called by
//! [`callbacks`](super::callbacks).

use std::boxed::Box;
use std::ops::ControlFlow;
use std::vec::Vec;

use super::check::{SchemaCheck, UpdateSummary};
use super::counts::ChangeCounts;
use super::error::ApplyError;
use super::input::Stream;
use crate::wire::codec::append::write_header;
use crate::wire::{Format, Operation, Records, SectionId};

/// The minimum size of a chunk, except for the last.
const CHUNK: usize = 16 * 1024;

/// The progress of an apply, passed to the function of
/// [`Apply::on_progress`](super::Apply::on_progress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The number of changes passed to SQLite.
    pub changes: u64,
    /// The size of these changes in bytes.
    pub bytes: u64,
    /// The size of the input in bytes, or `None` for a stream, whose size is unknown.
    pub total_bytes: Option<u64>,
}

/// The application's progress function.
pub(super) type OnProgress<'a> = Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>;

/// Changes that are passed to SQLite in chunks.
pub(super) struct InputFeed<'a> {
    source: Source<'a>,
    /// The current chunk, and how many of its bytes SQLite has read.
    chunk: Vec<u8>,
    read_count: usize,
    progress: Progress,
}

enum Source<'a> {
    ChangeSource(Box<dyn ChangeSource + 'a>),
    UncheckedStream(Box<UncheckedStream<'a>>),
}

/// Checked changes in memory, in the order in which to apply them.
pub(super) trait ChangeSource {
    /// Appends the next change, after a section header if a section begins. Returns whether there
    /// was a change.
    fn add_change(&mut self, out: &mut Vec<u8>) -> bool;
}

/// A stream of changes, which are checked one by one.
struct UncheckedStream<'a> {
    stream: Box<dyn Stream + 'a>,
    check: SchemaCheck<'a>,
    format: Format,
    is_inverted: bool,
    section: u64,
    is_skipped: bool,
}

impl<'a> InputFeed<'a> {
    /// Creates a feed of a stream that is still to be read and checked.
    pub(super) fn of_stream(
        stream: Box<dyn Stream + 'a>,
        check: SchemaCheck<'a>,
        format: Format,
        is_inverted: bool,
    ) -> Self {
        let unread = UncheckedStream { stream, check, format, is_inverted, section: 0, is_skipped: false };
        Self::new(Source::UncheckedStream(Box::new(unread)), None)
    }

    /// Creates a feed of checked changes, which take `bytes` bytes.
    pub(super) fn of_bytes(bytes: usize, source: impl ChangeSource + 'a) -> Self {
        Self::new(Source::ChangeSource(Box::new(source)), Some(bytes as u64))
    }

    fn new(source: Source<'a>, total_bytes: Option<u64>) -> Self {
        let progress = Progress { changes: 0, bytes: 0, total_bytes };
        Self { source, chunk: Vec::new(), read_count: 0, progress }
    }

    /// Returns the next bytes, at most `max`, or no bytes at the end.
    pub(super) fn read(
        &mut self,
        max: usize,
        counts: &mut ChangeCounts,
        on_progress: Option<&mut OnProgress<'_>>,
    ) -> Result<&[u8], ApplyError> {
        if self.read_count == self.chunk.len() {
            self.chunk.clear();
            self.read_count = 0;
            if let Some(on_progress) = on_progress {
                if on_progress(self.progress).is_break() {
                    return Err(ApplyError::Cancelled);
                }
            }
            while self.chunk.len() < CHUNK && self.add_change(counts)? {}
        }
        let rest = self.chunk.get(self.read_count..).unwrap_or_default();
        let piece = rest.get(..max).unwrap_or(rest);
        self.read_count = self.read_count.saturating_add(piece.len());
        Ok(piece)
    }

    /// Appends the next change to the chunk. Returns whether there was a change.
    fn add_change(&mut self, counts: &mut ChangeCounts) -> Result<bool, ApplyError> {
        let before = self.chunk.len();
        let read = match &mut self.source {
            Source::ChangeSource(changes) => changes.add_change(&mut self.chunk).then_some(0),
            Source::UncheckedStream(unread) => unread.add_change(&mut self.chunk, counts)?,
        };
        let Some(read) = read else { return Ok(false) };
        self.progress.changes = self.progress.changes.saturating_add(1);
        let length = self.chunk.len().saturating_sub(before).max(read);
        self.progress.bytes = self.progress.bytes.saturating_add(length as u64);
        Ok(true)
    }
}

impl UncheckedStream<'_> {
    /// Appends the next change, unless it is skipped. Returns its length in the stream, or `None`
    /// at the end.
    fn add_change(&mut self, chunk: &mut Vec<u8>, counts: &mut ChangeCounts) -> Result<Option<usize>, ApplyError> {
        let Some((record, section)) = self.stream.next().map_err(ApplyError::from)? else {
            return Ok(None);
        };
        if section != self.section {
            self.section = section;
            let fitted = self.check.begin_section(&record)?;
            self.is_skipped = fitted.is_skipped;
            if !self.is_skipped {
                let ordinals = fitted.ordinals.as_deref().unwrap_or(record.key_ordinals());
                write_header(self.format, record.table(), ordinals, chunk);
            }
            counts.begin_section(record.table());
        }
        let update = (record.operation() == Operation::Update).then(|| UpdateSummary::of(&record, self.is_inverted));
        let is_skipped = self.is_skipped || update.as_ref().is_some_and(|update| update.sets_nothing);
        counts.count(is_skipped);
        if is_skipped {
            // SQLite does not receive the change
        } else if update.is_some_and(|update| update.has_unset_values) {
            record.write_set_columns(chunk);
        } else {
            record.write(chunk);
        }
        Ok(Some(record.byte_length()))
    }
}

/// Changes in their original order.
pub(super) struct OriginalOrder<'a> {
    records: Records<'a>,
    format: Format,
    section: Option<SectionId<'a>>,
}

impl<'a> OriginalOrder<'a> {
    pub(super) fn new(records: Records<'a>, format: Format) -> Self {
        Self { records, format, section: None }
    }
}

impl ChangeSource for OriginalOrder<'_> {
    fn add_change(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(record) = self.records.next() else { return false };
        if self.section != Some(record.section_id()) {
            self.section = Some(record.section_id());
            write_header(self.format, record.table(), record.key_ordinals(), out);
        }
        record.write(out);
        true
    }
}
