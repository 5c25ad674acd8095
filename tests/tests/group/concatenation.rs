//! Concatenated sets equal those of SQLite's changegroup, and have the effect of their parts in
//! order.

use diesel_sqlite_session::wire::{
    BuildErrorKind, ChangesetFormat, PatchsetFormat, Reader, Set, SetFormat, SetRef, TableInfo,
};
use diesel_sqlite_session::{Changeset, ChangesetRef, Format, Operation, Value};
use diesel_sqlite_session_tests::change::{Change, Owned};
use diesel_sqlite_session_tests::group::{self, Encoded, changes, in_order, referee, without_new_keys};
use diesel_sqlite_session_tests::random::{History, config, history, mutation};
use diesel_sqlite_session_tests::sqlite::{self, Changegroup, Database};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const FORMATS: [Format; 2] = [Format::Changeset, Format::Patchset];

fn concat<'a>(parts: impl IntoIterator<Item = &'a [u8]>, format: Format) -> Vec<u8> {
    fn of<'a, F: SetFormat>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        Set::<F>::concat_all(parts.map(|part| SetRef::parse(part).unwrap())).unwrap().into_bytes()
    }
    match format {
        Format::Changeset => of::<ChangesetFormat>(parts.into_iter()),
        Format::Patchset => of::<PatchsetFormat>(parts.into_iter()),
    }
}

fn merge_streams<F: SetFormat>(parts: [&[u8]; 3]) -> Vec<u8> {
    let mut written = Vec::new();
    let builder = parts.into_iter().fold(Set::<F>::builder(), |all, part| all.read_from(Reader::new(part)).unwrap());
    builder.write_to(&mut written).unwrap();
    written
}

/// Returns a history in three parts of each format, and the resulting database.
fn three(history: &History) -> ([[Vec<u8>; 3]; 2], Database) {
    let (parts, end) = history.record_parts(3);
    let [a, b, c] = <[_; 3]>::try_from(parts).unwrap();
    ([[a.0, b.0, c.0], [a.1, b.1, c.1]], end)
}

/// Returns the content after applying `parts` in order, or `None` if SQLite rejects one of them.
fn applied<'a>(history: &History, parts: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<String>> {
    let database = history.replica();
    parts.into_iter().all(|part| database.apply(part).is_ok()).then(|| database.contents())
}

/// Returns whether there is one change for each row. A session can record two changes for a row
/// whose key was first 4 and then 4.0.
fn has_one_for_each_row(bytes: &[u8], format: Format) -> bool {
    let all = in_order(bytes);
    let mut rows: Vec<_> = all.iter().map(|change| (change.table, change.key_fields(format))).collect();
    rows.sort_unstable();
    rows.windows(2).all(|pair| pair[0] != pair[1])
}

fn has_idle(bytes: &[u8], format: Format) -> bool {
    in_order(bytes).iter().any(|change| change.is_idle(format))
}

/// Returns whether an UPDATE sets nothing or contains a new key, in which builders differ from
/// SQLite.
fn has_special(bytes: &[u8], format: Format) -> bool {
    in_order(bytes).iter().any(|change| change.is_idle(format) || change.has_new_key(format))
}

