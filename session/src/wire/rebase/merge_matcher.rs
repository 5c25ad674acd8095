//! A [`Matcher`] for changes and rebase data in the same [order](crate::wire::group::rank). SQLite
//! writes both in this order when it applies changes. Both are read side by side, without an index
//! or a copy of the data.

use alloc::vec::Vec;

use super::change::{LocalChange, Outcome, RemoteChange};
use super::data::RebaseData;
use super::driver::{Matcher, Piece, unchanged_piece};
use super::error::mismatch;
use super::resolutions::has_same_columns;
use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::error::BuildError;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::codec::walk::Walker;
use crate::wire::group::rank::{
    KeyedTable, NeedsFallback, Order, OrderedRecords, Orders, RankedRecord, RankedRecords, orders_of,
};

/// The maximal number of tables. Tables are found by a linear search.
const MOST_TABLES: usize = 64;

/// Finds resolutions by reading the rebase data side by side with the changes. In the data, each
/// table has one section, and each row one resolution.
pub(super) struct MergeMatcher<'a> {
    tables: Vec<Table<'a>>,
    /// The table of the current section, if the rebase data contains it.
    table: Option<usize>,
    /// The position in the data of this table, after the first piece of the section.
    pass: Option<Pass<'a>>,
}

/// The rebase data of one table.
struct Table<'a> {
    keyed: KeyedTable<'a>,
    resolutions: Cursor<'a>,
    orders: Orders,
    /// An order that all the data is known to be in.
    known: Option<Order>,
    /// Whether a section of the table has been rebased. Further sections are rebased with an index.
    is_used: bool,
}

/// A position in the rebase data of one table.
struct Pass<'a> {
    order: Order,
    walk: OrderedRecords<'a>,
    /// The rank of the last change.
    rank: Option<u64>,
    /// The resolutions of this rank.
    run: Vec<RankedRecord<'a>>,
}

impl<'a> MergeMatcher<'a> {
    /// Returns `None` if the data cannot be read side by side with changes.
    pub(super) fn new(data: &'a RebaseData) -> Option<Self> {
        let mut tables: Vec<Table<'a>> = Vec::new();
        let mut walk = Walker::new(data.as_bytes(), Format::Changeset);
        while !walk.is_at_end() {
            let Some(header) = walk.header_with_records() else { break };
            let has_name = |table: &Table<'_>| table.keyed.header.name.eq_ignore_ascii_case(header.name);
            if tables.len() >= MOST_TABLES || tables.iter().any(has_name) {
                return None;
            }
            let keyed = KeyedTable::new(header, Format::Changeset);
            let resolutions = walk.position();
            let orders = orders_of(keyed, resolutions);
            let known = orders.common(orders)?;
            walk = Walker::at(end_in_order(keyed, known, resolutions).ok()?, Format::Changeset);
            tables.push(Table { keyed, resolutions, orders, known: Some(known), is_used: false });
        }
        Some(Self { tables, table: None, pass: None })
    }
}

/// Returns the end of a table's resolutions. Fails if they are not in this order, or a row has
/// several resolutions.
fn end_in_order<'a>(table: KeyedTable<'a>, order: Order, resolutions: Cursor<'a>) -> Result<Cursor<'a>, NeedsFallback> {
    let mut walk = OrderedRecords::new(table, order, resolutions)?;
    while walk.current().is_some() {
        walk.advance()?;
    }
    Ok(walk.end())
}

impl<'a> Table<'a> {
    /// Starts to read the data side by side with changes that are in one of the orders `changes`.
    ///
    /// A change that has been rebased cannot be rebased again. The order of the data is checked to
    /// its end first.
    #[cold]
    fn begin(&mut self, changes: Orders) -> Result<Pass<'a>, NeedsFallback> {
        let order = self.orders.common(changes).filter(|_| !self.is_used).ok_or(NeedsFallback)?;
        if self.known != Some(order) {
            end_in_order(self.keyed, order, self.resolutions)?;
            self.known = Some(order);
        }
        self.is_used = true;
        let walk = OrderedRecords::new(self.keyed, order, self.resolutions)?;
        Ok(Pass { order, walk, rank: None, run: Vec::new() })
    }
}

impl Pass<'_> {
    /// Moves to the resolutions of `rank`. Fails if this is below the last rank.
    #[inline(always)]
    fn advance_to(&mut self, rank: u64) -> Result<(), NeedsFallback> {
        if self.rank == Some(rank) {
            return Ok(());
        }
        if self.rank > Some(rank) {
            return Err(NeedsFallback);
        }
        self.rank = Some(rank);
        self.run.clear();
        while let Some(resolution) = self.walk.current().filter(|resolution| resolution.rank <= rank) {
            if resolution.rank == rank {
                self.run.push(*resolution);
            }
            self.walk.advance()?;
        }
        Ok(())
    }
}

