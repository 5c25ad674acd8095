//! The declarations of the typed tables of a session, and their comparison with the database.
//!
//! Records contain positions and no names. So the declarations are compared when tables are attached,
//! and again when changes are taken after the schema may have changed.

use std::collections::HashMap;
use std::string::String;
use std::vec::Vec;

use super::error::SessionError;
use crate::ffi::schema_watch::KnownSchema;
use crate::ffi::statement::Connection;
use crate::schema::{LiveTable, TableDeclaration, TableKind, check_declared, tables_of};
use crate::typed::TableInfo;

/// A table as its `table!` declares it.
pub(super) enum Declaration {
    Static(&'static TableInfo<'static>),
    Table(TableDeclaration),
}

/// The tables of a set.
pub(super) type StaticTables = &'static [&'static TableInfo<'static>];

impl Declaration {
    pub(super) fn of(tables: StaticTables) -> Vec<Self> {
        tables.iter().copied().map(Self::Static).collect()
    }

    pub(super) fn table(&self) -> &str {
        match self {
            Self::Static(table) => table.table(),
            Self::Table(declared) => &declared.table,
        }
    }
}

/// The declarations of a session.
#[derive(Default)]
pub(super) struct Declarations {
    tables: Vec<Declaration>,
    /// The version of the schema with which all of them agreed.
    version: u64,
}

impl Declarations {
    /// Returns the version of the schema with which all declarations agreed.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Adds declarations that agree with this version of the schema.
    pub(super) fn add(&mut self, declarations: Vec<Declaration>, version: u64) {
        if self.tables.is_empty() {
            *self = Self { tables: declarations, version };
        } else {
            self.tables.extend(declarations);
        }
    }

    /// Compares the declarations again, if the schema may have changed since.
    pub(super) fn verify(
        &mut self,
        connection: Connection<'_>,
        schema: &str,
        rowids: bool,
        known: &mut KnownSchema,
    ) -> Result<(), SessionError> {
        if self.tables.is_empty() || self.version == known.version {
            return Ok(());
        }
        compare(&self.tables, connection, schema, rowids, known)?;
        self.version = known.version;
        Ok(())
    }
}

/// The number of tables from which the whole schema is read instead of each table.
const MANY: usize = 3;

/// Compares declarations with the tables of a schema. Skips those that are known to agree.
pub(super) fn compare(
    declarations: &[Declaration],
    connection: Connection<'_>,
    schema: &str,
    rowids: bool,
    known: &mut KnownSchema,
) -> Result<(), SessionError> {
    let mut kinds: Option<HashMap<String, TableKind>> = None;
    for declaration in declarations {
        let converted;
        let (declared, address) = match declaration {
            Declaration::Table(declared) => (declared, None),
            Declaration::Static(table) => {
                let address = (core::ptr::from_ref(*table).addr(), rowids);
                if known.agrees.contains(&address) {
                    continue;
                }
                converted = TableDeclaration::from(*table);
                (&converted, Some(address))
            }
        };
        let name = declared.table.as_str();
        let failed = |error| SessionError::sqlite("reading the schema", Some(name), error);
        let live = if declarations.len() < MANY {
            LiveTable::read(connection, schema, name).map_err(failed)?
        } else {
            if kinds.is_none() {
                let tables = tables_of(connection, schema).map_err(failed)?;
                kinds = Some(tables.into_iter().map(|(name, kind)| (name.to_ascii_lowercase(), kind)).collect());
            }
            let kind = kinds.as_ref().and_then(|kinds| kinds.get(&name.to_ascii_lowercase()));
            let columns = |kind: &TableKind| LiveTable::read_columns(connection, schema, name, *kind);
            kind.map(columns).transpose().map_err(failed)?
        };
        check_declared(declared, live.as_ref(), rowids)?;
        known.agrees.extend(address);
    }
    Ok(())
}
