//! Random changes for a random schema.

use diesel_sqlite_session::{Format, Value};

use super::schema::{Column, Domain, Schema, Table, literal, nth_literal};
use super::{Case, DELETE, INSERT, UPDATE, key_of, table_of};
use crate::change::{Change, Owned};
use crate::plan::Plan;
use crate::sqlite::{self, Database, Flags};

/// Makes a case, and the changeset of what the target changed since it was a copy of the source.
pub(super) fn case(plan: &mut Plan<'_>) -> (Case, Vec<u8>) {
    let mut flags = Flags { ignore_noop: plan.chance(3), ..Flags::default() };
    let schema = Schema::new(plan, flags.ignore_noop);
    let is_patchset = plan.chance(5);
    let is_analyzed = !schema.has_rowid_keys && plan.chance(1);
    let is_streamed = plan.chance(4);
    let in_transaction = plan.chance(4);
    flags.invert = !is_patchset && plan.chance(3);
    flags.no_update_loop = !schema.allows_loop || plan.chance(4);
    flags.no_foreign_key_actions = schema.has_foreign_keys && plan.chance(3);
    flags.no_savepoint = in_transaction && plan.chance(4);
    let is_recorded = plan.chance(4);

    let mut rows: Vec<String> = Vec::new();
    for table in &schema.tables {
        let more = 1 + plan.below(5);
        rows.extend((0..plan.below(7)).map(|n| {
            // mostly without equal values, so that UNIQUE columns keep the rows
            let literal = |column: usize| match plan.chance(3) {
                true => literal(plan, table.columns[column].domain, schema.is_plain, table.key[column] == 0),
                false => nth_literal(table.columns[column].domain, (n + column * more) % 6),
            };
            insert_into(table, "IGNORE", literal)
        }));
    }
    rows.extend((0..plan.below(8)).map(|_| insert(plan, &schema, "IGNORE")));
    let mut source = schema.source.clone();
    let mut target = schema.target.clone();
    if schema.has_foreign_keys {
        if plan.chance(4) {
            source.insert(0, "PRAGMA foreign_keys = ON".into());
        }
        if plan.chance(13) {
            target.insert(0, "PRAGMA foreign_keys = ON".into());
        }
    }
    let is_exchange = schema.allows_loop && plan.chance(10);
    // rows that one side alone has, except where rows exchange values in rings
    for row in rows {
        let side = if is_exchange { 15 } else { plan.below(16) };
        if side > 2 {
            source.push(row.clone());
        }
        if side != 3 {
            target.push(row);
        }
    }
    if is_analyzed {
        target.push("ANALYZE".into());
        if plan.chance(8) {
            source.push("ANALYZE".into());
        }
    }
    let mut edits: Vec<String> =
        (0..2 + plan.below(if is_exchange { 4 } else { 20 })).map(|_| edit(plan, &schema)).collect();
    if is_exchange {
        for table in &schema.tables {
            let mut columns = table.columns.iter().filter(|column| column.is_unique && column.domain != Domain::Any);
            edits.extend(columns.next().map(|column| exchange(plan, table, column)));
        }
    }
    if is_analyzed {
        edits.push("ANALYZE".into());
    }
    let local: Vec<String> = (0..plan.below(12)).map(|_| edit(plan, &schema)).collect();

    let format = if is_patchset { Format::Patchset } else { Format::Changeset };
    let (_, changeset) = record(&source, &edits, schema.has_rowid_keys);
    let changes = rewrite(plan, sqlite::read(&changeset).0, &schema, flags.invert);
    let is_split = plan.chance(3);
    let bytes = encode_split(&changes, format, |_| is_split && plan.chance(4));
    let (_, local_changes) = record(&target, &local, schema.has_rowid_keys);
    if flags.invert && plan.chance(13) {
        target.extend(edits);
    }
    target.extend(local);
    let case = Case { setup: target, bytes, flags, in_transaction, is_streamed, is_recorded };
    (case, local_changes)
}

/// Returns a database, and the changes that the edits made. The statements can fail.
fn record(setup: &[String], edits: &[String], rowids: bool) -> (Database, Vec<u8>) {
    let database = Database::new();
    for statement in setup {
        let _ = database.execute(statement);
    }
    let session = if rowids { database.track_rowids() } else { database.track() };
    for edit in edits {
        let _ = database.execute(edit);
    }
    let changeset = session.changeset();
    drop(session);
    (database, changeset)
}

