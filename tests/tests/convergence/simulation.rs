//! The events between one hub and a few replicas, generated from a seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error;
use std::fmt;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use super::board::{self, Cell, contents};
use super::ledger::{Fates, Ledger};
use super::machine::{Machine, Ran};
use super::policy::{Lost, Met};
use super::protocol::{self, Batch, ForeignKeys, News, Rules, lost, outbox};
use crate::common::{exec, lines, open};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// A planted mistake, which the simulation must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// Some edits are committed before their record, with a crash in between.
    RecordsLater,
    /// The hub forgets which batch it accepted last.
    TakesTwice,
    /// The hub forgets the changes of a batch.
    LosesLog,
    /// Conflicts are not reported.
    ReportsNothing,
}

/// Counts of the events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) runs: u64,
    pub(super) edits: u64,
    pub(super) syncs: u64,
    pub(super) repeats: u64,
    pub(super) crashes: u64,
    /// Of these, before the commit.
    pub(super) halfway: u64,
    pub(super) conflicts: u64,
    /// Rows that were deleted, or whose reference was cleared, because the referenced row is
    /// missing.
    pub(super) orphans: u64,
    pub(super) fates: Fates,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.edits += other.edits;
        self.syncs += other.syncs;
        self.repeats += other.repeats;
        self.crashes += other.crashes;
        self.halfway += other.halfway;
        self.conflicts += other.conflicts;
        self.orphans += other.orphans;
        self.fates.visible += other.fates.visible;
        self.fates.superseded += other.fates.superseded;
        self.fates.reported += other.fates.reported;
        self.fates.undone += other.fates.undone;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, edits, syncs, repeats, crashes, halfway, conflicts, orphans, fates } = self;
        let Fates { visible, superseded, reported, undone } = fates;
        write!(
            f,
            "{runs} runs, {edits} edits, {syncs} syncs, {repeats} repeated messages, {crashes} crashes ({halfway} before the \
             commit), {conflicts} conflicts, {orphans} orphans; columns set: {visible} visible, {superseded} superseded, {reported} reported, \
             {undone} undone"
        )
    }
}

/// Random numbers: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

struct Peer {
    machine: Machine,
    last_lost: i64,
    /// Whether the replica is connected. Otherwise its messages wait.
    connected: bool,
    to_hub: VecDeque<Batch>,
    from_hub: VecDeque<News>,
    /// The batch that waits for an answer, and the last batch that the hub accepted.
    waiting: Option<i64>,
    taken: i64,
    /// How far the replica's clock is ahead.
    ahead: i64,
}

struct Simulation {
    random: Random,
    rules: Rules,
    mistake: Option<Mistake>,
    hub: Machine,
    hub_last_lost: i64,
    peers: Vec<Peer>,
    ledger: Ledger,
    figures: Figures,
    time: i64,
    crashes: bool,
}

/// Constraints that separate replicas cannot keep, for the runs with constraints.
const UNIQUE: &str = "CREATE UNIQUE INDEX title ON cards (title); CREATE UNIQUE INDEX color ON labels (color, card)";

/// A database file.
fn template(rules: Rules) -> Vec<u8> {
    let mut conn = open(&board::schema(rules.foreign_keys != ForeignKeys::None));
    exec(&mut conn, protocol::SCHEMA);
    if rules.omits_constraints {
        exec(&mut conn, UNIQUE);
    }
    conn.serialize_database_to_buffer().try_as_slice().unwrap().to_vec()
}

/// Runs one seed with its databases in `directory`. The error describes the first violation.
pub(super) fn run(directory: &Path, seed: u64, rules: Rules, mistake: Option<Mistake>) -> Result<Figures> {
    let mut random = Random(seed);
    let count = 2 + random.below(3) as i32;
    let name = |what: &str| directory.join(format!("{seed}-{what}"));
    // either journal mode
    let journal = if random.one_in(2) { "PRAGMA journal_mode = WAL" } else { "PRAGMA journal_mode = DELETE" };
    let template = template(rules);
    let machine = |what: &str, statements: &str| -> Result<Machine> {
        let mut machine = Machine::new(name(what), &template)?;
        exec(&mut machine.conn, journal);
        exec(&mut machine.conn, statements);
        Ok(machine)
    };
    let peers = (1..=count).map(|replica| format!("INSERT INTO peers VALUES ({replica}, 0, 0, x'')"));
    let mut hub = machine("hub", &peers.collect::<Vec<_>>().join(";"))?;
    let ledger = Ledger::new(count as usize, &contents(&mut hub.conn)?);
    let mut all = Vec::new();
    for replica in 1..=count {
        all.push(Peer {
            machine: machine(&format!("replica-{replica}"), &format!("INSERT INTO status VALUES ({replica}, 0, 0)"))?,
            last_lost: 0,
            connected: true,
            to_hub: VecDeque::new(),
            from_hub: VecDeque::new(),
            waiting: None,
            taken: 0,
            ahead: random.below(40) as i64,
        });
    }
    let mut simulation = Simulation {
        random,
        rules,
        mistake,
        hub,
        hub_last_lost: 0,
        peers: all,
        ledger,
        figures: Figures { runs: 1, ..Figures::default() },
        time: 0,
        crashes: true,
    };
    simulation.go()?;
    Ok(simulation.figures)
}

