//! Applies hostile bytes and checks what must hold in any case. The replica reacts to changes in
//! every options that SQL has, the changes are manipulated recordings, and the handlers answer at
//! random, fail and panic.
//!
//! A plan is a string of bytes that decides everything, so that both proptest and a fuzzer can make
//! plans. [`attack`] carries out a plan.

mod changes;
mod replica;

use std::cell::Cell;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use diesel::SqliteConnection;
use diesel_sqlite_session::apply::{Apply, Decision, TypedChange, TypedFormat};
use diesel_sqlite_session::wire::{ChangesetFormat, PatchsetFormat, Reader, Set};
use diesel_sqlite_session::{
    ApplyError, ApplyReport, Change, ChangesetRef, Conflict, ConflictAction, ConflictType, ParseError, Patch,
    PatchsetRef, Record, SqliteSessionExt, Value,
};

pub use self::replica::{Book, Loan, Note, Shop, books, loans, notes};

use self::replica::{Content, MINE, Replica};
use crate::plan::Plan;

/// The answers of a handler, the same each time that the changes are applied.
struct Answers {
    state: Cell<u64>,
    /// Whether the handler may fail, panic, and give answers that SQLite does not accept.
    is_wild: bool,
}

impl Answers {
    fn next(&self) -> u64 {
        // xorshift64*
        let mut x = self.state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.state.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }

    /// Skips the panic hook, which would print the panic and end a fuzz target.
    fn may_panic(&self) {
        if self.is_wild && self.next() % 24 == 0 {
            resume_unwind(Box::new("as planned"));
        }
    }

    fn decide<'c, C: TypedChange>(&self, conflict: Conflict<'c, C>) -> Result<Decision<'c>, &'static str> {
        self.may_panic();
        let answer = self.next();
        if self.is_wild && answer % 29 == 0 {
            return Err("as planned");
        }
        let aborts = answer % 31 == 1;
        Ok(match conflict {
            Conflict::Data(c) | Conflict::Conflict(c) if aborts => c.abort(),
            Conflict::NotFound(c) if aborts => c.abort(),
            Conflict::Constraint(c) if aborts => c.abort(),
            Conflict::Data(c) | Conflict::Conflict(c) if answer % 2 == 0 => c.replace(),
            Conflict::Data(c) | Conflict::Conflict(c) => c.omit(),
            Conflict::NotFound(c) => c.omit(),
            Conflict::Constraint(c) if answer % 4 == 0 => c.omit(),
            Conflict::Constraint(c) => c.omit_and_lose_row(),
        })
    }

    fn decide_by_kind(&self, kind: ConflictType) -> ConflictAction {
        self.may_panic();
        let answer = self.next();
        match answer % 31 {
            1 => ConflictAction::Abort,
            2 if self.is_wild => ConflictAction::Replace,
            n if n % 2 == 0 && kind.takes_replace() => ConflictAction::Replace,
            _ => ConflictAction::Omit,
        }
    }
}

/// The options of an apply and of its handlers.
#[derive(Clone, Copy, Debug)]
struct Options {
    /// Whether only the tables of [`Shop`] are changed, and in `notes` only the rows of one tenant.
    is_guarded: bool,
    skips_others: bool,
    filters_books: bool,
    is_inverted: bool,
    ignores_noops: bool,
    without_actions: bool,
    without_loop: bool,
    without_savepoint: bool,
    in_transaction: bool,
    is_typed: bool,
    is_wild: bool,
    asks_foreign_keys: bool,
    max_changes: Option<u64>,
    answers: u64,
    piece: usize,
    /// The byte at which reading a stream fails, if any.
    fails_at: Option<usize>,
}

impl Options {
    fn new(plan: &mut Plan<'_>) -> Self {
        let in_transaction = plan.chance(5);
        Self {
            is_guarded: plan.chance(8),
            skips_others: plan.chance(12),
            filters_books: plan.chance(3),
            is_inverted: plan.chance(3),
            ignores_noops: plan.chance(5),
            without_actions: plan.chance(3),
            without_loop: plan.chance(8),
            in_transaction,
            without_savepoint: in_transaction && plan.chance(4),
            is_typed: plan.chance(8),
            is_wild: plan.chance(3),
            asks_foreign_keys: plan.chance(6),
            max_changes: plan.chance(1).then(|| plan.below(20) as u64),
            answers: u64::from_le_bytes([0; 8].map(|_| plan.byte())) | 1 << 40,
            piece: 1 + plan.below(60),
            fails_at: plan.chance(1).then(|| plan.below(400)),
        }
    }

