//! The check of a section against its table, before the first change is written, and what is kept of
//! the schema for the next apply.
//!
//! Invariant: facts are used only after a statement of this apply has locked `main` for writing and
//! found its schema unchanged.

use std::collections::HashMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::engine::failed;
use super::error::ApplyError;
use super::order::KeyOrder;
use super::schema_features::{ForeignKey, SchemaFeatures, shows_order};
use super::target_table::Target;
use crate::ffi::error::SqliteError;
use crate::ffi::statement::Connection;
use crate::ffi::statements::{StatementId, Statements, StepError};
use crate::schema::{LiveTable, STAT1, SchemaMismatch, TableDeclaration, check_declared, check_section};
use crate::typed::{DecodeError, TableInfo, check};
use crate::wire::{Record, Section};

/// The tables that may be changed, and the tables whose changes are typed.
#[derive(Clone, Default)]
pub(super) struct TableScope {
    /// The only tables that may be changed, or `None` if all tables may be.
    pub(super) only: Option<Vec<String>>,
    /// Whether changes to other tables are skipped instead of rejected.
    pub(super) skips_others: bool,
    /// The tables whose changes are read as typed values.
    pub(super) typed: Vec<&'static TableInfo<'static>>,
}

/// What has been read of the schema of a connection.
#[derive(Default)]
pub(super) struct Facts {
    /// A DELETE of no row. Running it locks `main` for writing, and checks its schema: if it is
    /// compiled again, the facts are outdated. Contains the number of times that it was compiled
    /// again before.
    canary: Option<(StatementId, i32)>,
    features: SchemaFeatures,
    /// The foreign keys, if they are enforced.
    foreign_keys: Vec<ForeignKey>,
    targets: Vec<Target>,
    /// The index of each table in `targets`, by its name in lower case.
    places: HashMap<String, usize>,
}

impl Facts {
    /// Locks `main` for writing, and reads the schema again if it has changed. Does nothing if this
    /// apply has done so before.
    ///
    /// For a table that does not exist, nothing is locked: nothing will be written.
    pub(super) fn look(
        &mut self,
        statements: &mut Statements<'_>,
        check: &mut SectionCheck,
        table: &str,
    ) -> Result<(), ApplyError> {
        if check.is_locked {
            return Ok(());
        }
        if let Some((canary, before)) = self.canary {
            match statements.run(canary, core::iter::empty()) {
                Ok(()) if statements.recompilations(canary) == Some(before) => {
                    check.is_locked = true;
                    return Ok(());
                }
                Err(StepError::Failed(error)) if !is_of_table(&error) => {
                    return Err(failed("applying", table)(error));
                }
                _ => {}
            }
        }
        let delete = format!("DELETE FROM main.\"{}\" WHERE 0", table.replace('"', "\"\""));
        if self.canary.is_none() && check.is_read && statements.prepare(&delete).is_err() && !self.has(table) {
            return Ok(());
        }
        statements.clear();
        *self = Self::default();
        check.checked.clear();
        let mut canary = statements.prepare(&delete).ok();
        if canary.is_none() {
            self.read(statements.connection(), table)?;
            check.is_read = true;
            if !self.has(table) {
                return Ok(());
            }
            // a trigger cannot be compiled; this locks and checks the schema without a table
            let lock = statements.prepare("PRAGMA main.incremental_vacuum(1)");
            canary = Some(lock.map_err(failed("applying", table))?);
        }
        if let Some(canary) = canary {
            match statements.run(canary, core::iter::empty()) {
                Ok(()) => check.is_locked = true,
                Err(StepError::Failed(error)) => return Err(failed("applying", table)(error)),
                Err(StepError::Constraint(_)) => {}
            }
        }
        *self = Self::default();
        self.read(statements.connection(), table)?;
        check.is_read = true;
        // only now the facts are complete
        self.canary = canary.and_then(|canary| Some((canary, statements.recompilations(canary)?)));
        Ok(())
    }

