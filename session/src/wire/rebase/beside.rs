//! Changes rebased on data that have the same [order](crate::wire::order), as those of SQLite's own applying have: both are read
//! side by side. There is no index of the data then, nor a copy of them.

use alloc::vec::Vec;

use super::change::{Local, Rebased, Remote};
use super::data::RebaseData;
use super::error::mismatch;
use super::resolutions::fits;
use super::{Matcher, Piece, pass_over};
use crate::wire::codec::check;
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::walk::Walker;
use crate::wire::codec::error::BuildError;
use crate::wire::codec::header::Header;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::group::rank::{InOrder, Keyed, Order, Orders, Ranked, Unordered, Walk, orders_of};

/// With more tables, what would be found by their names is left to others.
const MOST_TABLES: usize = 64;

/// The data of one table.
struct Table<'a> {
    keyed: Keyed<'a>,
    resolutions: Cursor<'a>,
    orders: Orders,
    /// The order that they have been found to have.
    known: Option<Order>,
    /// A table's changes are rebased once: if they have several sections, the others are left to others.
    is_used: bool,
}

/// Rebase data in which each table has one section, and each row one resolution.
pub(super) struct Beside<'a> {
    tables: Vec<Table<'a>>,
    /// The table of the section that is rebased, if something is known of it.
    table: Option<usize>,
    /// Its data, once its changes have been looked at.
    pass: Option<Pass<'a>>,
}

/// How far a table's data have been read.
struct Pass<'a> {
    order: Order,
    walk: Walk<'a>,
    /// The rank of the last change.
    rank: Option<u64>,
    /// The resolutions that have this rank.
    run: Vec<Ranked<'a>>,
}

impl<'a> Beside<'a> {
    /// `None` if the data are not such.
    pub(super) fn new(data: &'a RebaseData) -> Option<Self> {
        let mut tables: Vec<Table<'a>> = Vec::new();
        let mut walk = Walker::new(data.as_bytes(), Format::Changeset);
        while !walk.is_at_end() {
            let Some(header) = walk.header_with_records() else { break };
            let is_named = |table: &Table<'_>| table.keyed.header.name.eq_ignore_ascii_case(header.name);
            if tables.len() >= MOST_TABLES || tables.iter().any(is_named) {
                return None;
            }
            let keyed = Keyed::new(header, Format::Changeset);
            let resolutions = walk.position();
            let orders = orders_of(keyed, resolutions);
            let known = orders.common(orders)?;
            walk = Walker::at(end_of(keyed, known, resolutions).ok()?, Format::Changeset);
            tables.push(Table { keyed, resolutions, orders, known: Some(known), is_used: false });
        }
        Some(Self { tables, table: None, pass: None })
    }
}

/// Where the resolutions of a table end. There is an error if they are not in order, or a row has several.
fn end_of<'a>(table: Keyed<'a>, order: Order, resolutions: Cursor<'a>) -> Result<Cursor<'a>, Unordered> {
    let mut walk = Walk::new(table, order, resolutions)?;
    while walk.current().is_some() {
        walk.advance()?;
    }
    Ok(walk.end())
}

impl<'a> Table<'a> {
    /// Begins to read the data beside changes that may have some orders. What has been rebased on them cannot be taken back, so it
    /// must be known that they are in order to their end.
    #[cold]
    fn begin(&mut self, changes: Orders) -> Result<Pass<'a>, Unordered> {
        let order = self.orders.common(changes).filter(|_| !self.is_used).ok_or(Unordered)?;
        if self.known != Some(order) {
            end_of(self.keyed, order, self.resolutions)?;
            self.known = Some(order);
        }
        self.is_used = true;
        let walk = Walk::new(self.keyed, order, self.resolutions)?;
        Ok(Pass { order, walk, rank: None, run: Vec::new() })
    }
}

