//! The prepared statements of an apply, which the connection keeps for the next apply.
//!
//! Invariant: between two calls no statement is active, and none holds a reference to a bound
//! value. Called by [`apply`](crate::apply).
//!
//! The registry of the connection stores the statements between applies, and drops them when the
//! connection closes. What they were compiled for can become outdated in two ways:
//!
//! - The schema changes. SQLite compiles an expired statement again before it runs;
//!   [`Statements::recompilations`] tells.
//! - The database is replaced by
//!   [`sqlite3_deserialize`](https://www.sqlite.org/c3ref/deserialize.html), which SQLite does not
//!   always notice. It runs an `ATTACH`, which the registry's trace function sees. If that function
//!   was not called, because another one had taken its place, the statements are not used again.

use core::any::Any;
use core::cell::Cell;
use core::ffi::{CStr, c_int};
use core::mem;
use std::boxed::Box;
use std::format;
use std::ptr::NonNull;
use std::string::String;
use std::vec::Vec;

use super::callback::{self, CallbackGuard};
use super::error::SqliteError;
use super::handle::Handle;
use super::registry::{Registry, TracingPaused};
use super::statement::{Connection, RowValues};
use super::sys::{self, sqlite3_stmt};
use super::transaction::savepoint;
use crate::wire::Value;

/// The number of statements that a connection keeps between applies.
const MAX_KEPT: usize = 128;

/// The number of statements from which an apply finalizes the ones that it has not used for the
/// longest time.
const MAX_DURING_APPLY: usize = 512;

/// A prepared statement of [`Statements`]. It is no longer found after it has been finalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatementId {
    index: u32,
    generation: u32,
}

/// A statement that begins or ends a transaction.
#[derive(Clone, Copy)]
pub(crate) enum Command {
    Begin,
    Commit,
    Savepoint,
    Release,
}

impl Command {
    fn sql(self) -> String {
        match self {
            Self::Begin => "BEGIN".into(),
            Self::Commit => "COMMIT".into(),
            Self::Savepoint => format!("SAVEPOINT {}", savepoint()),
            Self::Release => format!("RELEASE {}", savepoint()),
        }
    }
}

/// The reason why a statement did not run to its end.
#[derive(Debug)]
pub(crate) enum StepError {
    /// A constraint is violated. Contains the [extended result
    /// code](https://www.sqlite.org/rescode.html#extended_result_code_list).
    Constraint(i32),
    Failed(SqliteError),
}

/// A finalized or valid statement, and when it was last used.
struct Slot {
    statement: Option<NonNull<sqlite3_stmt>>,
    generation: u32,
    last_use: u64,
}

/// Statements of one connection, and facts about its schema that the owner of the statements
/// derived while it prepared them.
#[derive(Default)]
pub(super) struct StatementStore {
    slots: Vec<Slot>,
    free: Vec<u32>,
    commands: [Option<StatementId>; 4],
    uses: u64,
    facts: Option<Box<dyn Any + Send>>,
}

// SAFETY: the statements are used only through `Statements`, which borrows the connection, and
// dropped only while nobody else uses the connection. SQLite ties no statement to a thread.
unsafe impl Send for StatementStore {}

impl StatementStore {
    fn get(&self, id: StatementId) -> Option<NonNull<sqlite3_stmt>> {
        let slot = self.slots.get(id.index as usize)?;
        slot.statement.filter(|_| slot.generation == id.generation)
    }

    fn count(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    fn finalize(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if let Some(statement) = slot.statement.take() {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(index);
            // SAFETY: the statement was prepared by `Statements::prepare`. Its connection is open:
            // the store is dropped before, and changed only through `Statements`. The slot no
            // longer refers to the statement.
            unsafe { sys::sqlite3_finalize(statement.as_ptr()) };
        }
    }

    /// Finalizes the statements that have not been used for the longest time, until `max` remain.
    fn shrink(&mut self, max: usize) {
        let excess = self.count().saturating_sub(max);
        if excess == 0 {
            return;
        }
        let mut oldest: Vec<(u64, u32)> = (0..).zip(&self.slots).map(|(index, slot)| (slot.last_use, index)).collect();
        oldest.retain(|(_, index)| self.slots.get(*index as usize).is_some_and(|slot| slot.statement.is_some()));
        oldest.sort_unstable();
        oldest.into_iter().take(excess).for_each(|(_, index)| self.finalize(index));
    }
}

impl Drop for StatementStore {
    fn drop(&mut self) {
        (0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)).for_each(|index| self.finalize(index));
    }
}

