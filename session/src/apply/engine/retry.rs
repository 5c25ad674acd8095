//! Changes that a constraint has blocked: they are tried again when something has changed.

use super::attempt::Attempt;
use super::{ApplyError, Engine, Queue};

/// The number of attempts to apply blocked changes of a table again, besides a number for each
/// change. Most changes are woken by the change of the row that blocks them. But what a trigger or a
/// foreign key action of any other change does can also let them pass.
const MAX_ATTEMPTS: usize = 100_000;

impl Engine<'_, '_, '_, '_> {
    /// Tries the blocked changes of the current table again, and asks about those that remain
    /// blocked.
    pub(super) fn settle(&mut self) -> Result<(), ApplyError> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let mut queue = core::mem::replace(&mut self.queue, Queue::new(self.settings.format));
        let mut attempts = queue.len().saturating_mul(32).saturating_add(MAX_ATTEMPTS);
        self.drain(&mut queue, &mut attempts)?;
        let mut is_reversed = false;
        while queue.unfinished() > 0 {
            let before = queue.unfinished();
            self.exchange(&mut queue)?;
            self.drain(&mut queue, &mut attempts)?;
            // in turns from both ends, since the changes can depend on each other in either order
            queue.release_all(is_reversed);
            is_reversed = !is_reversed;
            self.drain(&mut queue, &mut attempts)?;
            if queue.unfinished() == before || attempts == 0 {
                break;
            }
        }
        for at in 0..queue.len() {
            let Some((record, mut state)) = queue.get(at) else { continue };
            self.tick(&record)?;
            if let Attempt::Done(result) = self.attempt(&record, &mut state, true)? {
                self.finish(&record, result);
            }
            queue.finish(at);
        }
        Ok(())
    }

    /// Tries the changes that have stopped waiting.
    fn drain(&mut self, queue: &mut Queue, attempts: &mut usize) -> Result<(), ApplyError> {
        while let Some(at) = queue.next_ready().filter(|_| *attempts > 0) {
            let Some((record, mut state)) = queue.get(at) else { continue };
            *attempts -= 1;
            self.tick(&record)?;
            match self.attempt(&record, &mut state, false)? {
                Attempt::Done(result) => {
                    self.finish(&record, result);
                    queue.finish(at);
                }
                Attempt::Blocked(code) => {
                    let waits_for = self.find_blocking_row(&record, code)?;
                    queue.wait(at, state, waits_for);
                }
            }
        }
        Ok(())
    }
}
