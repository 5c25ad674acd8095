//! What becomes of a change that comes later and does not fit what is there: the policies.

use std::collections::BTreeMap;
use std::error::Error;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::apply::{Apply, Decision, RowConflict};
use diesel_sqlite_session::wire::{ChangesetFormat, RebaseData};
use diesel_sqlite_session::{Change, Changeset, Conflict, SqliteSessionExt};

use super::board::{Board, Card, Cell, Label, Shared, delete_orphans, forget_orphans};
use super::protocol::{ForeignKeys, Rules};

/// Who wins where two edits meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// What comes later replaces what is there.
    Later,
    /// What is there stays, and what comes later is omitted.
    Earlier,
    /// The same, but an UPDATE is never omitted in part, but written over: see [`Policy::update`].
    EarlierWhole,
    /// The same, but an UPDATE that sets more than what was edited replaces.
    EarlierOfTheSame,
    /// The row that was edited last, by a clock, as a whole; an edit wins over a deletion.
    Newest,
    /// The same, but an UPDATE is never omitted in part.
    NewestWhole,
    /// Column by column, the greater value; an edit wins over a deletion.
    Columns,
}

/// What to do about a change of a row that is there.
enum Answer<T> {
    Replace,
    Omit,
    /// Replace, and then write this.
    Write(T),
}

impl Policy {
    /// Whether an edit sets the column `edited_at`.
    pub(super) fn uses_a_clock(self) -> bool {
        matches!(self, Self::Newest | Self::NewestWhole)
    }

    /// An UPDATE of a row that was edited. `sets_more`: also in a column in which the row was not.
    ///
    /// Such an UPDATE must not be omitted where its replica's news are rebased: they would not set that column back. To replace and to
    /// write back what there was does the same here, and there too.
    fn update<T: Shared>(self, update: &T::Update, current: &T, sets_more: bool) -> Answer<T> {
        let is_newer = || T::newly_edited_at(update).is_some_and(|time| time > current.edited_at());
        match self {
            Self::Later => Answer::Replace,
            Self::Newest | Self::NewestWhole if is_newer() => Answer::Replace,
            Self::EarlierOfTheSame if sets_more => Answer::Replace,
            Self::EarlierWhole | Self::NewestWhole if sets_more => Answer::Write(current.clone()),
            Self::Earlier | Self::EarlierWhole | Self::EarlierOfTheSame | Self::Newest | Self::NewestWhole => {
                Answer::Omit
            }
            Self::Columns => Answer::Write(current.merged(update)),
        }
    }

    /// An INSERT of a row that is there.
    fn insert<T: Shared>(self, new: &T, current: &T) -> Answer<T> {
        match self {
            Self::Later => Answer::Replace,
            Self::Newest | Self::NewestWhole if new.edited_at() > current.edited_at() => Answer::Replace,
            Self::Earlier | Self::EarlierWhole | Self::EarlierOfTheSame | Self::Newest | Self::NewestWhole => {
                Answer::Omit
            }
            Self::Columns => Answer::Write(current.united(new)),
        }
    }

    /// A DELETE of a row that was edited.
    fn delete<T>(self) -> Answer<T> {
        if self == Self::Later { Answer::Replace } else { Answer::Omit }
    }
}

/// A value that a column was given, or had, and that gave way. `None` is that of a deleted row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lost {
    pub(super) cell: Cell,
    pub(super) value: Option<String>,
}

/// The conflicts of a table, by key: a handler can be asked about a change more than once.
struct Conflicts<T> {
    rules: Rules,
    lost: BTreeMap<String, Vec<Lost>>,
    to_write: BTreeMap<String, T>,
}

/// A column that is there, and that a change sets to something else.
struct Contested {
    column: &'static str,
    /// Whether it was so when the change was made.
    is_as_found: bool,
    current: String,
    new: String,
}

impl<T: Shared> Conflicts<T> {
    fn new(rules: Rules) -> Self {
        Self { rules, lost: BTreeMap::new(), to_write: BTreeMap::new() }
    }

