//! Findings of the simulation, each with as few edits as possible.

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;
use diesel_sqlite_session::{ConflictAction, SqliteSessionExt};

use super::policy::{Met, Policy};
use super::protocol::{ForeignKeys, Rules, Way, batch, edit, exchange, take};
use super::{board, protocol};
use crate::common::{exec, lines, open};

/// A hub and two replicas.
struct Three {
    hub: SqliteConnection,
    replicas: [SqliteConnection; 2],
    rules: Rules,
}

impl Three {
    /// Opens all databases and runs `statements` on each.
    fn new(policy: Policy, way: Way, omits_constraints: bool, statements: &str) -> Self {
        Self::by(Rules { omits_constraints, ..Rules::new(policy, way) }, statements)
    }

    fn by(rules: Rules, statements: &str) -> Self {
        let has_foreign_keys = rules.foreign_keys != ForeignKeys::None;
        let open =
            |more: &str| open(&format!("{};{};{statements};{more}", board::schema(has_foreign_keys), protocol::SCHEMA));
        let replica = |number| open(&format!("INSERT INTO status VALUES ({number}, 0, 0)"));
        Self {
            hub: open("INSERT INTO peers VALUES (1, 0, 0, x''), (2, 0, 0, x'')"),
            replicas: [replica(1), replica(2)],
            rules,
        }
    }

    fn edit(&mut self, replica: usize, statements: &str) {
        edit(&mut self.replicas[replica], |conn| conn.batch_execute(statements)).unwrap();
    }

    fn sync(&mut self, replica: usize) {
        self.sync_while_editing(replica, "");
    }

    /// Runs a function between the batch and the news.
    fn sync_while_editing(&mut self, replica: usize, statements: &str) {
        let batch = batch(&mut self.replicas[replica]).unwrap();
        self.edit(replica, statements);
        let (news, _) = exchange(&mut self.hub, &batch, self.rules).unwrap();
        take(&mut self.replicas[replica], &news, self.rules).unwrap();
    }

    /// Returns the first card of the hub and of both replicas.
    fn first_card(&mut self) -> [String; 3] {
        let [first, second] = &mut self.replicas;
        [&mut self.hub, first, second].map(|conn| {
            lines(conn, "SELECT format('%s, %s', title, note) AS line FROM cards WHERE id = 1")
                .pop()
                .unwrap_or_default()
        })
    }

    /// Syncs one replica after the other, and the first once more.
    fn sync_all(&mut self) -> [String; 3] {
        [0, 1, 0].into_iter().for_each(|replica| self.sync(replica));
        self.first_card()
    }
}

fn same(card: &str) -> [String; 3] {
    [card; 3].map(String::from)
}

#[test]
fn an_omitted_update_leaves_its_other_columns_on_its_replica() {
    let sync = |policy, way| {
        let mut all = Three::new(policy, way, false, "");
        all.edit(0, "UPDATE cards SET title = 'oat milk' WHERE id = 1");
        all.edit(1, "UPDATE cards SET title = 'soy milk', note = 'two' WHERE id = 1");
        all.sync_all()
    };
    assert_eq!(sync(Policy::Earlier, Way::Rebase), ["oat milk, ", "oat milk, ", "oat milk, two"]);
    assert_eq!(sync(Policy::EarlierWhole, Way::Rebase), same("oat milk, "));
    assert_eq!(sync(Policy::Earlier, Way::Replay), same("oat milk, "));
    assert_eq!(sync(Policy::Later, Way::Rebase), same("soy milk, two"));
}

#[test]
fn newest_row_by_a_clock_column_leaves_the_older_row_on_its_replica() {
    let sync = |policy, way| {
        let mut all = Three::new(policy, way, false, "");
        all.edit(0, "UPDATE cards SET note = 'two', edited_at = 2 WHERE id = 1");
        all.edit(1, "UPDATE cards SET title = 'oat milk', edited_at = 1 WHERE id = 1");
        all.sync_all()
    };
    assert_eq!(sync(Policy::Newest, Way::Rebase), ["milk, two", "milk, two", "oat milk, two"]);
    assert_eq!(sync(Policy::NewestWhole, Way::Rebase), same("milk, two"));
    assert_eq!(sync(Policy::Newest, Way::Replay), same("milk, two"));
    // the clock is a column like any other: the title and the note did not conflict
    assert_eq!(sync(Policy::Columns, Way::Rebase), same("oat milk, two"));
}