/// The statements of a connection during an apply. Dropping it gives them back to the connection.
pub(crate) struct Statements<'conn> {
    connection: Connection<'conn>,
    registry: Option<&'conn Registry>,
    store: StatementStore,
    is_kept: bool,
    /// The number of traced statements at the beginning.
    traced: usize,
    // triggers, and SQLite at the commit, may call functions of the application
    _inside: CallbackGuard,
    tracing_paused: Option<TracingPaused<'conn>>,
}

impl<'conn> Statements<'conn> {
    /// Takes the statements that the connection has kept. Until they are dropped, the connection is
    /// on the list of [`callback`]. Returns `None` inside a callback of the same connection.
    pub(crate) fn take(handle: Handle<'conn>) -> Option<Self> {
        let db = handle.as_ptr();
        if callback::is_inside(db) {
            return None;
        }
        let _inside = callback::enter(db);
        let registry = handle.registry();
        let store = registry.and_then(Registry::take_statements).unwrap_or_default();
        let (is_kept, traced) = (registry.is_some(), registry.map_or(0, Registry::traced));
        let connection = Connection::from(handle);
        Some(Self { connection, registry, store, is_kept, traced, _inside, tracing_paused: None })
    }

    /// Pauses the recording of the thread that runs statements, after the first statement. If that
    /// one was not traced, finalizes the statements: they may be outdated.
    pub(crate) fn pause_tracing(&mut self) {
        let Some(registry) = self.registry else { return };
        if registry.traced() == self.traced {
            self.clear();
        }
        self.tracing_paused = Some(registry.pause());
    }