    /// Returns the options for the calls that have none.
    fn by_kind(self) -> Self {
        let mut plain = Self::new(&mut Plan(&[]));
        (plain.answers, plain.is_wild, plain.in_transaction) = (self.answers, self.is_wild, self.in_transaction);
        plain
    }

    /// Returns whether the progress callback cancels the apply.
    fn cancels(self) -> bool {
        self.is_wild && self.answers % 4 == 0
    }

    fn of<'a, F: AttackedFormat>(
        self,
        mut apply: Apply<'a, F>,
        answers: &'a Answers,
        accepted: &'a Cell<bool>,
    ) -> Apply<'a, F> {
        if self.is_guarded {
            apply = apply.only::<Shop>().filter::<notes::table>(|change, current| {
                answers.may_panic();
                current.is_none_or(|note| note.tenant == MINE) && F::stays_mine(change)
            });
            if self.skips_others {
                apply = apply.skip_other_tables();
            }
        }
        if self.filters_books {
            apply = apply.filter::<books::table>(|_, _| answers.next() % 3 > 0);
        }
        if self.ignores_noops {
            apply = apply.ignore_noops();
        }
        if self.without_actions {
            apply = apply.without_foreign_key_actions();
        }
        if self.without_loop {
            apply = apply.without_update_loop();
        }
        if self.without_savepoint {
            apply = apply.without_savepoint();
        }
        if let Some(max) = self.max_changes {
            apply = apply.max_changes(max);
        }
        if self.is_typed {
            apply = apply
                .try_on_conflict::<notes::table, _>(|conflict| answers.decide(conflict))
                .try_on_conflict::<books::table, _>(|conflict| answers.decide(conflict))
                .try_on_conflict::<loans::table, _>(|conflict| answers.decide(conflict));
        }
        if self.asks_foreign_keys {
            apply = apply.on_foreign_keys(|broken| {
                answers.may_panic();
                assert!(!broken.rows().is_empty() && broken.violations() >= broken.rows().len());
                if answers.next() % 2 == 0 {
                    return broken.abort();
                }
                accepted.set(true);
                broken.accept()
            });
        }
        apply.otherwise(|kind| {
            let answer = answers.decide_by_kind(kind);
            accepted.set(accepted.get() || kind == ConflictType::ForeignKey);
            answer
        })
    }
}

/// What an attack requires of a format.
trait AttackedFormat: TypedFormat {
    /// Returns whether the changed note still belongs to the tenant.
    fn stays_mine(change: &Self::Change<notes::table>) -> bool;

    /// Inverts the changes, if the format allows it.
    fn invert(apply: Apply<'_, Self>) -> Apply<'_, Self> {
        apply
    }
}

impl AttackedFormat for ChangesetFormat {
    fn stays_mine(change: &Change<notes::table>) -> bool {
        match change {
            Change::Insert(note) => note.tenant == MINE,
            Change::Update(note) => note.tenant.changed().is_none(),
            Change::Delete(_) => true,
        }
    }

    fn invert(apply: Apply<'_, Self>) -> Apply<'_, Self> {
        apply.inverted()
    }
}

impl AttackedFormat for PatchsetFormat {
    fn stays_mine(change: &Patch<notes::table>) -> bool {
        match change {
            Patch::Insert(note) => note.tenant == MINE,
            Patch::Update(note) => note.tenant.is_none(),
            Patch::Delete(_) => true,
        }
    }
}

/// The path by which the changes reach SQLite.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Path {
    Memory,
    /// From memory with a progress callback, and so as a stream.
    Progress,
    /// From memory in the given order, as in a stream.
    Given,
    Stream,
    /// `apply_changeset` and `apply_patchset` with bytes.
    ByKind,
}

/// A source that returns a few bytes at a time, and fails or panics midway if planned.
struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
    fails_in: Option<usize>,
    panics: bool,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.piece);
        if let Some(left) = &mut self.fails_in {
            if *left < most {
                if self.panics {
                    resume_unwind(Box::new("as planned"));
                }
                return Err(io::Error::other("as planned"));
            }
            *left -= most;
        }
        self.bytes.read(&mut buffer[..most])
    }
}

/// The result of an apply.
struct Outcome {
    result: Result<ApplyReport, ApplyError>,
    /// The content afterwards, if the apply succeeded.
    content: Option<Content>,
    accepted: bool,
}

