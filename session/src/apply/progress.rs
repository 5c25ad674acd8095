//! The progress of an apply, and its cancellation.

use std::boxed::Box;
use std::ops::ControlFlow;

use super::error::ApplyError;

/// The progress of an apply, passed to the function of
/// [`Apply::on_progress`](super::Apply::on_progress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The number of changes that have been tried. Changes that wait for others count once.
    pub changes: u64,
    /// The size of these changes in bytes.
    pub bytes: u64,
    /// The size of the input in bytes, or `None` for a stream, whose size is unknown.
    pub total_bytes: Option<u64>,
}

/// The application's progress function.
pub(super) type OnProgress<'a> = Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>;

/// The number of bytes after which the function is called.
const INTERVAL: u64 = 16 * 1024;

/// The size of a change for the interval, in addition to its bytes. Small changes, and changes that
/// are tried again, take time too.
const BASE: u64 = 16;

/// Measures the progress, and calls the application's function.
pub(super) struct ProgressMeter {
    progress: Progress,
    until_call: u64,
}

impl ProgressMeter {
    pub(super) fn new(total_bytes: Option<u64>) -> Self {
        Self { progress: Progress { changes: 0, bytes: 0, total_bytes }, until_call: 0 }
    }

    /// Reports that nothing has been tried yet.
    pub(super) fn start(&mut self, call: &mut Option<OnProgress<'_>>) -> Result<(), ApplyError> {
        self.until_call = INTERVAL;
        call.as_mut().map_or(Ok(()), |call| report(call, self.progress))
    }

    /// Counts a change of the input before it is applied.
    #[inline]
    pub(super) fn advance(&mut self, bytes: usize, call: &mut Option<OnProgress<'_>>) -> Result<(), ApplyError> {
        self.wait(bytes, call)?;
        self.progress.changes = self.progress.changes.saturating_add(1);
        self.progress.bytes = self.progress.bytes.saturating_add(bytes as u64);
        Ok(())
    }

    /// Counts another attempt to apply a change.
    pub(super) fn wait(&mut self, bytes: usize, call: &mut Option<OnProgress<'_>>) -> Result<(), ApplyError> {
        let Some(call) = call else { return Ok(()) };
        let work = BASE.saturating_add(bytes as u64);
        if self.until_call >= work {
            self.until_call -= work;
            return Ok(());
        }
        self.until_call = INTERVAL;
        report(call, self.progress)
    }

    /// Reports that the whole input, which has this length, has been tried.
    pub(super) fn finish(&mut self, bytes: u64, call: &mut Option<OnProgress<'_>>) -> Result<(), ApplyError> {
        self.progress.bytes = bytes;
        call.as_mut().map_or(Ok(()), |call| report(call, self.progress))
    }
}

fn report(call: &mut OnProgress<'_>, progress: Progress) -> Result<(), ApplyError> {
    if call(progress).is_break() { Err(ApplyError::Cancelled) } else { Ok(()) }
}
