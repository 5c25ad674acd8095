//! The ledger of every edit. It is kept outside the databases and derived only from their contents
//! at each step.
//!
//! An edit consists of changes to columns, from one value to another; from or to nothing if the row
//! was inserted or deleted. Each change ends as one of the following. Anything else is a lost edit,
//! or an edit that nobody made:
//!
//! - *visible*: all databases have the value at the end;
//! - *superseded*: the value was visible at the hub, or waited on its replica, until an edit of
//!   that very value replaced it;
//! - *reported*: the value lost a conflict, and a database lists it by row, column and value;
//! - *undone*: its replica had restored the column before anybody received the value.

use std::collections::{BTreeMap, BTreeSet};

use super::board::{Cell, Contents, NULL};
use super::policy::Lost;

/// The fate of a change to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Visible,
    Superseded,
    Reported,
    Undone,
}

type Id = usize;

/// Changes of one replica to a column that the hub has not received. The last counts.
struct Pending {
    /// `None` if a reference was cleared because the other row was deleted, which was reported.
    edit: Option<Id>,
    old: Option<String>,
    new: Option<String>,
}

#[derive(Default)]
struct Replica {
    contents: Contents,
    sent: BTreeMap<Cell, Pending>,
    not_sent: BTreeMap<Cell, Pending>,
}

/// The number of changes with each fate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fates {
    pub(super) visible: u64,
    pub(super) superseded: u64,
    pub(super) reported: u64,
    pub(super) undone: u64,
}

pub(super) struct Ledger {
    edits: Vec<BTreeMap<Cell, Fate>>,
    replicas: Vec<Replica>,
    hub: Contents,
    /// The author of each value at the hub.
    owners: BTreeMap<Cell, Id>,
    /// The content of the hub at each position of its log.
    history: BTreeMap<i64, Contents>,
}

type Result<T, E = String> = std::result::Result<T, E>;

/// Returns the columns in which two contents differ.
fn difference<'a>(before: &'a Contents, after: &'a Contents) -> impl Iterator<Item = &'a Cell> {
    let cells: BTreeSet<&Cell> = before.keys().chain(after.keys()).collect();
    cells.into_iter().filter(|cell| before.get(*cell) != after.get(*cell))
}

impl Ledger {
    pub(super) fn new(replicas: usize, contents: &Contents) -> Self {
        let replica = || Replica { contents: contents.clone(), ..Replica::default() };
        Self {
            edits: Vec::new(),
            replicas: std::iter::repeat_with(replica).take(replicas).collect(),
            hub: contents.clone(),
            owners: BTreeMap::new(),
            history: BTreeMap::from([(0, contents.clone())]),
        }
    }

    /// The known content of a replica or of the hub.
    pub(super) fn contents(&self, replica: Option<usize>) -> &Contents {
        replica.map_or(&self.hub, |replica| &self.replicas[replica].contents)
    }

    /// Records that a replica committed an edit.
    pub(super) fn edited(&mut self, replica: usize, after: Contents) {
        let Self { edits, replicas, .. } = self;
        let Replica { contents, not_sent, .. } = &mut replicas[replica];
        let mut cells = BTreeMap::new();
        let id = edits.len();
        for cell in difference(contents, &after) {
            let (current, new) = (contents.get(cell).cloned(), after.get(cell).cloned());
            cells.insert(cell.clone(), Fate::Waiting);
            let pending = match not_sent.remove(cell) {
                None => Pending { edit: Some(id), old: current, new },
                Some(Pending { edit, old, .. }) => {
                    let undone = old == new;
                    if let Some(edit) = edit {
                        edits[edit].insert(cell.clone(), if undone { Fate::Undone } else { Fate::Superseded });
                    }
                    if undone {
                        cells.insert(cell.clone(), Fate::Undone);
                        continue;
                    }
                    Pending { edit: Some(id), old, new }
                }
            };
            not_sent.insert(cell.clone(), pending);
        }
        edits.push(cells);
        *contents = after;
    }

    /// Records that a replica put its unsent changes into a new batch.
    pub(super) fn batched(&mut self, replica: usize) {
        let replica = &mut self.replicas[replica];
        replica.sent = std::mem::take(&mut replica.not_sent);
    }

