//! The protocol of a hub and its replicas as functions of a connection. All state is in the
//! database, so that a process may crash between any two statements and continue with the database
//! that it finds.
//!
//! Each function is one transaction, which contains both its changes to the shared tables and the
//! state of the protocol.
//!
//! ```text
//!  replica                                            hub
//!  edit     commits an edit and its changeset
//!  batch    numbers the unsent changes     ── Batch ─►  exchange  accepts it once, logs the result,
//!  take     applies the news before the                           and answers every repetition
//!           unsent changes                 ◄─ News ──
//! ```

use std::error::Error;

use diesel::prelude::*;
use diesel_sqlite_session::{Changeset, SqliteSessionExt};

use super::board::Board;
use super::policy::{Lost, Merged, Met, Policy, merge, to_apply};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// How a replica takes the changes of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The hub rebases the news onto the replica's batch. The replica applies its unsent changes
    /// again on top, by the policy.
    Rebase,
    /// The same at the hub. On the replica the news replaces unsent changes, which are rebased.
    RebaseBoth,
    /// The replica undoes its batch and takes what the hub has logged since, including its own
    /// batch.
    Replay,
    /// The hub sends the news without rebasing it: a mistake.
    Neither,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) policy: Policy,
    pub(super) way: Way,
    /// Whether constraint violations are omitted. Otherwise they end the sync.
    pub(super) omits_constraints: bool,
    pub(super) foreign_keys: ForeignKeys,
}

/// How references between rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForeignKeys {
    /// No row refers to another.
    None,
    /// Foreign keys do not act during an apply. Rows whose parent is missing are then deleted,
    /// which is recorded.
    Mend,
    /// The same, but foreign keys act: a mistake.
    Act,
}

impl Rules {
    pub(super) const fn new(policy: Policy, way: Way) -> Self {
        Self { policy, way, omits_constraints: false, foreign_keys: ForeignKeys::None }
    }
}

impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let constraints = if self.omits_constraints { ", constraints" } else { "" };
        let foreign_keys = match self.foreign_keys {
            ForeignKeys::None => "",
            ForeignKeys::Mend => ", foreign keys",
            ForeignKeys::Act => ", foreign keys that act",
        };
        write!(f, "{:?} by {:?}{constraints}{foreign_keys}", self.policy, self.way)
    }
}

/// The changes of a replica since it last took news.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) replica: i32,
    /// 1, 2, 3 …: the same number again is a repetition.
    pub(super) number: i64,
    pub(super) changes: Changeset,
}

/// The answer of the hub: the changes that make the replica equal to the hub at a position of its
/// log.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// The number of the answered batch.
    pub(super) number: i64,
    pub(super) position: i64,
    pub(super) changes: Changeset,
}

diesel::table! {
    /// On a replica: its state, one row.
    status (replica) {
        replica -> Integer,
        /// The number of the last batch.
        number -> BigInt,
        /// The number of the last answered batch, for which the next batch waits.
        answered -> BigInt,
    }
}

diesel::table! {
    /// On a replica: the changes that the hub has not answered.
    outbox (id) {
        id -> BigInt,
        /// The number of its batch, if it is in one.
        number -> Nullable<BigInt>,
        changes -> Binary,
    }
}

diesel::table! {
    /// On the hub: all changes in order.
    log (position) {
        position -> BigInt,
        changes -> Binary,
    }
}

diesel::table! {
    /// On the hub: the last batch of each replica, and its answer.
    peers (replica) {
        replica -> Integer,
        number -> BigInt,
        /// The position of the log that the replica reaches with the answer.
        position -> BigInt,
        news -> Binary,
    }
}

diesel::table! {
    /// On all databases: the values that lost a conflict, for people to review.
    lost (id) {
        id -> BigInt,
        table_name -> Text,
        key -> Text,
        column -> Text,
        value -> Nullable<Text>,
    }
}

/// The tables of hub and replica, so that one file can be both.
pub(super) const SCHEMA: &str = "
    CREATE TABLE status (replica INTEGER PRIMARY KEY, number BIGINT NOT NULL, answered BIGINT NOT NULL);
    CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, number BIGINT, changes BLOB NOT NULL);
    CREATE TABLE log (position INTEGER PRIMARY KEY AUTOINCREMENT, changes BLOB NOT NULL);
    CREATE TABLE peers (replica INTEGER PRIMARY KEY, number BIGINT NOT NULL, position BIGINT NOT NULL, news BLOB NOT NULL);
    CREATE TABLE lost (id INTEGER PRIMARY KEY, table_name TEXT NOT NULL, key TEXT NOT NULL, column TEXT NOT NULL, value TEXT);
";

// ---- the replica ----

/// Makes an edit. The edit and its record are committed together or not at all.
pub(super) fn edit(
    conn: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<()>,
) -> Result<()> {
    conn.transaction(|conn| {
        let edited = conn.capture::<Board>().run(work)?;
        remember(conn, &edited.changeset)
    })
}

fn remember(conn: &mut SqliteConnection, changes: &Changeset) -> Result<()> {
    if !changes.is_empty() {
        diesel::insert_into(outbox::table).values(outbox::changes.eq(changes.as_bytes())).execute(conn)?;
    }
    Ok(())
}