fn insert(plan: &mut Plan<'_>, schema: &Schema, or: &str) -> String {
    let table = &schema.tables[plan.below(schema.tables.len())];
    insert_into(table, or, |column| {
        literal(plan, table.columns[column].domain, schema.is_plain, table.key[column] == 0)
    })
}

fn insert_into(table: &Table, or: &str, literal: impl FnMut(usize) -> &'static str) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let values: Vec<&str> = (0..columns.len()).map(literal).collect();
    format!("INSERT OR {or} INTO \"{}\" ({}) VALUES ({})", table.name, columns.join(", "), values.join(", "))
}

/// Returns a statement that changes some rows.
fn edit(plan: &mut Plan<'_>, schema: &Schema) -> String {
    let table = &schema.tables[plan.below(schema.tables.len())];
    let name = table.name;
    let keys: Vec<usize> = (0..table.key.len()).filter(|at| table.key[*at] != 0).collect();
    let values: Vec<usize> = (0..table.key.len()).filter(|at| table.key[*at] == 0).collect();
    let key = &table.columns[keys[plan.below(keys.len())]];
    let mut value = &table.columns[values[plan.below(values.len())]];
    let of = literal(plan, key.domain, schema.is_plain, false);
    let kind = plan.below(12);
    if kind > 7 && plan.chance(12) {
        let unique = values.iter().map(|at| &table.columns[*at]).find(|column| column.is_unique);
        value = unique.unwrap_or(value);
    }
    match kind {
        0..=2 => insert(plan, schema, "IGNORE"),
        3 => insert(plan, schema, "REPLACE"),
        4..=7 => {
            let to = literal(plan, value.domain, schema.is_plain, true);
            let by = if plan.chance(3) { "<=" } else { "=" };
            format!("UPDATE OR IGNORE \"{name}\" SET {} = {to} WHERE {} {by} {of}", value.name, key.name)
        }
        8..=9 if value.domain != Domain::Any => exchange(plan, table, value),
        8 => {
            let to = literal(plan, key.domain, schema.is_plain, false);
            format!("UPDATE OR IGNORE \"{name}\" SET {} = {to} WHERE {} = {of}", key.name, key.name)
        }
        _ => format!("DELETE FROM \"{name}\" WHERE {} = {of}", key.name),
    }
}

/// Returns statements with which all rows exchange the values of a column, in pairs or round and
/// round.
fn exchange(plan: &mut Plan<'_>, table: &Table, column: &Column) -> String {
    let is_round = plan.chance(8);
    // first to values that no row has
    let (away, is_here, is_away, back) = match column.domain {
        Domain::Text => ("'x' || @", "length(@) = 1", "@ LIKE 'x_'", "char(199 - unicode(substr(@, 2)))"),
        Domain::Real => ("-@", "@ > 0", "@ < 0", "8.0 + @"),
        _ if is_round => ("-@", "@ > 0", "@ < 0", "1 + (-@) % 6"),
        _ => ("-@", "@ > 0", "@ < 0", "7 + @"),
    };
    let update = |to: &str, when: &str| {
        format!("UPDATE OR IGNORE \"{}\" SET @ = {to} WHERE {when}", table.name).replace('@', &column.name)
    };
    format!("{}; {}", update(away, is_here), update(back, is_away))
}