    /// Records that the hub accepted a batch, with its content afterwards and what it reported.
    pub(super) fn accepted(
        &mut self,
        replica: usize,
        position: i64,
        after: Contents,
        lost: &BTreeSet<Lost>,
    ) -> Result<()> {
        let all_pending = std::mem::take(&mut self.replicas[replica].sent);
        for cell in check_others(&self.hub, &after, &all_pending, lost)? {
            if let Some(owner) = self.owners.remove(&cell) {
                self.edits[owner].insert(cell, Fate::Reported);
            }
        }
        for (cell, pending) in all_pending {
            let before = self.hub.get(&cell);
            let is_true = settle(&cell, &pending, &self.hub, &after, lost)?;
            if let Some(edit) = pending.edit {
                self.edits[edit].insert(cell.clone(), if is_true { Fate::Visible } else { Fate::Reported });
            }
            let owner = match pending.edit {
                Some(edit) if is_true => self.owners.insert(cell.clone(), edit),
                _ if is_true || before != after.get(&cell) => self.owners.remove(&cell),
                _ => continue,
            };
            if let Some(owner) = owner {
                let is_reported =
                    pending.edit.is_none() || before != pending.new.as_ref() && before != pending.old.as_ref();
                self.edits[owner].insert(cell, if is_reported { Fate::Reported } else { Fate::Superseded });
            }
        }
        self.history.insert(position, after.clone());
        self.hub = after;
        Ok(())
    }

    /// Records that a replica took news of a position in the log, with its content afterwards and
    /// what it reported.
    pub(super) fn took(&mut self, replica: usize, position: i64, after: Contents, lost: &BTreeSet<Lost>) -> Result<()> {
        let replica = &mut self.replicas[replica];
        let hub = self.history.get(&position).ok_or("a place in the log that there is not")?;
        let all_pending = std::mem::take(&mut replica.not_sent);
        for cell in check_others(hub, &after, &all_pending, lost)? {
            let pending = Pending { edit: None, old: hub.get(&cell).cloned(), new: after.get(&cell).cloned() };
            replica.not_sent.insert(cell, pending);
        }
        for (cell, mut pending) in all_pending {
            let there = hub.get(&cell).cloned();
            let is_true = settle(&cell, &pending, hub, &after, lost)?;
            if is_true && there != pending.new {
                pending.old = there;
                replica.not_sent.insert(cell, pending);
                continue;
            }
            if let Some(edit) = pending.edit {
                // if the hub has the same value, this change counts as made before it
                self.edits[edit].insert(cell.clone(), if is_true { Fate::Superseded } else { Fate::Reported });
            }
            if after.get(&cell) != there.as_ref() {
                let new = after.get(&cell).cloned();
                replica.not_sent.insert(cell, Pending { edit: None, old: there, new });
            }
        }
        replica.contents = after;
        Ok(())
    }

    /// Returns the fates of all edits.
    pub(super) fn close(&self) -> Result<Fates> {
        let mut fates = Fates::default();
        for (id, cells) in self.edits.iter().enumerate() {
            for (cell, fate) in cells {
                match fate {
                    Fate::Waiting => return Err(format!("edit {id} of {cell:?} never came to the hub")),
                    Fate::Visible if self.owners.get(cell) != Some(&id) => {
                        return Err(format!("edit {id} of {cell:?} is not what the hub has"));
                    }
                    Fate::Visible => fates.visible += 1,
                    Fate::Superseded => fates.superseded += 1,
                    Fate::Reported => fates.reported += 1,
                    Fate::Undone => fates.undone += 1,
                }
            }
        }
        Ok(fates)
    }
}

/// Checks that only intended columns changed, apart from reported deletions and cleared references.
fn check_others(
    before: &Contents,
    after: &Contents,
    all_pending: &BTreeMap<Cell, Pending>,
    lost: &BTreeSet<Lost>,
) -> Result<Vec<Cell>> {
    let others = difference(before, after).filter(|cell| !all_pending.contains_key(cell));
    let check = |cell: &Cell| {
        let (old, new) = (before.get(cell).cloned(), after.get(cell).cloned());
        if new.as_ref().is_none_or(|new| new == NULL) && lost.contains(&Lost { cell: cell.clone(), value: old.clone() })
        {
            Ok(cell.clone())
        } else {
            Err(format!("{cell:?} became {new:?} where there was {old:?}, which no edit did"))
        }
    };
    others.map(check).collect()
}

/// Returns whether a pending change took effect. If it did not, or if it replaced a value that it
/// had not seen, the loss must have been reported.
fn settle(cell: &Cell, pending: &Pending, before: &Contents, after: &Contents, lost: &BTreeSet<Lost>) -> Result<bool> {
    let (before, after) = (before.get(cell).cloned(), after.get(cell).cloned());
    let is_reported = |value: &Option<String>| lost.contains(&Lost { cell: cell.clone(), value: value.clone() });
    let is_true = after == pending.new;
    if !is_true && !is_reported(&pending.new) {
        return Err(format!("{cell:?} should be {:?}, is {after:?}, and nobody was told", pending.new));
    }
    if after != before && before != pending.old && !is_reported(&before) {
        return Err(format!("{cell:?} was {before:?}, is {after:?}, which was not made over it, and nobody was told"));
    }
    Ok(is_true)
}
