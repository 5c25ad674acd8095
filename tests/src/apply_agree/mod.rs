//! Compares applying with SQLite's own `sqlite3changeset_apply_v2` on an equal database.
//!
//! A [`Case`] is a database, bytes and options; [`Case::agree`] applies the bytes with both, with
//! the same answers to conflicts, and compares everything that a user can see: the contents, the
//! result, the last decision about each change, the rows that handlers see, the report, what a
//! session on the target records, and what the rebase data does to other changes. [`check`] makes a
//! case from a plan.
//!
//! Where this crate differs from SQLite deliberately, [`Difference`] says so, or the plans avoid it:
//!
//! - UNIQUE values exchanged between rows in a table with triggers, generated columns, additional
//!   columns, or partial or expression indexes, or in a database with foreign keys: both apply
//!   without the update loop, and so does a stream.
//! - Two changes that set one value of a UNIQUE column: which of them gets it depends on the order
//!   of the retries.
//! - `RAISE(IGNORE)`, `RAISE(FAIL)`, `RAISE(ROLLBACK)`, and the conflict clauses of tables.
//! - UPDATEs of the key alone (a syntax error in SQLite), UPDATEs that set nothing, and columns
//!   with equal old and new values.
//! - UPDATEs with a new value but no old one, next to others of the table: SQLite looks for rows
//!   with a statement that was made for another UPDATE.
//! - A second change of a row whose first change waits for a constraint.
//! - Tables that the database does not have, which SQLite skips, and tables without a key that have
//!   more columns than the changes, which this crate refuses.
//! - Changes that are ignored because they have already been made, if NULL, a collation or a
//!   conversion decides about it.

mod changes;
mod schema;

use std::collections::BTreeMap;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::apply::{Apply, TypedFormat, UntypedConflict};
use diesel_sqlite_session::wire::{ChangesetFormat, Reader, SetFormat};
use diesel_sqlite_session::{
    ApplyError, ApplyReport, Changeset, ConflictAction, ConflictType, Format, Patchset, SqliteSessionExt,
};

use crate::change::{Change, Owned};
use crate::plan::Plan;
use crate::sqlite::{self, Answer, Database, Flags, Kind, Question};

const INSERT: i32 = 18;
const UPDATE: i32 = 23;
const DELETE: i32 = 9;

/// The counters of a connection.
const COUNTERS: &str = "SELECT last_insert_rowid() || ' ' || changes() || ' ' || total_changes() AS line";

/// The code of a constraint that SQLite does not report as a conflict.
const SQLITE_CONSTRAINT: i32 = 19;

/// A database, and changes to apply to it.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The statements that create the database. They can fail.
    pub setup: Vec<String>,
    /// A changeset or patchset.
    pub bytes: Vec<u8>,
    /// The options of the apply.
    pub flags: Flags,
    /// Whether the changes are applied inside a transaction, which is committed afterwards.
    pub in_transaction: bool,
    /// Whether this crate reads the changes from a stream.
    pub is_streamed: bool,
    /// Whether a session records what the apply does.
    pub is_recorded: bool,
}

/// The end of an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All changes have been applied or decided.
    Done,
    /// A decision was to abort.
    Aborted,
    /// The violations of foreign keys were not accepted.
    ForeignKeys,
    /// SQLite failed with this code, without its extension.
    Failed(i32),
    /// A row was deleted for an INSERT that was not applied afterwards. Only this crate fails with
    /// it.
    RowLost,
    /// Another error of this crate.
    Other(String),
}

/// The contents of a database: for each table its sorted rows.
pub type Content = BTreeMap<String, Vec<String>>;