impl Pass<'_> {
    /// Goes on to the resolutions of some rank, which must not be below the last one.
    #[inline(always)]
    fn go_on_to(&mut self, rank: u64) -> Result<(), Unordered> {
        if self.rank == Some(rank) {
            return Ok(());
        }
        if self.rank > Some(rank) {
            return Err(Unordered);
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

impl Matcher for Beside<'_> {
    fn section(&mut self, header: Header<'_>) -> Result<(), BuildError> {
        let is_it = |table: &Table<'_>| table.keyed.header.name.eq_ignore_ascii_case(header.name);
        self.table = self.tables.iter().position(is_it);
        self.pass = None;
        match self.table.and_then(|table| self.tables.get(table)) {
            Some(table) if !fits(table.keyed.header.key, header) => Err(mismatch(table.keyed.header.key, header)),
            _ => Ok(()),
        }
    }

    fn piece(&mut self, rest: &[u8], header: Header<'_>, limit: usize, out: &mut Vec<u8>) -> Result<Piece, BuildError> {
        let all = Cursor::new(rest);
        let Some(table) = self.table.and_then(|table| self.tables.get_mut(table)) else {
            return Ok(pass_over(all, header, limit));
        };
        let keyed = Keyed::new(header, Format::Changeset);
        if self.pass.is_none() {
            self.pass = table.begin(orders_of(keyed, all)).ok();
        }
        let Some(pass) = &mut self.pass else {
            return Ok(Piece { is_disordered: true, ..Piece::default() });
        };
        let least = rest.len().saturating_sub(limit);
        let (mut cursor, mut same, mut is_disordered) = (all, all, false);
        while cursor.remaining() > least && cursor.peek().and_then(Operation::from_byte).is_some() {
            let start = cursor;
            let Some(record) = check::extent_here(&mut cursor, header, Format::Changeset) else { break };
            if pass.order.rank(start, keyed).and_then(|rank| pass.go_on_to(rank)).is_err() {
                (cursor, is_disordered) = (start, true);
                break;
            }
            let Some(found) = pass.run.iter().find(|found| keyed.is_same_row(found.start, start)) else { continue };
            out.extend_from_slice(start.since(same));
            let indirect = start.rest().get(1).copied().unwrap_or_default();
            same = match (Local { header, indirect, record }).rebase(Remote::alone(found.record()), out)? {
                Rebased::AsItStands => start,
                Rebased::Otherwise => cursor,
            };
        }
        Ok(Piece { same: same.after(all), read: cursor.after(all), is_disordered })
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Same;
    use super::super::{Named, Rebaser, rebase_by};
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

    /// What is not rebased beside the data, and whether their order is why.
    fn rebased_beside(local: &Changeset, data: &RebaseData) -> Option<bool> {
        let mut place = Same::new(local.clone().into_bytes());
        let left: Option<Named> = rebase_by(&mut Beside::new(data)?, None, &mut place).unwrap();
        let is_ordered = left.is_none();
        let mut rebaser = Rebaser::new();
        rebaser.add(data).unwrap();
        let expected = rebaser.rebase(local).unwrap();
        assert_eq!(local.rebase(data), Ok(expected.clone()));
        assert_eq!(local.clone().into_rebased(data), Ok(expected));
        Some(is_ordered)
    }

    #[test]
    fn what_is_in_one_order_is_read_beside_the_data() {
        let table = TableInfo::new("t", &[1]);
        let local = |ids: &mut dyn Iterator<Item = i64>| {
            ids.fold(Changeset::builder(), |builder, id| builder.delete_values(table, &[id.into()])).build().unwrap()
        };
        let many = if cfg!(miri) { 200 } else { 2000 };
        let ascending = local(&mut (0..many));
        assert_eq!(rebased_beside(&ascending, &data((0..many + many / 2).step_by(3))), Some(true));
        assert_eq!(rebased_beside(&ascending, &data(0..0)), Some(true));
        assert_eq!(rebased_beside(&ascending, &data((0..9).chain(0..1))), None, "two of one row");
        assert_eq!(rebased_beside(&ascending, &data((0..many).rev())), None);
        assert_eq!(rebased_beside(&local(&mut (many / 2..many).chain(0..many / 4)), &data(0..many)), Some(false));
        let twice = [ascending.as_bytes(), ascending.as_bytes()].concat();
        assert_eq!(rebased_beside(&Changeset::try_from(twice).unwrap(), &data(0..many)), Some(false));
    }
}
