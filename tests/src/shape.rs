//! Checks of filtering, renaming, sorting, splitting and writing as SQL, for any bytes that are
//! accepted.

use diesel_sqlite_session::wire::{BuildErrorKind, Set, SetFormat, SetRef, TableInfo};
use diesel_sqlite_session::{ChangesetRef, PatchsetRef, Record, Value};

use crate::change::{Change, Owned};

/// Reshapes the bytes in every way, if they are a changeset or a patchset, and compares the results
/// with the input.
///
/// # Panics
///
/// If a change is lost, added or misplaced.
pub fn check(bytes: &[u8]) {
    if let Ok(changeset) = ChangesetRef::parse(bytes) {
        check_set(changeset);
    }
    if let Ok(patchset) = PatchsetRef::parse(bytes) {
        check_set(patchset);
    }
}

fn check_set<F: SetFormat>(set: SetRef<'_, F>) {
    let checked = Checked { set, owned: set.into_owned(), all: parse::<F>(set.as_bytes()) };
    checked.filters();
    checked.renaming();
    checked.sorting();
    checked.splitting();
    checked.writing_sql();
}

/// Compares two keys as SQLite does in an index with the collation BINARY, in the simplest possible
/// way.
fn compare_keys(one: &Record<'_>, other: &Record<'_>) -> std::cmp::Ordering {
    let key = |record: &Record<'_>| {
        let mut key: Vec<(u8, Owned)> = (record.key_columns().map(|column| record.key_ordinals()[column]))
            .zip(record.key_values().map(Owned::from))
            .collect();
        key.sort_by_key(|(place, _)| *place);
        key.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    let rank = |value: Value<'_>| {
        ["null", "integer real", "text", "blob"].iter().position(|rank| rank.contains(value.storage_class()))
    };
    let compare = |one: Value<'_>, other: Value<'_>| match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(&other),
        (Value::Real(one), Value::Real(other)) => one.partial_cmp(&other).expect("never NaN"),
        (Value::Integer(one), Value::Real(other)) => mixed(one, other),
        (Value::Real(one), Value::Integer(other)) => mixed(other, one).reverse(),
        (Value::Text(one), Value::Text(other)) | (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        _ => rank(one).cmp(&rank(other)),
    };
    let pairs = key(one).into_iter().zip(key(other));
    pairs.fold(std::cmp::Ordering::Equal, |so_far, (one, other)| {
        so_far.then_with(|| compare(one.as_value(), other.as_value()))
    })
}

fn mixed(integer: i64, real: f64) -> std::cmp::Ordering {
    let floor = real.floor();
    let is_above = if real > floor { std::cmp::Ordering::Less } else { std::cmp::Ordering::Equal };
    i128::from(integer).cmp(&(floor as i128)).then(is_above)
}

/// The section of a change, and the lengths of the section's header and of the change in bytes.
struct OneChange {
    section: usize,
    head: usize,
    length: usize,
}

/// Returns the lengths of pieces that each contain as many changes as fit into `max` bytes, but at
/// least one.
fn piece_lengths(changes: &[OneChange], max: usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut last_section = None;
    for change in changes {
        let alone = change.head + change.length;
        let more = if last_section == Some(change.section) { change.length } else { alone };
        match lengths.last_mut() {
            Some(length) if *length + more <= max => *length += more,
            _ => lengths.push(alone),
        }
        last_section = Some(change.section);
    }
    lengths
}

/// A set that is reshaped, its copy, and its changes.
struct Checked<'a, F> {
    set: SetRef<'a, F>,
    owned: Set<F>,
    all: Vec<Change>,
}

fn parse<F: SetFormat>(bytes: &[u8]) -> Vec<Change> {
    SetRef::<F>::parse(bytes).expect("results are well-formed").records().map(Change::from).collect()
}