/// The result of an apply.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The end.
    pub end: End,
    /// The content afterwards.
    pub content: Content,
    /// Whether the transaction of the caller could be committed.
    pub is_committed: bool,
    /// `last_insert_rowid()`, `changes()` and `total_changes()`. Only [`Case::agree`]
    /// compares them, without conflicts: the two retry in different ways.
    pub counters: String,
    /// The conflicts and the answers, in order.
    pub asked: Vec<(Question, Answer)>,
    /// The rebase data.
    pub rebase: Vec<u8>,
    /// The numbers of changes that were applied, replaced, omitted and skipped. SQLite has none.
    pub report: Option<[u64; 4]>,
    /// What a session on the target recorded, sorted, without the table `log`.
    pub recorded: Vec<Change>,
}

/// The last decision about a change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastDecision {
    /// The table, in lower case.
    pub table: String,
    /// `SQLITE_INSERT`, `SQLITE_UPDATE` or `SQLITE_DELETE`.
    pub operation: i32,
    /// The values of the key.
    pub key: String,
    /// The kind of the last conflict.
    pub kind: Kind,
    /// The answer to it.
    pub answer: Answer,
    /// The conflicting row that was shown.
    pub current: String,
}

/// A deliberate difference that shows while changes are applied. The rest of such a case is not
/// compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// After CONFLICT and `Replace` the INSERT violates a constraint, and `Omit` would lose the row
    /// that was deleted for it. SQLite loses it.
    RowLost,
    /// After CONFLICT and `Replace` the DELETE violates a constraint. SQLite ends the apply, this
    /// crate may report a conflict.
    ReplacingDelete,
    /// UPDATEs exchange values of several UNIQUE indexes. SQLite reports some of them as CONSTRAINT
    /// conflicts, this crate applies all.
    Exchanged,
}

impl Outcome {
    /// Returns the last decision about each change, sorted.
    #[must_use]
    pub fn last_decisions(&self) -> Vec<LastDecision> {
        let mut last: Vec<(&Change, LastDecision)> = Vec::new();
        for (question, answer) in &self.asked {
            let Some(change) = &question.change else { continue };
            let decision = LastDecision {
                table: table_of(change),
                operation: change.operation,
                key: format!("{:?}", key_of(change)),
                kind: question.kind,
                answer: *answer,
                current: format!("{:?}", question.current),
            };
            match last.iter_mut().find(|(of, _)| *of == change) {
                Some((_, last)) => *last = decision,
                None => last.push((change, decision)),
            }
        }
        let mut decisions: Vec<LastDecision> = last.into_iter().map(|(_, decision)| decision).collect();
        decisions.sort();
        decisions
    }

    /// Returns whether the content has a row with the key and the new values of an UPDATE, apart from
    /// values that a column may have converted.
    fn contains_new_values(&self, change: &Change) -> bool {
        let is_stored = |value: &Owned, stored: &str| match (value, stored.strip_prefix('t')) {
            (Owned::Null, _) => stored == "NULL",
            (Owned::Integer(integer), None) => stored.parse() == Ok(*integer),
            (Owned::Text(text), Some(hex)) => hex == text.iter().map(|byte| format!("{byte:02X}")).collect::<String>(),
            _ => true,
        };
        let wanted = |column: usize| if change.key[column] == 0 { &change.new[column] } else { &change.old[column] };
        let is_it = |row: &String| {
            let stored: Vec<&str> = row.split(' ').collect();
            (0..change.key.len())
                .all(|column| wanted(column).as_ref().is_none_or(|value| is_stored(value, stored[column])))
        };
        let is_table = |name: &&String| name.to_lowercase() == table_of(change);
        self.content.keys().find(is_table).is_some_and(|table| self.content[table].iter().any(is_it))
    }