    pub(crate) fn connection(&self) -> Connection<'conn> {
        self.connection
    }

    /// Takes the facts that [`set_facts`](Self::set_facts) stored.
    pub(crate) fn take_facts<T: Any>(&mut self) -> Option<Box<T>> {
        self.store.facts.take()?.downcast().ok()
    }

    /// Stores facts, which are dropped together with the statements.
    pub(crate) fn set_facts<T: Any + Send>(&mut self, facts: Box<T>) {
        self.store.facts = Some(facts);
    }

    /// Finalizes all statements and drops the facts. No new statement gets the number of an old one.
    pub(crate) fn clear(&mut self) {
        self.store.shrink(0);
        self.store.facts = None;
    }

    /// Keeps no statement after this apply.
    pub(crate) fn keep_none(&mut self) {
        self.is_kept = false;
    }

    /// Prepares one statement.
    pub(crate) fn prepare(&mut self, sql: &str) -> Result<StatementId, SqliteError> {
        if self.store.count() >= MAX_DURING_APPLY {
            self.store.shrink(MAX_DURING_APPLY / 2);
        }
        let statement = self.connection.prepare_raw(sql, sys::PREPARE_PERSISTENT)?;
        self.store.uses += 1;
        let last_use = self.store.uses;
        if let Some((index, slot)) =
            self.store.free.pop().and_then(|index| Some((index, self.store.slots.get_mut(index as usize)?)))
        {
            (slot.statement, slot.last_use) = (Some(statement), last_use);
            return Ok(StatementId { index, generation: slot.generation });
        }
        let index = u32::try_from(self.store.slots.len()).unwrap_or(u32::MAX);
        self.store.slots.push(Slot { statement: Some(statement), generation: 0, last_use });
        Ok(StatementId { index, generation: 0 })
    }

    /// Returns the statement in `slot`, after preparing it if it does not exist.
    #[inline]
    pub(crate) fn ensure(
        &mut self,
        slot: &mut Option<StatementId>,
        sql: impl FnOnce() -> String,
    ) -> Result<StatementId, SqliteError> {
        match *slot {
            Some(id) if self.store.get(id).is_some() => Ok(id),
            _ => Ok(*slot.insert(self.prepare(&sql())?)),
        }
    }

    /// Finalizes a statement.
    pub(crate) fn finalize(&mut self, id: StatementId) {
        if self.store.get(id).is_some() {
            self.store.finalize(id.index);
        }
    }

    /// Begins or ends a transaction.
    pub(crate) fn command(&mut self, command: Command) -> Result<(), SqliteError> {
        let index = command as usize;
        let mut slot = self.store.commands[index];
        let id = self.ensure(&mut slot, || command.sql())?;
        self.store.commands[index] = slot;
        match self.run(id, core::iter::empty()) {
            Ok(()) => Ok(()),
            // the commit of a transaction that violates foreign keys
            Err(StepError::Constraint(code)) => Err(self.connection.last_error(code)),
            Err(StepError::Failed(error)) => Err(error),
        }
    }

    /// Runs a statement that returns no rows, with these values as its parameters.
    #[inline]
    pub(crate) fn run<'v>(
        &mut self,
        id: StatementId,
        values: impl Iterator<Item = Value<'v>>,
    ) -> Result<(), StepError> {
        let active = self.start(id, values)?;
        match active.step() {
            // with `PRAGMA count_changes` a statement returns the count as a row
            sys::SQLITE_DONE | sys::SQLITE_ROW => Ok(()),
            code => Err(active.error(code)),
        }
    }

    /// Runs a query with these values as its parameters, and reads its first row, if there is one.
    pub(crate) fn first_row<'v, R>(
        &mut self,
        id: StatementId,
        values: impl Iterator<Item = Value<'v>>,
        read: impl FnOnce(&RowValues<'_>) -> R,
    ) -> Result<Option<R>, SqliteError> {
        let connection = self.connection;
        let into_error = |error| match error {
            StepError::Constraint(code) => connection.last_error(code),
            StepError::Failed(error) => error,
        };
        let active = match self.start(id, values) {
            Ok(active) => active,
            Err(error) => return Err(into_error(error)),
        };
        match active.step() {
            sys::SQLITE_ROW => Ok(Some(read(&RowValues::new(&active)))),
            sys::SQLITE_DONE => Ok(None),
            code => Err(into_error(active.error(code))),
        }
    }

    /// Binds the values to the parameters of a statement.
    #[inline]
    fn start<'v>(
        &mut self,
        id: StatementId,
        values: impl Iterator<Item = Value<'v>>,
    ) -> Result<ActiveStatement<'conn>, StepError> {
        let statement = self.store.get(id);
        self.store.uses += 1;
        if let Some(slot) = self.store.slots.get_mut(id.index as usize) {
            slot.last_use = self.store.uses;
        }
        let Some(statement) = statement else {
            return Err(StepError::Failed(SqliteError::of_code(sys::SQLITE_MISUSE)));
        };
        let active = ActiveStatement { statement, connection: self.connection, borrows: Cell::new(false) };
        for (number, value) in (1..).zip(values) {
            // SAFETY: `active` was created just before and its statement has not been stepped. The
            // value is unchanged until `active` is dropped: the caller holds the borrow that the
            // iterator returned it from, and drops `active` before it returns.
            let code = unsafe { active.bind(number, value) };
            if code != sys::SQLITE_OK {
                return Err(active.error(code));
            }
        }
        Ok(active)
    }

    /// Returns how many rows the last statement has changed, without those of triggers and foreign
    /// key actions.
    #[inline]
    pub(crate) fn changes(&self) -> i32 {
        self.connection.changes()
    }

    /// Returns how often a statement has been compiled again.
    pub(crate) fn recompilations(&self, id: StatementId) -> Option<i32> {
        let statement = self.store.get(id)?;
        // SAFETY: the statement is valid, and the connection is borrowed. The last argument leaves
        // the counter unchanged.
        Some(unsafe { sys::sqlite3_stmt_status(statement.as_ptr(), sys::STMTSTATUS_REPREPARE, 0) })
    }

    /// Compiles a statement without running it.
    ///
    /// A flag pragma takes effect while it is compiled. Running it would also expire all statements
    /// of the connection.
    pub(crate) fn compile(&self, sql: &CStr) -> Result<(), SqliteError> {
        let statement = self.connection.prepare_raw(sql.to_str().unwrap_or_default(), 0)?;
        // SAFETY: the statement has just been prepared, and nobody else refers to it.
        unsafe { sys::sqlite3_finalize(statement.as_ptr()) };
        Ok(())
    }
}