impl Simulation {
    fn go(&mut self) -> Result<()> {
        for _ in 0..40 + self.random.below(80) {
            self.time += 1;
            let replica = self.random.below(self.peers.len() as u64) as usize;
            match self.random.below(20) {
                0..=7 => self.edit(replica)?,
                8..=11 if self.peers[replica].connected => self.send(replica)?,
                12..=14 if self.peers[replica].connected => self.hub_hears(replica)?,
                15..=17 if self.peers[replica].connected => self.replica_hears(replica)?,
                18 => {
                    let peer = &mut self.peers[replica];
                    peer.connected = !peer.connected;
                    if self.random.one_in(2) {
                        self.lose_messages(replica);
                    }
                }
                _ => {}
            }
        }
        // in the end all replicas are connected
        self.crashes = false;
        for _ in 0..2 {
            for replica in 0..self.peers.len() {
                self.settle(replica)?;
            }
        }
        self.check()
    }

    /// Returns the statement at which an operation crashes, if any.
    fn crash(&mut self) -> Option<u32> {
        (self.crashes && self.random.one_in(10)).then(|| self.random.below(12) as u32)
    }

    /// Messages of a crashed process may be lost or not.
    fn lose_messages(&mut self, replica: usize) {
        self.peers[replica].to_hub.clear();
        self.peers[replica].from_hub.clear();
    }

    fn crashed(&mut self, replica: usize, committed: bool) {
        self.figures.crashes += 1;
        self.figures.halfway += u64::from(!committed);
        if self.random.one_in(2) {
            self.lose_messages(replica);
        }
    }

    /// Checks that a database has its last known content: all that was committed, and nothing else.
    fn check_contents(&mut self, replica: Option<usize>) -> Result<()> {
        let machine = replica.map_or(&mut self.hub, |replica| &mut self.peers[replica].machine);
        if contents(&mut machine.conn)? == *self.ledger.contents(replica) {
            return Ok(());
        }
        let who = replica.map_or_else(|| "the hub".into(), |replica| format!("replica {replica}"));
        Err(format!("{who} is not as it was last committed").into())
    }

    /// Returns what was reported since the last call.
    fn new_lost(&mut self, replica: Option<usize>) -> Result<BTreeSet<Lost>> {
        let (conn, last) = match replica {
            None => (&mut self.hub.conn, &mut self.hub_last_lost),
            Some(replica) => {
                let peer = &mut self.peers[replica];
                (&mut peer.machine.conn, &mut peer.last_lost)
            }
        };
        type Row = (i64, String, String, String, Option<String>);
        let rows: Vec<Row> = lost::table.filter(lost::id.gt(*last)).order(lost::id).load(conn)?;
        *last = rows.last().map_or(*last, |(id, ..)| *id);
        if self.mistake == Some(Mistake::ReportsNothing) {
            return Ok(BTreeSet::new());
        }
        let lost =
            rows.into_iter().map(|(_, table, key, column, value)| Lost { cell: Cell { table, key, column }, value });
        Ok(lost.collect())
    }

    fn edit(&mut self, replica: usize) -> Result<()> {
        let count = 1 + self.random.below(3);
        let statements: Vec<String> = (0..count).map(|_| self.statement(replica)).collect();
        let statements = statements.join(";");
        let crash = self.crash();
        if self.mistake == Some(Mistake::RecordsLater) && self.random.one_in(5) {
            exec(&mut self.peers[replica].machine.conn, &statements);
            let after = contents(&mut self.peers[replica].machine.conn)?;
            self.ledger.edited(replica, after);
            return Ok(());
        }
        let machine = &mut self.peers[replica].machine;
        let ran = machine.run(crash, |conn| protocol::edit(conn, |conn| conn.batch_execute(&statements)))?;
        if !matches!(ran, Ran::Crashed { committed: false }) {
            self.figures.edits += 1;
            let after = contents(&mut self.peers[replica].machine.conn)?;
            self.ledger.edited(replica, after);
        }
        if let Ran::Crashed { committed } = ran {
            self.crashed(replica, committed);
            self.check_contents(Some(replica))?;
        }
        Ok(())
    }

