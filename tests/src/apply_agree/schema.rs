//! Random schemas: what a source and a target of changes look like.

use crate::plan::Plan;

/// The values that a column has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Domain {
    Integer,
    Text,
    Real,
    Any,
}

/// A column that changes contain.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) domain: Domain,
    /// Whether a UNIQUE constraint or index of the target contains it.
    pub(super) is_unique: bool,
}

/// A table of both databases.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column>,
    /// The key ordinals.
    pub(super) key: Vec<u8>,
    /// Whether the changes identify rows by their rowids.
    pub(super) has_rowid_key: bool,
    /// Whether nothing but its key and its types can refuse a change, so that none waits.
    pub(super) is_simple: bool,
    /// What rows can reference: a column and its domain.
    parents: Vec<(String, Domain)>,
}

/// The tables, and the statements that create them.
pub(super) struct Schema {
    pub(super) tables: Vec<Table>,
    pub(super) source: Vec<String>,
    pub(super) target: Vec<String>,
    /// Whether no feature makes the update loop of SQLite and this crate's differ.
    pub(super) allows_loop: bool,
    pub(super) has_foreign_keys: bool,
    pub(super) has_rowid_keys: bool,
    /// Whether values can be NULL, or convert to other values, or equal others by a collation.
    pub(super) is_plain: bool,
}

const NAMES: [&str; 4] = ["t0", "T1", "a table", "t3"];
const PLAIN_NAMES: [&str; 4] = ["t0", "T1", "t2", "t3"];

impl Schema {
    pub(super) fn new(plan: &mut Plan<'_>, is_plain: bool) -> Self {
        // many cases with nothing that makes the update loops differ
        let is_quiet = plan.chance(5);
        let mut schema = Self {
            tables: Vec::new(),
            source: Vec::new(),
            target: vec!["CREATE TABLE log (id INTEGER PRIMARY KEY, line)".into()],
            allows_loop: true,
            has_foreign_keys: false,
            has_rowid_keys: false,
            is_plain,
        };
        for at in 0..=[0, 0, 0, 1, 1, 2][plan.below(6)] {
            schema.add_table(plan, is_quiet, if is_plain { PLAIN_NAMES[at] } else { NAMES[at] });
        }
        schema
    }

    fn add_table(&mut self, plan: &mut Plan<'_>, is_quiet: bool, name: &'static str) {
        let is_strict = plan.chance(2);
        let mut made = Making { is_simple: true, ..Making::default() };
        let without_rowid = made.add_key(plan, is_strict, self.is_plain);
        let has_rowid_key = made.key.is_empty();
        self.has_rowid_keys |= has_rowid_key;
        for _ in 0..=plan.below(3) {
            self.add_column(plan, &mut made, is_strict, is_quiet);
        }
        if !is_quiet && plan.chance(6) {
            self.add_reference(plan, &mut made, name);
        }
        if made.is_composite && plan.chance(8) {
            // a key in another order than the table
            made.move_first_to_end();
        }
        if !is_quiet && plan.chance(2) {
            let at = plan.below(made.both.len() + 1);
            let stored = if plan.chance(8) { "STORED" } else { "VIRTUAL" };
            let kind = if is_strict { "TEXT" } else { "" };
            made.add_both(at, format!("g {kind} GENERATED ALWAYS AS (typeof({})) {stored}", made.columns[0].name));
            self.allows_loop = false;
        }
        let mut target = made.target.clone();
        // a table without a key must have the columns of the changes
        if !is_quiet && !has_rowid_key && plan.chance(3) {
            const MORE: [&str; 5] = [
                "x ANY",
                "x ANY DEFAULT 7",
                "x ANY NOT NULL DEFAULT 0",
                "x INTEGER CHECK (x > 0) DEFAULT 5",
                "x TEXT NOT NULL DEFAULT 'a', y ANY",
            ];
            target.push(plan.pick(&MORE).to_string());
            self.allows_loop = false;
        }
        let mut constraints = made.constraints();
        let value_columns: Vec<usize> = (0..made.columns.len()).filter(|at| made.key_place(*at).is_none()).collect();
        if value_columns.len() > 1 && plan.chance(2) {
            let [a, b] = [value_columns[0], value_columns[1]];
            constraints.push(format!("UNIQUE ({}, {})", made.columns[a].name, made.columns[b].name));
            made.columns[a].is_unique = true;
            made.columns[b].is_unique = true;
            made.is_simple = false;
        }
        let mut options = Vec::new();
        if is_strict {
            options.push("STRICT");
        }
        if without_rowid {
            options.push("WITHOUT ROWID");
        }
        for (columns, statements) in [(&made.both, &mut self.source), (&target, &mut self.target)] {
            let parts = [&columns[..], &constraints].concat().join(", ");
            statements.push(format!("CREATE TABLE \"{name}\" ({parts}) {}", options.join(", ")));
        }
        if !is_quiet && plan.chance(1) {
            let last = &mut made.columns[value_columns[value_columns.len() - 1]];
            let index = match plan.below(2) {
                0 => format!("(abs({}))", last.name),
                _ => format!("({0}) WHERE {0} <> 'b'", last.name),
            };
            last.is_unique = true;
            made.is_simple = false;
            self.allows_loop = false;
            self.target.push(format!("CREATE UNIQUE INDEX \"of {name}\" ON \"{name}\" {index}"));
        }
        if !is_quiet && plan.chance(3) {
            self.add_triggers(plan, &mut made, name);
        }
        let ordinal = |at| made.key_place(at).map_or(0, |place| place as u8 + 1);
        let mut key: Vec<u8> = (0..made.columns.len()).map(ordinal).collect();
        if has_rowid_key {
            key.insert(0, 1);
            made.columns.insert(0, Column { name: "rowid".into(), domain: Domain::Integer, is_unique: false });
        }
        let Making { columns, parents, is_simple, .. } = made;
        self.tables.push(Table { name, columns, key, has_rowid_key, is_simple, parents });
    }