impl Drop for Statements<'_> {
    fn drop(&mut self) {
        let mut store = mem::take(&mut self.store);
        if let Some(registry) = self.registry.filter(|_| self.is_kept) {
            store.shrink(MAX_KEPT);
            registry.put_statements(store);
        }
    }
}

/// A statement with bound values. Dropping it resets the statement and forgets the values that are
/// not its own.
pub(super) struct ActiveStatement<'a> {
    statement: NonNull<sqlite3_stmt>,
    connection: Connection<'a>,
    /// Whether SQLite refers to the bytes of a value.
    borrows: Cell<bool>,
}

impl ActiveStatement<'_> {
    pub(super) fn as_ptr(&self) -> *mut sqlite3_stmt {
        self.statement.as_ptr()
    }

    /// Binds a value without copying it.
    ///
    /// # Safety
    ///
    /// The statement must not have been stepped. The value must stay unchanged until `self` is
    /// dropped, and `self` must be dropped.
    #[inline]
    unsafe fn bind(&self, number: c_int, value: Value<'_>) -> c_int {
        let statement = self.as_ptr();
        match value {
            // SAFETY: the statement is valid and has not been stepped. Any number is allowed.
            Value::Null => unsafe { sys::sqlite3_bind_null(statement, number) },
            // SAFETY: the statement is valid and has not been stepped. Any number is allowed.
            Value::Integer(value) => unsafe { sys::sqlite3_bind_int64(statement, number, value) },
            // SAFETY: the statement is valid and has not been stepped. Any number is allowed.
            Value::Real(value) => unsafe { sys::sqlite3_bind_double(statement, number, value) },
            Value::Text(bytes) => {
                let Ok(length) = c_int::try_from(bytes.len()) else { return sys::SQLITE_TOOBIG };
                self.borrows.set(true);
                // SAFETY: the statement is valid and has not been stepped. The pointer is valid for
                // `length` bytes, which stay unchanged until `self` is dropped, as this function
                // requires. Without a destructor SQLite neither copies nor frees them.
                unsafe { sys::sqlite3_bind_text(statement, number, bytes.as_ptr().cast(), length, None) }
            }
            Value::Blob(bytes) => {
                let Ok(length) = c_int::try_from(bytes.len()) else { return sys::SQLITE_TOOBIG };
                self.borrows.set(true);
                // SAFETY: as for a text: the pointer is valid for `length` bytes, which stay
                // unchanged until `self` is dropped.
                unsafe { sys::sqlite3_bind_blob(statement, number, bytes.as_ptr().cast(), length, None) }
            }
        }
    }

    #[inline]
    fn step(&self) -> c_int {
        // SAFETY: the statement is valid, and its connection is open and borrowed.
        unsafe { sys::sqlite3_step(self.as_ptr()) }
    }

    /// Returns the error of a failed call. No other call on the connection may come in between.
    #[cold]
    fn error(&self, code: c_int) -> StepError {
        if code & 0xff == sys::SQLITE_CONSTRAINT {
            return StepError::Constraint(self.connection.extended_code());
        }
        StepError::Failed(self.connection.last_error(code))
    }
}

impl Drop for ActiveStatement<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the statement is valid. The result is ignored: it repeats the error of the step.
        unsafe { sys::sqlite3_reset(self.as_ptr()) };
        if self.borrows.get() {
            // SAFETY: the statement is valid and reset. After this it holds no reference to a value.
            unsafe { sys::sqlite3_clear_bindings(self.as_ptr()) };
        }
    }
}
