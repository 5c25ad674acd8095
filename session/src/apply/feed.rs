//! The bytes of a streamed apply: read, checked and made to fit piece by piece.

use std::boxed::Box;
use std::ops::ControlFlow;
use std::vec::Vec;

use super::check::{SchemaCheck, UpdateSummary};
use super::counts::ChangeCounts;
use super::error::ApplyError;
use super::input::Stream;
use crate::wire::codec::append::write_header;
use crate::wire::{Format, Operation, Records, SectionId};

/// Settings much is made ready at once, at least.
const CHUNK: usize = 16 * 1024;

/// Settings far an apply has come, for [`Apply::on_progress`](super::Apply::on_progress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Settings many changes SQLite has been given.
    pub changes: u64,
    /// Settings many bytes they take.
    pub bytes: u64,
    /// Settings many bytes there are, if that is known: a stream's end is not.
    pub total_bytes: Option<u64>,
}

/// A user's function that is told how far it has come.
pub(super) type OnProgress<'a> = Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>;

/// Changes that are given to SQLite piece by piece.
pub(super) struct InputFeed<'a> {
    source: Source<'a>,
    /// What is ready, and how much of it has been given.
    ready: Vec<u8>,
    given: usize,
    progress: Progress,
}

enum Source<'a> {
    ChangeSource(Box<dyn ChangeSource + 'a>),
    UncheckedStream(Box<UncheckedStream<'a>>),
}

/// Changes in memory that fit.
pub(super) trait ChangeSource {
    /// Appends the next change, behind the header of its section where that begins. Says whether there was one.
    fn add_change(&mut self, out: &mut Vec<u8>) -> bool;
}

/// Changes that are yet to be read, checked and made to fit.
struct UncheckedStream<'a> {
    stream: Box<dyn Stream + 'a>,
    check: SchemaCheck<'a>,
    format: Format,
    is_inverted: bool,
    section: u64,
    is_skipped: bool,
}

impl<'a> InputFeed<'a> {
    /// Of changes that are yet to be read and checked.
    pub(super) fn of_stream(
        stream: Box<dyn Stream + 'a>,
        check: SchemaCheck<'a>,
        format: Format,
        is_inverted: bool,
    ) -> Self {
        let unread = UncheckedStream { stream, check, format, is_inverted, section: 0, is_skipped: false };
        Self::new(Source::UncheckedStream(Box::new(unread)), None)
    }

    /// Of changes that fit, and take so many bytes.
    pub(super) fn of_bytes(bytes: usize, source: impl ChangeSource + 'a) -> Self {
        Self::new(Source::ChangeSource(Box::new(source)), Some(bytes as u64))
    }

    fn new(source: Source<'a>, total_bytes: Option<u64>) -> Self {
        let progress = Progress { changes: 0, bytes: 0, total_bytes };
        Self { source, ready: Vec::new(), given: 0, progress }
    }

    /// The next bytes, at most so many; none at the end.
    pub(super) fn read(
        &mut self,
        most: usize,
        counts: &mut ChangeCounts,
        on_progress: Option<&mut OnProgress<'_>>,
    ) -> Result<&[u8], ApplyError> {
        if self.given == self.ready.len() {
            self.ready.clear();
            self.given = 0;
            if let Some(on_progress) = on_progress {
                if on_progress(self.progress).is_break() {
                    return Err(ApplyError::Cancelled);
                }
            }
            while self.ready.len() < CHUNK && self.add_change(counts)? {}
        }
        let rest = self.ready.get(self.given..).unwrap_or_default();
        let piece = rest.get(..most).unwrap_or(rest);
        self.given = self.given.saturating_add(piece.len());
        Ok(piece)
    }

    /// Makes the next change ready. Says whether there was one.
    fn add_change(&mut self, counts: &mut ChangeCounts) -> Result<bool, ApplyError> {
        let before = self.ready.len();
        let read = match &mut self.source {
            Source::ChangeSource(changes) => changes.add_change(&mut self.ready).then_some(0),
            Source::UncheckedStream(unread) => unread.add_change(&mut self.ready, counts)?,
        };
        let Some(read) = read else { return Ok(false) };
        self.progress.changes = self.progress.changes.saturating_add(1);
        let length = self.ready.len().saturating_sub(before).max(read);
        self.progress.bytes = self.progress.bytes.saturating_add(length as u64);
        Ok(true)
    }
}

impl UncheckedStream<'_> {
    /// Appends the next change, if it is for SQLite. Gives its length as it was read, if there was one.
    fn add_change(&mut self, ready: &mut Vec<u8>, counts: &mut ChangeCounts) -> Result<Option<usize>, ApplyError> {
        let Some((record, section)) = self.stream.next().map_err(ApplyError::from)? else {
            return Ok(None);
        };
        if section != self.section {
            self.section = section;
            let fitted = self.check.begin_section(&record)?;
            self.is_skipped = fitted.is_skipped;
            if !self.is_skipped {
                let ordinals = fitted.ordinals.as_deref().unwrap_or(record.key_ordinals());
                write_header(self.format, record.table(), ordinals, ready);
            }
            counts.begin_section(record.table());
        }
        let update = (record.operation() == Operation::Update).then(|| UpdateSummary::of(&record, self.is_inverted));
        let is_skipped = self.is_skipped || update.as_ref().is_some_and(|update| update.sets_nothing);
        counts.count(is_skipped);
        if is_skipped {
            // not for SQLite
        } else if update.is_some_and(|update| update.has_unset_values) {
            record.write_set_columns(ready);
        } else {
            record.write(ready);
        }
        Ok(Some(record.byte_length()))
    }
}

/// Changes in their order.
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
