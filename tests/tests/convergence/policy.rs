//! What becomes of a change that comes later and does not fit what is there: the policies.

use std::collections::BTreeMap;
use std::error::Error;

use diesel::prelude::*;
use diesel_sqlite_session::{ApplyError, Change, Changeset, Conflict, Decision, Field, RebaseData, SqliteSessionExt};

use super::board::{Board, Card, Cell, Label, Shared};
use super::protocol::Rules;

/// Who wins where two edits meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// What comes later replaces what is there.
    Later,
    /// What is there stays, and what comes later is omitted.
    Earlier,
    /// The same, but an UPDATE is never omitted in part: see [`Answer::Undo`].
    EarlierWhole,
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
    /// To omit an UPDATE is safe where what is there has changed every column that it sets. Otherwise: replace, and then write back
    /// what was there.
    Undo,
    /// Replace, and then write this.
    Write(T),
}

impl Policy {
    /// Whether an edit sets the column `edited_at`.
    pub(super) fn uses_a_clock(self) -> bool {
        matches!(self, Self::Newest | Self::NewestWhole)
    }

    fn update<T: Shared>(self, update: &T::Update, current: &T) -> Answer<T> {
        let is_newer = || T::newly_edited_at(update).is_some_and(|time| time > current.edited_at());
        match self {
            Self::Later => Answer::Replace,
            Self::Newest | Self::NewestWhole if is_newer() => Answer::Replace,
            Self::Earlier | Self::Newest => Answer::Omit,
            Self::EarlierWhole | Self::NewestWhole => Answer::Undo,
            Self::Columns => Answer::Write(current.merged(update)),
        }
    }

    fn insert<T: Shared>(self, new: &T, current: &T) -> Answer<T> {
        match self {
            Self::Later => Answer::Replace,
            Self::Newest | Self::NewestWhole if new.edited_at() > current.edited_at() => Answer::Replace,
            // an INSERT sets every column, and so did the one that is there
            Self::Earlier | Self::EarlierWhole | Self::Newest | Self::NewestWhole => Answer::Omit,
            Self::Columns => Answer::Write(current.united(new)),
        }
    }

    /// Of a row that was edited.
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

impl<T: Shared> Conflicts<T> {
    fn new(rules: Rules) -> Self {
        Self { rules, lost: BTreeMap::new(), to_write: BTreeMap::new() }
    }