    /// Returns whether the schema that was read has this table or view.
    fn has(&self, table: &str) -> bool {
        self.features.kind(&table.to_ascii_lowercase()).is_some()
    }

    /// Reads the schema.
    fn read(&mut self, connection: Connection<'_>, table: &str) -> Result<(), ApplyError> {
        self.features = SchemaFeatures::read(connection).map_err(failed("reading the schema", table))?;
        if self.features.has_references() {
            let keys = ForeignKey::read_enforced(connection, &self.features);
            self.foreign_keys = keys.map_err(failed("reading the schema", table))?;
        }
        Ok(())
    }

    /// Returns whether the facts can be kept for the next apply.
    ///
    /// A temporary trigger can refer to tables of any schema, of which the statement that checks
    /// the schema of `main` knows nothing.
    pub(super) fn are_kept(&self) -> bool {
        self.canary.is_some() && !self.features.has_temporary_triggers()
    }

    /// Forgets the canary, after all statements have been finalized.
    pub(super) fn forget_statements(&mut self) {
        self.canary = None;
    }

    pub(super) fn target(&self, index: usize) -> &Target {
        &self.targets[index]
    }

    #[inline]
    pub(super) fn target_mut(&mut self, index: usize) -> &mut Target {
        &mut self.targets[index]
    }

    /// Returns whether the database has enforced foreign keys with actions.
    pub(super) fn has_actions(&self) -> bool {
        self.foreign_keys.iter().any(ForeignKey::acts)
    }

    /// Returns whether changes to a table can violate foreign keys.
    pub(super) fn concerns_foreign_keys(&self, index: usize) -> bool {
        if self.foreign_keys.is_empty() {
            return false;
        }
        let table = self.target(index).lower_name();
        self.features.has_triggers(table)
            || self.foreign_keys.iter().any(|key| key.child == table || key.parent == table)
    }

    /// Returns whether an UPDATE of a column has a foreign key action.
    pub(super) fn acts_on_update_of(&self, table: &str, column: &str) -> bool {
        self.foreign_keys.iter().any(|key| {
            key.acts_on_update
                && key.parent.eq_ignore_ascii_case(table)
                && key.parent_column.as_ref().is_some_and(|parent| parent.eq_ignore_ascii_case(column))
        })
    }

    /// Returns the changes of a section in key order, if this may be faster and cannot be observed.
    pub(super) fn key_order<'a>(
        &mut self,
        connection: Connection<'_>,
        index: usize,
        section: &Section<'a>,
        acts: bool,
    ) -> Result<Option<KeyOrder<'a>>, SqliteError> {
        let keys = if acts { self.foreign_keys.as_slice() } else { &[] };
        if shows_order(&self.features, keys, self.target(index).lower_name()) {
            return Ok(None);
        }
        let row_ids = self.target_mut(index).row_ids(connection, section.table())?;
        Ok(KeyOrder::new(section, row_ids.comparisons()))
    }
}

/// Returns whether a statement can have failed because of its table, which need not be the current
/// one: the table has changed, is locked by a connection with the same cache, or is forbidden by an
/// authorizer.
fn is_of_table(error: &SqliteError) -> bool {
    // SQLITE_ERROR, SQLITE_LOCKED, SQLITE_SCHEMA, SQLITE_AUTH; SQLITE_MISUSE for a statement that
    // was finalized
    matches!(error.code() & 0xff, 1 | 6 | 17 | 21 | 23)
}

/// The checks of the sections of one apply.
#[derive(Default)]
pub(super) struct SectionCheck {
    /// Whether `main` is locked for writing.
    is_locked: bool,
    /// Whether this apply has read the schema.
    is_read: bool,
    /// The tables that this apply has checked, as indexes of [`Facts`].
    checked: Vec<usize>,
}

