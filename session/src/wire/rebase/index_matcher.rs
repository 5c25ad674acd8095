//! A [`Matcher`] that finds resolutions by an index. It works for changes in any order.

use alloc::vec::Vec;

use super::change::{LocalChange, Outcome, RemoteChange};
use super::driver::{Matcher, Piece, unchanged_piece};
use super::rebaser::Rebaser;
use super::resolutions::{BLOCK, Lookup, Match, Resolutions};
use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::error::BuildError;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};

/// Finds resolutions by the index of a rebaser.
pub(super) struct IndexMatcher<'a> {
    rebaser: &'a Rebaser,
    table: Option<&'a Resolutions>,
    /// The row after the last row that was found. The next change is often for this row, because
    /// SQLite writes the changes of all databases in the same order. `None` after a change for
    /// another row, until a row is found again.
    next: Option<usize>,
}

impl<'a> IndexMatcher<'a> {
    pub(super) fn new(rebaser: &'a Rebaser) -> Self {
        Self { rebaser, table: None, next: Some(0) }
    }
}

impl Matcher for IndexMatcher<'_> {
    fn start_section(&mut self, header: Header<'_>) -> Result<(), BuildError> {
        self.table = self.rebaser.resolutions(header)?;
        self.next = Some(0);
        Ok(())
    }

    fn rebase_piece(
        &mut self,
        input: &[u8],
        header: Header<'_>,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<Piece, BuildError> {
        let all = Cursor::new(input);
        let Some(table) = self.table else { return Ok(unchanged_piece(all, header, limit)) };
        let seed = self.rebaser.seed();
        let least = input.len().saturating_sub(limit);
        let (mut cursor, mut unchanged) = (all, all);
        let mut block: Vec<Lookup<'_>> = Vec::with_capacity(BLOCK);
        loop {
            while block.len() < BLOCK
                && cursor.remaining() > least
                && cursor.peek().and_then(Operation::from_byte).is_some()
            {
                let start = cursor;
                if check::read_checked(&mut cursor, header, Format::Changeset).is_none() {
                    break; // unreachable with checked bytes
                }
                let key = table.key_at(start.rest(), header.key);
                let is_next = self.next.filter(|row| table.has_key(*row, key));
                self.next = is_next.map(|row| row.saturating_add(1));
                let (found, hash) = match is_next {
                    Some(row) => (Match::Row(row), 0),
                    None => (Match::Unknown, key.hash(seed)),
                };
                if is_next.is_none() && !table.filter.may_have(hash) {
                    continue;
                }
                block.push(Lookup { start, end: cursor, hash, found });
            }
            if block.is_empty() {
                break;
            }
            table.look_ahead(&mut block);
            for Lookup { mut start, end, hash, found } in block.drain(..) {
                let key = table.key_at(start.rest(), header.key);
                let row = match found {
                    Match::None => None,
                    Match::Row(row) => Some(row),
                    Match::Likely(row) if table.has_key(row, key) => Some(row),
                    Match::Likely(_) | Match::Unknown => table.find(key, hash),
                };
                let Some(row) = row else { continue };
                if self.next.is_none() {
                    self.next = Some(row.saturating_add(1));
                }
                out.extend_from_slice(start.since(unchanged));
                unchanged = start;
                let indirect = start.rest().get(1).copied().unwrap_or_default();
                let record = check::read_checked(&mut start, header, Format::Changeset);
                if let (Some(record), Some(remote)) = (record, table.of_row(row)) {
                    let local = LocalChange { header, indirect, record };
                    if local.rebase(RemoteChange::merged(remote), out)? == Outcome::Rewritten {
                        unchanged = end;
                    }
                }
            }
        }
        Ok(Piece { unchanged: unchanged.after(all), end: cursor.after(all), is_out_of_order: false })
    }
}