/// Returns the batch to send: the unanswered batch, or else a new batch of all unsent changes,
/// which may be empty.
pub(super) fn batch(conn: &mut SqliteConnection) -> Result<Batch> {
    conn.transaction(|conn| {
        let (replica, mut number, answered) = status::table.first::<(i32, i64, i64)>(conn)?;
        if number == answered {
            number += 1;
            diesel::update(status::table).set(status::number.eq(number)).execute(conn)?;
            diesel::update(outbox::table).set(outbox::number.eq(number)).execute(conn)?;
        }
        Ok(Batch { replica, number, changes: sent(conn)? })
    })
}

fn sent(conn: &mut SqliteConnection) -> Result<Changeset> {
    all(outbox::table.filter(outbox::number.is_not_null()).order(outbox::id).select(outbox::changes).load(conn)?)
}

fn not_sent(conn: &mut SqliteConnection) -> Result<Changeset> {
    all(outbox::table.filter(outbox::number.is_null()).order(outbox::id).select(outbox::changes).load(conn)?)
}

/// Concatenates changes in order.
fn all(changes: Vec<Vec<u8>>) -> Result<Changeset> {
    let changes = changes.into_iter().map(Changeset::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(Changeset::concat_all(&changes)?)
}

/// Takes the answer to the batch and applies later edits again on top, as the hub would. Returns
/// the conflicts.
pub(super) fn take(conn: &mut SqliteConnection, news: &News, rules: Rules) -> Result<Met> {
    conn.transaction(|conn| {
        let (_, number, answered) = status::table.first::<(i32, i64, i64)>(conn)?;
        if number == answered || number != news.number {
            return Ok(Met::default()); // the batch is known
        }
        let mut not_sent = not_sent(conn)?;
        let merged = if rules.way == Way::RebaseBoth {
            let merged = merge(conn, &news.changes, Rules { policy: Policy::Later, ..rules })?;
            not_sent = not_sent.rebase(&merged.rebase_data)?.concat(&merged.written)?;
            merged
        } else {
            // back to the state that the hub knew, which cannot conflict: nothing else was changed
            // since
            to_apply(conn, &not_sent, rules).inverted().run()?;
            if rules.way == Way::Replay {
                let sent = sent(conn)?;
                to_apply(conn, &sent, rules).inverted().run()?;
            }
            // to the state of the hub, without a handler: a conflict would be a mistake
            to_apply(conn, &news.changes, rules).run()?;
            // and the later edits again
            let merged = merge(conn, &not_sent, rules)?;
            not_sent = merged.effect.clone();
            merged
        };
        report(conn, &merged.lost)?;
        diesel::delete(outbox::table).execute(conn)?;
        remember(conn, &not_sent)?;
        diesel::update(status::table).set(status::answered.eq(number)).execute(conn)?;
        Ok(merged.met)
    })
}

fn report(conn: &mut SqliteConnection, lost: &[Lost]) -> QueryResult<()> {
    for Lost { cell, value } in lost {
        let cell = (lost::table_name.eq(&cell.table), lost::key.eq(&cell.key), lost::column.eq(&cell.column));
        diesel::insert_into(lost::table).values((cell, lost::value.eq(value))).execute(conn)?;
    }
    Ok(())
}

// ---- the hub ----

/// Accepts a replica's batch unless it is known, and returns the news for the replica, and the
/// conflicts.
pub(super) fn exchange(conn: &mut SqliteConnection, batch: &Batch, rules: Rules) -> Result<(News, Met)> {
    conn.transaction(|conn| {
        let (_, number, position, news) = peers::table.find(batch.replica).first::<(i32, i64, i64, Vec<u8>)>(conn)?;
        if batch.number <= number {
            // The batch is known. The stored answer is that to the last batch, the only one for
            // which a replica waits.
            return Ok((News { number, position, changes: Changeset::try_from(news)? }, Met::default()));
        }
        // the news since the last answer, which starts from the same rows as the batch
        let new =
            all(log::table.filter(log::position.gt(position)).order(log::position).select(log::changes).load(conn)?)?;
        let merged = merge(conn, &batch.changes, rules)?;
        report(conn, &merged.lost)?;
        diesel::insert_into(log::table).values(log::changes.eq(merged.effect.as_bytes())).execute(conn)?;
        let position = log::table.select(diesel::dsl::max(log::position)).first::<Option<i64>>(conn)?.unwrap_or(0);
        let changes = answer(&new, &merged, rules.way)?;
        let answer = (peers::number.eq(batch.number), peers::position.eq(position), peers::news.eq(changes.as_bytes()));
        diesel::update(peers::table.find(batch.replica)).set(answer).execute(conn)?;
        // no replica asks for what all replicas have
        let everywhere =
            peers::table.select(diesel::dsl::min(peers::position)).first::<Option<i64>>(conn)?.unwrap_or(0);
        diesel::delete(log::table.filter(log::position.le(everywhere))).execute(conn)?;
        Ok((News { number: batch.number, position, changes }, merged.met))
    })
}

fn answer(new: &Changeset, merged: &Merged, way: Way) -> Result<Changeset> {
    Ok(match way {
        Way::Rebase | Way::RebaseBoth => new.rebase(&merged.rebase_data)?.concat(&merged.written)?,
        Way::Replay => new.concat(&merged.effect)?,
        Way::Neither => new.concat(&merged.written)?,
    })
}
