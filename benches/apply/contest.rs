//! Applies the changes of a case by this crate and by SQLite in turns, and computes the ratios.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_sqlite_session::{Changeset, ConflictAction, SqliteSessionExt};
use diesel_sqlite_session_benches::raw::{self, Decision};

use super::bare::Bare;
use super::cases::{self, Case, Conflicts, Connections, Place, Step};

/// The number of rounds. A round applies all changes of a case once, by both.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    least: usize,
    most: usize,
    /// No round starts after this time, except to reach `least`.
    time: Duration,
}

impl Effort {
    pub(crate) const ONCE: Self = Self::rounds(1);
    pub(crate) const FIVE: Self = Self::rounds(5);
    pub(crate) const USUAL: Self = Self { least: 11, most: 4_000, time: Duration::from_secs(3) };

    const fn rounds(count: usize) -> Self {
        Self { least: count, most: count, time: Duration::ZERO }
    }

    fn is_enough(self, rounds: usize, start: Instant) -> bool {
        rounds >= self.least && (rounds >= self.most || start.elapsed() >= self.time)
    }
}

/// A connection of this crate or of SQLite.
trait Contestant: Sized {
    const NAME: &str;

    fn open(name: &str) -> Self;
    fn execute(&mut self, sql: &str);
    fn text(&mut self, query: &str) -> String;
    /// Finds the handle of the connection, if it is not known.
    fn find_handle(&mut self);
    /// Applies the changes, and returns the number of conflicts.
    fn apply_counting(&mut self, changeset: &Changeset, conflicts: Conflicts) -> u64;

    /// Creates the replica of a case.
    fn replica(case: &Case, directory: &Path) -> Self {
        let file = directory.join(Self::NAME);
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", file.display()));
        }
        let mut connection = Self::open(match case.place {
            Place::File => file.to_str().unwrap(),
            Place::Memory => ":memory:",
        });
        connection.execute(&case.replica());
        connection
    }

    fn timed(&mut self, step: &Step, conflicts: Conflicts) -> f64 {
        let start = Instant::now();
        self.apply_counting(&step.changeset, conflicts);
        start.elapsed().as_secs_f64()
    }
}

impl Contestant for SqliteConnection {
    const NAME: &str = "ours";

    fn open(name: &str) -> Self {
        Self::establish(name).unwrap()
    }

    fn execute(&mut self, sql: &str) {
        self.batch_execute(sql).unwrap();
    }

    fn text(&mut self, query: &str) -> String {
        diesel::select(sql::<Text>(&format!("({query})"))).get_result(self).unwrap()
    }

    fn find_handle(&mut self) {
        drop(self.create_session().unwrap());
    }

    fn apply_counting(&mut self, changeset: &Changeset, conflicts: Conflicts) -> u64 {
        let apply = SqliteSessionExt::apply(self, changeset);
        let apply = match conflicts.decision {
            Decision::Abort => apply,
            Decision::Omit => apply.otherwise(|_| ConflictAction::Omit),
            Decision::Replace => apply.otherwise(|_| ConflictAction::Replace),
        };
        // the counterpart in C asks for rebase data only in some cases
        let is_compared = conflicts.is_rebase_data_returned || matches!(conflicts.decision, Decision::Abort);
        let apply = if is_compared { apply } else { apply.without_rebase_data() };
        let report = apply.run().unwrap();
        report.omitted() + report.replaced()
    }
}

impl Contestant for raw::Connection {
    const NAME: &str = "sqlite";

    fn open(name: &str) -> Self {
        Self::open_file(name)
    }

    fn execute(&mut self, sql: &str) {
        Self::execute(self, sql);
    }

    fn text(&mut self, query: &str) -> String {
        Self::text(self, query)
    }

    fn find_handle(&mut self) {}

    fn apply_counting(&mut self, changeset: &Changeset, conflicts: Conflicts) -> u64 {
        if conflicts.is_rebase_data_returned {
            self.apply_for_rebase(changeset.as_bytes(), conflicts.decision).0
        } else {
            self.apply_with(changeset.as_bytes(), conflicts.decision)
        }
    }
}

