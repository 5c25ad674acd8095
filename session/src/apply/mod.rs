//! Applying changesets and patchsets, with conflicts decided by their kind.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use diesel::SqliteConnection;

use crate::error::{ApplyError, SchemaMismatch};
use crate::ffi::Failure;
use crate::ffi::apply::{ApplyFailure, apply};
use crate::ffi::handle::with_handle;
use crate::ffi::statement::Connection;
use crate::schema::{Fit, LiveTable, check_section};
use crate::wire::{Changeset, ChangesetRef, Operation, ParseError, Patchset, PatchsetRef, Record, Tables};

/// What kept a change from being applied, in
/// [SQLite's terms](https://www.sqlite.org/session/c_changeset_conflict.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConflictType {
    /// An UPDATE or DELETE of a changeset finds the row, but with other data than was recorded. Takes `Replace`.
    Data,
    /// An UPDATE or DELETE finds no row with that key.
    NotFound,
    /// An INSERT finds a row with that key. Takes `Replace`.
    Conflict,
    /// The change would break a constraint other than the key's: UNIQUE, NOT NULL, CHECK, or one of a trigger's.
    Constraint,
    /// After everything has been applied, foreign keys are broken. Asked once; `Omit` keeps it so, if the transaction can be
    /// committed at all.
    ForeignKey,
}

impl ConflictType {
    /// SQLite's number for it: `SQLITE_CHANGESET_DATA` is 1, and so on.
    pub const fn to_raw(self) -> i32 {
        match self {
            Self::Data => 1,
            Self::NotFound => 2,
            Self::Conflict => 3,
            Self::Constraint => 4,
            Self::ForeignKey => 5,
        }
    }

    pub(crate) const fn from_raw(raw: i32) -> Option<Self> {
        match raw {
            1 => Some(Self::Data),
            2 => Some(Self::NotFound),
            3 => Some(Self::Conflict),
            4 => Some(Self::Constraint),
            5 => Some(Self::ForeignKey),
            _ => None,
        }
    }

    /// Whether [`ConflictAction::Replace`] is an answer to it.
    pub const fn takes_replace(self) -> bool {
        matches!(self, Self::Data | Self::Conflict)
    }
}

/// What to do about a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConflictAction {
    /// Leaves this change out and goes on.
    Omit,
    /// Makes the change all the same, over the row that is in the way. For [`ConflictType::Data`] and
    /// [`ConflictType::Conflict`] alone.
    Replace,
    /// Undoes everything that was applied and ends with [`ApplyError::ConflictAborted`].
    Abort,
}

mod sealed {
    pub trait Sealed {}
}

/// What can be applied as a changeset: a [`Changeset`], a [`ChangesetRef`], or bytes, which are checked first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a changeset",
    label = "expected a `Changeset`, a `ChangesetRef` or bytes",
    note = "a `Patchset` is applied with `apply_patchset`"
)]
pub trait ChangesetInput: sealed::Sealed {
    #[doc(hidden)]
    fn checked(&self) -> Result<ChangesetRef<'_>, ParseError>;
}

/// What can be applied as a patchset: a [`Patchset`], a [`PatchsetRef`], or bytes, which are checked first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a patchset",
    label = "expected a `Patchset`, a `PatchsetRef` or bytes",
    note = "a `Changeset` is applied with `apply_changeset`"
)]
pub trait PatchsetInput: sealed::Sealed {
    #[doc(hidden)]
    fn checked(&self) -> Result<PatchsetRef<'_>, ParseError>;
}

macro_rules! inputs {
    ($Owned:ident, $Borrowed:ident, $Input:ident) => {
        impl sealed::Sealed for $Owned {}
        impl $Input for $Owned {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                Ok(self.as_borrowed())
            }
        }

        impl sealed::Sealed for $Borrowed<'_> {}
        impl $Input for $Borrowed<'_> {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                Ok(*self)
            }
        }

        impl $Input for [u8] {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                $Borrowed::parse(self)
            }
        }

        impl<const N: usize> $Input for [u8; N] {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                $Borrowed::parse(self)
            }
        }

        impl $Input for Vec<u8> {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                $Borrowed::parse(self)
            }
        }

        impl<T: $Input + ?Sized> $Input for &T {
            fn checked(&self) -> Result<$Borrowed<'_>, ParseError> {
                (**self).checked()
            }
        }
    };
}

impl sealed::Sealed for [u8] {}
impl<const N: usize> sealed::Sealed for [u8; N] {}
impl sealed::Sealed for Vec<u8> {}
impl<T: sealed::Sealed + ?Sized> sealed::Sealed for &T {}
inputs!(Changeset, ChangesetRef, ChangesetInput);
inputs!(Patchset, PatchsetRef, PatchsetInput);

/// Applies checked changes.
pub(crate) fn run(
    connection: &mut SqliteConnection,
    bytes: &[u8],
    tables: Tables<'_>,
    handler: &mut dyn FnMut(ConflictType) -> ConflictAction,
) -> Result<(), ApplyError> {
    with_handle(connection, |handle| {
        let bytes = fit(Connection::from(handle), bytes, tables)?;
        apply(handle, &bytes, handler).map_err(|failure| match failure {
            ApplyFailure::Aborted => ApplyError::ConflictAborted,
            ApplyFailure::Panicked => ApplyError::ConflictHandlerPanicked,
            ApplyFailure::IllegalReplace { conflict, table } => ApplyError::IllegalReplace { conflict, table },
            ApplyFailure::RolledBack { table } => ApplyError::RolledBack { table },
            ApplyFailure::TooLarge => ApplyError::TooLarge,
            ApplyFailure::Busy => ApplyError::Busy,
            ApplyFailure::Sqlite { failure, table } => {
                ApplyError::Sqlite { operation: "applying", table, error: failure.into() }
            }
        })
    })?
}