    fn decide<'c>(&mut self, conflict: Conflict<'c, Change<T>>) -> Decision<'c> {
        match conflict {
            Conflict::Data(c) => {
                let answer = match c.change() {
                    Change::Update(update) => self.update(update, c.current()),
                    Change::Delete(row) | Change::Insert(row) => self.delete(row, c.current()),
                };
                self.answer(&c, answer)
            }
            Conflict::Conflict(c) => {
                let Change::Insert(row) = c.change() else { return c.abort() };
                let answer = self.insert(row, c.current());
                self.answer(&c, answer)
            }
            Conflict::NotFound(c) => {
                self.nothing_comes_of(c.change());
                c.omit()
            }
            Conflict::Constraint(c) => {
                self.nothing_comes_of(c.change());
                if self.rules.omits_constraints { c.omit() } else { c.abort() }
            }
        }
    }

    fn answer<'c>(&mut self, conflict: &RowConflict<'c, Change<T>>, answer: Answer<T>) -> Decision<'c> {
        match answer {
            Answer::Omit => return conflict.omit(),
            Answer::Replace => {}
            Answer::Write(row) => _ = self.to_write.insert(row.key(), row),
        }
        conflict.replace()
    }

    fn update(&mut self, update: &T::Update, current: &T) -> Answer<T> {
        let columns = current.values().into_iter().zip(T::fields(update)).filter_map(|((column, current), field)| {
            let (old, new) = field.into_changed()?;
            (new != current).then(|| Contested { column, is_as_found: old == current, current, new })
        });
        let columns: Vec<Contested> = columns.collect();
        let sets_more = columns.iter().any(|column| column.is_as_found);
        let answer = self.rules.policy.update(update, current, sets_more);
        self.report_contested(T::key_of(update), columns, &answer);
        answer
    }

    fn insert(&mut self, new: &T, current: &T) -> Answer<T> {
        let columns = current.values().into_iter().zip(new.values());
        let columns = columns.filter(|((_, current), (_, new))| current != new);
        let columns =
            columns.map(|((column, current), (_, new))| Contested { column, is_as_found: false, current, new });
        let answer = self.rules.policy.insert(new, current);
        self.report_contested(new.key(), columns.collect(), &answer);
        answer
    }

    fn delete(&mut self, old: &T, current: &T) -> Answer<T> {
        let values = current.values().into_iter().zip(old.values());
        let answer = self.rules.policy.delete();
        if matches!(answer, Answer::Replace) {
            let edited = values.filter(|(current, old)| current != old);
            self.report(old.key(), edited.map(|((column, current), _)| (column, Some(current))));
        } else {
            self.report(old.key(), values.map(|((column, _), _)| (column, None)));
        }
        answer
    }

    /// Of what is there and what comes, that which gives way; what is there not where it was known when the change was made.
    fn report_contested(&mut self, key: String, columns: Vec<Contested>, answer: &Answer<T>) {
        let written = if let Answer::Write(row) = answer { row.values() } else { Vec::new() };
        let lost = columns.into_iter().filter_map(|Contested { column, is_as_found, current, new }| {
            let replaces = match answer {
                Answer::Replace => true,
                Answer::Omit => false,
                Answer::Write(_) => written.iter().any(|(name, value)| *name == column && *value == new),
            };
            let lost = if replaces { (!is_as_found).then_some(current)? } else { new };
            Some((column, Some(lost)))
        });
        self.report(key, lost);
    }

    /// Perhaps it has been said before that it replaces.
    fn nothing_comes_of(&mut self, change: &Change<T>) {
        let (key, new): (_, Vec<_>) = match change {
            Change::Insert(row) => (row.key(), row.values()),
            Change::Update(update) => {
                let fields = T::COLUMNS.iter().zip(T::fields(update));
                let new = fields.filter_map(|(column, field)| Some((*column, field.into_changed()?.1)));
                (T::key_of(update), new.collect())
            }
            // the row is gone already
            Change::Delete(row) => (row.key(), Vec::new()),
        };
        self.to_write.remove(&key);
        self.report(key, new.into_iter().map(|(column, value)| (column, Some(value))));
    }

    fn report(&mut self, key: String, values: impl IntoIterator<Item = (&'static str, Option<String>)>) {
        let cell = |column: &str| Cell { table: T::NAME.into(), key: key.clone(), column: column.into() };
        let lost = values.into_iter().map(|(column, value)| Lost { cell: cell(column), value }).collect();
        self.lost.insert(key, lost);
    }

    fn write(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        self.to_write.values().try_for_each(|row| row.write(conn).map(|_| ()))
    }
}