    fn decide<'c>(&mut self, conflict: Conflict<'c, Change<T>>) -> Decision<'c> {
        match conflict {
            Conflict::Data(c) => match c.change() {
                Change::Update(update) => {
                    let current = c.current();
                    let values = current.values().into_iter().zip(T::fields(update));
                    // of each column: what is there and what comes; whether what is there is what the UPDATE found
                    let columns = values.filter_map(|((column, current), field)| match field {
                        Field::Changed { old, new } if new != current => Some((column, old == current, current, new)),
                        _ => None,
                    });
                    let columns: Vec<_> = columns.collect();
                    let sets_more = columns.iter().any(|(_, is_as_found, ..)| *is_as_found);
                    let answer = self.rules.policy.update(update, current);
                    let result: Vec<_> = match &answer {
                        Answer::Replace => columns.iter().map(|(.., new)| new.clone()).collect(),
                        Answer::Omit | Answer::Undo => columns.iter().map(|(.., current, _)| current.clone()).collect(),
                        Answer::Write(row) => {
                            let row = row.values();
                            let value = |name| row.iter().find(|(column, _)| column == name).map(|(_, value)| value);
                            columns.iter().filter_map(|(column, ..)| value(column)).cloned().collect()
                        }
                    };
                    let lost =
                        columns.into_iter().zip(result).filter_map(|((column, is_as_found, current, new), is)| {
                            let lost = if is == new { (!is_as_found).then_some(current) } else { Some(new) };
                            lost.map(|value| (column, Some(value)))
                        });
                    self.report(T::key_of(update), lost);
                    match answer {
                        Answer::Replace => c.replace(),
                        Answer::Undo if sets_more => {
                            self.to_write.insert(current.key(), current.clone());
                            c.replace()
                        }
                        Answer::Omit | Answer::Undo => c.omit(),
                        Answer::Write(row) => {
                            self.to_write.insert(row.key(), row);
                            c.replace()
                        }
                    }
                }
                Change::Delete(old) | Change::Insert(old) => {
                    let current = c.current();
                    let values = current.values().into_iter().zip(old.values());
                    match self.rules.policy.delete::<T>() {
                        Answer::Replace => {
                            let edited = values.filter(|(current, old)| current != old);
                            self.report(old.key(), edited.map(|((column, current), _)| (column, Some(current))));
                            c.replace()
                        }
                        _ => {
                            self.report(old.key(), values.map(|((column, _), _)| (column, None)));
                            c.omit()
                        }
                    }
                }
            },
            Conflict::Conflict(c) => {
                let (Change::Insert(new), current) = (c.change(), c.current()) else { return c.abort() };
                let answer = self.rules.policy.insert(new, current);
                let result = match &answer {
                    Answer::Replace => new.values(),
                    Answer::Omit | Answer::Undo => current.values(),
                    Answer::Write(row) => row.values(),
                };
                let values = current.values().into_iter().zip(new.values()).zip(result);
                let values = values.filter(|((current, new), _)| current != new);
                let lost =
                    values.map(|(((column, current), new), is)| (column, if is == new { current } else { new.1 }));
                self.report(new.key(), lost.map(|(column, value)| (column, Some(value))));
                match answer {
                    Answer::Replace => c.replace(),
                    Answer::Omit | Answer::Undo => c.omit(),
                    Answer::Write(row) => {
                        self.to_write.insert(row.key(), row);
                        c.replace()
                    }
                }
            }
            Conflict::NotFound(c) => {
                match c.change() {
                    Change::Update(update) => self.report_update(update),
                    // deleted twice
                    Change::Delete(row) | Change::Insert(row) => self.report(row.key(), []),
                }
                c.omit()
            }
            Conflict::Constraint(c) => {
                // it was perhaps replaced before, and is not now
                if let Change::Insert(row) = c.change() {
                    self.to_write.remove(&row.key());
                    self.report(row.key(), row.values().into_iter().map(|(column, value)| (column, Some(value))));
                } else if let Change::Update(update) = c.change() {
                    self.to_write.remove(&T::key_of(update));
                    self.report_update(update);
                }
                if self.rules.omits_constraints { c.omit() } else { c.abort() }
            }
        }
    }

    /// An UPDATE of which nothing came.
    fn report_update(&mut self, update: &T::Update) {
        let fields = T::COLUMNS.iter().zip(T::fields(update));
        let new = fields.filter_map(|(column, field)| Some((*column, field.into_changed()?.1)));
        self.report(T::key_of(update), new.map(|(column, value)| (column, Some(value))));
    }

    fn report(&mut self, key: String, values: impl IntoIterator<Item = (&'static str, Option<String>)>) {
        let cell = |column: &str| Cell { table: T::NAME.into(), key: key.clone(), column: column.into() };
        let lost = values.into_iter().map(|(column, value)| Lost { cell: cell(column), value });
        let lost = lost.collect();
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
    pub(super) conflicts: usize,
}

/// Makes changes on top of what is there. In a transaction of the caller's.
pub(super) fn merge(conn: &mut SqliteConnection, changes: &Changeset, rules: Rules) -> Result<Merged, Box<dyn Error>> {
    let (mut cards, mut labels) = (Conflicts::<Card>::new(rules), Conflicts::<Label>::new(rules));
    let applied = conn.capture::<Board, _, ApplyError, _>(|conn| {
        conn.apply(changes)
            .only::<Board>()
            .on_conflict::<Card>(|conflict| cards.decide(conflict))
            .on_conflict::<Label>(|conflict| labels.decide(conflict))
            .run()
    })?;
    let written = conn.capture::<Board, _, diesel::result::Error, _>(|conn| {
        cards.write(conn)?;
        labels.write(conn)
    })?;
    let conflicts = cards.lost.len() + labels.lost.len();
    let counted = applied.value.replaced() + applied.value.omitted();
    if counted != conflicts as u64 {
        return Err(format!("{conflicts} conflicts were decided, the report says {counted}").into());
    }
    Ok(Merged {
        effect: applied.changeset.concat(&written.changeset)?,
        rebase_data: applied.value.into_rebase_data(),
        written: written.changeset,
        lost: cards.lost.into_values().chain(labels.lost.into_values()).flatten().collect(),
        conflicts,
    })
}
