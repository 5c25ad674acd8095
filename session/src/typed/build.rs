//! Adding typed rows to the builders of changesets and patchsets.

use super::encode::EncodeRow;
use crate::wire::{BuildError, Builder, SetFormat, TableInfo, Value};

/// An edit of a row, which [`Extend`] adds to a builder.
///
/// ```
/// use diesel_sqlite_session::typed::Edit;
/// use diesel_sqlite_session::{Changeset, Tracked};
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
    /// The first row is updated to the second.
    Update(&'r R, &'r R),
    /// The row is deleted.
    Delete(&'r R),
}

/// A check at compile time that a row can be written.
struct WritableCheck<R>(std::marker::PhantomData<R>);

impl<R: EncodeRow> WritableCheck<R> {
    const CHECK: () = if R::UNWRITABLE.is_some() {
        panic!(
            "a field of this row cannot be written: its type implements neither `ToSqlValue` for the SQL type of the column, nor \
             Diesel's `ToSql<_, Sqlite>`"
        )
    };
}

/// Calls `push` with the values of a row. Stores the error of a row that cannot be encoded in the
/// builder.
#[inline(always)]
fn push_encoded<R: EncodeRow, F: SetFormat>(
    row: &R,
    builder: &mut Builder<F>,
    push: impl FnOnce(&mut Builder<F>, &[Value<'_>]),
) {
    const { WritableCheck::<R>::CHECK };
    if let Err((column, error)) = row.encode(|values| push(builder, values)) {
        builder.fail(BuildError::of_value(R::INFO.table(), R::INFO.columns(), column, &error));
    }
}

#[inline]
fn table_info<R: EncodeRow>() -> TableInfo<'static> {
    const { R::INFO }
}

impl<F: SetFormat> Builder<F> {
    /// Adds the INSERT of a row, a struct with `#[derive(Tracked)]`.
    ///
    /// ```
    /// use diesel_sqlite_session::{Changeset, Tracked};
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
    /// let built = Changeset::builder().insert(&bob).update(&bob, &robert).build()?;
    /// assert_eq!(built.records().next().unwrap().to_string(), "INSERT users(1, 'Robert')");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A row with a field that cannot be written does not compile here:
    ///
    /// ```compile_fail,E0080
    /// # use diesel_sqlite_session::typed::{FromSqlValue, ValueError};
    /// # use diesel_sqlite_session::{Changeset, Tracked, Value};
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
    /// let _ = Changeset::builder().insert(&User { id: ReadOnly(1) });
    /// # }
    /// ```
    pub fn insert<R: EncodeRow>(mut self, row: &R) -> Self {
        self.push(Edit::Insert(row));
        self
    }

    /// Adds the UPDATE of a row from `before` to `after`. Both must have the same primary key.
    pub fn update<R: EncodeRow>(mut self, before: &R, after: &R) -> Self {
        self.push(Edit::Update(before, after));
        self
    }

    /// Adds the DELETE of a row. `row` contains the old values.
    pub fn delete<R: EncodeRow>(mut self, row: &R) -> Self {
        self.push(Edit::Delete(row));
        self
    }

    #[inline(always)]
    fn push<R: EncodeRow>(&mut self, edit: Edit<'_, R>) {
        let table = table_info::<R>();
        match edit {
            Edit::Insert(row) => {
                push_encoded(
                    row,
                    self,
                    #[inline(always)]
                    |builder, values| builder.push_insert(table, values),
                );
            }
            Edit::Update(before, after) => {
                const { WritableCheck::<R>::CHECK };
                let both = before.encode(|before| {
                    push_encoded(after, self, |builder, after| builder.push_update(table, before, after));
                });
                if let Err((column, error)) = both {
                    self.fail(BuildError::of_value(table.table(), table.columns(), column, &error));
                }
            }
            Edit::Delete(row) => {
                push_encoded(row, self, |builder, values| builder.push_delete(table, values));
            }
        }
    }
}

/// Adds the edits of rows.
impl<'r, F: SetFormat, R: EncodeRow> Extend<Edit<'r, R>> for Builder<F> {
    fn extend<I: IntoIterator<Item = Edit<'r, R>>>(&mut self, edits: I) {
        edits.into_iter().for_each(|edit| self.push(edit));
    }
}