fn without_flags(bytes: &[u8]) -> Vec<Encoded<'_>> {
    let mut all: Vec<Encoded<'_>> =
        changes(bytes).into_iter().map(|change| Encoded { indirect: false, ..change }).collect();
    all.sort_unstable();
    all
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn histories_concatenate_as_in_sqlites_changegroup(history in history()) {
        for (format, [a, b, c]) in FORMATS.into_iter().zip(three(&history).0) {
            group::judge(&a, &b);
            group::judge(&concat([&a[..], &b], format), &c);
            // a part that does not begin where the other ends
            group::judge(&a, &c);
            group::judge(&b, &a);
            group::judge(&a, &a);
            let all = concat([&a[..], &b, &c], format);
            let (expected, is_special) = referee([&a[..], &b, &c], format).unwrap();
            prop_assert_eq!(without_new_keys(&all, format), without_new_keys(&expected, format));
            if !is_special {
                let at_once = sqlite::group([&a[..], &b, &c]).unwrap();
                prop_assert_eq!(changes(&all), changes(&at_once));
                let two = concat([&a[..], &b], format);
                let theirs = sqlite::concat(&a, &b).unwrap();
                prop_assert_eq!(changes(&two), changes(&theirs));
            }
        }
    }

    #[test]
    fn all_well_formed_sets_concatenate_as_in_sqlites_changegroup(
        history in history(),
        mutations in vec((any::<bool>(), mutation()), 1..6),
    ) {
        let (parts, _) = history.record_parts(2);
        for mut pair in [[parts[0].0.clone(), parts[1].0.clone()], [parts[0].1.clone(), parts[1].1.clone()]] {
            for (which, mutation) in &mutations {
                mutation.apply(&mut pair[usize::from(*which)]);
                group::judge(&pair[0], &pair[1]);
                group::judge(&pair[1], &pair[1]);
            }
        }
    }

    #[test]
    fn updates_of_any_content_concatenate_as_in_sqlites_changegroup(bytes in vec(any::<u8>(), 0..36)) {
        let [first, second] = group::two_of_few_rows(&bytes);
        group::judge(&first, &second);
        group::judge(&second, &first);
    }

    #[test]
    fn a_concatenation_has_the_effect_of_its_parts(history in history()) {
        let (parts, end) = three(&history);
        for (format, [a, b, c]) in FORMATS.into_iter().zip(parts) {
            let all = concat([&a[..], &b, &c], format);
            // SQLite rejects an UPDATE that sets nothing
            let Some(expected) = applied(&history, [&a[..], &b, &c]) else { continue };
            if expected == end.contents() {
                let theirs = sqlite::group([&a[..], &b, &c]).unwrap();
                if let Some(by_theirs) = applied(&history, [&theirs[..]]) {
                    prop_assert_eq!(applied(&history, [&all[..]]), Some(by_theirs));
                }
                if [&a, &b, &c].into_iter().all(|part| has_one_for_each_row(part, format) && !has_special(part, format)) {
                    prop_assert_eq!(applied(&history, [&all[..]]), Some(expected));
                }
            }
        }
    }

    #[test]
    fn concatenation_is_associative(history in history()) {
        let (parts, end) = three(&history);
        for (format, [a, b, c]) in FORMATS.into_iter().zip(parts) {
            let first = concat([&concat([&a[..], &b], format)[..], &c], format);
            let last = concat([&a[..], &concat([&b[..], &c], format)], format);
            // a session can record the deletion of a missing row if its key is a whole REAL
            let follow = applied(&history, [&a[..], &b, &c]).is_some_and(|reached| reached == end.contents());
            if follow
                && [&a, &b, &c].into_iter().all(|part| has_one_for_each_row(part, format) && !has_special(part, format))
            {
                prop_assert_eq!(without_flags(&first), without_flags(&last));
            }
            let their_first = sqlite::group([&sqlite::group([&a[..], &b]).unwrap()[..], &c]).unwrap();
            let their_last = sqlite::group([&a[..], &sqlite::group([&b[..], &c]).unwrap()]).unwrap();
            let is_special = [&a, &b, &c, &their_first].into_iter().any(|part| has_special(part, format));
            if changes(&their_first) == changes(&their_last) && !is_special {
                prop_assert_eq!(changes(&first), changes(&last));
            }
        }
    }

    #[test]
    fn a_changeset_and_its_inverse_cancel_out(history in history()) {
        let (bytes, _) = history.record();
        let changeset = Changeset::try_from(bytes).unwrap();
        let inverse = changeset.invert();
        group::judge(changeset.as_bytes(), inverse.as_bytes());
        if has_one_for_each_row(changeset.as_bytes(), Format::Changeset) {
            prop_assert!(changeset.concat(&inverse).unwrap().is_empty());
            prop_assert!(inverse.concat(&changeset).unwrap().is_empty());
        }
    }

    #[test]
    fn streams_are_merged_as_in_sqlite(history in history(), at_a_time in 1usize..100) {
        for (format, [a, b, c]) in FORMATS.into_iter().zip(three(&history).0) {
            let written = match format {
                Format::Changeset => merge_streams::<ChangesetFormat>([&a, &b, &c]),
                Format::Patchset => merge_streams::<PatchsetFormat>([&a, &b, &c]),
            };
            prop_assert_eq!(&written, &concat([&a[..], &b, &c], format));
            let (mut streamed, mut whole) = (Changegroup::new(None), Changegroup::new(None));
            for part in [&a, &b, &c] {
                streamed.add_stream(part, at_a_time).unwrap();
                whole.add(part).unwrap();
            }
            prop_assert_eq!(streamed.output_stream().unwrap(), whole.output().unwrap());
            if !referee([&a[..], &b, &c], format).unwrap().1 {
                let theirs = streamed.output_stream().unwrap();
                prop_assert_eq!(changes(&written), changes(&theirs));
            }
        }
    }

    #[test]
    fn selected_changes_are_merged_as_in_sqlite(history in history()) {
        let (parts, _) = history.record_parts(3);
        let mut group = Changegroup::new(None);
        let mut builder = Changeset::builder();
        for (part, _) in &parts {
            if has_special(part, Format::Changeset) {
                return Ok(());
            }
            group.add_changes(part, |change| change.operation != 9).unwrap();
            let records = ChangesetRef::parse(part).unwrap().records();
            builder.extend(records.filter(|record| record.operation() != Operation::Delete));
        }
        let (ours, theirs) = (builder.build().unwrap(), group.output().unwrap());
        prop_assert_eq!(changes(ours.as_bytes()), changes(&theirs));
    }
}

