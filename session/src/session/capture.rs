//! The changes that a closure makes.

use std::fmt;
use std::vec::Vec;

use diesel::{Connection, SqliteConnection};

use crate::SqliteSessionExt;
use super::error::SessionError;
use crate::typed::{DecodeError, FromChanges};
use crate::wire::Changeset;

/// What a closure gave, and what it changed: see [`SqliteSessionExt::capture`].
///
/// `Debug` shows of the changeset only how long it is, so that columns that the set [skips](crate::Tracked#skip) are not printed.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Captured<S, T> {
    /// What the closure returned.
    pub value: T,
    /// What it changed in the tables of the set, one change for each row.
    pub changes: Vec<S>,
    /// The same, untyped: to be sent elsewhere, or [inverted](Changeset::invert) to undo it.
    pub changeset: Changeset,
}

impl<S: fmt::Debug, T: fmt::Debug> fmt::Debug for Captured<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured")
            .field("value", &self.value)
            .field("changes", &self.changes)
            .field("changeset", &format_args!("{} bytes", self.changeset.as_bytes().len()))
            .finish()
    }
}

/// Why a closure's changes were not captured. Nothing that it did stays.
///
/// It is an error whatever the closure's error is, also `Box<dyn Error>`. Its message is that of the closure's error, which is not its
/// [`source`](std::error::Error::source): [`Closure`](Self::Closure) has it.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaptureError<E> {
    /// The closure failed.
    Closure(E),
    /// The transaction could not be begun or committed.
    Transaction(diesel::result::Error),
    /// The changes could not be recorded.
    Session(SessionError),
    /// A change is not what the set says.
    Decode(DecodeError),
}

impl<E: fmt::Display> fmt::Display for CaptureError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closure(error) => error.fmt(f),
            Self::Transaction(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for CaptureError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Closure(_) => None,
            Self::Transaction(error) => error.source(),
            Self::Session(error) => error.source(),
            Self::Decode(error) => error.source(),
        }
    }
}

impl<E> From<diesel::result::Error> for CaptureError<E> {
    fn from(error: diesel::result::Error) -> Self {
        Self::Transaction(error)
    }
}

impl<E> From<SessionError> for CaptureError<E> {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl<E> From<DecodeError> for CaptureError<E> {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

pub(crate) fn capture<S, T, E, F>(connection: &mut SqliteConnection, work: F) -> Result<Captured<S, T>, CaptureError<E>>
where
    S: for<'a> FromChanges<'a>,
    F: FnOnce(&mut SqliteConnection) -> Result<T, E>,
{
    connection.transaction(|connection| {
        let mut session = connection.create_session()?;
        session.attach_set::<S>()?;
        let value = work(connection).map_err(CaptureError::Closure)?;
        let changeset = session.changeset()?;
        let changes = changeset.changes().collect::<Result<_, _>>()?;
        Ok(Captured { value, changes, changeset })
    })
}