/// The times for the same changes, in seconds.
#[derive(Clone, Copy)]
struct Pair {
    ours: f64,
    sqlite: f64,
    /// The time of prepared statements alone.
    bare: Option<f64>,
}

/// Returns the times of two calls. The order alternates with `turn`.
fn pair(turn: usize, ours: impl FnOnce() -> f64, sqlite: impl FnOnce() -> f64) -> Pair {
    if turn % 2 == 0 {
        let ours = ours();
        Pair { ours, sqlite: sqlite(), bare: None }
    } else {
        let sqlite = sqlite();
        Pair { ours: ours(), sqlite, bare: None }
    }
}

/// Applies the changes of a case in turns, and returns a row for each label.
pub(crate) fn run(case: &Case, effort: Effort) -> Vec<Row> {
    let directory = tempfile::tempdir().unwrap();
    let steps = case.steps();
    let pairs = match case.connections {
        Connections::Kept => on_kept_connections(case, &steps, effort, directory.path()),
        Connections::New | Connections::NewWithHandle => {
            on_new_connections(case, &steps, effort, directory.path(), None)
        }
        Connections::NewAfter(sql) => {
            let first = case.changeset(sql);
            on_new_connections(case, &steps, effort, directory.path(), Some(&[first.invert(), first]))
        }
    };
    let mut rows: Vec<Row> = Vec::new();
    for (step, pairs) in steps.iter().zip(pairs) {
        let name = case.row_name(step.label);
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.pairs.extend(pairs),
            None => rows.push(Row { name, changes: case.changes, place: case.place, pairs }),
        }
    }
    rows
}

fn on_kept_connections(case: &Case, steps: &[Step], effort: Effort, directory: &Path) -> Vec<Vec<Pair>> {
    let mut ours = SqliteConnection::replica(case, directory);
    let mut sqlite = raw::Connection::replica(case, directory);
    let expected = expected_conflicts(case);
    for step in steps {
        let name = case.row_name(step.label);
        assert_eq!(ours.apply_counting(&step.changeset, case.conflicts), expected, "conflicts of {name}");
        assert_eq!(sqlite.apply_counting(&step.changeset, case.conflicts), expected, "conflicts of {name}");
        assert!(ours.text(case.contents) == sqlite.text(case.contents), "{name}: other contents than SQLite's");
    }
    let bare_directory = directory.join("bare");
    fs::create_dir_all(&bare_directory).unwrap();
    let bare_connection = raw::Connection::replica(case, &bare_directory);
    let mut bare = Bare::new(&bare_connection, case.bare_columns);
    let is_bare = !case.bare_columns.is_empty();
    let plans: Vec<_> = steps.iter().filter(|_| is_bare).map(|step| bare.plan(&step.changeset)).collect();
    let mut pairs = vec![Vec::new(); steps.len()];
    let start = Instant::now();
    let mut rounds = 0;
    while !effort.is_enough(rounds, start) {
        for (index, step) in steps.iter().enumerate() {
            let mut pair =
                pair(rounds + index, || ours.timed(step, case.conflicts), || sqlite.timed(step, case.conflicts));
            pair.bare = plans.get(index).map(|plan| bare.timed(plan));
            pairs[index].push(pair);
        }
        rounds += 1;
    }
    assert!(ours.text(case.contents) == sqlite.text(case.contents), "{}: other contents in the end", case.title());
    pairs
}