    fn add_column(&self, plan: &mut Plan<'_>, made: &mut Making, is_strict: bool, is_quiet: bool) {
        let name = format!("v{}", made.columns.len());
        let (kind, domain) = match plan.below(5) {
            0 | 1 => ("INTEGER", Domain::Integer),
            2 => ("TEXT", Domain::Text),
            3 => ("REAL", Domain::Real),
            _ if is_strict => ("ANY", Domain::Any),
            _ => (if plan.chance(8) { "NUMERIC" } else { "" }, Domain::Any),
        };
        let constraint = match plan.below(16) {
            0..=5 if is_quiet => "UNIQUE",
            0..=3 => "",
            4 => "NOT NULL",
            5 => "NOT NULL DEFAULT 3",
            6..=8 => "UNIQUE",
            9 => "UNIQUE NOT NULL",
            10 if domain == Domain::Text => "CHECK (length({c}) < 2)",
            10 | 11 => "CHECK ({c} <> 3)",
            12 => "UNIQUE CHECK ({c} BETWEEN -9 AND 5)",
            13 if !self.is_plain => "COLLATE NOCASE",
            14 if !self.is_plain => "COLLATE NOCASE UNIQUE",
            _ => "UNIQUE",
        };
        let constraint = constraint.replace("{c}", &name);
        let is_unique = constraint.contains("UNIQUE");
        made.is_simple &= constraint.is_empty() || constraint == "COLLATE NOCASE";
        // the constraints of the target alone make conflicts
        let is_shared = plan.chance(10);
        made.both.push(format!("{name} {kind} {}", if is_shared { &constraint } else { "" }));
        made.target.push(format!("{name} {kind} {constraint}"));
        if is_unique && is_shared && !constraint.contains("NOCASE") {
            made.parents.push((name.clone(), domain));
        }
        made.is_simple &= !is_strict;
        made.columns.push(Column { name, domain, is_unique });
    }

    fn add_reference(&mut self, plan: &mut Plan<'_>, made: &mut Making, name: &str) {
        const ACTIONS: [&str; 6] = [
            "",
            "ON DELETE CASCADE",
            "ON DELETE CASCADE ON UPDATE CASCADE",
            "ON DELETE RESTRICT",
            "ON DELETE SET NULL",
            "ON DELETE SET DEFAULT ON UPDATE SET NULL",
        ];
        let others = self.tables.iter().flat_map(|table| table.parents.iter().map(|parent| (table.name, parent)));
        let own = made.parents.iter().map(|parent| (name, parent));
        let parents: Vec<(&str, &(String, Domain))> = others.chain(own).collect();
        if parents.is_empty() {
            return;
        }
        let (table, (column, domain)) = parents[plan.below(parents.len())];
        // the last two make NULL
        let actions = if self.is_plain { &ACTIONS[..4] } else { &ACTIONS[..] };
        let action = plan.pick(actions);
        let unique = if plan.chance(3) { "UNIQUE" } else { "" };
        let kind = match domain {
            Domain::Integer => "INTEGER",
            Domain::Text => "TEXT",
            Domain::Real => "REAL",
            Domain::Any => "ANY",
        };
        let definition = format!("p {kind} {unique} REFERENCES \"{table}\" ({column}) {action}");
        made.columns.push(Column { name: "p".into(), domain: *domain, is_unique: !unique.is_empty() });
        made.both.push(definition.clone());
        made.target.push(definition);
        made.is_simple = false;
        self.has_foreign_keys = true;
        self.allows_loop = false;
    }