impl SectionCheck {
    /// Returns whether the changes of a section are skipped because of their table. `first` is the
    /// section's first record.
    pub(super) fn skips(&self, scope: &TableScope, first: &Record<'_>) -> Result<bool, ApplyError> {
        let Some(only) = &scope.only else { return Ok(false) };
        if only.iter().any(|table| table.eq_ignore_ascii_case(first.table())) {
            return Ok(false);
        }
        if scope.skips_others {
            return Ok(true);
        }
        Err(ApplyError::UnexpectedTable { table: first.table().to_string(), offset: first.offset() })
    }

    /// Compares a section with its table. Returns the index of the table, or `None` if the changes
    /// are skipped.
    pub(super) fn section(
        &mut self,
        connection: Connection<'_>,
        facts: &mut Facts,
        scope: &TableScope,
        first: &Record<'_>,
    ) -> Result<Option<usize>, ApplyError> {
        let (name, ordinals) = (first.table(), first.key_ordinals());
        let Some(index) = find_target(connection, facts, name).map_err(failed("reading the schema", name))? else {
            let is_statistics = name.eq_ignore_ascii_case(STAT1);
            // statistics are not data: a database that never ran ANALYZE does not need them
            return if is_statistics {
                Ok(None)
            } else {
                check_section(name, ordinals, None).map(|()| None).map_err(ApplyError::from)
            };
        };
        let target = facts.target_mut(index);
        let is_first = !self.checked.contains(&index);
        if !is_first && target.ordinals != ordinals {
            // the changes of both sections are applied as those of one table
            let says = |ordinals: &[u8]| format!("{} columns with the key {ordinals:?}", ordinals.len());
            return Err(SchemaMismatch {
                table: name.to_string(),
                column: None,
                expected: says(&target.ordinals),
                found: format!("{} in another section", says(ordinals)),
            }
            .into());
        }
        if target.ordinals != ordinals {
            if target.has_collations {
                let coarse = LiveTable::coarse_key_column(connection, name);
                if let Some((column, of_column, of_key)) = coarse.map_err(failed("reading the schema", name))? {
                    return Err(SchemaMismatch {
                        table: name.to_string(),
                        column: Some(column),
                        expected: format!("the collation of its primary key, {of_key}"),
                        found: format!("{of_column}, by which one change can hit several rows"),
                    }
                    .into());
                }
            }
            check_section(name, ordinals, Some(&target.live))?;
            target.set_ordinals(ordinals);
        }
        if is_first {
            self.checked.push(index);
            check_typed(target, scope, first)?;
        }
        Ok(Some(index))
    }
}

/// Returns the index of a table, after reading it if it is new.
fn find_target(connection: Connection<'_>, facts: &mut Facts, name: &str) -> Result<Option<usize>, SqliteError> {
    if let [only] = facts.targets.as_slice() {
        if only.lower_name() == name {
            return Ok(Some(0));
        }
    }
    let lower = name.to_ascii_lowercase();
    if let Some(index) = facts.places.get(&lower) {
        return Ok(Some(*index));
    }
    let Some(kind) = facts.features.kind(&lower) else { return Ok(None) };
    let live = LiveTable::read_columns(connection, "main", name, kind)?;
    let index = facts.targets.len();
    facts.targets.push(Target::new(name, live, &facts.features));
    facts.places.insert(lower, index);
    Ok(Some(index))
}

/// Checks that `table!` agrees with the database and with the changes, if the changes to the table
/// are typed.
fn check_typed(target: &mut Target, scope: &TableScope, first: &Record<'_>) -> Result<(), ApplyError> {
    // a handler and a filter of one table can have rows of different types
    for table in scope.typed.iter().filter(|table| table.table().eq_ignore_ascii_case(first.table())) {
        let table: &'static TableInfo<'static> = table;
        if target
            .typed
            .iter()
            .any(|(checked, columns)| core::ptr::eq(*checked, table) && *columns == first.column_count())
        {
            continue;
        }
        check_declared(&TableDeclaration::from(table), Some(&target.live), true)?;
        check(table, first.key_ordinals())
            .map_err(|(column, kind)| ApplyError::Decode(DecodeError::of_table(first, column, kind)))?;
        target.typed.push((table, first.column_count()));
    }
    Ok(())
}
