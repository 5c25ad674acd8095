//! Concatenation of two inputs by a merge of their [orders](crate::wire::group::rank): the same
//! bytes as the [join](mod@super::join) makes, in less time, if one input has an order, as SQLite
//! writes it.
//!
//! No key is looked up. Both inputs are read once, in parallel, and the output is written on the
//! way. Changes to rows that only one input has are copied, many at a time. If an input has no
//! order, or another order because it has fewer changes, an index sorts it first.

use alloc::vec::Vec;

use super::bit_set::BitSet;
use super::output::{
    DeferredReplacements, ImmediateReplacements, Remaining, RemainingByNumber, RemainingRanges, Replacements,
};
use super::sections::{Section, Sections};
use crate::wire::codec::cursor::Cursor;
use crate::wire::codec::kind::{Format, Operation};
use crate::wire::group::merge::{Merged, is_undone, merge};
use crate::wire::group::rank::{
    KeyedTable, NeedsFallback, OrderedRecords, RankedRecord, RankedRecords, SortedRecords, orders_of,
};

/// Concatenates two inputs whose bytes have been checked.
///
/// Returns `None`, possibly after it has written a part, if
///
/// - a table has other columns or another key in one input than in the other;
/// - an input has several changes to one row, several sections of one table, or more than 64
///   tables;
/// - neither section of a table has an order, or more than 32 changes have one rank;
/// - the section that must be sorted is much larger than the other;
/// - a flag is neither 0 nor 1.
pub(super) fn zip(first: &[u8], second: &[u8], format: Format, out: &mut Vec<u8>) -> Option<()> {
    out.reserve(first.len().checked_add(second.len())?);
    let lengths = (first.len(), second.len());
    let (mut first, mut second) = (Sections::new(first, format), Sections::new(second, format));
    while let Some(mine) = first.next_section().ok()? {
        let theirs = second.find(mine.table.header).ok()?;
        let rest = zip_section(mine, theirs, lengths, out).ok()?;
        first.resume_at(rest.0);
        if let (Some(rest), Some(theirs)) = (rest.1, theirs) {
            second.resume_after(theirs, rest);
        }
    }
    while let Some(theirs) = second.next_unmatched().ok()? {
        let (rest, _) = zip_section(theirs, None, lengths, out).ok()?;
        second.resume_after(theirs, rest);
    }
    Some(())
}

/// One of two inputs.
#[derive(Clone, Copy)]
enum Side {
    First,
    Second,
}

/// Returns the sections that can be sorted into the order of the other, the smaller first.
///
/// A much larger section is not sorted, because looking up all keys is faster. `lengths` are the
/// lengths of the inputs.
fn to_sort(first: Section<'_>, second: Section<'_>, lengths: (usize, usize)) -> &'static [Side] {
    /// The largest count: beyond it, the lengths of the inputs are compared.
    const MANY: usize = 4096;
    let (one, other) = match (first.count_to(MANY), second.count_to(MANY)) {
        (MANY, MANY) => lengths,
        counts => counts,
    };
    if one < other / 4 {
        &[Side::First]
    } else if one < other {
        &[Side::First, Side::Second]
    } else if one / 4 <= other {
        &[Side::Second, Side::First]
    } else {
        &[Side::Second]
    }
}

/// Writes the section that results from two sections, or from one. Returns their ends.
fn zip_section<'a>(
    first: Section<'a>,
    second: Option<Section<'a>>,
    lengths: (usize, usize),
    out: &mut Vec<u8>,
) -> Result<(Cursor<'a>, Option<Cursor<'a>>), NeedsFallback> {
    let other = second.unwrap_or_else(|| first.without_changes());
    let section_start = out.len();
    first.table.header.write(first.table.format, out);
    let header_end = out.len();
    let (rest, end) = zip_in_order(first, other, None, out).or_else(|NeedsFallback| {
        let sides = second.map_or(&[][..], |second| to_sort(first, second, lengths));
        let sorted = sides.iter().find_map(|side| {
            // the order of a section changed on the way, or the sections have no common order
            out.truncate(header_end);
            zip_in_order(first, other, Some(*side), out).ok()
        });
        sorted.ok_or(NeedsFallback)
    })?;
    if out.len() == header_end {
        out.truncate(section_start);
    }
    Ok((rest, second.map(|_| end)))
}