/// Sees to it that every section fits the database, and makes of the bytes what SQLite can apply.
fn fit<'a>(connection: Connection<'_>, bytes: &'a [u8], tables: Tables<'_>) -> Result<Cow<'a, [u8]>, ApplyError> {
    let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut edits = Vec::new();
    let mut rollbacks = None;
    for table in tables {
        if table.records().next().is_none() {
            continue;
        }
        let name = table.name();
        let failed = |failure: Failure| ApplyError::Sqlite {
            operation: "reading the schema",
            table: Some(name.to_string()),
            error: failure.into(),
        };
        let lower = name.to_ascii_lowercase();
        match seen.get(&lower) {
            Some(ordinals) if ordinals == table.key_ordinals() => {}
            Some(ordinals) => {
                // SQLite takes two sections of one table for one, whatever the second says of itself
                let says = |ordinals: &[u8]| format!("{} columns with the key {ordinals:?}", ordinals.len());
                return Err(SchemaMismatch {
                    table: name.to_string(),
                    column: None,
                    expected: says(ordinals),
                    found: format!("{} in another section", says(table.key_ordinals())),
                }
                .into());
            }
            None => {
                if rollbacks.is_none() {
                    rollbacks = Some(Rollbacks::read(connection).map_err(failed)?);
                }
                if rollbacks.as_ref().is_some_and(|rollbacks| rollbacks.threaten(&lower)) {
                    return Err(ApplyError::RollbackClause { table: name.to_string() });
                }
                seen.insert(lower, table.key_ordinals().to_vec());
            }
        }
        let live = LiveTable::read(connection, "main", name).map_err(failed)?;
        if let Fit::WithOrdinals(ordinals) = check_section(name, table.key_ordinals(), live.as_ref())? {
            edits.push((table.key_offset(), ordinals.len(), ordinals));
        }
        for record in table.records() {
            if sets_nothing(&record) {
                edits.push((record.offset(), record.byte_length(), Vec::new()));
            }
        }
    }
    if edits.is_empty() {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut edited = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for (offset, length, replacement) in edits {
        edited.extend_from_slice(bytes.get(done..offset).unwrap_or_default());
        edited.extend_from_slice(&replacement);
        done = offset.saturating_add(length);
    }
    edited.extend_from_slice(bytes.get(done..).unwrap_or_default());
    Ok(Cow::Owned(edited))
}

/// Whether an UPDATE sets no column outside the key. SQLite writes such where a key changed to an equal one, beside an INSERT
/// of the row with its new key, and then fails to apply them.
fn sets_nothing(record: &Record<'_>) -> bool {
    record.operation() == Operation::Update
        && record.new_values().zip(record.key_ordinals()).all(|(value, place)| value.is_none() || *place != 0)
}

/// What in a database can roll the whole transaction back. SQLite would go on applying without one, and what it applies then
/// would stay.
struct Rollbacks {
    /// The tables whose constraints can, in lower case.
    tables: BTreeSet<String>,
    /// Whether a trigger can, or can change a table whose constraints can.
    by_trigger: bool,
}

impl Rollbacks {
    fn read(connection: Connection<'_>) -> Result<Self, Failure> {
        let of = |schema: &str| {
            let query = format!("SELECT type, tbl_name, sql FROM {schema}.sqlite_schema");
            connection.rows(&query, &[], |row| (row.text(0), row.text(1), row.text(2)))
        };
        let mut statements = of("main")?;
        // asking for the temporary schema would make one
        if connection.rows("PRAGMA database_list", &[], |row| row.integer(0) == 1)?.contains(&true) {
            statements.extend(of("temp")?);
        }
        let (mut tables, mut triggers, mut rolling_trigger) = (BTreeSet::new(), false, false);
        for (kind, table, sql) in statements {
            let rolls_back = has_rollback_clause(&sql);
            if kind == "trigger" {
                triggers = true;
                rolling_trigger |= rolls_back;
            } else if rolls_back {
                tables.insert(table.to_ascii_lowercase());
            }
        }
        let by_trigger = rolling_trigger || (triggers && !tables.is_empty());
        Ok(Self { tables, by_trigger })
    }

    fn threaten(&self, lower_case: &str) -> bool {
        self.by_trigger || self.tables.contains(lower_case)
    }
}

/// Whether SQL says ON CONFLICT ROLLBACK, RAISE(ROLLBACK) or OR ROLLBACK. A name with the word in it is none.
fn has_rollback_clause(sql: &str) -> bool {
    // most have not even the word
    if !sql.as_bytes().windows(8).any(|word| word.eq_ignore_ascii_case(b"rollback")) {
        return false;
    }
    // with comments, too: what looks like one may be in a string
    says_rollback(sql) || says_rollback(&without_comments(sql))
}

fn says_rollback(sql: &str) -> bool {
    let mut before = "";
    for word in sql.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()) {
        if word.eq_ignore_ascii_case("rollback")
            && ["conflict", "or", "raise"].iter().any(|clause| before.eq_ignore_ascii_case(clause))
        {
            return true;
        }
        before = word;
    }
    false
}

/// SQL with a space in the place of each comment.
fn without_comments(sql: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(sql.len()), sql);
    while let Some(start) = [rest.find("--"), rest.find("/*")].into_iter().flatten().min() {
        let (code, comment) = rest.split_at(start);
        out.push_str(code);
        out.push(' ');
        let (end, length) = if comment.starts_with("--") { (comment.find('\n'), 1) } else { (comment.find("*/"), 2) };
        rest = end.and_then(|end| comment.get(end.saturating_add(length)..)).unwrap_or_default();
    }
    out.push_str(rest);
    out
}
