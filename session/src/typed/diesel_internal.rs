//! The only use of `diesel::internal`: the name of a table as a constant.
//!
//! Diesel's public traits contain the name of a column (`Column::NAME`), but not the name of a
//! table. `table!` writes the name of a table into an implementation of `StaticQueryFragment`.
//! Diesel does not promise to keep the module of this trait within 2.x. If Diesel changes it, only
//! this file must change.

use diesel::internal::table_macro::{Identifier, StaticQueryFragment};

/// The name of a table of `table!`.
#[doc(hidden)]
pub trait TableName {
    const NAME: &'static str;
}

impl<T: StaticQueryFragment<Component = Identifier<'static>>> TableName for T {
    const NAME: &'static str = T::STATIC_COMPONENT.0;
}