/// A replica before the apply. Each path starts with an identical copy.
struct Start<'r> {
    replica: &'r Replica,
    options: Options,
    /// The content before the apply.
    content: Content,
    /// The bytes of the database after a failed apply.
    image: Vec<u8>,
}

impl<'r> Start<'r> {
    fn new(replica: &'r Replica, options: Options) -> Self {
        let mut conn = replica.open();
        let mut image = image(&mut conn);
        if options.in_transaction {
            begin(&mut conn);
            if !options.without_savepoint {
                image = self::image(&mut conn);
            }
        }
        Self { replica, options, content: Content::read(&mut conn), image }
    }
}

fn image(conn: &mut SqliteConnection) -> Vec<u8> {
    conn.serialize_database_to_buffer().to_vec()
}

fn begin(conn: &mut SqliteConnection) {
    replica::exec(conn, "BEGIN; INSERT INTO secret VALUES (1000, 'before', NULL)").expect("nothing is in its options");
}

/// Applies bytes to a new replica and checks what must hold whatever the result.
fn apply(bytes: &[u8], start: &Start<'_>, path: Path) -> Outcome {
    let &Start { replica, options, .. } = start;
    let mut conn = replica.open();
    if options.in_transaction {
        begin(&mut conn);
    }
    let answers = Answers { state: Cell::new(options.answers), is_wild: options.is_wild };
    let accepted = Cell::new(false);
    let run = AssertUnwindSafe(|| run(&mut conn, bytes, options, path, &answers, &accepted));
    let result = catch_unwind(run).expect("a panic does not leave the apply");
    let context = format!("{path:?} {options:?} {result:?}");

    if result.is_err() && options.without_savepoint {
        replica::exec(&mut conn, "ROLLBACK").expect("the transaction is there");
    }
    let mut content = None;
    match &result {
        Err(_) => {
            let now = image(&mut conn);
            if now != start.image {
                let content = Content::read(&mut conn);
                start.content.expect(&content, |_| true, "an apply that failed leaves nothing", &context);
                panic!("an apply that failed leaves not a byte: {context}");
            }
        }
        Ok(report) => {
            let content = content.insert(Content::read(&mut conn));
            let begun = &start.content;
            if path != Path::ByKind {
                let counted = report.applied() + report.replaced() + report.omitted() + report.skipped();
                assert_eq!(Ok(counted), count_changes(bytes), "each change counts once: {context}");
            }
            content.expect_keys_of(begun, &keys(bytes), &context);
            if options.is_guarded {
                begun.expect(
                    content,
                    replica::is_guarded,
                    "other tables and other tenants' rows are as they were",
                    &context,
                );
            }
            begun.expect(content, |name| name.starts_with("temp."), "only `main` is touched", &context);
            if replica.foreign_keys && !accepted.get() {
                let broken = replica::lines(&mut conn, "SELECT \"table\" AS line FROM pragma_foreign_key_check");
                assert!(broken.is_empty(), "no foreign key is broken: {broken:?} {context}");
            }
        }
    }
    let check = replica::lines(&mut conn, "SELECT integrity_check AS line FROM pragma_integrity_check");
    assert_eq!(check, ["ok"], "{context}");
    let is_over = options.without_savepoint && result.is_err();
    if options.in_transaction && !is_over {
        let commit = replica::exec(&mut conn, "COMMIT");
        if !accepted.get() || result.is_err() {
            commit.unwrap_or_else(|error| panic!("the transaction can be committed: {error}: {context}"));
        } else if commit.is_err() {
            replica::exec(&mut conn, "ROLLBACK").expect("the transaction is there");
        }
    }
    replica::exec(&mut conn, "BEGIN; INSERT INTO nokey VALUES ('usable', 1); ROLLBACK").unwrap_or_else(|error| {
        panic!("the connection is usable, and no transaction is open: {error}: {context}");
    });
    Outcome { result, content, accepted: accepted.get() }
}

fn run(
    conn: &mut SqliteConnection,
    bytes: &[u8],
    options: Options,
    path: Path,
    answers: &Answers,
    accepted: &Cell<bool>,
) -> Result<ApplyReport, ApplyError> {
    if path == Path::ByKind {
        let decide = |kind| answers.decide_by_kind(kind);
        let decide = |kind| {
            accepted.set(accepted.get() || kind == ConflictType::ForeignKey);
            decide(kind)
        };
        let done = match bytes.first() {
            Some(b'P') => conn.apply_patchset(bytes, decide),
            _ => conn.apply_changeset(bytes, decide),
        };
        return done.map(|()| ApplyReport::default());
    }
    match bytes.first() {
        Some(b'P') => run_set::<PatchsetFormat>(conn, bytes, options, path, answers, accepted),
        _ => run_set::<ChangesetFormat>(conn, bytes, options, path, answers, accepted),
    }
}