    /// Returns the kinds of conflicts in the order in which they were reported.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        self.asked.iter().map(|(question, _)| question.kind).collect()
    }

    /// Returns the answers about the same change as the `at`th.
    fn answers_before(&self, at: usize) -> impl Iterator<Item = &(Question, Answer)> {
        let of = &self.asked[at].0.change;
        self.asked[..at].iter().filter(move |(question, _)| question.change == *of)
    }

    /// Returns whether an INSERT was answered with `Replace` and then violated a constraint.
    fn has_failed_replace(&self) -> bool {
        (0..self.asked.len()).any(|at| {
            let question = &self.asked[at].0;
            question.kind == Kind::Constraint
                && question.change.as_ref().is_some_and(|change| change.operation == INSERT)
                && self.answers_before(at).any(|(_, answer)| *answer == Answer::Replace)
        })
    }

    /// Returns the rows for which SQLite's rebase data, which contains each answer, says more than
    /// the last decision does:
    ///
    /// - A change was answered with `Replace`, but not in the end.
    /// - An UPDATE was answered with `Replace` several times. The rebaser takes this for several
    ///   UPDATEs and overwrites local changes to all columns.
    fn overstated(&self) -> Vec<(String, Vec<Owned>)> {
        let is_overstated = |at: &usize| {
            let is_update = self.asked[*at].0.change.as_ref().is_some_and(|change| change.operation == UPDATE);
            let is_replaced = self.answers_before(*at).any(|(_, answer)| *answer == Answer::Replace);
            is_replaced && (self.asked[*at].1 == Answer::Omit || is_update)
        };
        let changes = (0..self.asked.len()).filter(is_overstated).filter_map(|at| self.asked[at].0.change.as_ref());
        changes.map(row_of).collect()
    }
}

/// Returns the name of the table in lower case.
fn table_of(change: &Change) -> String {
    String::from_utf8_lossy(&change.table).to_ascii_lowercase()
}

/// Returns the values of the key.
fn key_of(change: &Change) -> Vec<Owned> {
    let side = if change.operation == INSERT { &change.new } else { &change.old };
    let is_key = |column: &usize| change.key[*column] != 0;
    (0..change.key.len()).filter(is_key).filter_map(|column| side[column].clone()).collect()
}

fn row_of(change: &Change) -> (String, Vec<Owned>) {
    (table_of(change), key_of(change))
}

impl Case {
    /// Makes a case without options.
    #[must_use]
    pub fn new(setup: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { setup: vec![setup.into()], bytes: bytes.into(), ..Self::default() }
    }

    /// Applies the changes with `sqlite3changeset_apply_v2`.
    ///
    /// # Panics
    ///
    /// If the database cannot be read.
    pub fn theirs(&self, answer: impl Fn(&Question) -> Answer) -> Outcome {
        let database = Database::open(":memory:");
        for statement in &self.setup {
            let _ = database.execute(statement);
        }
        if self.in_transaction {
            database.execute("BEGIN").expect("no transaction is open");
        }
        let session = self.is_recorded.then(|| database.track());
        let applied = database.apply_v2(&self.bytes, self.flags, answer);
        let recorded = session.map(|session| session.changeset()).unwrap_or_default();
        let last = applied.asked.last();
        let end = match applied.result {
            Ok(()) => End::Done,
            Err(_) if last.is_some_and(|(_, answer)| *answer == Answer::Abort) => match &last.expect("it is some").0 {
                Question { kind: Kind::ForeignKey, .. } => End::ForeignKeys,
                _ => End::Aborted,
            },
            Err(code) => End::Failed(code.0 & 0xff),
        };
        let counters = database.texts(COUNTERS).concat();
        let is_committed = !self.in_transaction || database.execute("COMMIT").is_ok();
        let content = content(|query| database.texts(query));
        let recorded = without_log(sqlite::read_sorted(&recorded));
        Outcome {
            end,
            content,
            is_committed,
            counters,
            asked: applied.asked,
            rebase: applied.rebase,
            report: None,
            recorded,
        }
    }