impl Matcher for MergeMatcher<'_> {
    fn start_section(&mut self, header: Header<'_>) -> Result<(), BuildError> {
        let has_name = |table: &Table<'_>| table.keyed.header.name.eq_ignore_ascii_case(header.name);
        self.table = self.tables.iter().position(has_name);
        self.pass = None;
        match self.table.and_then(|table| self.tables.get(table)) {
            Some(table) if !has_same_columns(table.keyed.header.key, header) => {
                Err(mismatch(table.keyed.header.key, header))
            }
            _ => Ok(()),
        }
    }

    fn rebase_piece(
        &mut self,
        input: &[u8],
        header: Header<'_>,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<Piece, BuildError> {
        let all = Cursor::new(input);
        let Some(table) = self.table.and_then(|table| self.tables.get_mut(table)) else {
            return Ok(unchanged_piece(all, header, limit));
        };
        let keyed = KeyedTable::new(header, Format::Changeset);
        if self.pass.is_none() {
            self.pass = table.begin(orders_of(keyed, all)).ok();
        }
        let Some(pass) = &mut self.pass else {
            return Ok(Piece { is_out_of_order: true, ..Piece::default() });
        };
        let least = input.len().saturating_sub(limit);
        let (mut cursor, mut unchanged, mut is_out_of_order) = (all, all, false);
        while cursor.remaining() > least && cursor.peek().and_then(Operation::from_byte).is_some() {
            let start = cursor;
            let Some(record) = check::read_checked_inline(&mut cursor, header, Format::Changeset) else { break };
            if pass.order.rank(start, keyed).and_then(|rank| pass.advance_to(rank)).is_err() {
                (cursor, is_out_of_order) = (start, true);
                break;
            }
            let Some(found) = pass.run.iter().find(|found| keyed.is_same_row(found.start, start)) else { continue };
            out.extend_from_slice(start.since(unchanged));
            let indirect = start.rest().get(1).copied().unwrap_or_default();
            let local = LocalChange { header, indirect, record };
            unchanged = match local.rebase(RemoteChange::single(found.record()), out)? {
                Outcome::Unchanged => start,
                Outcome::Rewritten => cursor,
            };
        }
        Ok(Piece { unchanged: unchanged.after(all), end: cursor.after(all), is_out_of_order })
    }
}

#[cfg(test)]
mod tests {
    use super::super::driver::{OwnedHeader, rebase_with};
    use super::super::output::InPlaceOutput;
    use super::super::rebaser::Rebaser;
    use super::*;
    use crate::wire::{Changeset, TableInfo};

    fn data(ids: impl Iterator<Item = i64>) -> RebaseData {
        let mut bytes = b"T\x01\x01t\0".to_vec();
        for id in ids {
            bytes.extend_from_slice(&[9, 0, 1]);
            bytes.extend_from_slice(&id.to_be_bytes());
        }
        RebaseData::try_from(bytes).unwrap()
    }

    /// Returns whether all changes are in the order of the data, or `None` if the data has no
    /// order.
    fn is_merged(local: &Changeset, data: &RebaseData) -> Option<bool> {
        let mut output = InPlaceOutput::new(local.clone().into_bytes());
        let rest: Option<OwnedHeader> = rebase_with(&mut MergeMatcher::new(data)?, None, &mut output).unwrap();
        let is_ordered = rest.is_none();
        let mut rebaser = Rebaser::new();
        rebaser.add(data).unwrap();
        let expected = rebaser.rebase(local).unwrap();
        assert_eq!(local.rebase(data), Ok(expected.clone()));
        assert_eq!(local.clone().into_rebased(data), Ok(expected));
        Some(is_ordered)
    }

    #[test]
    fn changes_and_data_in_the_same_order_are_read_side_by_side() {
        let table = TableInfo::new("t", &[1]);
        let local = |ids: &mut dyn Iterator<Item = i64>| {
            ids.fold(Changeset::builder(), |builder, id| builder.delete_values(table, &[id.into()])).build().unwrap()
        };
        let many = if cfg!(miri) { 200 } else { 2000 };
        let ascending = local(&mut (0..many));
        assert_eq!(is_merged(&ascending, &data((0..many + many / 2).step_by(3))), Some(true));
        assert_eq!(is_merged(&ascending, &data(0..0)), Some(true));
        assert_eq!(is_merged(&ascending, &data((0..9).chain(0..1))), None, "two resolutions of one row");
        assert_eq!(is_merged(&ascending, &data((0..many).rev())), None);
        assert_eq!(is_merged(&local(&mut (many / 2..many).chain(0..many / 4)), &data(0..many)), Some(false));
        let twice = [ascending.as_bytes(), ascending.as_bytes()].concat();
        assert_eq!(is_merged(&Changeset::try_from(twice).unwrap(), &data(0..many)), Some(false));
    }
}