/// Manipulates changes, keeps them well-formed, and avoids the differences that the module names.
fn rewrite(plan: &mut Plan<'_>, mut changes: Vec<Change>, schema: &Schema, invert: bool) -> Vec<Change> {
    let table = |change: &Change| schema.tables.iter().find(|table| table.name.eq_ignore_ascii_case(&table_of(change)));
    let is_rewritten = plan.chance(9);
    for _ in 0..if is_rewritten { plan.below(6) } else { 0 } {
        let at = plan.below(changes.len());
        match plan.below(8) {
            0 | 1 => {
                let place = plan.below(changes.len() + 1);
                changes.insert(place, build(plan, schema));
            }
            2 if !changes.is_empty() => drop(changes.remove(at)),
            3 if !changes.is_empty() => {
                let other = plan.below(changes.len());
                changes.swap(at, other);
            }
            4 if !changes.is_empty() => changes[at].indirect ^= true,
            // inverted, SQLite reports an old value without a new one, but does not set it
            5 if !changes.is_empty() && changes[at].operation == UPDATE && !invert => {
                // only the old or only the new value
                let column = plan.below(changes[at].key.len());
                if changes[at].key[column] == 0 {
                    let side = if plan.chance(10) { &mut changes[at].old } else { &mut changes[at].new };
                    side[column] = None;
                }
            }
            _ if !changes.is_empty() => {
                let change = &mut changes[at];
                let Some(table) = table(change) else { continue };
                let column = plan.below(change.key.len());
                let is_key = change.key[column] != 0;
                let value = value(plan, table, column, schema.is_plain);
                let is_new = if is_key { change.operation == INSERT } else { plan.chance(8) };
                let side = if is_new { &mut change.new } else { &mut change.old };
                if side[column].is_some() {
                    side[column] = Some(value);
                }
            }
            _ => {}
        }
    }
    let mut kept: Vec<Change> = Vec::new();
    for mut change in changes {
        let table = table(&change);
        if change.operation == UPDATE {
            for column in 0..change.key.len() {
                if change.key[column] == 0 && change.old[column] == change.new[column] {
                    (change.old[column], change.new[column]) = (None, None);
                }
            }
            let set = if invert { &change.old } else { &change.new };
            if !(0..change.key.len()).any(|column| change.key[column] == 0 && set[column].is_some()) {
                continue;
            }
        }
        let is_partial = |change: &Change| {
            (0..change.key.len())
                .any(|column| change.key[column] == 0 && change.old[column].is_some() != change.new[column].is_some())
        };
        let are_mixed = |other: &Change| {
            let are_updates = other.operation == UPDATE && change.operation == UPDATE;
            are_updates && other.table == change.table && (is_partial(other) || is_partial(&change))
        };
        let is_simple = table.is_some_and(|table| table.is_simple && !table.has_rowid_key);
        let is_second = kept.iter().any(|other| {
            are_mixed(other)
                || is_same_row(other, &change) && (!is_simple || *other == change)
                || table.is_some_and(|table| is_contested(table, other, &change, invert))
        });
        if !is_second {
            kept.push(change);
        }
    }
    kept
}

/// Returns whether two changes are to rows that any table could treat as one.
fn is_same_row(one: &Change, other: &Change) -> bool {
    let key = |change: &Change| key_of(change).iter().map(folded).collect::<Vec<_>>();
    table_of(one) == table_of(other) && key(one) == key(other)
}

/// Returns whether both changes set one value of a UNIQUE column.
fn is_contested(table: &Table, one: &Change, other: &Change, invert: bool) -> bool {
    let set = |change: &Change, column: usize| {
        let side = if invert { &change.old } else { &change.new };
        side[column].as_ref().filter(|value| **value != Owned::Null).map(folded)
    };
    let is_set_by_both = |column: usize| set(one, column).is_some() && set(one, column) == set(other, column);
    one.table == other.table
        && (0..table.key.len()).any(|column| table.columns[column].is_unique && is_set_by_both(column))
}

/// Returns a text that is the same for values that some column treats as equal.
fn folded(value: &Owned) -> String {
    match value {
        Owned::Null => "NULL".into(),
        Owned::Integer(integer) => integer.to_string(),
        Owned::Real(bits) => f64::from_bits(*bits).to_string(),
        Owned::Text(bytes) | Owned::Blob(bytes) => {
            let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
            text.strip_suffix(".0").unwrap_or(&text).into()
        }
    }
}

/// Returns a value for a column of a change.
fn value(plan: &mut Plan<'_>, table: &Table, column: usize, is_plain: bool) -> Owned {
    let is_key = table.key[column] != 0;
    let text = literal(plan, table.columns[column].domain, is_plain, !is_key);
    if text == "NULL" {
        return Owned::Null;
    }
    if let Some(quoted) = text.strip_prefix('\'') {
        return Owned::Text(quoted.trim_end_matches('\'').into());
    }
    if let Some(digits) = text.strip_prefix("x'") {
        return Owned::Blob(if digits.len() > 1 { b"a".to_vec() } else { Vec::new() });
    }
    match text.parse() {
        Ok(integer) => Owned::Integer(integer),
        Err(_) => Owned::Real(text.parse::<f64>().expect("the other literals are numbers").to_bits()),
    }
}

