//! Functions for the names of tables and columns, called by constants in derived code. They compute
//! positions, and reject a row that does not match its table.
//!
//! The compiler interprets these functions once for each row. Therefore the search for a name
//! starts where the name is expected, and a message is composed only after a check has failed.

use super::TableInfo;

/// Returns whether two names are equal. Column names often share a prefix, so the last bytes are
/// compared first.
const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = a.len();
    while i > 0 {
        i -= 1;
        if a[i] != b[i] {
            return false;
        }
    }
    true
}

/// Returns whether two names differ at most in the case of ASCII letters.
const fn same_but_for_case(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = a.len();
    while i > 0 {
        i -= 1;
        if !a[i].eq_ignore_ascii_case(&b[i]) {
            return false;
        }
    }
    true
}

/// Returns the position of a name in a list. The position `near` is tried first.
const fn position(names: &[&str], name: &str, near: usize) -> Option<usize> {
    if near < names.len() && same(names[near], name) {
        return Some(near);
    }
    let mut i = 0;
    while i < names.len() {
        if same(names[i], name) {
            return Some(i);
        }
        i += 1;
    }
    None
}

/// Returns the first `N` names that are not in `excluded`. Missing ones are empty.
pub const fn without<const N: usize>(names: &[&'static str], excluded: &[&str]) -> [&'static str; N] {
    let mut kept = [""; N];
    let (mut i, mut n) = (0, 0);
    while i < names.len() && n < N {
        if position(excluded, names[i], 0).is_none() {
            kept[n] = names[i];
            n += 1;
        }
        i += 1;
    }
    kept
}

/// Returns the position of each name in `list`; 0 if it is not there.
pub const fn positions<const N: usize>(names: &[&str; N], list: &[&str]) -> [usize; N] {
    let mut found = [0; N];
    let mut i = 0;
    while i < N {
        if let Some(at) = position(list, names[i], i) {
            found[i] = at;
        }
        i += 1;
    }
    found
}

/// Returns the key ordinals of columns: the place in the primary key, counted from 1, or 0.
pub const fn ordinals<const N: usize>(columns: &[&str; N], key: &[&str]) -> [u8; N] {
    let mut ordinals = [0; N];
    let mut i = 0;
    while i < key.len() {
        if let Some(at) = position(columns, key[i], i) {
            ordinals[at] = i as u8 + 1;
        }
        i += 1;
    }
    ordinals
}

/// Returns which fields of a group of four belong to the key: bit `n` stands for the field
/// `4 * group + n`.
pub const fn key_bits(key: &[&str], fields: &[&str], group: usize) -> u8 {
    let (mut bits, mut i) = (0, 0);
    while i < 4 && 4 * group + i < fields.len() {
        if position(key, fields[4 * group + i], 0).is_some() {
            bits |= 1 << i;
        }
        i += 1;
    }
    bits
}

/// Returns the number of key columns; 0 if one of them has no field.
pub const fn key_columns(key: &[&str], fields: &[&str]) -> usize {
    let mut i = 0;
    while i < key.len() {
        if position(fields, key[i], i).is_none() {
            return 0;
        }
        i += 1;
    }
    key.len()
}

/// Returns the first field that cannot be written.
pub const fn unwritable(fields: &[(bool, &'static str)]) -> Option<&'static str> {
    let mut i = 0;
    while i < fields.len() {
        if !fields[i].0 {
            return Some(fields[i].1);
        }
        i += 1;
    }
    None
}

/// Returns the tables of sets of one table each.
pub const fn tables<const N: usize>(sets: [&'static [&'static TableInfo]; N]) -> [&'static TableInfo; N] {
    let mut tables = [sets[0][0]; N];
    let mut i = 0;
    while i < N {
        tables[i] = sets[i][0];
        i += 1;
    }
    tables
}

/// A panic message composed in a constant.
struct Text {
    bytes: [u8; 1024],
    length: usize,
}

impl Text {
    const fn new() -> Self {
        Self { bytes: [0; 1024], length: 0 }
    }

    /// Appends `more` if there is room.
    const fn and(mut self, more: &str) -> Self {
        if self.length + more.len() <= self.bytes.len() {
            let mut i = 0;
            while i < more.len() {
                self.bytes[self.length] = more.as_bytes()[i];
                self.length += 1;
                i += 1;
            }
        }
        self
    }

    const fn as_str(&self) -> &str {
        match core::str::from_utf8(self.bytes.split_at(self.length).0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

/// Rejects a row that omits columns of its table. `named` lists the columns with a field, the
/// skipped columns and the generated columns.
#[track_caller]
pub const fn check_columns(all: &[&'static str], named: &[&[&str]], table: &str, row: &str) {
    let (mut count, mut i) = (0, 0);
    while i < named.len() {
        count += named[i].len();
        i += 1;
    }
    // the derive rejects a column that is named twice
    if count == all.len() {
        return;
    }
    i = 0;
    while i < all.len() {
        if !is_named(named, all[i], i) {
            panic!("{}", missing_columns(all, named, table, row).as_str());
        }
        i += 1;
    }
}

/// Returns whether one of the lists contains a name, which is expected near a position.
const fn is_named(named: &[&[&str]], name: &str, near: usize) -> bool {
    let mut i = 0;
    while i < named.len() {
        if position(named[i], name, near).is_some() {
            return true;
        }
        i += 1;
    }
    false
}

const fn missing_columns(all: &[&'static str], named: &[&[&str]], table: &str, row: &str) -> Text {
    let (mut list, mut count, mut i) = (Text::new(), 0, 0);
    while i < all.len() {
        if !is_named(named, all[i], i) {
            list = list.and(if count == 0 { "`" } else { ", `" }).and(all[i]).and("`");
            count += 1;
        }
        i += 1;
    }
    let (column, has, one) = if count == 1 { ("column", "has", "one") } else { ("columns", "have", "them") };
    Text::new()
        .and("the ")
        .and(column)
        .and(" ")
        .and(list.as_str())
        .and(" of `")
        .and(table)
        .and("` ")
        .and(has)
        .and(" no field in `")
        .and(row)
        .and("`: write ")
        .and(one)
        .and(", or above the struct `#[tracked(skip(…))]`, or for a generated column `#[tracked(generated(…))]`")
}

/// Rejects a table whose columns are not those that its schema file lists, in the same order.
#[track_caller]
pub const fn check_schema(all: &[&str], file: &[&str], table: &str) {
    let (mut is_same, mut i) = (all.len() == file.len(), 0);
    while is_same && i < all.len() {
        is_same = same(all[i], file[i]);
        i += 1;
    }
    if !is_same {
        let text = Text::new()
            .and("the columns of `")
            .and(table)
            .and("` differ between the schema file and the module: `schema` and `module` must name the same `table!`s");
        panic!("{}", text.as_str());
    }
}

/// Rejects skipped and generated columns that belong to the key.
#[track_caller]
pub const fn check_skipped(key: &[&str], name: &str, column: &str) {
    if position(key, name, 0).is_some() {
        let text = Text::new()
            .and("`")
            .and(column)
            .and("` is part of the primary key: it requires a field and cannot be skipped");
        panic!("{}", text.as_str());
    }
}

/// Rejects a default for a column that belongs to the key, or is not one of the last `optional`
/// columns.
#[track_caller]
pub const fn check_default(ordinals: &[u8], at: usize, optional: usize, field: &str) {
    if ordinals[at] != 0 {
        let text = Text::new()
            .and("`")
            .and(field)
            .and("` is part of the primary key, which every change contains: it requires no default");
        panic!("{}", text.as_str());
    }
    if at + optional < ordinals.len() {
        let text = Text::new()
            .and("`")
            .and(field)
            .and("` is not one of the table's last columns: only these can be missing from older changes, which `#[tracked(default)]` \
                  is for");
        panic!("{}", text.as_str());
    }
}

/// Rejects a `primary_key` that differs from that of the table.
#[track_caller]
pub const fn check_key(said: &[&str], key: &[&str], fields: &[&str], columns: &[&str]) {
    let (mut is_same, mut i) = (said.len() == key.len(), 0);
    while is_same && i < key.len() {
        is_same = same(said[i], key[i]);
        i += 1;
    }
    if !is_same {
        let mut text = Text::new().and("this is not the primary key of `table!`: write `primary_key(");
        let mut i = 0;
        while i < key.len() {
            let name = match position(fields, key[i], i) {
                Some(at) => columns[at],
                None => key[i],
            };
            text = text.and(if i == 0 { "" } else { ", " }).and(name);
            i += 1;
        }
        let text = text.and(")`");
        panic!("{}", text.as_str());
    }
}

/// Rejects a set that contains a table twice. SQLite ignores the case of ASCII letters in table
/// names.
#[track_caller]
pub const fn check_table(tables: &[&[&TableInfo]], variants: &[&str], at: usize) {
    let mut i = 0;
    while i < at {
        if same_but_for_case(tables[i][0].table(), tables[at][0].table()) {
            let text = Text::new()
                .and("the table `")
                .and(tables[at][0].table())
                .and("` is in the set already: the variant `")
                .and(variants[i])
                .and("` has it");
            panic!("{}", text.as_str());
        }
        i += 1;
    }
}
