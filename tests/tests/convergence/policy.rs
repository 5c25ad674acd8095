//! Policies: what happens to a later change that conflicts with the current row.

use std::collections::BTreeMap;
use std::error::Error;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_sqlite_session::apply::{Apply, Decision, RowConflict};
use diesel_sqlite_session::wire::{ChangesetFormat, RebaseData};
use diesel_sqlite_session::{Change, Changeset, Conflict, SqliteSessionExt};

use super::board::{Board, Card, Cell, Label, Shared, delete_orphans, forget_orphans};
use super::protocol::{ForeignKeys, Rules};

/// Which of two conflicting edits wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// The later change replaces the current row.
    Later,
    /// The current row stays, and the later change is omitted.
    Earlier,
    /// The same, but no UPDATE is partly omitted; the current values are written over it instead:
    /// see [`Policy::update`].
    EarlierWhole,
    /// The same, but an UPDATE that also sets other columns than the edited ones replaces.
    EarlierOfTheSame,
    /// The row with the newest clock wins as a whole. An edit wins over a deletion.
    Newest,
    /// The same, but no UPDATE is partly omitted.
    NewestWhole,
    /// In each column the greater value wins. An edit wins over a deletion.
    Columns,
}

/// The answer to a change of an existing row.
enum Answer<T> {
    Replace,
    Omit,
    /// Replace, and then write this row.
    Write(T),
}

impl Policy {
    /// Returns whether edits set the column `edited_at`.
    pub(super) fn uses_a_clock(self) -> bool {
        matches!(self, Self::Newest | Self::NewestWhole)
    }

    /// Decides about an UPDATE of an edited row. `sets_more`: it also sets a column in which the
    /// row was not edited.
    ///
    /// Such an UPDATE must not be omitted if the news is rebased, because the news would not
    /// restore that column on its replica. Replacing the row and writing the current values again
    /// has the same effect here, and also there.
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

    /// Decides about an INSERT of an existing row.
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

    /// Decides about a DELETE of an edited row.
    fn delete<T>(self) -> Answer<T> {
        if self == Self::Later { Answer::Replace } else { Answer::Omit }
    }
}

/// A value that lost a conflict: of an edit, or of the current row. `None` stands for a deleted
/// row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lost {
    pub(super) cell: Cell,
    pub(super) value: Option<String>,
}

/// The conflicts of a table by key, because a handler can be called more than once for a change.
struct Conflicts<T> {
    rules: Rules,
    lost: BTreeMap<String, Vec<Lost>>,
    to_write: BTreeMap<String, T>,
}

/// A column whose current value a change would replace.
struct Contested {
    column: &'static str,
    /// Whether the change had seen the current value.
    was_seen: bool,
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
                self.report_without_effect(c.change());
                c.omit()
            }
            Conflict::Constraint(c) => {
                self.report_without_effect(c.change());
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
            (new != current).then(|| Contested { column, was_seen: old == current, current, new })
        });
        let columns: Vec<Contested> = columns.collect();
        let sets_more = columns.iter().any(|column| column.was_seen);
        let answer = self.rules.policy.update(update, current, sets_more);
        self.report_contested(T::key_of(update), columns, &answer);
        answer
    }

    fn insert(&mut self, new: &T, current: &T) -> Answer<T> {
        let columns = current.values().into_iter().zip(new.values());
        let columns = columns.filter(|((_, current), (_, new))| current != new);
        let columns = columns.map(|((column, current), (_, new))| Contested { column, was_seen: false, current, new });
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

    /// Reports the values that lose: those of the change, or the current values that the change had
    /// not seen.
    fn report_contested(&mut self, key: String, columns: Vec<Contested>, answer: &Answer<T>) {
        let written = if let Answer::Write(row) = answer { row.values() } else { Vec::new() };
        let lost = columns.into_iter().filter_map(|Contested { column, was_seen, current, new }| {
            let replaces = match answer {
                Answer::Replace => true,
                Answer::Omit => false,
                Answer::Write(_) => written.iter().any(|(name, value)| *name == column && *value == new),
            };
            let lost = if replaces { (!was_seen).then_some(current)? } else { new };
            Some((column, Some(lost)))
        });
        self.report(key, lost);
    }

    /// Reports that a change has no effect. An earlier conflict of the change may have been
    /// answered otherwise.
    fn report_without_effect(&mut self, change: &Change<T>) {
        let (key, new): (_, Vec<_>) = match change {
            Change::Insert(row) => (row.key(), row.values()),
            Change::Update(update) => {
                let fields = T::COLUMNS.iter().zip(T::fields(update));
                let new = fields.filter_map(|(column, field)| Some((*column, field.into_changed()?.1)));
                (T::key_of(update), new.collect())
            }
            // the row is already deleted
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

/// The result of a merge.
pub(super) struct Merged {
    /// The resulting changes, including the rows written afterwards.
    pub(super) effect: Changeset,
    /// How the conflicts were resolved. The author of the changes makes the same changes by
    /// rebasing, and then by the rows written afterwards.
    pub(super) rebase_data: RebaseData,
    pub(super) written: Changeset,
    pub(super) lost: Vec<Lost>,
    pub(super) met: Met,
}

/// The number of conflicts of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) conflicts: u64,
    /// Rows that were deleted, or whose reference was cleared, because the referenced row is
    /// missing.
    pub(super) orphans: u64,
}

/// Merges `changes` into the current rows, inside the caller's transaction.
pub(super) fn merge(conn: &mut SqliteConnection, changes: &Changeset, rules: Rules) -> Result<Merged, Box<dyn Error>> {
    let (mut cards, mut labels) = (Conflicts::<Card>::new(rules), Conflicts::<Label>::new(rules));
    let applied = conn.capture::<Board>().try_run(|conn| {
        to_apply(conn, changes, rules)
            .only::<Board>()
            .on_conflict::<Card>(|conflict| cards.decide(conflict))
            .on_conflict::<Label>(|conflict| labels.decide(conflict))
            // violations by rows outside the changes are repaired, and recorded, below
            .on_foreign_keys(|broken| broken.accept())
            .run()
    })?;
    let written = conn.capture::<Board>().run(|conn| {
        // the rows to write may refer to deleted rows until these are repaired
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

/// Prepares an apply. The changes contain the effects of foreign key actions on their replica, so
/// that these must not act again here.
pub(super) fn to_apply<'a>(
    conn: &'a mut SqliteConnection,
    changes: &'a Changeset,
    rules: Rules,
) -> Apply<'a, ChangesetFormat> {
    // the bookkeeping is nobody else's
    let apply = conn.apply(changes).only::<Board>();
    if rules.foreign_keys == ForeignKeys::Act { apply } else { apply.without_foreign_key_actions() }
}

/// Reports a cleared reference, which no edit had intended.
fn what_it_sees(label: &Label) -> impl Iterator<Item = Lost> {
    every_value(label).filter(|lost| lost.cell.column == "see")
}

/// Reports a deleted row, which no edit had intended.
fn every_value<T: Shared>(row: &T) -> impl Iterator<Item = Lost> {
    let key = row.key();
    row.values().into_iter().map(move |(column, value)| {
        let cell = Cell { table: T::NAME.into(), key: key.clone(), column: column.into() };
        Lost { cell, value: Some(value) }
    })
}
