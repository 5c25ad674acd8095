//! The only use of `diesel::internal`: the name of a table as a constant.
//!
//! Diesel's public traits have the name of a column (`Column::NAME`), but not that of a table. `table!` writes it into an
//! implementation of `StaticQueryFragment`, whose module Diesel does not promise to keep within 2.x. If Diesel changes it, this
//! file alone has to follow.

use diesel::internal::table_macro::{Identifier, StaticQueryFragment};

/// The name of a table of `table!`.
#[doc(hidden)]
pub trait TableName {
    const NAME: &'static str;
}

impl<T: StaticQueryFragment<Component = Identifier<'static>>> TableName for T {
    const NAME: &'static str = T::STATIC_COMPONENT.0;
}