fn run_set<F: AttackedFormat>(
    conn: &mut SqliteConnection,
    bytes: &[u8],
    options: Options,
    path: Path,
    answers: &Answers,
    accepted: &Cell<bool>,
) -> Result<ApplyReport, ApplyError> {
    let progress = |_| if options.cancels() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let pieces = Pieces { bytes, piece: options.piece, fails_in: options.fails_at, panics: options.is_wild };
    let set;
    let apply = match path {
        Path::Stream => conn.apply(Reader::<F, _>::new(pieces)),
        _ => {
            set = Set::<F>::try_from(bytes.to_vec())?;
            conn.apply(&set)
        }
    };
    let apply = if options.is_inverted { F::invert(apply) } else { apply };
    let apply = options.of(apply, answers, accepted);
    match path {
        Path::Progress => apply.on_progress(progress).run(),
        Path::Given => apply.keep_order().run(),
        _ => apply.run(),
    }
}

/// Returns the table and the value of the first column of each change.
fn keys(bytes: &[u8]) -> Vec<(String, Value<'_>)> {
    let records = match bytes.first() {
        Some(b'P') => PatchsetRef::parse(bytes).map(|patchset| patchset.records()),
        _ => ChangesetRef::parse(bytes).map(|changeset| changeset.records()),
    };
    records.into_iter().flatten().filter_map(key).collect()
}

fn key(record: Record<'_>) -> Option<(String, Value<'_>)> {
    Some((record.table().to_string(), record.new_value(0).or(record.old_value(0))?))
}

fn count_changes(bytes: &[u8]) -> Result<u64, ParseError> {
    Ok(match bytes.first() {
        Some(b'P') => PatchsetRef::parse(bytes)?.records().count() as u64,
        _ => ChangesetRef::parse(bytes)?.records().count() as u64,
    })
}

/// The result of an attack from memory, to check that attacks have different results.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The numbers of changes that were applied, replaced, omitted and skipped, or the name of the
    /// error.
    pub result: Result<[u64; 4], String>,
    /// The number of bytes.
    pub bytes: usize,
    /// Whether a stream was required to have the same result.
    pub is_compared: bool,
}

/// Carries out a plan by every path.
///
/// # Panics
///
/// If a guarantee is violated.
pub fn attack(plan: &[u8]) -> Seen {
    let mut plan = Plan(plan);
    let options = Options::new(&mut plan);
    let replica = Replica::new(&mut plan);
    let by_kind = plan.chance(4);
    let bytes = if plan.chance(1) { plan.rest().to_vec() } else { changes::make(&mut plan, &replica) };

    let start = Start::new(&replica, options);
    let memory = apply(&bytes, &start, Path::Memory);
    let progress = apply(&bytes, &start, Path::Progress);
    let stream = apply(&bytes, &start, Path::Stream);
    if by_kind {
        apply(&bytes, &Start::new(&replica, options.by_kind()), Path::ByKind);
    }
    if !options.cancels() {
        compare(&memory, &progress, options);
    }
    // a stream has no update loop, which SQLite uses for UPDATEs that block each other
    let is_compared = options.fails_at.is_none() && (options.without_loop || replica.foreign_keys);
    if is_compared {
        compare(&apply(&bytes, &start, Path::Given), &stream, options);
    }
    let result = match &memory.result {
        Ok(report) => Ok([report.applied(), report.replaced(), report.omitted(), report.skipped()]),
        Err(error) => Err(format!("{error:?}").split(['(', ' ']).next().unwrap_or_default().to_string()),
    };
    Seen { result, bytes: bytes.len(), is_compared }
}

fn compare(memory: &Outcome, other: &Outcome, options: Options) {
    match (&memory.result, &other.result) {
        (Ok(report), Ok(other_report)) => {
            assert_eq!(report, other_report, "the same report: {options:?}");
            if let (Some(content), Some(other)) = (&memory.content, &other.content) {
                content.expect(other, |_| true, "the same content", &format!("{options:?} {report:?}"));
            }
            assert_eq!(memory.accepted, other.accepted);
        }
        (Err(_), Err(_)) => {}
        results => panic!("the same result: {results:?} {options:?}"),
    }
}
