//! SQLite's `sqlite3changeset_apply_v2` with a Rust closure that decides the conflicts.

use std::any::Any;
use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use libsqlite3_sys as ffi;

use super::{Code, Database, Iterator, length, ok, output, owned};
use crate::change::{Change, Owned};

/// The kind of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `SQLITE_CHANGESET_DATA`
    Data,
    /// `SQLITE_CHANGESET_NOTFOUND`
    NotFound,
    /// `SQLITE_CHANGESET_CONFLICT`
    Conflict,
    /// `SQLITE_CHANGESET_CONSTRAINT`
    Constraint,
    /// `SQLITE_CHANGESET_FOREIGN_KEY`
    ForeignKey,
}

impl Kind {
    /// Returns whether SQLite accepts [`Answer::Replace`] for this kind.
    #[must_use]
    pub fn takes_replace(self) -> bool {
        matches!(self, Self::Data | Self::Conflict)
    }
}

/// The decision about a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// `SQLITE_CHANGESET_OMIT`
    Omit,
    /// `SQLITE_CHANGESET_REPLACE`
    Replace,
    /// `SQLITE_CHANGESET_ABORT`
    Abort,
}

/// A conflict to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The kind of the conflict.
    pub kind: Kind,
    /// The change, or `None` for foreign keys.
    pub change: Option<Change>,
    /// The conflicting row, if there is one: the columns that the changes contain.
    pub current: Option<Vec<Option<Owned>>>,
}

/// The flags of `sqlite3changeset_apply_v2`, without a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `SQLITE_CHANGESETAPPLY_INVERT`
    pub invert: bool,
    /// `SQLITE_CHANGESETAPPLY_IGNORENOOP`
    pub ignore_noop: bool,
    /// `SQLITE_CHANGESETAPPLY_FKNOACTION`
    pub no_foreign_key_actions: bool,
    /// `SQLITE_CHANGESETAPPLY_NOUPDATELOOP`
    pub no_update_loop: bool,
    /// `SQLITE_CHANGESETAPPLY_NOSAVEPOINT`
    pub no_savepoint: bool,
}

impl Flags {
    fn bits(self) -> c_int {
        // not in the bindings of all versions
        const SQLITE_CHANGESETAPPLY_NOUPDATELOOP: c_int = 0x10;
        let flags = [
            (self.invert, ffi::SQLITE_CHANGESETAPPLY_INVERT as c_int),
            (self.ignore_noop, ffi::SQLITE_CHANGESETAPPLY_IGNORENOOP as c_int),
            (self.no_foreign_key_actions, ffi::SQLITE_CHANGESETAPPLY_FKNOACTION as c_int),
            (self.no_update_loop, SQLITE_CHANGESETAPPLY_NOUPDATELOOP),
            (self.no_savepoint, ffi::SQLITE_CHANGESETAPPLY_NOSAVEPOINT as c_int),
        ];
        flags.iter().filter(|(is_set, _)| *is_set).fold(0, |bits, (_, bit)| bits | bit)
    }
}

/// The result of [`Database::apply_v2`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// SQLite's code.
    pub result: Result<(), Code>,
    /// SQLite's error message, if it failed.
    pub message: Option<String>,
    /// The rebase data, or nothing if the apply failed.
    pub rebase: Vec<u8>,
    /// The conflicts in the order in which SQLite asked, with the answers. SQLite can ask several
    /// times about one change.
    pub asked: Vec<(Question, Answer)>,
}

/// What the callback needs.
struct Context<'a> {
    decide: &'a mut dyn FnMut(&Question) -> Answer,
    asked: Vec<(Question, Answer)>,
    panic: Option<Box<dyn Any + Send>>,
}

impl Database {
    /// Calls `sqlite3changeset_apply_v2`, and `decide` for each conflict.
    ///
    /// # Panics
    ///
    /// If `decide` panics.
    pub fn apply_v2(&self, bytes: &[u8], flags: Flags, mut decide: impl FnMut(&Question) -> Answer) -> Applied {
        let mut context = Context { decide: &mut decide, asked: Vec::new(), panic: None };
        let pointer: *mut Context<'_> = &raw mut context;
        // SAFETY: the handle is open; the length is that of `bytes`, which SQLite only reads; the
        // callback receives the pointer to `context`, which outlives the call; the pointers to the
        // rebase data are those that `output` passes.
        let rebase = output(|size, rebase| unsafe {
            ffi::sqlite3changeset_apply_v2(
                self.handle,
                length(bytes),
                bytes.as_ptr().cast_mut().cast(),
                None,
                Some(on_conflict),
                pointer.cast(),
                rebase,
                size,
                flags.bits(),
            )
        });
        if let Some(panic) = context.panic {
            resume_unwind(panic);
        }
        let message = rebase.is_err().then(|| self.message());
        Applied {
            result: rebase.as_ref().map(|_| ()).map_err(|code| *code),
            message,
            rebase: rebase.unwrap_or_default(),
            asked: context.asked,
        }
    }

    /// Returns the message of the last error.
    fn message(&self) -> String {
        // SAFETY: the handle is open; the message is a C string and is copied before the next call.
        unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.handle)) }.to_string_lossy().into_owned()
    }
}

unsafe extern "C" fn on_conflict(
    context: *mut c_void,
    kind: c_int,
    iterator: *mut ffi::sqlite3_changeset_iter,
) -> c_int {
    // SAFETY: the pointer is that of `apply_v2`, and nothing else refers to the context meanwhile.
    let context = unsafe { &mut *context.cast::<Context<'_>>() };
    let asked = catch_unwind(AssertUnwindSafe(|| {
        let question = question(kind, &Iterator { handle: iterator });
        let answer = (context.decide)(&question);
        context.asked.push((question, answer));
        answer
    }));
    match asked {
        Ok(Answer::Omit) => ffi::SQLITE_CHANGESET_OMIT,
        Ok(Answer::Replace) => ffi::SQLITE_CHANGESET_REPLACE,
        Ok(Answer::Abort) => ffi::SQLITE_CHANGESET_ABORT,
        Err(panic) => {
            context.panic = Some(panic);
            ffi::SQLITE_CHANGESET_ABORT
        }
    }
}

fn question(kind: c_int, iterator: &Iterator) -> Question {
    let kind = match kind {
        ffi::SQLITE_CHANGESET_DATA => Kind::Data,
        ffi::SQLITE_CHANGESET_NOTFOUND => Kind::NotFound,
        ffi::SQLITE_CHANGESET_CONFLICT => Kind::Conflict,
        ffi::SQLITE_CHANGESET_CONSTRAINT => Kind::Constraint,
        ffi::SQLITE_CHANGESET_FOREIGN_KEY => return Question { kind: Kind::ForeignKey, change: None, current: None },
        other => panic!("SQLite reports a conflict of the kind {other}"),
    };
    let change = iterator.change();
    let column = |column: usize| {
        let mut value = ptr::null_mut();
        // SAFETY: the iterator stands on a change that has the column, and the conflict is of a
        // kind with a conflicting row; `value` may be written to.
        let code = unsafe { ffi::sqlite3changeset_conflict(iterator.handle, column as c_int, &raw mut value) };
        assert_eq!(ok(code), Ok(()), "a conflicting row has each column of the changes");
        Some(owned(value))
    };
    let current = kind.takes_replace().then(|| (0..change.key.len()).map(column).collect());
    Question { kind, change: Some(change), current }
}
