//! A database file whose process can crash before any statement.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use diesel::connection::{InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The suffixes of a database file and of its journals.
const SUFFIXES: [&str; 3] = ["", "-journal", "-wal"];

/// A database file, and the connection of the process that uses it.
///
/// A crash leaves the files as they are at that moment, even inside a transaction. The files are
/// copied at that moment, and the connection is opened again on the copy. SQLite finds what it
/// would find after the process was killed. Nobody sees what the old process does afterwards.
pub(super) struct Machine {
    name: PathBuf,
    generation: u32,
    pub(super) conn: SqliteConnection,
    watch: Arc<Mutex<Watch>>,
}

/// The planned crash of a process, and the number of its commits.
#[derive(Default)]
struct Watch {
    /// The source and target of the copy, and the number of statements left until then.
    plan: Option<(PathBuf, PathBuf, u32)>,
    commits: u32,
}

/// The end of an operation.
pub(super) enum Ran<T> {
    Done(T),
    Crashed {
        /// Whether its transaction was committed.
        committed: bool,
    },
}

fn path(name: &Path, generation: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("{}.{generation}{file}", name.display()))
}

fn copy(from: &Path, to: &Path) {
    for file in SUFFIXES {
        let [from, to] = [from, to].map(|path| PathBuf::from(format!("{}{file}", path.display())));
        if from.exists() {
            std::fs::copy(from, to).unwrap();
        }
    }
}

impl Machine {
    /// Creates a machine with a file that contains the given schema.
    pub(super) fn new(name: PathBuf, template: &[u8]) -> Result<Self> {
        std::fs::write(path(&name, 0, ""), template)?;
        let (conn, watch) = open(&path(&name, 0, ""))?;
        Ok(Self { name, generation: 0, conn, watch })
    }

    /// Runs an operation, which is one transaction. With a planned crash it runs up to the
    /// statement of that number. If the operation has fewer statements, the crash follows the
    /// commit, before anybody learns of it.
    pub(super) fn run<T>(
        &mut self,
        crash: Option<u32>,
        operation: impl FnOnce(&mut SqliteConnection) -> Result<T>,
    ) -> Result<Ran<T>> {
        let [from, to] = [self.generation, self.generation + 1].map(|generation| path(&self.name, generation, ""));
        *self.watch.lock().unwrap() = Watch { plan: crash.map(|at| (from.clone(), to.clone(), at)), commits: 0 };
        let result = operation(&mut self.conn)?;
        let Watch { plan, commits } = std::mem::take(&mut *self.watch.lock().unwrap());
        if crash.is_none() {
            return Ok(Ran::Done(result));
        }
        if plan.is_some() {
            copy(&from, &to);
        }
        let (conn, watch) = open(&to)?;
        (self.conn, self.watch) = (conn, watch);
        self.generation += 1;
        SUFFIXES.iter().for_each(|file| _ = std::fs::remove_file(path(&self.name, self.generation - 1, file)));
        Ok(Ran::Crashed { committed: commits > 0 })
    }
}

fn open(path: &Path) -> Result<(SqliteConnection, Arc<Mutex<Watch>>)> {
    let mut conn = SqliteConnection::establish(path.to_str().ok_or("a path that is not UTF-8")?)?;
    // the process crashes, not the computer: written data need not be on disk
    conn.batch_execute("PRAGMA synchronous = OFF")?;
    let watch = Arc::new(Mutex::new(Watch::default()));
    let watched = Arc::clone(&watch);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| watched.lock().unwrap().see(&event));
    Ok((conn, watch))
}

impl Watch {
    fn see(&mut self, event: &InstrumentationEvent<'_>) {
        let Some((from, to, left)) = &mut self.plan else { return };
        match event {
            InstrumentationEvent::StartQuery { .. } if *left == 0 => {
                copy(from, to);
                self.plan = None;
            }
            InstrumentationEvent::StartQuery { .. } => *left -= 1,
            InstrumentationEvent::FinishQuery { query, error: None, .. } if query.to_string() == "COMMIT" => {
                self.commits += 1;
            }
            _ => {}
        }
    }
}