#[test]
fn news_that_is_not_rebased_undoes_the_replicas_own_edits() {
    let mut all = Three::new(Policy::Later, Way::Neither, false, "");
    all.edit(0, "UPDATE cards SET title = 'oat milk' WHERE id = 1");
    all.edit(1, "UPDATE cards SET title = 'soy milk' WHERE id = 1");
    all.sync(0);
    let batch = batch(&mut all.replicas[1]).unwrap();
    let (news, _) = exchange(&mut all.hub, &batch, all.rules).unwrap();
    let error = take(&mut all.replicas[1], &news, all.rules).unwrap_err();
    assert!(error.to_string().contains("conflict"), "{error}");
    all.replicas[1].apply(&news.changes).otherwise(|_| ConflictAction::Replace).run().unwrap();
    assert_eq!(all.first_card(), ["soy milk, ", "oat milk, ", "oat milk, "]);
}

#[test]
fn an_omitted_constraint_violation_stays_on_its_replica() {
    let sync = |way| {
        let mut all = Three::new(Policy::EarlierWhole, way, true, "CREATE UNIQUE INDEX title ON cards (title)");
        all.edit(0, "UPDATE cards SET title = 'stamps' WHERE id = 2");
        all.edit(1, "UPDATE cards SET title = 'stamps', note = 'ten' WHERE id = 1");
        [0, 1].map(|replica| {
            let batch = batch(&mut all.replicas[replica]).unwrap();
            let (news, _) = exchange(&mut all.hub, &batch, all.rules).unwrap();
            take(&mut all.replicas[replica], &news, all.rules).map_err(|error| error.to_string())
        })
    };
    assert!(sync(Way::Rebase)[1].is_err(), "there card 1 has the title that card 2 is to have");
    assert_eq!(sync(Way::Replay), [Ok(Met::default()), Ok(Met::default())]);
}

#[test]
fn effects_of_the_hubs_triggers_reach_all_only_by_replaying() {
    let sync = |way| {
        let mut all = Three::new(Policy::Later, way, false, "");
        exec(
            &mut all.hub,
            "CREATE TRIGGER note AFTER UPDATE OF title ON cards BEGIN
                 UPDATE cards SET note = 'checked' WHERE id = new.id;
             END",
        );
        all.edit(0, "UPDATE cards SET title = 'oat milk' WHERE id = 1");
        all.sync_all()
    };
    assert_eq!(sync(Way::Rebase), ["oat milk, checked", "oat milk, ", "oat milk, checked"]);
    assert_eq!(sync(Way::Replay), same("oat milk, checked"));
}

#[test]
fn edits_made_while_news_is_under_way_follow_it_or_give_way() {
    let sync = |way| {
        let mut all = Three::new(Policy::Later, way, false, "");
        all.edit(0, "UPDATE cards SET title = 'oat milk' WHERE id = 1");
        all.sync(0);
        all.sync_while_editing(1, "UPDATE cards SET title = 'soy milk', note = 'two' WHERE id = 1");
        assert_eq!(all.first_card()[0], "oat milk, ");
        [1, 0].into_iter().for_each(|replica| all.sync(replica));
        all.first_card()
    };
    assert_eq!(sync(Way::Rebase), same("soy milk, two"));
    assert_eq!(sync(Way::Replay), same("soy milk, two"));
    assert_eq!(sync(Way::RebaseBoth), same("oat milk, two"));
}

#[test]
fn omitting_one_half_of_a_changed_key_makes_two_rows() {
    let mut all = Three::new(Policy::EarlierWhole, Way::Rebase, false, "");
    all.edit(0, "UPDATE cards SET note = 'two' WHERE id = 1");
    all.edit(1, "UPDATE cards SET id = 9 WHERE id = 1");
    assert_eq!(all.sync_all(), same("milk, two"));
    let [first, second] = &mut all.replicas;
    for conn in [&mut all.hub, first, second] {
        let rows = lines(conn, "SELECT format('%d %s %s', id, title, note) AS line FROM cards WHERE id IN (1, 9)");
        assert_eq!(rows, ["1 milk two", "9 milk "]);
    }
}

/// Returns a card's labels on the hub and on both replicas, and the labels that were reported as
/// lost.
fn labels_of_the_first_card(all: &mut Three) -> [String; 4] {
    let [first, second] = &mut all.replicas;
    let line = |conn: &mut SqliteConnection, sql| lines(conn, sql).join(" ");
    let [hub, first, second] = [&mut all.hub, first, second]
        .map(|conn| line(conn, "SELECT format('%s:%s', name, color) AS line FROM labels WHERE card = 1 ORDER BY 1"));
    let lost = line(
        &mut all.hub,
        "SELECT format('%s:%s', key, value) AS line FROM lost WHERE table_name = 'labels' AND column = 'color'",
    );
    [hub, first, second, lost]
}