    /// Returns a statement that changes one of few rows, or none.
    fn statement(&mut self, replica: usize) -> String {
        let time = if self.rules.policy.uses_a_clock() { self.time + self.peers[replica].ahead } else { 0 };
        // unique texts should collide
        let few = if self.rules.omits_constraints { 2 } else { 4 };
        let has_foreign_keys = self.rules.foreign_keys != ForeignKeys::None;
        let random = &mut self.random;
        let (id, other) = (1 + random.below(4), 1 + random.below(4));
        let (card, name, new_name) =
            (1 + random.below(2), random.pick(&["shop", "phone"]), random.pick(&["shop", "phone"]));
        let mut text = || {
            if random.one_in(few) {
                random.pick(&["milk", "", "red"]).to_string()
            } else {
                format!("{:x}", random.below(1 << 20))
            }
        };
        let (title, note) = (text(), text());
        let done = random.below(2);
        let key = format!("name = '{name}' AND card = {card}");
        // an existing card, or none
        let see = format!("(SELECT id FROM cards WHERE id = {other})");
        match random.below(18) {
            0 | 1 => format!("INSERT OR IGNORE INTO cards VALUES ({id}, '{title}', '{note}', {done}, {time})"),
            2 | 3 => format!("UPDATE OR IGNORE cards SET title = '{title}', edited_at = {time} WHERE id = {id}"),
            4 => format!("UPDATE OR IGNORE cards SET done = {done}, edited_at = {time} WHERE id = {id}"),
            5 | 6 => format!(
                "UPDATE OR IGNORE cards SET title = '{title}', note = '{note}', edited_at = {time} WHERE id = {id}"
            ),
            7 => format!("DELETE FROM cards WHERE id = {id}"),
            8 => format!(
                "DELETE FROM cards WHERE id = {id}; INSERT OR IGNORE INTO cards VALUES ({id}, '{title}', '{note}', {done}, {time})"
            ),
            9 => format!("UPDATE OR IGNORE cards SET id = {other}, edited_at = {time} WHERE id = {id}"),
            10 | 11 => {
                // foreign keys reject rows in spite of OR IGNORE
                let is_free =
                    if has_foreign_keys { format!("{card} IN (SELECT id FROM cards)") } else { "true".into() };
                format!(
                    "INSERT OR IGNORE INTO labels SELECT {card}, '{title}', '{name}', {done}, {see}, {time} WHERE {is_free}"
                )
            }
            12 => format!("UPDATE OR IGNORE labels SET color = '{title}', edited_at = {time} WHERE {key}"),
            13 => {
                format!("UPDATE OR IGNORE labels SET color = '{title}', weight = {id}, edited_at = {time} WHERE {key}")
            }
            14 => format!("DELETE FROM labels WHERE {key}"),
            15 | 16 => format!("UPDATE OR IGNORE labels SET see = {see}, edited_at = {time} WHERE {key}"),
            _ => format!("UPDATE OR IGNORE labels SET name = '{new_name}', edited_at = {time} WHERE {key}"),
        }
    }

    /// A replica sends its batch, perhaps again.
    fn send(&mut self, replica: usize) -> Result<()> {
        let crash = self.crash();
        let ran = self.peers[replica].machine.run(crash, protocol::batch)?;
        let is_new = self.peers[replica].waiting.is_none();
        if is_new && !matches!(ran, Ran::Crashed { committed: false }) {
            self.ledger.batched(replica);
            let numbers = protocol::status::table.select(protocol::status::number);
            self.peers[replica].waiting = Some(numbers.first(&mut self.peers[replica].machine.conn)?);
        }
        match ran {
            Ran::Crashed { committed } => {
                self.crashed(replica, committed);
                self.check_contents(Some(replica))?;
            }
            Ran::Done(batch) => self.peers[replica].to_hub.push_back(batch),
        }
        Ok(())
    }

