//! The errors of rebasing.

use crate::wire::codec::error::{BuildError, BuildErrorKind};
use crate::wire::codec::header::Header;

/// Returns the error of a table with more resolutions than an index can hold.
#[cold]
pub(super) fn too_many(header: Header<'_>) -> BuildError {
    BuildError::new(BuildErrorKind::TooMany, header.name, None)
}

/// Returns the error of a table whose columns or key differ from those in the rebase data.
#[cold]
pub(super) fn mismatch(key: &[u8], header: Header<'_>) -> BuildError {
    let kind = if key.len() == header.key.len() {
        BuildErrorKind::RebaseKey
    } else {
        BuildErrorKind::RebaseColumns { columns: header.key.len(), rebased_on: key.len() }
    };
    BuildError::new(kind, header.name, None)
}