    /// Adds triggers to the target that log the changes, or refuse some values.
    fn add_triggers(&mut self, plan: &mut Plan<'_>, made: &mut Making, name: &str) {
        let key = &made.columns[0].name;
        for _ in 0..=plan.below(2) {
            let (event, row) = [("INSERT", "new"), ("UPDATE", "new"), ("DELETE", "old")][plan.below(3)];
            let time = if plan.chance(6) { "BEFORE" } else { "AFTER" };
            let number = self.target.len();
            let body = match plan.chance(7) {
                true => format!("WHEN {row}.{key} IN (2, 'b') BEGIN SELECT RAISE(ABORT, 'refused'); END"),
                false => format!("BEGIN INSERT INTO log (line) VALUES ('{number} ' || {row}.{key}); END"),
            };
            self.target.push(format!("CREATE TRIGGER \"{number}\" {time} {event} ON \"{name}\" {body}"));
        }
        made.is_simple = false;
        self.allows_loop = false;
    }
}

/// A table in the making.
#[derive(Default)]
struct Making {
    columns: Vec<Column>,
    /// The positions of the key in `columns`.
    key: Vec<usize>,
    /// The definitions of the columns at the source and at the target.
    both: Vec<String>,
    target: Vec<String>,
    key_constraint: Option<String>,
    is_composite: bool,
    is_simple: bool,
    parents: Vec<(String, Domain)>,
}

impl Making {
    /// Adds the columns of the key and returns whether the table has no rowid.
    fn add_key(&mut self, plan: &mut Plan<'_>, is_strict: bool, is_plain: bool) -> bool {
        let mut column = |name: &str, definition: &str, domain| {
            self.both.push(format!("{name} {definition}"));
            self.key.push(self.columns.len());
            self.columns.push(Column { name: name.into(), domain, is_unique: false });
        };
        match plan.below(12) {
            0..=3 => column("id", "INTEGER PRIMARY KEY", Domain::Integer),
            4..=5 => column("k", "TEXT PRIMARY KEY", Domain::Text),
            6 if !is_plain => column("k", "TEXT COLLATE NOCASE PRIMARY KEY", Domain::Text),
            7 if !is_plain => {
                let kind = if is_strict { "ANY" } else { "" };
                column("k", &format!("{kind} PRIMARY KEY"), Domain::Any);
            }
            8 => {
                // no key at all
                self.target = self.both.clone();
                return false;
            }
            _ => {
                column("a", "INTEGER", Domain::Integer);
                column("b", "TEXT", Domain::Text);
                self.is_composite = true;
                let order = if plan.chance(8) { "a, b" } else { "b, a" };
                if order == "b, a" {
                    self.key.reverse();
                }
                self.key_constraint = Some(format!("PRIMARY KEY ({order})"));
            }
        }
        self.target = self.both.clone();
        let is_parent = !self.is_composite && !self.both[0].contains("NOCASE");
        if is_parent {
            self.parents.push((self.columns[0].name.clone(), self.columns[0].domain));
        }
        plan.chance(5)
    }

    fn key_place(&self, column: usize) -> Option<usize> {
        self.key.iter().position(|key| *key == column)
    }

    fn constraints(&self) -> Vec<String> {
        self.key_constraint.iter().cloned().collect()
    }

    fn move_first_to_end(&mut self) {
        let last = self.columns.len() - 1;
        self.columns.rotate_left(1);
        self.both.rotate_left(1);
        self.target.rotate_left(1);
        self.key.iter_mut().for_each(|column| *column = if *column == 0 { last } else { *column - 1 });
    }

    fn add_both(&mut self, at: usize, definition: String) {
        self.both.insert(at, definition.clone());
        self.target.insert(at, definition);
    }
}

const INTEGERS: [&str; 6] = ["1", "2", "3", "4", "5", "6"];
const TEXTS: [&str; 6] = ["'a'", "'b'", "'c'", "'d'", "'e'", "'f'"];
const REALS: [&str; 6] = ["1.5", "2.5", "3.0", "4.0", "5.5", "6.5"];
const OTHERS: [&str; 8] = ["'1'", "2.0", "'A'", "'ab'", "x'61'", "1.5", "'B'", "x''"];

/// Returns a literal for a column.
pub(super) fn literal(plan: &mut Plan<'_>, domain: Domain, is_plain: bool, can_be_null: bool) -> &'static str {
    if is_plain {
        return nth_literal(domain, plan.below(6));
    }
    match plan.below(16) {
        0 | 1 if can_be_null => "NULL",
        2 | 3 => plan.pick(&OTHERS),
        _ => nth_literal(domain, plan.below(6)),
    }
}

/// Returns a literal for a column, a different one for each number below 6.
pub(super) fn nth_literal(domain: Domain, n: usize) -> &'static str {
    match domain {
        Domain::Integer => INTEGERS[n],
        Domain::Text => TEXTS[n],
        Domain::Real => REALS[n],
        Domain::Any if n % 2 == 0 => INTEGERS[n],
        Domain::Any => TEXTS[n],
    }
}
