//! The loop of a rebase: it reads sections, and lets a [`Matcher`] rebase their changes piece by
//! piece.
//!
//! Consecutive changes that no resolution matches are copied together, or stay where they are. All
//! input has been checked, and values are copied as encoded.

use alloc::string::String;
use alloc::vec::Vec;

use super::output::Output;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::error::BuildError;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::Format;
use crate::wire::codec::walk::Walker;

/// The size of a piece of changes. A piece fits into the processor's cache when it is copied.
pub(super) const PIECE: usize = 64 * 1024;

/// A way to find the resolutions that match changes.
pub(super) trait Matcher {
    /// Starts a section.
    ///
    /// # Errors
    ///
    /// Fails if the table has other columns or another key than in the rebase data.
    fn start_section(&mut self, header: Header<'_>) -> Result<(), BuildError>;

    /// Rebases the changes of the section that start in the first `limit` bytes of `input`, up to
    /// the next header.
    fn rebase_piece(
        &mut self,
        input: &[u8],
        header: Header<'_>,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<Piece, BuildError>;
}

/// The result of [`Matcher::rebase_piece`], as offsets in its input.
#[derive(Default)]
pub(super) struct Piece {
    /// The start of the bytes at the end of the piece that are unchanged. They have not been
    /// appended to the output.
    pub(super) unchanged: usize,
    /// The end of the piece.
    pub(super) end: usize,
    /// Whether the next change breaks the order that the matcher requires.
    pub(super) is_out_of_order: bool,
}

/// A copy of a section's header, which remains when the bytes of the section are overwritten.
#[derive(Default)]
pub(super) struct OwnedHeader {
    table: String,
    key: Vec<u8>,
}

impl OwnedHeader {
    pub(super) fn as_header(&self) -> Header<'_> {
        Header { name: &self.table, key: &self.key }
    }

    fn replace_by(&mut self, header: Header<'_>) {
        self.table.clear();
        self.table.push_str(header.name);
        self.key.clear();
        self.key.extend_from_slice(header.key);
    }
}

/// Rebases the unread input, which starts inside of `section` if that is `Some`.
///
/// Returns the current section if a change breaks the order that the matcher requires. The input
/// from this change on is still unread.
pub(super) fn rebase_with(
    matcher: &mut impl Matcher,
    section: Option<OwnedHeader>,
    output: &mut impl Output,
) -> Result<Option<OwnedHeader>, BuildError> {
    let mut has_section = section.is_some();
    let mut section = section.unwrap_or_default();
    loop {
        let (input, out) = output.parts();
        let Some(&first) = input.first() else { break };
        if Format::from_byte(first).is_some() {
            let mut walk = Walker::new(input, Format::Changeset);
            let Some(header) = walk.header() else { break };
            // an empty section is dropped
            if walk.is_at_record() {
                header.write(Format::Changeset, out);
                matcher.start_section(header)?;
                section.replace_by(header);
                has_section = true;
            }
            let read = walk.position().after(Cursor::new(input));
            output.advance(read, read);
            continue;
        }
        if !has_section {
            break; // unreachable with checked bytes
        }
        let piece = matcher.rebase_piece(input, section.as_header(), PIECE, out)?;
        output.advance(piece.unchanged, piece.end);
        if piece.is_out_of_order {
            return Ok(Some(section));
        }
        if piece.end == 0 {
            break; // unreachable with checked bytes
        }
    }
    Ok(None)
}

/// Returns a piece of unchanged changes, for a table without resolutions.
pub(super) fn unchanged_piece(input: Cursor<'_>, header: Header<'_>, limit: usize) -> Piece {
    let least = input.remaining().saturating_sub(limit);
    let mut walk = Walker::at(input, Format::Changeset);
    while walk.position().remaining() > least && walk.is_at_record() && walk.record(header).is_some() {}
    Piece { unchanged: 0, end: walk.position().after(input), is_out_of_order: false }
}
