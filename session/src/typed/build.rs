//! Typed rows into the builders of changesets and patchsets.

use super::encode::EncodeRow;
use crate::wire::{BuildError, ChangesetBuilder, PatchsetBuilder, TableSchema, Value};

/// What happens to a row, for [`Extend`] of the builders.
///
/// ```
/// use diesel_sqlite_session::{Changeset, Edit, Tracked};
///
/// diesel::table! {
///     users (id) {
///         id -> Integer,
///         name -> Text,
///     }
/// }
///
/// #[derive(Tracked)]
/// #[diesel(table_name = users)]
/// pub struct User {
///     id: i32,
///     name: String,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = ["Ada", "Bob"].map(|name| User { id: name.len() as i32 + name.as_bytes()[0] as i32, name: name.into() });
/// let mut builder = Changeset::builder();
/// builder.extend(users.iter().map(Edit::Insert));
/// assert_eq!(builder.build()?.records().count(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edit<'r, R> {
    /// The row is inserted.
    Insert(&'r R),
    /// The row was the first and becomes the second.
    Update(&'r R, &'r R),
    /// The row is deleted.
    Delete(&'r R),
}

/// A row that cannot be written is an error of the compiler's, not of the program's.
struct Writable<R>(std::marker::PhantomData<R>);

impl<R: EncodeRow> Writable<R> {
    const CHECK: () = if R::UNWRITABLE.is_some() {
        panic!(
            "a field of this row cannot be written: its type has neither `ToSqlValue` for the column's SQL type, nor Diesel's \
             `ToSql<_, Sqlite>`"
        )
    };
}

/// Calls `push` with the values of a row.
#[inline(always)]
fn encoded<R: EncodeRow, B>(
    row: &R,
    builder: &mut B,
    push: impl FnOnce(&mut B, &[Value<'_>]),
    fail: impl FnOnce(&mut B, BuildError),
) {
    const { Writable::<R>::CHECK };
    if let Err((column, error)) = row.encode(|values| push(builder, values)) {
        fail(builder, BuildError::of_value(R::INFO.name(), R::INFO.columns(), column, &error));
    }
}

#[inline]
fn schema<R: EncodeRow>() -> TableSchema<'static> {
    const { TableSchema::new(R::INFO.name(), R::INFO.key_ordinals()).with_columns(R::INFO.columns()) }
}

macro_rules! typed_builder {
    ($Builder:ident, $Set:ident) => {
        impl $Builder {
            /// Adds an INSERT of a row: a struct with `#[derive(Tracked)]`.
            ///
            /// ```
            #[doc = concat!("use diesel_sqlite_session::{", stringify!($Set), ", Tracked};")]
            ///
            /// diesel::table! {
            ///     users (id) {
            ///         id -> Integer,
            ///         name -> Text,
            ///     }
            /// }
            ///
            /// #[derive(Tracked)]
            /// #[diesel(table_name = users)]
            /// pub struct User {
            ///     id: i32,
            ///     name: String,
            /// }
            ///
            /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// let (bob, robert) = (User { id: 1, name: "Bob".into() }, User { id: 1, name: "Robert".into() });
            #[doc = concat!("let built = ", stringify!($Set), "::builder().insert(&bob).update(&bob, &robert).build()?;")]
            /// assert_eq!(built.records().next().unwrap().to_string(), "INSERT users(1, 'Robert')");
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// A row with a field that cannot be written does not compile here:
            ///
            /// ```compile_fail,E0080
            #[doc = concat!("# use diesel_sqlite_session::{FromSqlValue, ", stringify!($Set), ", Tracked, Value, ValueError};")]
            /// # diesel::table! {
            /// #     users (id) {
            /// #         id -> Integer,
            /// #     }
            /// # }
            /// struct ReadOnly(i32);
            ///
            /// impl<'a> FromSqlValue<'a, diesel::sql_types::Integer> for ReadOnly {
            ///     fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
            ///         i32::from_sql_value(value).map(ReadOnly)
            ///     }
            /// }
            ///
            /// #[derive(Tracked)]
            /// #[diesel(table_name = users)]
            /// struct User {
            ///     id: ReadOnly,
            /// }
            ///
            /// # fn main() {
            #[doc = concat!("let _ = ", stringify!($Set), "::builder().insert(&User { id: ReadOnly(1) });")]
            /// # }
            /// ```
            pub fn insert<R: EncodeRow>(mut self, row: &R) -> Self {
                self.add(Edit::Insert(row));
                self
            }

            /// Adds an UPDATE of a row, from what it was to what it is. Both must have the same key.
            pub fn update<R: EncodeRow>(mut self, before: &R, after: &R) -> Self {
                self.add(Edit::Update(before, after));
                self
            }

            /// Adds a DELETE of a row, as it was.
            pub fn delete<R: EncodeRow>(mut self, row: &R) -> Self {
                self.add(Edit::Delete(row));
                self
            }

            #[inline(always)]
            fn add<R: EncodeRow>(&mut self, edit: Edit<'_, R>) {
                let table = schema::<R>();
                match edit {
                    Edit::Insert(row) => {
                        encoded(row, self, #[inline(always)] |builder, values| builder.push_insert(table, values), Self::fail);
                    }
                    Edit::Update(before, after) => {
                        const { Writable::<R>::CHECK };
                        let both = before.encode(|before| {
                            encoded(
                                after,
                                self,
                                |builder, after| builder.push_update(table, before, after),
                                Self::fail,
                            );
                        });
                        if let Err((column, error)) = both {
                            self.fail(BuildError::of_value(table.name(), R::INFO.columns(), column, &error));
                        }
                    }
                    Edit::Delete(row) => {
                        encoded(row, self, |builder, values| builder.push_delete(table, values), Self::fail);
                    }
                }
            }
        }

        /// Adds edits of rows.
        impl<'r, R: EncodeRow> Extend<Edit<'r, R>> for $Builder {
            fn extend<I: IntoIterator<Item = Edit<'r, R>>>(&mut self, edits: I) {
                edits.into_iter().for_each(|edit| self.add(edit));
            }
        }
    };
}
typed_builder!(ChangesetBuilder, Changeset);
typed_builder!(PatchsetBuilder, Patchset);