impl<F: SetFormat> Checked<'_, F> {
    fn filters(&self) {
        let Self { set, owned, all } = self;
        let everything = set.filter_records(|_| true);
        assert_eq!(
            everything,
            owned.filter_tables(|_| true),
            "a filter that keeps all is the same by record and table"
        );
        assert_eq!(&parse::<F>(everything.as_bytes()), all, "a filter that keeps all");
        assert!(everything.sections().all(|section| section.records().next().is_some()), "no empty section");
        let has_empty = set.sections().any(|section| section.records().next().is_none());
        assert_eq!(everything.as_bytes() == set.as_bytes(), !has_empty, "byte for byte, up to empty sections");
        assert!(owned.filter_records(|_| false).as_bytes().is_empty());
        assert!(set.filter_tables(|_| false).as_bytes().is_empty());
        let some = set.filter_records(|record| record.offset() % 2 == 0);
        let others = owned.filter_records(|record| record.offset() % 2 != 0);
        let expected = set.records().filter(|record| record.offset() % 2 == 0).map(Change::from).collect::<Vec<_>>();
        assert_eq!(parse::<F>(some.as_bytes()), expected);
        assert_eq!(parse::<F>(others.as_bytes()).len() + expected.len(), all.len());
        let first = set.sections().next().map(|table| table.table().to_string()).unwrap_or_default();
        let of_first = parse::<F>(set.filter_tables(|name| name == first).as_bytes());
        let expected = all.iter().filter(|change| change.table == first.as_bytes()).cloned().collect::<Vec<_>>();
        assert_eq!(of_first, expected);
    }

    fn renaming(&self) {
        let Self { set, owned, all } = self;
        assert_eq!(set.rename_tables(|_| None::<&str>).as_ref(), Ok(&set.filter_records(|_| true)), "no new name");
        assert_eq!(set.rename_tables(Some).map(|same| parse::<F>(same.as_bytes())), Ok(all.clone()));
        let there = owned.rename_tables(|name| Some(format!("{name}_"))).expect("no two become one");
        let back = there.rename_tables(|name| name.strip_suffix('_')).expect("no two become one");
        assert_eq!(&parse::<F>(back.as_bytes()), all, "there and back");
        match set.rename_tables(|_| Some("one")) {
            Ok(one) => {
                let mut expected = all.clone();
                expected.iter_mut().for_each(|change| change.table = b"one".to_vec());
                assert_eq!(parse::<F>(one.as_bytes()), expected);
            }
            Err(error) => {
                assert!(matches!(error.kind(), BuildErrorKind::OtherKey | BuildErrorKind::OtherColumns { .. }));
                assert!(all.iter().any(|change| change.key != all[0].key));
            }
        }
        let nul = set.rename_tables(|_| Some("a\0b")).map_err(|error| error.kind());
        assert_eq!(nul, if all.is_empty() { Ok(Set::new()) } else { Err(BuildErrorKind::TableName) });
    }

    fn sorting(&self) {
        let Self { set, all, .. } = self;
        let sorted = set.sort_by_key();
        assert_eq!(sorted.as_bytes().len(), set.as_bytes().len());
        assert_eq!(sorted.sort_by_key(), sorted, "sorting twice is sorting once");
        let mut pairs = 0;
        for (before, after) in set.sections().zip(sorted.sections()) {
            assert_eq!(before.table_info(), after.table_info());
            let mut expected: Vec<Record<'_>> = before.records().collect();
            expected.sort_by(compare_keys); // stable
            let found: Vec<Record<'_>> = after.records().collect();
            assert!(found == expected, "sorted by key: {found:?}, not {expected:?}");
            pairs += found.len();
        }
        assert_eq!(pairs, all.len());
        drop(parse::<F>(sorted.as_bytes()));
    }

    fn splitting(&self) {
        let Self { set, owned, all } = self;
        let sections = set.sections().enumerate().flat_map(|(section, table)| table.records().map(move |_| section));
        let changes: Vec<OneChange> = sections
            .zip(set.split(0))
            .map(|(section, piece)| {
                let head = piece.records().next().map_or(0, |record| record.offset());
                OneChange { section, head, length: piece.as_bytes().len() - head }
            })
            .collect();
        for max in [0, 1, 40, 100, 1000, usize::MAX] {
            let pieces: Vec<Set<F>> = set.split(max).collect();
            let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_bytes()).copied().collect();
            assert_eq!(&parse::<F>(&joined), all, "in pieces of {max}");
            let found: Vec<usize> = pieces.iter().map(|piece| piece.as_bytes().len()).collect();
            assert_eq!(found, piece_lengths(&changes, max), "as few pieces of {max} as can be");
        }
        assert_eq!(set.split(usize::MAX).count(), usize::from(!all.is_empty()));
        let tables: Vec<Set<F>> = owned.split_tables().collect();
        let mut names = Vec::new();
        for table in &tables {
            let changes = parse::<F>(table.as_bytes());
            let name = changes[0].table.to_ascii_lowercase();
            let expected: Vec<Change> =
                all.iter().filter(|change| change.table.eq_ignore_ascii_case(&name)).cloned().collect();
            assert_eq!(changes, expected, "all of one table, in order");
            names.push(name);
        }
        names.dedup();
        assert_eq!(names.len(), tables.len());
        assert_eq!(tables.iter().map(|section| section.records().count()).sum::<usize>(), all.len());
    }

    fn writing_sql(&self) {
        let Self { set, owned, all } = self;
        let columns = set.sections().map(|table| table.column_count()).max().unwrap_or(0);
        let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let tables: Vec<TableInfo<'_>> =
            set.sections().map(|table| TableInfo::from_columns(table.table(), &names)).collect();
        let script = set.to_sql(&tables).expect("every column has a name").to_string();
        let one_by_one: String =
            set.records().map(|record| format!("{}\n", record.to_sql(&tables).expect("as before"))).collect();
        assert_eq!(script, one_by_one);
        let is_insert = |change: &Change| change.operation == 18;
        assert_eq!(owned.to_sql::<TableInfo<'_>>([]).is_ok(), all.iter().all(is_insert));
        if let Some(record) = set.records().next() {
            let too_few = vec!["c"; record.column_count() - 1];
            let too_few = [TableInfo::from_columns(record.table(), &too_few)];
            assert!(record.to_sql(too_few).is_err() || (too_few[0].columns().is_empty() && is_insert(&all[0])));
        }
    }
}
