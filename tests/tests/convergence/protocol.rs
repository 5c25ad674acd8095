//! The protocol of a hub and its replicas, as functions of a connection: nothing that they need is anywhere but in its database, so
//! that a process may end between any two statements, and go on with the database that it finds.
//!
//! Each function is one transaction, which holds what it does to the shared tables and what the protocol has to remember of it.
//!
//! ```text
//!  replica                                            hub
//!  edit     changes, and the record of them
//!  batch    numbers what is not sent yet   ── Batch ─►  exchange  takes it, once; logs what it came to
//!  take     the news below what is not sent  ◄─ News ──           and answers, as often as it is asked
//! ```

use std::error::Error;

use diesel::prelude::*;
use diesel_sqlite_session::{Changeset, SqliteSessionExt};

use super::board::Board;
use super::policy::{Lost, Merged, Met, Policy, merge, to_apply};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// How a replica comes to have what the hub has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The hub rebases what is new on it by the conflicts that the replica's batch had. What the replica has not sent comes on top
    /// again, by the policy.
    Rebase,
    /// The same at the hub. On the replica the news replace what has not been sent, which is rebased.
    RebaseBoth,
    /// The replica undoes its batch, and takes what the hub has logged since, its own batch included.
    Replay,
    /// The hub sends what is new on it as it stands: a mistake.
    Neither,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) policy: Policy,
    pub(super) way: Way,
    /// Whether what breaks a constraint is omitted. Otherwise it ends the sync.
    pub(super) omits_constraints: bool,
    pub(super) foreign_keys: ForeignKeys,
}

/// What becomes of rows that refer to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForeignKeys {
    /// None refers to another.
    None,
    /// Foreign keys do not act while changes are applied. Which rows then refer to none are deleted, and that is recorded.
    Mend,
    /// The same, but they act: a mistake.
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

/// From a replica: what it did since it last took news.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) replica: i32,
    /// 1, 2, 3 …: the same one again is a repetition.
    pub(super) number: i64,
    pub(super) changes: Changeset,
}

/// From the hub: what the replica has to do to be as the hub was at a place in its log.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// The batch that it answers.
    pub(super) number: i64,
    pub(super) position: i64,
    pub(super) changes: Changeset,
}

diesel::table! {
    /// Of a replica: one row.
    status (replica) {
        replica -> Integer,
        /// Of the last batch.
        number -> BigInt,
        /// Of the last batch that was answered: the next one waits for that.
        answered -> BigInt,
    }
}

diesel::table! {
    /// Of a replica: what it did and the hub has not answered.
    outbox (id) {
        id -> BigInt,
        /// The batch that it is in.
        number -> Nullable<BigInt>,
        changes -> Binary,
    }
}

diesel::table! {
    /// Of the hub: what was done, one after another.
    log (position) {
        position -> BigInt,
        changes -> Binary,
    }
}

diesel::table! {
    /// Of the hub: the last batch of each replica, and what was answered.
    peers (replica) {
        replica -> Integer,
        number -> BigInt,
        /// How much of the log the replica has with the answer.
        position -> BigInt,
        news -> Binary,
    }
}

diesel::table! {
    /// Everywhere: the values that gave way, for people to look at.
    lost (id) {
        id -> BigInt,
        table_name -> Text,
        key -> Text,
        column -> Text,
        value -> Nullable<Text>,
    }
}

/// Of both, so that one file will do.
pub(super) const SCHEMA: &str = "
    CREATE TABLE status (replica INTEGER PRIMARY KEY, number BIGINT NOT NULL, answered BIGINT NOT NULL);
    CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, number BIGINT, changes BLOB NOT NULL);
    CREATE TABLE log (position INTEGER PRIMARY KEY AUTOINCREMENT, changes BLOB NOT NULL);
    CREATE TABLE peers (replica INTEGER PRIMARY KEY, number BIGINT NOT NULL, position BIGINT NOT NULL, news BLOB NOT NULL);
    CREATE TABLE lost (id INTEGER PRIMARY KEY, table_name TEXT NOT NULL, key TEXT NOT NULL, column TEXT NOT NULL, value TEXT);
";

// ---- the replica ----

/// A person's edit. It and its record are committed together, or neither is.
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

/// What is to be sent: the batch that has not been answered, or else a new one of all that was done, which may be nothing.
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

/// Changes one after another, as one.
fn all(changes: Vec<Vec<u8>>) -> Result<Changeset> {
    let changes = changes.into_iter().map(Changeset::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(Changeset::concat_all(&changes)?)
}

/// Takes the answer to the batch. What was done meanwhile comes on top of it, as it would at the hub. Gives what it met.
pub(super) fn take(conn: &mut SqliteConnection, news: &News, rules: Rules) -> Result<Met> {
    conn.transaction(|conn| {
        let (_, number, answered) = status::table.first::<(i32, i64, i64)>(conn)?;
        if number == answered || number != news.number {
            return Ok(Met::default()); // it has been taken
        }
        let mut not_sent = not_sent(conn)?;
        let merged = if rules.way == Way::RebaseBoth {
            let merged = merge(conn, &news.changes, Rules { policy: Policy::Later, ..rules })?;
            not_sent = not_sent.rebase(&merged.rebase_data)?.concat(&merged.written)?;
            merged
        } else {
            // back to what the hub knew, which can have no conflict: nothing else was done since
            to_apply(conn, &not_sent, rules).inverted().run()?;
            if rules.way == Way::Replay {
                let sent = sent(conn)?;
                to_apply(conn, &sent, rules).inverted().run()?;
            }
            // to what the hub has: no handler, as a conflict would be a mistake
            to_apply(conn, &news.changes, rules).run()?;
            // and again what was done meanwhile
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

/// Takes a replica's batch, unless it has, and says what the replica has to do. Gives what it met.
pub(super) fn exchange(conn: &mut SqliteConnection, batch: &Batch, rules: Rules) -> Result<(News, Met)> {
    conn.transaction(|conn| {
        let (_, number, position, news) = peers::table.find(batch.replica).first::<(i32, i64, i64, Vec<u8>)>(conn)?;
        if batch.number <= number {
            // It has been taken. The answer is the one to the last batch: a replica waits for no other one.
            return Ok((News { number, position, changes: Changeset::try_from(news)? }, Met::default()));
        }
        // what is new since the last answer: this and the batch begin at the same rows
        let new =
            all(log::table.filter(log::position.gt(position)).order(log::position).select(log::changes).load(conn)?)?;
        let merged = merge(conn, &batch.changes, rules)?;
        report(conn, &merged.lost)?;
        diesel::insert_into(log::table).values(log::changes.eq(merged.effect.as_bytes())).execute(conn)?;
        let position = log::table.select(diesel::dsl::max(log::position)).first::<Option<i64>>(conn)?.unwrap_or(0);
        let changes = answer(&new, &merged, rules.way)?;
        let answer = (peers::number.eq(batch.number), peers::position.eq(position), peers::news.eq(changes.as_bytes()));
        diesel::update(peers::table.find(batch.replica)).set(answer).execute(conn)?;
        // what every replica has nobody asks for
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