/// A value that can be the default of a column.
fn value() -> impl Strategy<Value = Owned> {
    select(vec![
        Owned::Null,
        Owned::Integer(0),
        Owned::Integer(-7),
        Owned::Real(f64::to_bits(1.5)),
        Owned::Text(b"a".to_vec()),
        Owned::Text(vec![b'x'; 130]),
        Owned::Blob(b"a".to_vec()),
    ])
}

/// The key ordinals of tables that once had fewer columns.
const KEYS: [&[u8]; 3] = [&[1, 0, 0, 0, 0], &[0, 2, 1, 0, 0], &[0, 0, 1, 0, 0]];

fn schema_of(key: &[u8]) -> (usize, Vec<usize>) {
    let mut by_place: Vec<usize> = (0..key.len()).filter(|column| key[*column] != 0).collect();
    let least = by_place.last().unwrap() + 1;
    by_place.sort_by_key(|column| key[*column]);
    (least, by_place)
}

/// A change to one of a few rows, with any earlier number of columns.
fn change(key: &'static [u8]) -> impl Strategy<Value = Change> {
    let (least, _) = schema_of(key);
    let values = || vec(value(), key.len());
    (least..=key.len(), select(vec![18, 23, 9]), any::<bool>(), 0i64..3, values(), values(), vec(0u8..3, key.len()))
        .prop_map(move |(count, operation, indirect, row, old, new, kinds)| {
            let side = |values: Vec<Owned>| -> Vec<Option<Owned>> {
                let column = |(column, value)| Some(if key[column] == 0 { value } else { Owned::Integer(row) });
                values.into_iter().enumerate().map(column).take(count).collect()
            };
            let (mut old, mut new) = (side(old), side(new));
            match operation {
                18 => old.fill(None),
                9 => new.fill(None),
                _ => {
                    for column in 0..count {
                        match (key[column] != 0, kinds[column]) {
                            (true, _) => new[column] = None,
                            (false, 0) => (old[column], new[column]) = (None, None),
                            _ => {}
                        }
                    }
                }
            }
            Change { table: b"t".to_vec(), key: key[..count].to_vec(), operation, indirect, old, new }
        })
}

/// Opens a database whose table has all columns, with these defaults.
fn grown(key: &[u8], defaults: &[Owned]) -> Database {
    let column = |(column, default): (usize, &Owned)| format!("c{column} DEFAULT ({})", default.as_value());
    let columns: Vec<String> = defaults.iter().enumerate().map(column).collect();
    let names: Vec<String> = schema_of(key).1.iter().map(|column| format!("c{column}")).collect();
    let database = Database::new();
    database.execute(&format!("CREATE TABLE t ({}, PRIMARY KEY ({}))", columns.join(", "), names.join(", "))).unwrap();
    database
}