    /// Applies the changes with this crate.
    ///
    /// # Panics
    ///
    /// If the bytes are not well-formed, or if the database cannot be read.
    pub fn ours(&self, answer: impl Fn(&Question) -> Answer) -> Outcome {
        let mut conn = SqliteConnection::establish(":memory:").expect("SQLite opens");
        for statement in &self.setup {
            let _ = conn.batch_execute(statement);
        }
        if self.in_transaction {
            conn.batch_execute("BEGIN").expect("no transaction is open");
        }
        let mut session = self.is_recorded.then(|| {
            let mut session = conn.create_session().expect("SQLite is new enough");
            session.attach_all().expect("nothing is attached yet");
            session
        });
        let mut asked = Vec::new();
        let result = match self.format() {
            Format::Changeset => {
                let set = Changeset::try_from(self.bytes.clone()).expect("the bytes are well-formed");
                let apply = match self.is_streamed {
                    true => conn.apply(Reader::<ChangesetFormat, _>::new(&self.bytes[..])),
                    false => conn.apply(&set),
                };
                let apply = if self.flags.invert { apply.inverted() } else { apply };
                self.run(apply, &answer, &mut asked)
            }
            Format::Patchset => {
                let set = Patchset::try_from(self.bytes.clone()).expect("the bytes are well-formed");
                let apply = match self.is_streamed {
                    true => conn.apply(Reader::new(&self.bytes[..])),
                    false => conn.apply(&set),
                };
                self.run(apply, &answer, &mut asked)
            }
        };
        let recorded =
            session.as_mut().map(|session| session.changeset().expect("it fits").into_bytes()).unwrap_or_default();
        drop(session);
        let (end, report, rebase) = match result {
            Ok(report) => {
                let counts = [report.applied(), report.replaced(), report.omitted(), report.skipped()];
                (End::Done, Some(counts), report.rebase_data().as_bytes().to_vec())
            }
            Err(error) => (end_of(&error), None, Vec::new()),
        };
        let counters = lines(&mut conn, COUNTERS).concat();
        let is_committed = !self.in_transaction || conn.batch_execute("COMMIT").is_ok();
        let content = content(|query| lines(&mut conn, query));
        let recorded = without_log(sqlite::read_sorted(&recorded));
        Outcome { end, content, is_committed, counters, asked, rebase, report, recorded }
    }

    fn format(&self) -> Format {
        self.bytes.first().and_then(|byte| Format::from_byte(*byte)).unwrap_or(Format::Changeset)
    }

    fn run<F: TypedFormat + SetFormat>(
        &self,
        mut apply: Apply<'_, F>,
        answer: impl Fn(&Question) -> Answer,
        asked: &mut Vec<(Question, Answer)>,
    ) -> Result<ApplyReport, ApplyError> {
        let flags = self.flags;
        if flags.ignore_noop {
            apply = apply.ignore_noops();
        }
        if flags.no_foreign_key_actions {
            apply = apply.without_foreign_key_actions();
        }
        if flags.no_update_loop {
            apply = apply.without_update_loop();
        }
        if flags.no_savepoint {
            apply = apply.without_savepoint();
        }
        let asked = std::cell::RefCell::new(asked);
        let decide = |question: Question| {
            let answer = answer(&question);
            asked.borrow_mut().push((question, answer));
            answer
        };
        apply
            .keep_order()
            .try_otherwise(|conflict| Ok::<_, ApplyError>(action(decide(question(conflict)))))
            .on_foreign_keys(|broken| match decide(Question { kind: Kind::ForeignKey, change: None, current: None }) {
                Answer::Omit => broken.accept(),
                _ => broken.abort(),
            })
            .run()
    }

    /// Applies the changes with both and compares the results. Returns this crate's.
    ///
    /// # Panics
    ///
    /// At the first difference.
    pub fn agree(&self, answer: impl Fn(&Question) -> Answer) -> Outcome {
        let (theirs, ours) = (self.theirs(&answer), self.ours(&answer));
        let difference = self.compare(&theirs, &ours, &[]);
        assert_eq!(difference, None, "{}", self.context(&theirs, &ours));
        if theirs.asked.is_empty() {
            assert_eq!(theirs.counters, ours.counters, "the same counters\n{}", self.context(&theirs, &ours));
        }
        ours
    }

