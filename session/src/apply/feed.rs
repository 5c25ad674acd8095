//! The bytes of a streamed apply: read, checked and made to fit piece by piece.

use std::boxed::Box;
use std::ops::ControlFlow;
use std::vec::Vec;

use super::fit::{Fitting, says_more_than_it_sets, sets_nothing};
use super::input::Stream;
use super::tally::Tally;
use crate::error::ApplyError;
use crate::wire::raw::{Limits, write_header};
use crate::wire::{Format, Operation, ReadError, Record, Records, Section};

/// How much is made ready at once, at least.
const CHUNK: usize = 16 * 1024;

/// How far an apply has come, for [`Apply::on_progress`](super::Apply::on_progress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many changes SQLite has been given.
    pub changes: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// How many bytes there are, if that is known: a stream's end is not.
    pub total_bytes: Option<u64>,
}

/// A user's function that is told how far it has come.
pub(super) type OnProgress<'a> = Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>;

/// Changes that are given to SQLite piece by piece.
pub(super) struct Feed<'a> {
    source: Box<dyn Stream + 'a>,
    /// What sees to it that they fit, unless that is known.
    fitting: Option<Fitting<'a>>,
    format: Format,
    is_inverted: bool,
    section: u64,
    is_left_out: bool,
    /// What is ready, and how much of it has been given.
    ready: Vec<u8>,
    given: usize,
    progress: Progress,
}

impl<'a> Feed<'a> {
    /// Of changes that are yet to be read and checked.
    pub(super) fn of_stream(
        source: Box<dyn Stream + 'a>,
        fitting: Fitting<'a>,
        format: Format,
        is_inverted: bool,
    ) -> Self {
        Self::new(source, Some(fitting), format, is_inverted, None)
    }

    /// Of changes that fit, and take so many bytes.
    pub(super) fn of_bytes(bytes: usize, source: impl Stream + 'a, format: Format) -> Self {
        Self::new(Box::new(source), None, format, false, Some(bytes as u64))
    }

    fn new(
        source: Box<dyn Stream + 'a>,
        fitting: Option<Fitting<'a>>,
        format: Format,
        is_inverted: bool,
        total_bytes: Option<u64>,
    ) -> Self {
        let progress = Progress { changes: 0, bytes: 0, total_bytes };
        let (section, is_left_out, ready, given) = (0, false, Vec::new(), 0);
        Self { source, fitting, format, is_inverted, section, is_left_out, ready, given, progress }
    }

    /// The next bytes, at most so many; none at the end.
    pub(super) fn read(
        &mut self,
        most: usize,
        tally: &mut Tally,
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
            while self.ready.len() < CHUNK && self.add_change(tally)? {}
        }
        let rest = self.ready.get(self.given..).unwrap_or_default();
        let piece = rest.get(..most).unwrap_or(rest);
        self.given = self.given.saturating_add(piece.len());
        Ok(piece)
    }

    /// Makes the next change ready. Says whether there was one.
    fn add_change(&mut self, tally: &mut Tally) -> Result<bool, ApplyError> {
        let Some((record, section)) = self.source.next().map_err(ApplyError::from)? else {
            return Ok(false);
        };
        let before = self.ready.len();
        if section != self.section {
            self.section = section;
            let fitted = self.fitting.as_mut().map(|fitting| fitting.begin_section(&record)).transpose()?;
            self.is_left_out = fitted.as_ref().is_some_and(|section| section.is_left_out);
            if !self.is_left_out {
                let ordinals = fitted.as_ref().and_then(|section| section.ordinals.as_deref());
                let ordinals = ordinals.unwrap_or(record.key_ordinals());
                write_header(self.format, record.table(), ordinals, &mut self.ready);
            }
            tally.begin_section(record.table());
        }
        let is_update = record.operation() == Operation::Update;
        let is_left_out = self.is_left_out || (is_update && sets_nothing(&record, self.is_inverted));
        if self.fitting.is_some() {
            tally.count(is_left_out);
        }
        if is_left_out {
            // not for SQLite
        } else if is_update && says_more_than_it_sets(&record, self.is_inverted) {
            record.write_what_it_sets(&mut self.ready);
        } else {
            record.write(&mut self.ready);
        }
        self.progress.changes = self.progress.changes.saturating_add(1);
        let length = self.ready.len().saturating_sub(before).max(record.byte_length());
        self.progress.bytes = self.progress.bytes.saturating_add(length as u64);
        Ok(true)
    }
}

/// The changes of checked bytes.
pub(super) struct InMemory<'a> {
    records: Records<'a>,
    section: Option<Section<'a>>,
    count: u64,
}

impl<'a> InMemory<'a> {
    pub(super) fn new(records: Records<'a>) -> Self {
        Self { records, section: None, count: 0 }
    }
}

impl Stream for InMemory<'_> {
    fn limit(&mut self, _: Limits) {}

    fn next(&mut self) -> Result<Option<(Record<'_>, u64)>, ReadError> {
        let Some(record) = self.records.next() else { return Ok(None) };
        if self.section != Some(record.section()) {
            self.section = Some(record.section());
            self.count = self.count.saturating_add(1);
        }
        Ok(Some((record, self.count)))
    }
}