fn declared(parts: &[Vec<u8>], key: &[u8], defaults: &[Owned], format: Format) -> Result<Vec<u8>, BuildErrorKind> {
    let table = TableInfo::new("t", key);
    let defaults: Vec<Value<'_>> = defaults.iter().map(Owned::as_value).collect();
    match format {
        Format::Changeset => merge_declared::<ChangesetFormat>(parts, table, &defaults),
        Format::Patchset => merge_declared::<PatchsetFormat>(parts, table, &defaults),
    }
}

fn merge_declared<F: SetFormat>(
    parts: &[Vec<u8>],
    table: TableInfo<'_>,
    defaults: &[Value<'_>],
) -> Result<Vec<u8>, BuildErrorKind> {
    let builder = Set::<F>::builder().declare(table, defaults);
    let built = parts.iter().fold(builder, |builder, part| builder.add(SetRef::parse(part).unwrap())).build();
    let bytes = built.map(Set::into_bytes).map_err(|error| error.kind())?;
    assert!(SetRef::<F>::parse(&bytes).is_ok());
    Ok(bytes)
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn changes_of_a_table_with_added_columns_get_defaults_as_in_sqlite(
        (key, changes_of) in select(KEYS.to_vec()).prop_flat_map(|key| (Just(key), vec(change(key), 1..8))),
        defaults in vec(value(), 5),
    ) {
        let database = grown(key, &defaults);
        for format in FORMATS {
            let parts: Vec<Vec<u8>> = changes_of.iter().map(|change| change.encode(format)).collect();
            let busy: Vec<&Vec<u8>> = parts.iter().filter(|part| !has_idle(part, format)).collect();
            let mut group = Changegroup::new(Some(&database));
            busy.iter().try_for_each(|part| group.add(part)).unwrap();
            let theirs = group.output().unwrap();
            if !has_idle(&theirs, format) {
                let ours = declared(&parts, key, &defaults, format).unwrap();
                prop_assert_eq!(changes(&ours), changes(&theirs), "{:?}", format);
                // the defaults of the last columns alone suffice
                let (least, _) = schema_of(key);
                let table = TableInfo::new("t", key);
                let last: Vec<Value<'_>> = defaults[least..].iter().map(Owned::as_value).collect();
                if format == Format::Changeset {
                    let records = parts.iter().flat_map(|part| ChangesetRef::parse(part).unwrap().records());
                    let builder = Changeset::builder().declare(table, &last);
                    let built = records.fold(builder, |builder, record| builder.record(&record)).build().unwrap();
                    prop_assert_eq!(built.into_bytes(), ours);
                }
            }
        }
    }

    /// Histories of a table that gets columns while it is tracked.
    #[test]
    fn changes_from_before_and_after_an_added_column_apply_together(
        edits in vec(vec((0u8..4, 0i64..4, value()), 0..6), 3),
        defaults in vec(value().prop_filter("a DEFAULT without parentheses", |value| *value != Owned::Null), 2),
    ) {
        let create = |database: &Database| {
            database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, c1); INSERT INTO t VALUES (0, 'x'), (1, 'y')").unwrap();
        };
        let add = |database: &Database, column: usize| {
            let default = defaults[column - 2].as_value();
            database.execute(&format!("ALTER TABLE t ADD COLUMN c{column} DEFAULT {default}")).unwrap();
        };
        let (source, replica) = (Database::new(), Database::new());
        create(&source);
        create(&replica);
        (2..4).for_each(|column| add(&replica, column));
        let mut parts: [Vec<Vec<u8>>; 2] = Default::default();
        for (columns, edits) in (2..).zip(&edits) {
            if columns > 2 {
                add(&source, columns - 1);
            }
            let session = source.track();
            for (kind, id, value) in edits {
                let (value, last) = (value.as_value(), columns - 1);
                source.execute(&match kind {
                    0 | 1 => format!("INSERT OR IGNORE INTO t (id, c{last}) VALUES ({id}, {value})"),
                    2 => format!("UPDATE t SET c{last} = {value} WHERE id = {id}"),
                    _ => format!("DELETE FROM t WHERE id = {id}"),
                }).unwrap();
            }
            parts[0].push(session.changeset());
            parts[1].push(session.patchset());
        }
        for (format, parts) in FORMATS.into_iter().zip(&parts) {
            let mut group = Changegroup::new(Some(&source));
            parts.iter().try_for_each(|part| group.add(part)).unwrap();
            let theirs = group.output().unwrap();
            let ours = declared(parts, &[1, 0, 0, 0], &defaults, format).unwrap();
            prop_assert_eq!(changes(&ours), changes(&theirs));
            let fresh = Database::new();
            create(&fresh);
            (2..4).for_each(|column| add(&fresh, column));
            fresh.apply(&ours).unwrap();
            prop_assert_eq!(fresh.contents(), source.contents());
        }
    }
}

