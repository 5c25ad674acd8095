//! Recorded changes, written piece by piece.

use core::ffi::{c_int, c_void};
use std::io::Write;
use std::panic::resume_unwind;

use super::super::cache::CacheLimit;
use super::super::callback;
use super::super::error::SqliteError;
use super::super::handle::Handle;
use super::super::schema_watch::KnownSchema;
use super::super::statement::Connection;
use super::super::sys::{self, sqlite3};
use super::{RawSession, Unavailable};
use crate::wire::Format;

impl RawSession {
    /// Writes the recorded changes piece by piece. `handle` must belong to the session's own
    /// connection. After the changes have been read, `verify` looks at the schema.
    pub(crate) fn stream<E>(
        &self,
        handle: Handle<'_>,
        format: Format,
        limit: &CacheLimit<'_>,
        writer: &mut dyn Write,
        verify: impl FnOnce(Connection<'_>, &mut KnownSchema) -> Result<(), E>,
    ) -> Result<Result<(), StreamError<E>>, Unavailable> {
        let result = self.with_connection(Some(handle), |open| {
            let db = open.db.as_ptr();
            if !open.records() {
                return Err(StreamFailure::Error(StreamError::OtherHook));
            }
            // restored at the very end, when the error has been read
            let _cache = open.enlarge_cache(limit);
            let mut output = Output { writer, db, error: None, panic: None };
            let context = (&raw mut output).cast::<c_void>();
            let code = open.without_recording(|session| match format {
                // SAFETY: the session is open. `write` has the expected type and expects `output`,
                // to which nothing else refers until the call returns.
                Format::Changeset => unsafe { sys::sqlite3session_changeset_strm(session, Some(write), context) },
                // SAFETY: the session is open. `write` has the expected type and expects `output`,
                // to which nothing else refers until the call returns.
                Format::Patchset => unsafe { sys::sqlite3session_patchset_strm(session, Some(write), context) },
            });
            match (output.panic, output.error, code) {
                (Some(panic), ..) => Err(StreamFailure::Panic(panic)),
                (None, Some(error), _) => Err(StreamFailure::Error(StreamError::Io(error))),
                (None, None, Ok(sys::SQLITE_OK)) => {
                    let verified = open.with_schema(limit.schema, verify);
                    verified.map_err(|error| StreamFailure::Error(StreamError::Schema(error)))
                }
                (None, None, Ok(code)) => {
                    // SAFETY: the connection of an open session is open.
                    let failure = unsafe { SqliteError::of(db, code) };
                    Err(StreamFailure::Error(StreamError::Sqlite(failure)))
                }
                (None, None, Err(failure)) => Err(StreamFailure::Error(StreamError::Sqlite(failure))),
            }
        })?;
        match result {
            Ok(()) => Ok(Ok(())),
            Err(StreamFailure::Panic(payload)) => resume_unwind(payload),
            Err(StreamFailure::Error(error)) => Ok(Err(error)),
        }
    }
}

/// The reason why streaming changes failed.
pub(crate) enum StreamError<E> {
    Io(std::io::Error),
    Sqlite(SqliteError),
    /// Another preupdate hook has taken the place of the session's.
    OtherHook,
    /// The schema has changed.
    Schema(E),
}

enum StreamFailure<E> {
    Error(StreamError<E>),
    Panic(callback::PanicPayload),
}

/// The writer of a stream, and its failure.
struct Output<'a> {
    writer: &'a mut dyn Write,
    db: *mut sqlite3,
    error: Option<std::io::Error>,
    panic: Option<callback::PanicPayload>,
}

/// Receives SQLite's next piece of a changeset.
unsafe extern "C" fn write(context: *mut c_void, bytes: *const c_void, size: c_int) -> c_int {
    // SAFETY: the context is the `Output` of the running call, to which nothing else refers until
    // the call returns.
    let output = unsafe { &mut *context.cast::<Output<'_>>() };
    let Ok(size) = usize::try_from(size) else {
        return sys::SQLITE_ERROR;
    };
    // SAFETY: SQLite passes `size` bytes that are valid during the call.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), size) };
    match callback::run(output.db, || output.writer.write_all(bytes)) {
        Ok(Ok(())) => sys::SQLITE_OK,
        Ok(Err(error)) => {
            output.error = Some(error);
            sys::SQLITE_ERROR
        }
        Err(payload) => {
            output.panic = Some(payload);
            sys::SQLITE_ERROR
        }
    }
}
