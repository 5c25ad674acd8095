//! Reading and writing values through SQLite, for types that implement only Diesel's traits. A
//! query on an in-memory database converts the value.

use std::borrow::Cow;
use std::boxed::Box;
use std::cell::RefCell;
use std::error::Error;
use std::string::String;
use std::vec::Vec;

use diesel::deserialize::FromSqlRow;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DeserializeFieldError, UnexpectedNullError};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, Double, HasSqlType, Nullable, SingleValue, Text};
use diesel::sqlite::Sqlite;

use super::{CowValue, ValueError};
use crate::wire::Value;

std::thread_local! {
    /// The in-memory database of this thread.
    static SCRATCH: RefCell<Option<SqliteConnection>> = const { RefCell::new(None) };
}

/// Runs a query on the in-memory database of this thread.
fn with_scratch<R>(work: impl FnOnce(&mut SqliteConnection) -> QueryResult<R>) -> Result<R, ValueError> {
    // the connection is taken out while it is used, because the code of a type can call this
    // function again
    let taken = SCRATCH.try_with(|scratch| scratch.borrow_mut().take()).ok().flatten();
    let mut connection = match taken {
        Some(connection) => connection,
        None => SqliteConnection::establish(":memory:").map_err(ValueError::invalid)?,
    };
    let result = work(&mut connection);
    let _ = SCRATCH.try_with(|scratch| scratch.replace(Some(connection)));
    result.map_err(|error| match error {
        diesel::result::Error::DeserializationError(error) | diesel::result::Error::SerializationError(error) => {
            inner_error(error)
        }
        error => ValueError::invalid(error),
    })
}

/// Extracts the error of the type's own code from Diesel's error.
fn inner_error(error: Box<dyn Error + Send + Sync>) -> ValueError {
    let error = match error.downcast::<DeserializeFieldError>() {
        Ok(of_field) => of_field.error,
        Err(error) => error,
    };
    match error.downcast::<ValueError>() {
        Ok(error) => *error,
        Err(error) if error.is::<UnexpectedNullError>() => ValueError::Null,
        Err(error) => ValueError::invalid(error),
    }
}

/// The query `SELECT ?`, whose parameter keeps its storage class, and whose result is read as `ST`.
struct SelectValue<'a, ST> {
    value: Value<'a>,
    sql_type: std::marker::PhantomData<ST>,
}

impl<ST: SingleValue> Query for SelectValue<'_, ST> {
    type SqlType = ST;
}

/// The SQL is the same for every value and type, so that each thread prepares one statement.
impl<ST> QueryId for SelectValue<'_, ST> {
    type QueryId = SelectValue<'static, ()>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Conn, ST> RunQueryDsl<Conn> for SelectValue<'_, ST> {}

impl<ST> QueryFragment<Sqlite> for SelectValue<'_, ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        match &self.value {
            Value::Null => out.push_bind_param::<Nullable<BigInt>, _>(&None::<i64>)?,
            Value::Integer(integer) => out.push_bind_param::<BigInt, _>(integer)?,
            Value::Real(real) => out.push_bind_param::<Double, _>(real)?,
            Value::Text(bytes) => {
                let text = std::str::from_utf8(bytes)
                    .map_err(|_| diesel::result::Error::DeserializationError(Box::new(ValueError::Utf8)))?;
                out.push_bind_param::<Text, str>(text)?;
            }
            Value::Blob(bytes) => out.push_bind_param::<Binary, [u8]>(bytes)?,
        }
        Ok(())
    }
}

/// Reads a value with Diesel's `FromSqlRow`.
pub(super) fn decode<T, ST>(value: Value<'_>) -> Result<T, ValueError>
where
    T: FromSqlRow<ST, Sqlite> + 'static,
    ST: SingleValue + QueryId + 'static,
    Sqlite: HasSqlType<ST>,
{
    with_scratch(|connection| SelectValue::<ST> { value, sql_type: std::marker::PhantomData }.get_result(connection))
}

/// The query `SELECT v, v, v, v FROM (SELECT ? AS v)`. Only the column of the value's storage class
/// is not NULL.
struct SelectClass<'a, T: ?Sized, ST> {
    value: &'a T,
    sql_type: std::marker::PhantomData<ST>,
}

impl<T: ?Sized, ST> Query for SelectClass<'_, T, ST> {
    type SqlType = (Nullable<BigInt>, Nullable<Double>, Nullable<Text>, Nullable<Binary>);
}

/// The SQL is the same for every value and type, as for reading.
impl<T: ?Sized, ST> QueryId for SelectClass<'_, T, ST> {
    type QueryId = SelectClass<'static, (), ()>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Conn, T: ?Sized, ST> RunQueryDsl<Conn> for SelectClass<'_, T, ST> {}

impl<T, ST> QueryFragment<Sqlite> for SelectClass<'_, T, ST>
where
    T: ToSql<ST, Sqlite> + ?Sized,
    Sqlite: HasSqlType<ST>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(
            "SELECT CASE typeof(v) WHEN 'integer' THEN v END, CASE typeof(v) WHEN 'real' THEN v END, \
             CASE typeof(v) WHEN 'text' THEN v END, CASE typeof(v) WHEN 'blob' THEN v END FROM (SELECT ",
        );
        out.push_bind_param::<ST, T>(self.value)?;
        out.push_sql(" AS v)");
        Ok(())
    }
}

/// Writes a value with Diesel's `ToSql`.
pub(super) fn encode<T, ST>(value: &T) -> Result<CowValue<'static>, ValueError>
where
    T: ToSql<ST, Sqlite> + ?Sized,
    Sqlite: HasSqlType<ST>,
{
    type Classes = (Option<i64>, Option<f64>, Option<String>, Option<Vec<u8>>);
    let query = SelectClass::<T, ST> { value, sql_type: std::marker::PhantomData };
    let (integer, real, text, blob) = with_scratch(|connection| query.get_result::<Classes>(connection))?;
    Ok(match (integer, real, text, blob) {
        (Some(integer), ..) => CowValue::Integer(integer),
        (_, Some(real), ..) => CowValue::Real(real),
        (_, _, Some(text), _) => CowValue::Text(Cow::Owned(text)),
        (.., Some(blob)) => CowValue::Blob(Cow::Owned(blob)),
        _ => CowValue::Null,
    })
}