/// Merges the changes of two sections in the order of both or, if one is `sorted`, of the other.
/// Returns their ends.
fn zip_in_order<'a>(
    first: Section<'a>,
    second: Section<'a>,
    sorted: Option<Side>,
    out: &mut Vec<u8>,
) -> Result<(Cursor<'a>, Cursor<'a>), NeedsFallback> {
    let orders = |section: Section<'a>| orders_of(section.table, section.changes);
    match sorted {
        None => {
            let order = orders(first).common(orders(second)).ok_or(NeedsFallback)?;
            let mine = OrderedRecords::new(first.table, order, first.changes)?;
            let theirs = OrderedRecords::new(second.table, order, second.changes)?;
            zip_changes(
                first,
                second,
                mine,
                theirs,
                ImmediateReplacements(first.changes),
                RemainingRanges::default(),
                out,
            )
        }
        Some(Side::First) => {
            let order = orders(second).finest().ok_or(NeedsFallback)?;
            let mine = SortedRecords::new(first.table, order, first.changes)?;
            let theirs = OrderedRecords::new(second.table, order, second.changes)?;
            zip_changes(first, second, mine, theirs, DeferredReplacements::default(), RemainingRanges::default(), out)
        }
        Some(Side::Second) => {
            let order = orders(first).finest().ok_or(NeedsFallback)?;
            let mine = OrderedRecords::new(first.table, order, first.changes)?;
            let theirs = SortedRecords::new(second.table, order, second.changes)?;
            let remaining = RemainingByNumber(BitSet::new(theirs.len()));
            zip_changes(first, second, mine, theirs, ImmediateReplacements(first.changes), remaining, out)
        }
    }
}