#[test]
fn a_row_whose_parent_was_deleted_is_deleted_and_reported() {
    for way in [Way::Rebase, Way::RebaseBoth, Way::Replay] {
        for deletes_first in [true, false] {
            let rules = Rules { foreign_keys: ForeignKeys::Mend, ..Rules::new(Policy::EarlierWhole, way) };
            let mut all = Three::by(rules, "");
            let (deleting, inserting) = if deletes_first { (0, 1) } else { (1, 0) };
            all.edit(deleting, "DELETE FROM cards WHERE id = 1");
            all.edit(inserting, "INSERT INTO labels VALUES (1, 'grey', 'phone', 1, NULL, 0)");
            [0, 1, 0].into_iter().for_each(|replica| all.sync(replica));
            assert_eq!(labels_of_the_first_card(&mut all), ["", "", "", "phone/1:grey"]);
        }
    }
}

#[test]
fn a_reference_to_a_deleted_row_is_cleared_and_reported() {
    for way in [Way::Rebase, Way::RebaseBoth, Way::Replay] {
        for deletes_first in [true, false] {
            let rules = Rules { foreign_keys: ForeignKeys::Mend, ..Rules::new(Policy::Later, way) };
            let mut all = Three::by(rules, "");
            let (deleting, referring) = if deletes_first { (0, 1) } else { (1, 0) };
            all.edit(deleting, "DELETE FROM cards WHERE id = 3");
            all.edit(referring, "UPDATE labels SET see = 3 WHERE card = 1");
            [0, 1, 0].into_iter().for_each(|replica| all.sync(replica));
            let Three { hub, replicas: [first, second], .. } = &mut all;
            for conn in [&mut *hub, first, second] {
                let sees = lines(conn, "SELECT format('%d:%s', card, quote(see)) AS line FROM labels ORDER BY 1");
                assert_eq!(sees, ["1:NULL", "2:NULL", "2:NULL"]);
            }
            let lost = lines(hub, "SELECT format('%s %s:%s', column, key, value) AS line FROM lost ORDER BY 1");
            assert_eq!(lost, ["see shop/1:3"], "{way:?}, {deletes_first}");
        }
    }
}

#[test]
fn a_row_whose_deletion_is_omitted_outlives_its_children() {
    for way in [Way::Rebase, Way::Replay] {
        let rules = Rules { foreign_keys: ForeignKeys::Mend, ..Rules::new(Policy::EarlierWhole, way) };
        let mut all = Three::by(rules, "");
        all.edit(0, "UPDATE cards SET note = 'two' WHERE id = 1");
        all.edit(1, "DELETE FROM cards WHERE id = 1");
        assert_eq!(all.sync_all(), same("milk, two"));
        assert_eq!(labels_of_the_first_card(&mut all), [""; 4]);
    }
}

#[test]
fn a_foreign_key_action_during_an_apply_conflicts_with_the_changes() {
    let take = |foreign_keys| {
        let mut all = Three::by(Rules { foreign_keys, ..Rules::new(Policy::Later, Way::Rebase) }, "");
        all.edit(0, "DELETE FROM cards WHERE id = 1");
        all.sync(0);
        let batch = batch(&mut all.replicas[1]).unwrap();
        let (news, _) = exchange(&mut all.hub, &batch, all.rules).unwrap();
        take(&mut all.replicas[1], &news, all.rules).map_err(|error| error.to_string())
    };
    assert_eq!(take(ForeignKeys::Mend), Ok(Met::default()));
    let error = take(ForeignKeys::Act).unwrap_err();
    assert!(error.contains("conflict"), "{error}");
}

#[test]
fn a_batch_cannot_change_the_tables_of_the_protocol() {
    for table in ["peers", "log"] {
        let mut all = Three::new(Policy::Later, Way::Rebase, false, "");
        all.edit(0, "UPDATE cards SET title = 'oat milk' WHERE id = 1");
        let mut sent = batch(&mut all.replicas[0]).unwrap();
        let mut forger = open(&format!("{};{}", board::schema(false), protocol::SCHEMA));
        let mut session = forger.create_session().unwrap();
        session.attach_all().unwrap();
        exec(
            &mut forger,
            match table {
                "peers" => "INSERT INTO peers VALUES (2, 99, 99, x'')",
                _ => "INSERT INTO log VALUES (77, x'')",
            },
        );
        sent.changes = sent.changes.concat(&session.changeset().unwrap()).unwrap();
        let error = exchange(&mut all.hub, &sent, all.rules).unwrap_err().to_string();
        assert!(error.starts_with(&format!("table {table}: the changes at byte ")), "{error}");
        let before = "SELECT (SELECT count(*) FROM log) || ' ' || (SELECT max(number) FROM peers) AS line";
        assert_eq!(lines(&mut all.hub, before), ["0 0"], "{table}");
    }
}