#[test]
fn changes_that_do_not_fit_a_declared_table_are_errors_as_in_sqlite() {
    let key: &[u8] = &[1, 0, 0];
    let defaults = [Owned::Null, Owned::Null, Owned::Integer(0)];
    let cases: [(&[u8], BuildErrorKind); 4] = [
        (&[1, 0, 0, 0], BuildErrorKind::OtherColumns { before: 3, now: 4 }),
        (&[1, 2, 0], BuildErrorKind::OtherKey),
        (&[1, 2], BuildErrorKind::OtherKey),
        (&[2], BuildErrorKind::OtherKey),
    ];
    for (other, kind) in cases {
        let row: Vec<Option<Owned>> = other.iter().map(|_| Some(Owned::Integer(1))).collect();
        let new = Change {
            table: b"T".to_vec(),
            key: other.to_vec(),
            operation: 18,
            indirect: false,
            old: vec![None; other.len()],
            new: row,
        };
        for format in FORMATS {
            let bytes = new.encode(format);
            let database = grown(key, &defaults);
            assert_eq!(Changegroup::new(Some(&database)).add(&bytes), Err(sqlite::Code(17)), "{other:?}");
            assert_eq!(declared(&[bytes], key, &defaults, format), Err(kind));
        }
    }
    // without a declaration, and with fewer columns than defaults
    let (one, two) = (TableInfo::new("t", &[1]), TableInfo::new("t", &[1, 0]));
    let three = TableInfo::new("t", &[1, 0, 0]);
    let narrow = Changeset::builder().insert_values(one, &[1.into()]).build().unwrap();
    let wide = Changeset::builder().insert_values(two, &[1.into(), 2.into()]).build().unwrap();
    let columns = |before, now| Err(BuildErrorKind::OtherColumns { before, now });
    assert_eq!(narrow.concat(&wide).map_err(|error| error.kind()), columns(1, 2));
    assert_eq!(wide.concat(&narrow).map_err(|error| error.kind()), columns(2, 1));
    assert_eq!(sqlite::concat(wide.as_bytes(), narrow.as_bytes()), Err(sqlite::Code(17)));
    let builder = || Changeset::builder().declare(three, &[0.into()]);
    assert_eq!(builder().add(&wide).build().unwrap().records().count(), 1);
    assert_eq!(builder().add(&narrow).build().map_err(|error| error.kind()), columns(3, 1));
    // declared too late, or with too many columns
    let late = Changeset::builder().add(&narrow).declare(two, &[0.into()]);
    assert_eq!(late.build().map_err(|error| error.kind()), columns(1, 2));
    let late = builder().declare(two, &[]);
    assert_eq!(late.build().map_err(|error| error.kind()), columns(3, 2));
    let many = Changeset::builder().declare(one, &[0.into(); 2]).build();
    assert_eq!(many.map_err(|error| error.kind()), Err(BuildErrorKind::ValueCount { columns: 1, values: 2 }));
}

#[test]
fn values_of_fewer_columns_get_the_defaults_too() {
    let (old, new) = (TableInfo::new("t", &[1, 0]), TableInfo::new("t", &[1, 0, 0, 0]));
    let builder = Changeset::builder()
        .declare(new, &["late".into(), Value::Null])
        .insert_values(old, &[1.into(), "a".into()])
        .update_values(old, &[2.into(), "a".into()], &[2.into(), "b".into()])
        .delete_values(old, &[3.into(), "a".into()])
        .update_values(
            new,
            &[1.into(), "a".into(), "late".into(), Value::Null],
            &[1.into(), "a".into(), 7.into(), 8.into()],
        );
    let shown: Vec<String> = builder.build().unwrap().records().map(|record| record.to_string()).collect();
    assert_eq!(shown, ["INSERT t(1, 'a', 7, 8)", "UPDATE t(2, 'a' -> 'b', _, _)", "DELETE t(3, 'a', 'late', NULL)"]);
}