    /// Compares the results of both. The rebase data must do the same to each changeset of `local`,
    /// and to changes of all kinds to the rows of the changes.
    fn compare(&self, theirs: &Outcome, ours: &Outcome, local: &[Vec<u8>]) -> Option<Difference> {
        let same = |is_same: bool, what: &str| assert!(is_same, "{what}\n{}", self.context(theirs, ours));
        if theirs.has_failed_replace() && ours.end == End::RowLost {
            return Some(Difference::RowLost);
        }
        if theirs.end == End::Failed(SQLITE_CONSTRAINT) {
            let replaced = theirs.asked.last();
            let is_replaced = replaced
                .is_some_and(|(question, answer)| question.kind == Kind::Conflict && *answer == Answer::Replace);
            same(is_replaced, "SQLite fails with a constraint only for the DELETE of a replacing INSERT");
            return Some(Difference::ReplacingDelete);
        }
        if self.exchanges_more(theirs, ours) {
            return Some(Difference::Exchanged);
        }
        same(theirs.end == ours.end, "the same end");
        // SQLite forgets the violations of foreign keys that an apply without a savepoint leaves
        if !self.flags.no_savepoint || theirs.end == End::Done {
            same(theirs.is_committed == ours.is_committed, "the same end of the transaction");
        }
        if theirs.end == End::Done || !self.flags.no_savepoint {
            same(theirs.content == ours.content, "the same content");
        }
        if theirs.end != End::Done && theirs.end != End::ForeignKeys {
            // the order in which changes that wait are decided at the end is not compared
            return None;
        }
        let decisions = theirs.last_decisions();
        same(decisions == ours.last_decisions(), "the same last decisions");
        let foreign_keys =
            |outcome: &Outcome| outcome.kinds().into_iter().filter(|kind| *kind == Kind::ForeignKey).count();
        same(foreign_keys(theirs) == foreign_keys(ours), "asked about foreign keys as often");
        if let Some(report) = ours.report {
            let count = |answer| decisions.iter().filter(|decision| decision.answer == answer).count() as u64;
            let changes = sqlite::read(&self.bytes).0;
            // questions about equal changes cannot be told apart
            let is_repeated = |(at, change): (usize, &Change)| changes[..at].contains(change);
            if !changes.iter().enumerate().any(is_repeated) {
                same(report[1] == count(Answer::Replace), "the number of replaced changes");
                same(report[2] == count(Answer::Omit), "the number of omitted changes");
            }
            same(report.iter().sum::<u64>() == changes.len() as u64, "each change counts once");
            same(theirs.recorded == ours.recorded, "a session on the target records the same");
            self.compare_rebasing(theirs, ours, &changes, local);
        }
        None
    }

    /// Returns whether this crate has made UPDATEs that SQLite reported as CONSTRAINT conflicts, and no
    /// more than that.
    fn exchanges_more(&self, theirs: &Outcome, ours: &Outcome) -> bool {
        let (decisions, own) = (theirs.last_decisions(), ours.last_decisions());
        let more: Vec<&LastDecision> = decisions.iter().filter(|decision| !own.contains(decision)).collect();
        let is_exchange = |decision: &&LastDecision| decision.kind == Kind::Constraint && decision.operation == UPDATE;
        let changes = sqlite::read(&self.bytes).0;
        let is_made = |decision: &&LastDecision| {
            let is_it = |change: &&Change| {
                let key = format!("{:?}", key_of(change));
                (table_of(change), change.operation, key) == (decision.table.clone(), UPDATE, decision.key.clone())
            };
            changes.iter().filter(is_it).all(|change| ours.contains_new_values(change))
        };
        !self.flags.no_update_loop
            && !more.is_empty()
            && more.iter().all(is_exchange)
            && more.iter().all(is_made)
            && (theirs.end == End::Aborted || own.iter().all(|decision| decisions.contains(decision)))
    }