/// Merges the changes of two sections, which are read in the same order. Returns their ends.
fn zip_changes<'a>(
    first: Section<'a>,
    second: Section<'a>,
    mut mine: impl RankedRecords<'a>,
    mut theirs: impl RankedRecords<'a>,
    mut replacements: impl Replacements<'a>,
    mut remaining: impl Remaining<'a>,
    out: &mut Vec<u8>,
) -> Result<(Cursor<'a>, Cursor<'a>), NeedsFallback> {
    let table = first.table;
    // an UPDATE that sets nothing does not remain
    let remains = |change: &RankedRecord<'a>, is_used: bool| !is_used && !change.sets_nothing(table);
    // the changes of the second section with the current rank, if they have another order than in
    // the first
    let mut run: Vec<(RankedRecord<'a>, bool)> = Vec::new();
    // each change is read in place: a copy would stall the processor
    while let Some(change) = mine.current() {
        if run.first().is_some_and(|(held, _)| held.rank != change.rank) {
            run.drain(..).for_each(|(held, is_used)| remaining.record(&held, remains(&held, is_used)));
        }
        while let Some(other) = theirs.current().filter(|other| other.rank < change.rank) {
            remaining.record(other, remains(other, false));
            theirs.advance()?;
        }
        let found = match theirs.current().filter(|other| other.rank == change.rank) {
            Some(other) if run.is_empty() && table.is_same_row(other.start, change.start) => {
                let (end, is_used) = merge_pair(table, change, other, replacements.begin(change.start, out));
                replacements.end(end);
                remaining.record(other, remains(other, is_used));
                theirs.advance()?;
                true
            }
            None if run.is_empty() => false,
            _ => {
                while let Some(other) = theirs.current().filter(|other| other.rank == change.rank) {
                    run.push((*other, false));
                    theirs.advance()?;
                }
                let other = run.iter_mut().find(|(other, _)| table.is_same_row(other.start, change.start));
                if let Some((other, is_used)) = other {
                    let end;
                    (end, *is_used) = merge_pair(table, change, other, replacements.begin(change.start, out));
                    replacements.end(end);
                    true
                } else {
                    false
                }
            }
        };
        if !found && change.sets_nothing(table) {
            replacements.begin(change.start, out);
            replacements.end(change.end);
        }
        mine.advance()?;
    }
    run.drain(..).for_each(|(held, is_used)| remaining.record(&held, remains(&held, is_used)));
    while let Some(other) = theirs.current() {
        remaining.record(other, remains(other, false));
        theirs.advance()?;
    }
    replacements.write(first.changes, mine.end(), out);
    remaining.write(second.changes, theirs.end(), table, out)?;
    Ok((mine.end(), theirs.end()))
}

/// Merges a change of the first input with the change of the second to the same row, and appends
/// the result.
///
/// Returns the end of the bytes of the first input that the result replaces, and whether the change
/// of the second input is used up.
#[inline(always)]
fn merge_pair<'a>(
    table: KeyedTable<'a>,
    change: &RankedRecord<'a>,
    other: &RankedRecord<'a>,
    out: &mut Vec<u8>,
) -> (Cursor<'a>, bool) {
    let (key, format) = (table.header.key, table.format);
    if change.operation != Operation::Insert {
        if is_undone(key, format, change.record(), other.record()) {
            return (change.end, true);
        }
        if change.sets_nothing(table) {
            return (change.end, false);
        }
        if other.sets_nothing(table) {
            return (change.start, true);
        }
    }
    match merge(key, format, change.record(), other.record(), out) {
        Merged::First => (change.start, true),
        Merged::Combined | Merged::Nothing => (change.end, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::header::Header;
    use crate::wire::codec::walk::Walker;
    use crate::wire::group::rank::bucket_of;
    use crate::wire::{Changeset, Patchset, Record, TableInfo, Value};

    fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
        let mut last = seed;
        move |below| {
            last = last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (last >> 33) as usize % below
        }
    }

    /// Returns a key of any kind. There are so few keys that most buckets have several.
    fn key(number: usize, text: &str) -> [Value<'_>; 2] {
        [Value::from(number as i64 % 7), if number % 3 == 0 { Value::Real(number as f64) } else { text.into() }]
    }

    const TABLES: [TableInfo<'_>; 3] =
        [TableInfo::new("t", &[1, 0]), TableInfo::new("two", &[0, 2, 1]), TableInfo::new("blobs", &[0, 1, 0])];

    /// Returns changes to many rows of three tables.
    fn changes(rows: usize, seed: u64) -> Changeset {
        let mut next = numbers(seed);
        let mut builder = Changeset::builder();
        for _ in 0..rows {
            let (table, number) = (next(3), next(rows * 2));
            let (text, name) = (alloc::format!("{:1$}", next(9), next(40)), alloc::format!("key {number}"));
            let row = |text| match (table, key(number, &name)) {
                (0, _) => alloc::vec![Value::from(number as i64), text],
                (1, [one, two]) => alloc::vec![text, one, two],
                _ => alloc::vec![text, Value::Blob(name.as_bytes()), Value::Null],
            };
            let (one, other) = (row("".into()), row(text.as_str().into()));
            builder = builder.indirect(next(2) == 0);
            builder = match next(3) {
                0 => builder.insert_values(TABLES[table], &other),
                1 => builder.update_values(TABLES[table], &one, &other),
                _ => builder.delete_values(TABLES[table], &other),
            };
        }
        builder.build().unwrap()
    }

    /// Returns the changeset in the order of SQLite's hash tables with 2^`bits` buckets, with
    /// UPDATEs that set nothing.
    fn in_buckets(changeset: &Changeset, bits: u32) -> Changeset {
        let mut out = Vec::new();
        for section in changeset.sections() {
            let header = Header { name: section.table(), key: section.key_ordinals() };
            let keyed = KeyedTable::new(header, Format::Changeset);
            header.write(Format::Changeset, &mut out);
            let bytes = changeset.as_bytes();
            let at = |record: &Record<'_>| Cursor::new(&bytes[record.offset()..]);
            let mut records: Vec<Record<'_>> = section.records().collect();
            records.sort_by_key(|record| bucket_of(keyed, at(record), bits));
            for record in records {
                let mut walk = Walker::at(at(&record), Format::Changeset);
                walk.record(header).unwrap();
                out.extend_from_slice(walk.position().since(at(&record)));
            }
        }
        Changeset::try_from(out).unwrap()
    }

    fn zipped_bytes(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        zip(one, other, Format::Changeset, &mut out).map(|()| out)
    }

    fn zipped(one: &Changeset, other: &Changeset) -> Option<Changeset> {
        zipped_bytes(one.as_bytes(), other.as_bytes()).map(Changeset::from_checked)
    }

    fn built(one: &Changeset, other: &Changeset) -> Changeset {
        Changeset::builder().add(one).add(other).build().unwrap()
    }

    #[test]
    fn inputs_in_the_order_of_buckets_result_in_the_bytes_of_the_builder() {
        for (rows, bits) in if cfg!(miri) { [(20, 8), (50, 9)] } else { [(300, 8), (20_000, 15)] } {
            let (one, other) = (in_buckets(&changes(rows, 7), bits), in_buckets(&changes(rows, 8), bits));
            for [one, other] in [
                [&one, &other],
                [&one, &one.invert()],
                [&one, &one],
                [&one, &Changeset::new()],
                [&Changeset::new(), &one],
            ] {
                assert!(zipped(one, other).unwrap() == built(one, other));
            }
            // another number of buckets, or no order: one section is sorted
            for other in [in_buckets(&changes(rows, 9), bits + 1), in_buckets(&changes(9, 9), 8), changes(rows, 10)] {
                assert!(zipped(&one, &other).unwrap() == built(&one, &other));
                assert!(zipped(&other, &one).unwrap() == built(&other, &one));
            }
            let unordered = changes(rows, 11);
            assert!(zipped(&unordered, &changes(rows, 12)).is_none());
            assert!(zipped(&unordered, &in_buckets(&unordered, bits).invert()).unwrap().is_empty());
        }
    }

    /// Rebased UPDATEs contain the whole row, and other software writes UPDATEs that no session
    /// records.
    #[test]
    fn updates_that_set_nothing_are_dropped_whatever_they_contain() {
        const HEADER: &[u8] = b"T\x02\x01\0t\0";
        const KEY: &[u8] = b"\x01\0\0\0\0\0\0\0\x01";
        let change = |parts: &[&[u8]]| Changeset::try_from([&[HEADER], parts].concat().concat()).unwrap();
        let update = |old: &[u8], new: &[u8]| change(&[b"\x17\0", KEY, old, b"\0", new]);
        let (x, y, nothing): (&[u8], &[u8], &[u8]) = (b"\x03\x01X", b"\x03\x01Y", b"\0");
        let insert = change(&[b"\x12\0", KEY, y]);
        let values = [x, y, nothing];
        let updates: Vec<Changeset> = values.iter().flat_map(|old| values.map(|new| update(old, new))).collect();
        for one in updates.iter().chain([&insert]) {
            for other in &updates {
                assert_eq!(zipped(one, other).unwrap(), built(one, other), "{one:?}, {other:?}");
            }
        }
        assert_eq!(zipped(&insert, &update(x, x)).unwrap(), insert);
        assert_eq!(zipped(&update(nothing, x), &update(x, nothing)).unwrap(), update(nothing, x));
    }

    #[test]
    fn a_single_key_of_any_kind_is_in_order() {
        let table = TableInfo::new("t", &[1]);
        for key in [Value::from("a"), 1.into(), 0.5.into(), Value::Blob(b"a")] {
            let one = Changeset::builder().insert_values(table, &[key]).build().unwrap();
            for other in [Changeset::new(), one.clone(), one.invert()] {
                assert_eq!(zipped(&one, &other).unwrap(), built(&one, &other));
                assert_eq!(zipped(&other, &one).unwrap(), built(&other, &one));
            }
        }
    }

    #[test]
    fn a_much_larger_section_is_not_sorted() {
        let (small, large) = (in_buckets(&changes(20, 7), 8), changes(200, 8));
        for [one, other] in [[&small, &large], [&large, &small]] {
            assert!(zipped(one, other).is_none());
            assert!(one.concat(other).unwrap() == built(one, other));
        }
        // a much smaller section is sorted
        let (small, large) = (changes(20, 7), in_buckets(&changes(200, 8), 10));
        for [one, other] in [[&small, &large], [&large, &small]] {
            assert!(zipped(one, other).unwrap() == built(one, other));
        }
    }

    #[test]
    fn inputs_in_the_order_of_an_integer_key_result_in_the_bytes_of_the_builder() {
        let table = TableInfo::new("t", &[1, 0]);
        let inserts = |keys: &mut dyn Iterator<Item = i64>| {
            keys.fold(Changeset::builder(), |builder, key| builder.insert_values(table, &[key.into(), Value::Null]))
                .build()
                .unwrap()
        };
        let many = if cfg!(miri) { 50 } else { 500 };
        let (one, other) = (inserts(&mut (-many..many).step_by(2)), inserts(&mut (-many / 2..many * 2).step_by(3)));
        assert!(zipped(&one, &other).unwrap() == built(&one, &other));
        assert!(zipped(&one, &other.invert()).unwrap() == built(&one, &other.invert()));
        let falling = inserts(&mut (0..many).rev());
        assert!(zipped(&one, &falling).unwrap() == built(&one, &falling));
        assert!(zipped(&falling, &one).unwrap() == built(&falling, &one));
        assert!(zipped(&falling, &falling).is_none());
        if cfg!(miri) {
            return;
        }
        // in order for longer than is examined, and then not
        let late = inserts(&mut (0..2000).chain([-1]));
        assert!(zipped(&late, &late).is_none());
        assert!(zipped(&late, &one).unwrap() == built(&late, &one));
        let long = inserts(&mut (0..3000));
        assert!(zipped(&late, &long).unwrap() == built(&late, &long));
        assert!(zipped(&long, &late).unwrap() == built(&long, &late));
    }

    #[test]
    fn unusual_inputs_are_left_to_the_builder() {
        let table = TableInfo::new("t", &[1]);
        let insert = |key: i64| Changeset::builder().insert_values(table, &[key.into()]).build().unwrap();
        let one = insert(1).into_bytes();
        assert!(zipped_bytes(&one, &one).is_some());
        let twice = [&one[..], &one[5..]].concat();
        let sections = [&one[..], &insert(2).into_bytes()[..]].concat();
        let mut flagged = one.clone();
        flagged[6] = 7;
        let other_key = b"T\x02\x01\x02t\0\x09\x00\x03\x01a\x03\x01a".to_vec();
        let tables = (0..100).fold(Vec::new(), |mut all: Vec<u8>, number| {
            all.extend_from_slice(alloc::format!("T\x01\x01t{number}\0\x09\0\x03\x01a").as_bytes());
            all
        });
        for odd in [twice, sections, flagged, other_key, tables] {
            assert!(Changeset::try_from(&odd[..]).is_ok());
            assert_eq!(zipped_bytes(&one, &odd), None);
            assert_eq!(zipped_bytes(&odd, &one), None);
        }
    }

    #[test]
    fn tables_keep_the_order_in_which_they_are_first_named() {
        let insert = |name: &str, key: i64| {
            Changeset::builder().insert_values(TableInfo::new(name, &[1]), &[key.into()]).build().unwrap().into_bytes()
        };
        let all = |parts: &[(&str, i64)]| {
            let bytes: Vec<u8> = parts.iter().flat_map(|(name, key)| insert(name, *key)).collect();
            Changeset::try_from(bytes).unwrap()
        };
        let (one, other) =
            (all(&[("b", 1), ("a", 1), ("c", 1)]), all(&[("d", 1), ("C", 2), ("B", 1), ("e", 1), ("A", 0)]));
        let both = zipped(&one, &other).unwrap();
        assert_eq!(both, built(&one, &other));
        assert_eq!(both.sections().map(|section| section.table()).collect::<Vec<_>>(), ["b", "a", "c", "d", "e"]);
        let gone = zipped(&one, &one.invert()).unwrap();
        assert!(gone.as_bytes().is_empty());
        assert!(zipped(&Changeset::new(), &Changeset::new()).unwrap().as_bytes().is_empty());
    }

    #[test]
    fn patchsets_have_the_same_order() {
        let table = TableInfo::new("t", &[0, 1]);
        let patch = |keys: core::ops::Range<i64>, delete: bool| {
            keys.fold(Patchset::builder(), |builder, key| match delete && key % 2 == 0 {
                true => builder.delete_values(table, &["x".into(), key.into()]),
                false => builder.update_values(table, &["x".into(), key.into()], &["y".into(), key.into()]),
            })
            .build()
            .unwrap()
        };
        let (one, other) = (patch(0..100, false), patch(50..200, true));
        let expected = Patchset::builder().add(&one).add(&other).build().unwrap();
        assert_eq!(one.concat(&other).unwrap(), expected);
    }

    /// SQLite's hash function determines the order, so changesets that SQLite writes must have it.
    #[cfg(feature = "sqlite")]
    #[test]
    fn changesets_that_sqlite_recorded_are_in_order() {
        use crate::SqliteSessionExt;
        use diesel::connection::SimpleConnection;
        use diesel::{Connection, SqliteConnection};

        let mut conn = SqliteConnection::establish(":memory:").unwrap();
        conn.batch_execute(
            "CREATE TABLE integers (id INTEGER PRIMARY KEY, v);
             CREATE TABLE texts (v, id TEXT PRIMARY KEY);
             CREATE TABLE pairs (one INTEGER, v, two BLOB, PRIMARY KEY (two, one))",
        )
        .unwrap();
        let rows = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3000)";
        let mut record = |sql: &str| {
            let mut session = conn.create_session().unwrap();
            session.attach_all().unwrap();
            conn.batch_execute(sql).unwrap();
            session.changeset().unwrap()
        };
        let made = record(&alloc::format!(
            "{rows} INSERT INTO integers SELECT n * 7919, n FROM r;
             {rows} INSERT INTO texts SELECT n, 'text ' || n FROM r;
             {rows} INSERT INTO pairs SELECT n / 8, n, CAST(n % 9 AS BLOB) FROM r"
        ));
        let edited = record(
            "UPDATE integers SET v = -v; DELETE FROM texts WHERE v % 3 = 0; UPDATE texts SET v = 'x'; UPDATE pairs SET v = two",
        );
        for (one, other) in [(&made, &edited), (&edited, &edited.invert()), (&made, &made.invert())] {
            assert!(zipped(one, other).unwrap() == built(one, other));
        }
    }
}