/// Returns a change of any kind to any row.
fn build(plan: &mut Plan<'_>, schema: &Schema) -> Change {
    let table = &schema.tables[plan.below(schema.tables.len())];
    let mut row = || (0..table.key.len()).map(|at| Some(value(plan, table, at, schema.is_plain))).collect::<Vec<_>>();
    let (mut old, mut new) = (row(), row());
    let operation = [INSERT, UPDATE, DELETE][plan.below(3)];
    match operation {
        INSERT => old.fill(None),
        DELETE => new.fill(None),
        _ => {
            for column in 0..table.key.len() {
                if table.key[column] != 0 {
                    new[column] = None;
                } else if plan.chance(6) {
                    (old[column], new[column]) = (None, None);
                }
            }
        }
    }
    let key = table.key.clone();
    Change { table: table.name.into(), key, operation, indirect: plan.chance(3), old, new }
}

/// Returns a changeset with a change of one kind to each row that `changes` change.
pub(super) fn of_rows(changes: &[Change], operation: i32) -> Vec<u8> {
    let mut rows: Vec<Change> = Vec::new();
    for change in changes {
        let mut key = key_of(change).into_iter();
        let is_key = |column: usize| change.key[column] != 0;
        let row: Vec<Option<Owned>> = (0..change.key.len())
            .map(|column| if is_key(column) { key.next() } else { Some(Owned::Text(b"local".to_vec())) })
            .collect();
        let none = vec![None; row.len()];
        let (old, new) = match operation {
            INSERT => (none, row),
            DELETE => (row, none),
            _ => {
                let new = (0..row.len()).map(|column| (!is_key(column)).then_some(Owned::Integer(99))).collect();
                (row, new)
            }
        };
        let local =
            Change { table: change.table.clone(), key: change.key.clone(), operation, indirect: false, old, new };
        if !rows.contains(&local) {
            rows.push(local);
        }
    }
    if operation == UPDATE {
        rows.retain(|change| change.key.contains(&0));
    }
    encode(&rows, Format::Changeset)
}

/// Removes the columns that `like` does not have: SQLite's rebaser requires that rebase data and
/// changes have the same number of columns.
pub(super) fn fit(changes: &mut Vec<Change>, like: &[Change]) {
    for change in &mut *changes {
        let same = like.iter().find(|other| table_of(other) == table_of(change));
        let count = same.map_or(change.key.len(), |other| other.key.len());
        change.key.truncate(count);
        change.old.truncate(count);
        change.new.truncate(count);
    }
    changes.retain(|change| change.operation != UPDATE || change.new.iter().any(Option::is_some));
}

/// Encodes changes.
pub(super) fn encode(changes: &[Change], format: Format) -> Vec<u8> {
    encode_split(changes, format, |_| false)
}

/// Encodes changes, some of them in a section of their own.
fn encode_split(changes: &[Change], format: Format, mut is_split: impl FnMut(&Change) -> bool) -> Vec<u8> {
    let (mut out, mut last) = (Vec::new(), Vec::new());
    for change in changes {
        let bytes = change.encode(format);
        let (header, record) = bytes.split_at(2 + change.key.len() + change.table.len() + 1);
        if header != last || is_split(change) {
            out.extend_from_slice(header);
            last = header.to_vec();
        }
        out.extend_from_slice(record);
    }
    out
}

/// Returns a line that describes a change.
pub(super) fn shown(change: &Change) -> String {
    let operation = match change.operation {
        INSERT => "INSERT",
        UPDATE => "UPDATE",
        _ => "DELETE",
    };
    let indirect = if change.indirect { " indirect" } else { "" };
    let (old, new) = (row_shown(&change.old), row_shown(&change.new));
    format!("{operation} {} key {:?} {old} -> {new}{indirect}", table_of(change), change.key)
}

/// Returns the values of a row as SQL.
pub(super) fn row_shown(row: &[Option<Owned>]) -> String {
    let value = |value: &Option<Owned>| value.as_ref().map_or("-".into(), |value| Value::to_string(&value.as_value()));
    format!("({})", row.iter().map(value).collect::<Vec<_>>().join(", "))
}