/// What came of changes on top of what was there.
pub(super) struct Merged {
    /// What they changed, with what was written after.
    pub(super) effect: Changeset,
    /// How their conflicts were resolved: who made them has to change the same, by the rebaser, and then what was written.
    pub(super) rebase_data: RebaseData,
    pub(super) written: Changeset,
    pub(super) lost: Vec<Lost>,
    pub(super) met: Met,
}

/// What was met, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) conflicts: u64,
    /// Rows that were deleted, or refer to nothing now, because what they refer to is not there.
    pub(super) orphans: u64,
}

/// Makes changes on top of what is there. In a transaction of the caller's.
pub(super) fn merge(conn: &mut SqliteConnection, changes: &Changeset, rules: Rules) -> Result<Merged, Box<dyn Error>> {
    let (mut cards, mut labels) = (Conflicts::<Card>::new(rules), Conflicts::<Label>::new(rules));
    let applied = conn.capture::<Board>().try_run(|conn| {
        to_apply(conn, changes, rules)
            .only::<Board>()
            .on_conflict::<Card>(|conflict| cards.decide(conflict))
            .on_conflict::<Label>(|conflict| labels.decide(conflict))
            // what they do to rows of which the changes know nothing is done, and recorded, below
            .on_foreign_keys(|broken| broken.accept())
            .run()
    })?;
    let written = conn.capture::<Board>().run(|conn| {
        // what is written may refer to what is gone, until it is mended
        conn.batch_execute("PRAGMA defer_foreign_keys = ON")?;
        cards.write(conn)?;
        labels.write(conn)?;
        Ok(match rules.foreign_keys {
            ForeignKeys::None => Default::default(),
            ForeignKeys::Mend | ForeignKeys::Act => (delete_orphans(conn)?, forget_orphans(conn)?),
        })
    })?;
    let (gone, forgetful) = &written.value;
    let conflicts = (cards.lost.len() + labels.lost.len()) as u64;
    let counted = applied.value.replaced() + applied.value.omitted();
    if counted != conflicts {
        return Err(format!("{conflicts} conflicts were decided, the report says {counted}").into());
    }
    let lost = cards.lost.into_values().chain(labels.lost.into_values()).flatten();
    Ok(Merged {
        effect: applied.changeset.concat(&written.changeset)?,
        rebase_data: applied.value.into_rebase_data(),
        written: written.changeset,
        met: Met { conflicts, orphans: (gone.len() + forgetful.len()) as u64 },
        lost: lost.chain(gone.iter().flat_map(every_value)).chain(forgetful.iter().flat_map(what_it_sees)).collect(),
    })
}

/// What a foreign key did where the changes were made is among them: here it does nothing.
pub(super) fn to_apply<'a>(
    conn: &'a mut SqliteConnection,
    changes: &'a Changeset,
    rules: Rules,
) -> Apply<'a, ChangesetFormat> {
    let apply = conn.apply(changes);
    if rules.foreign_keys == ForeignKeys::Act { apply } else { apply.without_foreign_key_actions() }
}

/// A row that refers to nothing any more: that was on nobody's list.
fn what_it_sees(label: &Label) -> impl Iterator<Item = Lost> {
    every_value(label).filter(|lost| lost.cell.column == "see")
}

/// A row that is gone: it was on nobody's list.
fn every_value<T: Shared>(row: &T) -> impl Iterator<Item = Lost> {
    let key = row.key();
    row.values().into_iter().map(move |(column, value)| {
        let cell = Cell { table: T::NAME.into(), key: key.clone(), column: column.into() };
        Lost { cell, value: Some(value) }
    })
}