    fn compare_rebasing(&self, theirs: &Outcome, ours: &Outcome, changes: &[Change], local: &[Vec<u8>]) {
        let overstated = theirs.overstated();
        let of_rows = [INSERT, UPDATE, DELETE].map(|operation| changes::of_rows(changes, operation));
        for local in local.iter().chain(&of_rows) {
            let mut local = sqlite::read(local).0;
            local.retain(|change| !overstated.contains(&row_of(change)));
            changes::fit(&mut local, changes);
            let local = changes::encode(&local, Format::Changeset);
            let rebase = |data: &[u8]| sqlite::rebase(&local, data).map(|rebased| sqlite::read_sorted(&rebased));
            let (a, b) = (rebase(&theirs.rebase), rebase(&ours.rebase));
            assert_eq!(a, b, "the same rebased changes\n{}", self.context(theirs, ours));
        }
    }

    /// Returns a text that describes the case and an outcome.
    #[must_use]
    pub fn describe(&self, outcome: &Outcome) -> String {
        self.context(outcome, outcome)
    }

    /// Returns everything that is needed to understand a difference.
    fn context(&self, theirs: &Outcome, ours: &Outcome) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for statement in &self.setup {
            let _ = writeln!(text, "  {statement};");
        }
        let _ = writeln!(text, "  {:?} transaction {} stream {}", self.flags, self.in_transaction, self.is_streamed);
        for change in sqlite::read(&self.bytes).0 {
            let _ = writeln!(text, "  {:?} {}", self.format(), changes::shown(&change));
        }
        for (name, outcome) in [("theirs", theirs), ("ours", ours)] {
            let _ = writeln!(
                text,
                "{name}: {:?}, committed {}, report {:?}",
                outcome.end, outcome.is_committed, outcome.report
            );
            for (question, answer) in &outcome.asked {
                let change = question.change.as_ref().map(changes::shown);
                let current = question.current.as_ref().map(|row| changes::row_shown(row));
                let _ = writeln!(text, "  asked {:?} {change:?}, current {current:?}: {answer:?}", question.kind);
            }
            for (table, rows) in &outcome.content {
                let other = if name == "ours" { &theirs.content } else { &ours.content };
                if other.get(table) != Some(rows) {
                    let _ = writeln!(text, "  {table}: {rows:?}");
                }
            }
            if theirs.recorded != ours.recorded {
                for change in &outcome.recorded {
                    let _ = writeln!(text, "  recorded {}", changes::shown(change));
                }
            }
        }
        text
    }
}

fn end_of(error: &ApplyError) -> End {
    match error {
        ApplyError::ConflictAborted => End::Aborted,
        ApplyError::ForeignKeyViolations(_) => End::ForeignKeys,
        ApplyError::ReplacedRowLost { .. } => End::RowLost,
        ApplyError::Sqlite { error, .. } => End::Failed(error.code() & 0xff),
        other => End::Other(format!("{other:?}")),
    }
}

fn question(conflict: &UntypedConflict<'_>) -> Question {
    let kind = match conflict.kind() {
        ConflictType::Data => Kind::Data,
        ConflictType::NotFound => Kind::NotFound,
        ConflictType::Conflict => Kind::Conflict,
        ConflictType::Constraint => Kind::Constraint,
        ConflictType::ForeignKey => Kind::ForeignKey,
    };
    let change = Change::from(*conflict.change());
    let columns = 0..change.key.len();
    let current =
        kind.takes_replace().then(|| columns.map(|column| conflict.current(column).map(Owned::from)).collect());
    Question { kind, change: Some(change), current }
}

fn action(answer: Answer) -> ConflictAction {
    match answer {
        Answer::Omit => ConflictAction::Omit,
        Answer::Replace => ConflictAction::Replace,
        Answer::Abort => ConflictAction::Abort,
    }
}

