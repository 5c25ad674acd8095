//! Counts the memory that reading and building allocate. A program of its own, because it counts
//! every allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, repeat};

use diesel_sqlite_session::wire::TableInfo;
use diesel_sqlite_session::{Changeset, ChangesetReader, ChangesetRef, ParseError, PatchsetRef};

#[path = "allocation/applying.rs"]
mod applying;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator with counters for each thread.
struct Counting;

// SAFETY: every call is handed to the system's allocator as it came; the counters are plain cells
// without destructors.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.get() + layout.size();
        NOW.set(now);
        PEAK.set(PEAK.get().max(now));
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.set(NOW.get().saturating_sub(layout.size()));
        // SAFETY: as above; the memory came from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the largest number of bytes that `work` held at one time.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let result = work();
    (result, PEAK.get() - before)
}

const CHUNK: usize = 64 * 1024;

fn drain(source: impl Read) -> Result<usize, ParseError> {
    let mut reader = ChangesetReader::new(source);
    let mut count = 0;
    while let Some(record) = reader.next_record()? {
        assert!(record.old_values().chain(record.new_values()).flatten().count() > 0);
        count += 1;
    }
    Ok(count)
}

#[test]
fn checking_and_reading_allocate_nothing() {
    let insert = b"\x12\0\x01\0\0\0\0\0\0\0\x01\x03\x05Alice";
    let bytes = [&b"T\x02\x01\0users\0"[..], &insert.repeat(1000)].concat();
    let (count, peak) = peak(|| {
        let changeset = ChangesetRef::parse(&bytes).unwrap();
        changeset.records().map(|record| record.new_values().flatten().count()).sum::<usize>()
    });
    assert_eq!((count, peak), (2000, 0));
}

#[test]
fn building_allocates_what_its_documentation_promises() {
    const ROWS: i64 = 10_000;
    let users = TableInfo::new("users", &[1, 0]);
    // 7 and the number of rows are coprime
    for (step, each) in [(1, 0), (7, 56)] {
        let (changeset, peak) = peak(|| {
            let mut builder = Changeset::builder();
            for row in 0..ROWS {
                builder = builder.insert_values(users, &[(row * step % ROWS).into(), "Alice".into()]);
            }
            builder.build().unwrap()
        });
        assert_eq!(changeset.records().count(), ROWS as usize);
        // a growing buffer exists twice for a moment
        let most = 3 * changeset.as_bytes().len() + each * ROWS as usize + 1000;
        assert!(peak <= most, "{peak} bytes, and not {most}");
    }
}

#[test]
fn an_error_allocates_only_its_message() {
    let claims: [&[u8]; 4] = [
        b"T\x84\x80\x00\x01",                                                  // 65,536 columns
        b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x04\x83\xdc\xeb\x94\x00", // a blob of 1,000,000,000 bytes
        b"P\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"T\x02\x01\0t\0\x17\0\x01\0\0\0\0\0\0\0\x01",
    ];
    for bytes in claims {
        let (_, peak) = peak(|| (ChangesetRef::parse(bytes).is_err(), PatchsetRef::parse(bytes).is_err()));
        assert!(peak <= 256, "{peak} bytes for {bytes:?}");
    }
}

#[test]
fn a_stream_allocates_for_one_change_and_not_for_a_claimed_length() {
    let claim = b"T\x02\x01\0t\0\x12\0\x01\0\0\0\0\0\0\0\x01\x04\x83\xdc\xeb\x94\x00";
    for given in [0, 100, 1_000_000] {
        let (result, peak) = peak(|| drain(claim.chain(repeat(7).take(given as u64))));
        assert!(result.is_err());
        assert!(peak <= 4 * (CHUNK + given), "{peak} bytes for {given}");
    }
}

#[test]
fn a_stream_of_many_changes_allocates_for_one() {
    let insert = [&b"\x12\0\x01\0\0\0\0\0\0\0\x01\x04\x9f\x50"[..], &[7; 4048]].concat();
    let bytes = [&b"T\x02\x01\0t\0"[..], &insert.repeat(5000)].concat();
    let (count, peak) = peak(|| drain(&bytes[..]).unwrap());
    assert_eq!(count, 5000);
    assert!(peak <= 2 * CHUNK, "{peak} bytes for {} of input", bytes.len());
}

#[allow(missing_docs)]
mod rows {
    diesel::table! {
        users (id) {
            id -> BigInt,
            name -> Text,
        }
    }

    #[derive(diesel_sqlite_session::Tracked)]
    #[diesel(table_name = users)]
    pub(super) struct UserRef<'a> {
        pub(super) id: i64,
        pub(super) name: &'a str,
    }

    #[derive(diesel_sqlite_session::Tracked)]
    #[diesel(table_name = users)]
    pub(super) struct User {
        pub(super) id: i64,
        pub(super) name: String,
    }
}

#[test]
fn borrowed_rows_allocate_nothing_and_owned_rows_only_their_values() {
    use diesel_sqlite_session::Change;
    use rows::{User, UserRef};
    let insert = b"\x12\0\x01\0\0\0\0\0\0\0\x01\x03\x05Alice";
    let bytes = [&b"T\x02\x01\0users\0"[..], &insert.repeat(1000)].concat();
    let changeset = ChangesetRef::parse(&bytes).unwrap();
    let (sum, allocated) = peak(|| {
        changeset.changes::<Change<UserRef<'_>>>().fold(0, |sum, change| match change {
            Ok(Change::Insert(user)) => sum + user.id + user.name.len() as i64,
            _ => panic!("there are INSERTs alone"),
        })
    });
    assert_eq!((sum, allocated), (6000, 0));
    let (sum, allocated) = peak(|| {
        changeset.changes::<Change<User>>().fold(0, |sum, change| match change {
            Ok(Change::Insert(user)) => sum + user.id + user.name.len() as i64,
            _ => panic!("there are INSERTs alone"),
        })
    });
    assert_eq!((sum, allocated), (6000, "Alice".len()));
}