/// Only one connection is open at a time: SQLite's connections share the memory of their page
/// caches.
fn on_new_connections(
    case: &Case,
    steps: &[Step],
    effort: Effort,
    directory: &Path,
    before: Option<&[Changeset; 2]>,
) -> Vec<Vec<Pair>> {
    fn once<C: Contestant>(
        case: &Case,
        step: &Step,
        directory: &Path,
        before: Option<&[Changeset; 2]>,
        contents: &mut Option<String>,
    ) -> f64 {
        let mut replica = C::replica(case, directory);
        if matches!(case.connections, Connections::NewWithHandle) {
            replica.find_handle();
        }
        if let Some([inverse, changeset]) = before {
            replica.apply_counting(changeset, case.conflicts);
            replica.apply_counting(inverse, case.conflicts);
        }
        let time = replica.timed(step, case.conflicts);
        if let Some(contents) = contents {
            *contents = replica.text(case.contents);
        }
        time
    }
    let mut pairs = vec![Vec::new(); steps.len()];
    let start = Instant::now();
    let mut rounds = 0;
    while !effort.is_enough(rounds, start) {
        for (index, step) in steps.iter().enumerate() {
            // the first round compares the contents after each apply
            let (mut ours, mut sqlite) = ((rounds == 0).then(String::new), (rounds == 0).then(String::new));
            pairs[index].push(pair(
                rounds + index,
                || once::<SqliteConnection>(case, step, directory, before, &mut ours),
                || once::<raw::Connection>(case, step, directory, before, &mut sqlite),
            ));
            assert!(ours == sqlite, "{}: other contents than SQLite's", case.row_name(step.label));
        }
        rounds += 1;
    }
    pairs
}

fn expected_conflicts(case: &Case) -> u64 {
    if case.conflicts.decision == Decision::Abort { 0 } else { case.changes.try_into().unwrap() }
}

/// A row of the table.
pub(crate) struct Row {
    name: String,
    changes: usize,
    place: Place,
    pairs: Vec<Pair>,
}

impl Row {
    pub(crate) const HEADER: &str = "| | changes | in | this crate | SQLite | | quartiles | statements alone | pairs |\n|---|---|---|---|---|---|---|---|---|";

    /// Returns the median of the ratios: above 1, SQLite is slower.
    pub(crate) fn ratio(&self) -> f64 {
        self.quartiles(|pair| pair.sqlite / pair.ours)[1]
    }

    fn quartiles(&self, value: impl Fn(&Pair) -> f64) -> [f64; 3] {
        let mut values: Vec<f64> = self.pairs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, changes, place, pairs } = self;
        let [[_, ours, _], [_, sqlite, _]] = [self.quartiles(|pair| pair.ours), self.quartiles(|pair| pair.sqlite)];
        let [low, ratio, high] = self.quartiles(|pair| pair.sqlite / pair.ours);
        let (ours, sqlite, count) = (Time(ours), Time(sqlite), pairs.len());
        write!(f, "| {name} | {changes} | {place} | {ours} | {sqlite} | {ratio:.2} × | {low:.2} to {high:.2} | ")?;
        if pairs.iter().all(|pair| pair.bare.is_some()) {
            let [_, bare, _] = self.quartiles(|pair| pair.sqlite / pair.bare.unwrap_or(f64::NAN));
            write!(f, "{bare:.2} × ")?;
        }
        write!(f, "| {count} |")
    }
}

/// A time in seconds.
struct Time(f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            seconds if seconds >= 1.0 => (seconds, "s"),
            seconds if seconds >= 1e-3 => (seconds * 1e3, "ms"),
            seconds => (seconds * 1e6, "µs"),
        };
        let decimals = if value >= 100.0 {
            0
        } else if value >= 10.0 {
            1
        } else {
            2
        };
        write!(f, "{value:.decimals$} {unit}")
    }
}

/// Applies changes `count` times, a changeset and its inverse in turns, for
/// `scripts/apply-instructions`. Returns `None` if the arguments are not the four expected.
pub(crate) fn applies(arguments: &[String]) -> Option<()> {
    fn repeat<C: Contestant>(case: &Case, steps: &[Step], count: usize) {
        // a case in memory has no files
        let mut replica = C::replica(case, Path::new(""));
        for step in steps.iter().cycle().take(count) {
            assert_eq!(replica.apply_counting(&step.changeset, case.conflicts), 0);
        }
    }
    let [contestant, kind, changes, count] = arguments else { return None };
    let (case, range) = cases::counted(kind, changes.parse().ok()?)?;
    let steps = case.steps();
    let steps = steps.get(range)?;
    let count = count.parse().ok()?;
    match contestant.as_str() {
        "ours" => repeat::<SqliteConnection>(&case, steps, count),
        "sqlite" => repeat::<raw::Connection>(&case, steps, count),
        _ => return None,
    }
    Some(())
}