fn without_log(mut changes: Vec<Change>) -> Vec<Change> {
    changes.retain(|change| change.table != b"log");
    changes
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

fn lines(conn: &mut SqliteConnection, query: &str) -> Vec<String> {
    let rows = diesel::sql_query(query).load::<Line>(conn).unwrap_or_else(|error| panic!("{error}: {query}"));
    rows.into_iter().map(|row| row.line).collect()
}

/// Returns the rows of each table, with the storage class and all bytes of each value. The numbers
/// of the rows of `log` are left out, since they depend on the order of the changes.
fn content(mut lines: impl FnMut(&str) -> Vec<String>) -> Content {
    let columns = lines(
        "SELECT t.name || '|' || CASE WHEN c.name IS NULL THEN 'rowid' ELSE c.name END AS line \
         FROM sqlite_schema t, pragma_table_xinfo(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_stat4' AND (t.name, c.name) <> ('log', 'id')",
    );
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for column in columns {
        let (table, column) = column.split_once('|').expect("it is in the query");
        tables.entry(table.to_string()).or_default().push(column.to_string());
    }
    let rows = |(table, columns): (String, Vec<String>)| {
        let shown: Vec<String> = columns
            .iter()
            .map(|c| format!("CASE typeof(\"{c}\") WHEN 'text' THEN 't' || hex(\"{c}\") ELSE quote(\"{c}\") END"))
            .collect();
        let query = format!("SELECT {} AS line FROM \"{table}\" ORDER BY 1", shown.join(" || ' ' || "));
        (table, lines(&query))
    };
    tables.into_iter().map(rows).collect()
}

/// Answers that depend on the kind, the operation, the table and the key alone.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    seed: u64,
    /// Of 16 answers: how many abort.
    aborts: u8,
    /// Of 16 answers: how many replace, if the kind takes it.
    replaces: u8,
    accepts_foreign_keys: bool,
}

impl Answers {
    fn new(plan: &mut Plan<'_>) -> Self {
        let seed = u64::from_le_bytes([0; 8].map(|_| plan.byte()));
        let aborts = if plan.chance(3) { 2 } else { 0 };
        Self { seed, aborts, replaces: *[&8, &0, &16, &12][plan.below(4)], accepts_foreign_keys: plan.chance(8) }
    }

    /// Returns the answer.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Answer {
        let Some(change) = &question.change else {
            return if self.accepts_foreign_keys { Answer::Omit } else { Answer::Abort };
        };
        let mut bytes = vec![question.kind as u8, change.operation as u8];
        bytes.extend(table_of(change).bytes());
        key_of(change).iter().for_each(|value| value.write(&mut bytes));
        // FNV-1a
        let hash = bytes.iter().fold(self.seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        let at = |shift: u32| ((hash >> shift) % 16) as u8;
        if at(24) < self.aborts {
            Answer::Abort
        } else if question.kind.takes_replace() && at(40) < self.replaces {
            Answer::Replace
        } else {
            Answer::Omit
        }
    }
}

/// What a case turned out to be, to check that cases are of all kinds.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The case.
    pub case: Case,
    /// The answers to its conflicts.
    pub answers: Answers,
    /// The outcome in SQLite.
    pub theirs: Outcome,
    /// The number of changes.
    pub changes: usize,
    /// The deliberate difference, if there was one.
    pub difference: Option<Difference>,
}

/// Builds a case from a plan, and compares the applies of this crate and of SQLite.
///
/// # Panics
///
/// At the first difference that this module does not name.
pub fn check(plan: &[u8]) -> Seen {
    let mut plan = Plan(plan);
    let answers = Answers::new(&mut plan);
    let (case, local) = changes::case(&mut plan);
    let answer = |question: &Question| answers.answer(question);
    let (theirs, ours) = (case.theirs(answer), case.ours(answer));
    let difference = case.compare(&theirs, &ours, &[local]);
    let changes = sqlite::read(&case.bytes).0.len();
    Seen { case, answers, theirs, changes, difference }
}