#[test]
fn a_partly_indirect_chain_shows_the_order_of_merging() {
    let change = |operation: u8, indirect: u8, rest: &[u8]| {
        [&b"T\x02\x01\0t\0"[..], &[operation, indirect, 1, 0, 0, 0, 0, 0, 0, 0, 1], rest].concat()
    };
    let update = change(23, 1, b"\x03\x01a\x00\x03\x01b");
    let delete = change(9, 0, b"\x03\x01b");
    let insert = change(18, 1, b"\x03\x01b");
    let flags = |first: &[u8], last: &[u8]| [first[7], last[7]];
    let first = concat([&concat([&update[..], &delete], Format::Changeset)[..], &insert], Format::Changeset);
    let last = concat([&update[..], &concat([&delete[..], &insert], Format::Changeset)], Format::Changeset);
    assert_eq!(flags(&first, &last), [0, 1]);
    let their_first = sqlite::concat(&sqlite::concat(&update, &delete).unwrap(), &insert).unwrap();
    let their_last = sqlite::concat(&update, &sqlite::concat(&delete, &insert).unwrap()).unwrap();
    assert_eq!((first, last), (their_first, their_last));
}

#[test]
fn wide_updates_are_merged_as_in_sqlite() {
    for columns in [15, 16, 17, 40] {
        let update = |set: &dyn Fn(usize) -> Option<[i64; 2]>| {
            let side = |side: usize| -> Vec<Option<Owned>> {
                (0..columns).map(|column| set(column).map(|values| Owned::Integer(values[side]))).collect()
            };
            let (mut old, new) = (side(0), side(1));
            old[3] = Some(Owned::Integer(7));
            let mut key = vec![0; columns];
            key[3] = 1;
            Change { table: b"t".to_vec(), key, operation: 23, indirect: false, old, new }
        };
        let there = update(&|column| (column % 5 == 1).then_some([1, 2]));
        let on = update(&|column| (column % 5 < 2 && column != 3).then_some([2, 3]));
        let back = update(&|column| (column % 5 == 1).then_some([2, 1]));
        for format in FORMATS {
            for next in [&on, &back] {
                group::judge(&there.encode(format), &next.encode(format));
            }
        }
        assert!(concat([&there.encode(FORMATS[0])[..], &back.encode(FORMATS[0])], FORMATS[0]).is_empty());
    }
}

#[test]
fn large_concatenations_are_written_as_they_are_built() {
    let table = TableInfo::new("t", &[1, 0]);
    let other = TableInfo::new("other", &[1]);
    let mut builder = Changeset::builder();
    for id in 0..30_000 {
        let text = "x".repeat((id % 50) as usize);
        builder = builder.insert_values(table, &[(id * 7919 % 30_011).into(), text.as_str().into()]);
    }
    for id in (0..30_000).step_by(2) {
        let text = "y".repeat((id % 90) as usize);
        builder = builder.update_values(table, &[id.into(), Value::Null], &[id.into(), text.as_str().into()]);
    }
    for id in 0..100 {
        builder = builder.insert_values(other, &[id.into()]).delete_values(other, &[id.into()]);
    }
    struct Pieces(Vec<u8>, usize, usize);
    impl std::io::Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1 += 1;
            self.2 = self.2.max(bytes.len());
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut pieces = Pieces(Vec::new(), 0, 0);
    builder.clone().write_to(&mut pieces).unwrap();
    let whole = builder.build().unwrap().into_bytes();
    assert!(pieces.0 == whole);
    assert!(pieces.1 < 100, "{} pieces of at most {} bytes for {}", pieces.1, pieces.2, whole.len());
}

#[test]
fn errors_of_building_and_of_writing_are_distinct() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let table = TableInfo::new("t", &[1]);
    let good = Changeset::builder().insert_values(table, &[1.into()]);
    assert!(matches!(good.clone().write_to(Full), Err(error) if error.kind() == BuildErrorKind::Io));
    let mut out = Vec::new();
    let bad = good.insert_values(table, &[]).write_to(&mut out);
    assert!(matches!(bad, Err(error) if error.table() == Some("t")));
    assert!(out.is_empty());
}