    /// The next message of a replica reaches the hub.
    fn hub_hears(&mut self, replica: usize) -> Result<()> {
        let Some(batch) = self.peers[replica].to_hub.pop_front() else { return Ok(()) };
        let (rules, crash) = (self.rules, self.crash());
        let is_new = batch.number > self.peers[replica].taken;
        if self.mistake == Some(Mistake::TakesTwice) && !is_new && self.random.one_in(2) {
            exec(&mut self.hub.conn, "UPDATE peers SET number = number - 1");
        }
        let ran = self.hub.run(crash, |conn| protocol::exchange(conn, &batch, rules))?;
        if is_new && !matches!(ran, Ran::Crashed { committed: false }) {
            self.figures.syncs += 1;
            self.peers[replica].taken = batch.number;
            let lost = self.new_lost(None)?;
            let after = contents(&mut self.hub.conn)?;
            let positions = protocol::peers::table.find(batch.replica).select(protocol::peers::position);
            let position = positions.first(&mut self.hub.conn)?;
            self.ledger.accepted(replica, position, after, &lost)?;
            if self.mistake == Some(Mistake::LosesLog) && self.random.one_in(5) {
                exec(&mut self.hub.conn, "DELETE FROM log WHERE position = (SELECT max(position) FROM log)");
            }
        } else {
            self.figures.repeats += u64::from(!is_new);
            self.check_contents(None)?;
        }
        match ran {
            Ran::Crashed { committed } => {
                self.crashed(replica, committed);
                for replica in 0..self.peers.len() {
                    if self.random.one_in(2) {
                        self.lose_messages(replica);
                    }
                }
            }
            Ran::Done((news, met)) => {
                self.met(met);
                self.peers[replica].from_hub.push_back(news);
            }
        }
        Ok(())
    }

    /// The hub's next message reaches a replica.
    fn replica_hears(&mut self, replica: usize) -> Result<()> {
        let Some(news) = self.peers[replica].from_hub.pop_front() else { return Ok(()) };
        let (rules, crash) = (self.rules, self.crash());
        let is_new = self.peers[replica].waiting == Some(news.number);
        let ran = self.peers[replica].machine.run(crash, |conn| protocol::take(conn, &news, rules))?;
        if is_new && !matches!(ran, Ran::Crashed { committed: false }) {
            self.peers[replica].waiting = None;
            let lost = self.new_lost(Some(replica))?;
            let after = contents(&mut self.peers[replica].machine.conn)?;
            self.ledger.took(replica, news.position, after, &lost)?;
        } else {
            self.figures.repeats += u64::from(!is_new);
            self.check_contents(Some(replica))?;
        }
        match ran {
            Ran::Crashed { committed } => self.crashed(replica, committed),
            Ran::Done(met) => self.met(met),
        }
        Ok(())
    }

    fn met(&mut self, Met { conflicts, orphans }: Met) {
        self.figures.conflicts += conflicts;
        self.figures.orphans += orphans;
    }

    /// Syncs a replica until it has no unsent changes.
    fn settle(&mut self, replica: usize) -> Result<()> {
        self.peers[replica].connected = true;
        for _ in 0..10 {
            self.send(replica)?;
            while !self.peers[replica].to_hub.is_empty() {
                self.hub_hears(replica)?;
            }
            while !self.peers[replica].from_hub.is_empty() {
                self.replica_hears(replica)?;
            }
            let left: i64 = outbox::table.count().first(&mut self.peers[replica].machine.conn)?;
            if left == 0 && self.peers[replica].waiting.is_none() {
                return Ok(());
            }
        }
        Err("a replica always has something more to say".into())
    }

    /// Checks that all databases are equal, intact, and that every edit is accounted for.
    fn check(&mut self) -> Result<()> {
        self.figures.fates = self.ledger.close()?;
        let hub = shared(&mut self.hub.conn);
        let replicas = self.peers.iter_mut().map(|peer| &mut peer.machine.conn);
        let mut seen = BTreeMap::new();
        for (number, conn) in replicas.enumerate() {
            seen.insert(number, shared(conn));
        }
        if let Some((number, rows)) = seen.iter().find(|(_, rows)| **rows != hub) {
            return Err(format!("replica {number} has\n{}\nthe hub has\n{}", rows.join("\n"), hub.join("\n")).into());
        }
        for conn in self.peers.iter_mut().map(|peer| &mut peer.machine.conn).chain([&mut self.hub.conn]) {
            let check = lines(
                conn,
                "SELECT integrity_check AS line FROM pragma_integrity_check UNION ALL
                 SELECT format('a row of %s refers to none', \"table\") FROM pragma_foreign_key_check",
            );
            if check != ["ok"] {
                return Err(check.join("\n").into());
            }
        }
        Ok(())
    }
}

/// Returns the rows of the shared tables with the storage class of each value.
fn shared(conn: &mut SqliteConnection) -> Vec<String> {
    lines(
        conn,
        "SELECT format('card %s: %s %s %s %s', quote(id), quote(title), quote(note), quote(done), quote(edited_at)) AS line
         FROM cards UNION ALL
         SELECT format('label %s: %s %s %s %s %s', quote(name), quote(card), quote(color), quote(weight), quote(see),
                       quote(edited_at))
         FROM labels ORDER BY 1",
    )
}
