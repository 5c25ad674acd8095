//! The handlers and rules that the application has set.

use std::boxed::Box;
use std::vec::Vec;

use super::conflict::{ConflictAction, ConflictType, ForeignKeyConflict, ForeignKeyDecision, UntypedConflict};
use super::error::ApplyError;
use super::progress::OnProgress;
use super::typed::TableRules;

/// The application's handler for foreign key violations.
pub(super) type OnForeignKeys<'a> = Box<dyn FnMut(&ForeignKeyConflict) -> ForeignKeyDecision + 'a>;

/// The application's handler for untyped conflicts.
type OnUntyped<'a> = Box<dyn FnMut(&UntypedConflict<'_>) -> Result<ConflictAction, ApplyError> + 'a>;

/// The application's handler for tables without one of their own.
pub(super) enum FallbackHandler<'a> {
    ByKind(Box<dyn FnMut(ConflictType) -> ConflictAction + 'a>),
    ByChange(OnUntyped<'a>),
}

/// The handlers and rules that the application has set.
#[derive(Default)]
pub(super) struct ApplyRules<'a> {
    /// The handlers and filters of individual tables.
    pub(super) tables: Vec<TableRules<'a>>,
    /// The handler of all other tables.
    pub(super) otherwise: Option<FallbackHandler<'a>>,
    /// Whether a change that has already been made is no conflict.
    pub(super) ignores_noops: bool,
    pub(super) on_foreign_keys: Option<OnForeignKeys<'a>>,
    pub(super) on_progress: Option<OnProgress<'a>>,
}

impl<'a> ApplyRules<'a> {
    pub(super) fn of_table(&mut self, table: &str) -> Option<&mut TableRules<'a>> {
        self.tables.iter_mut().find(|rules| rules.is_of(table))
    }
}
