//! Preupdate hooks of the application beside sessions, and the chain of several sessions.

use std::cell::Cell;
use std::rc::Rc;

use diesel::prelude::*;
use diesel_sqlite_session::{Session, SessionError, SqliteSessionExt};
use diesel_sqlite_session_tests::sqlite::connection;
use diesel_sqlite_session_tests::sqlite::connection::hooks::Hooks;

use crate::common::exec;

fn connect() -> (SqliteConnection, Hooks) {
    let mut conn = connection::connect(":memory:");
    exec(&mut conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    let hooks = Hooks::of(&mut conn);
    (conn, hooks)
}

fn tracked(conn: &mut SqliteConnection) -> Session {
    let mut session = conn.create_session().unwrap();
    session.attach_all().unwrap();
    session
}

fn insert(conn: &mut SqliteConnection, id: i64) {
    exec(conn, &format!("INSERT INTO t VALUES ({id}, {id})"));
}

/// Returns the keys of the recorded INSERTs.
fn recorded(session: &mut Session) -> Vec<i64> {
    let changeset = session.changeset().unwrap();
    let mut keys: Vec<i64> =
        changeset.records().map(|record| record.new_value(0).unwrap().as_integer().unwrap()).collect();
    keys.sort_unstable();
    keys
}

fn assert_lost(session: &mut Session, conn: &mut SqliteConnection) {
    let errors = [
        session.changeset().unwrap_err(),
        session.patchset().unwrap_err(),
        session.take_changeset().unwrap_err(),
        session.on(conn).take_changeset().unwrap_err(),
        session.on(conn).write_changeset_to(&mut Vec::new()).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, SessionError::OtherHook), "{error}");
    }
}

#[test]
fn a_hook_that_takes_the_place_of_a_session_is_noticed() {
    for removes in [false, true] {
        let (mut conn, hooks) = connect();
        let mut session = tracked(&mut conn);
        insert(&mut conn, 1);
        let calls = Rc::new(Cell::new(0));
        let counter = calls.clone();
        if removes {
            hooks.no_preupdate();
        } else {
            hooks.on_preupdate(move || counter.set(counter.get() + 1));
        }
        insert(&mut conn, 2);
        assert_eq!(calls.get(), i32::from(!removes));
        assert_lost(&mut session, &mut conn);
        // another session heals it, whether the old one is there or not
        let mut other = tracked(&mut conn);
        insert(&mut conn, 3);
        assert_lost(&mut session, &mut conn);
        drop(session);
        insert(&mut conn, 4);
        assert_eq!(recorded(&mut other), [3, 4]);
        assert_eq!(calls.get(), i32::from(!removes), "the other hook has been removed");
    }
}

#[test]
fn a_session_is_dropped_under_a_foreign_hook() {
    let (mut conn, hooks) = connect();
    let session = tracked(&mut conn);
    hooks.on_preupdate(|| ());
    drop(session);
    insert(&mut conn, 1);
    let session = tracked(&mut conn);
    hooks.on_preupdate(|| ());
    drop(conn);
    assert!(session.is_closed());
}

#[test]
fn a_hook_before_the_first_session_is_an_error() {
    let (mut conn, hooks) = connect();
    hooks.on_preupdate(|| ());
    insert(&mut conn, 1);
    assert!(matches!(conn.create_session(), Err(SessionError::OtherHook)));
    let mut session = tracked(&mut conn);
    insert(&mut conn, 2);
    assert_eq!(recorded(&mut session), [2]);
}

/// Creates, reads, takes and drops sessions in every order of a few steps, and compares with a model.
#[test]
fn sessions_of_a_connection_record_whatever_happens_to_the_others() {
    for plan in 0..600_u32 {
        let (mut conn, hooks) = connect();
        let mut sessions: Vec<(Session, Vec<i64>, bool)> = Vec::new();
        let mut seed = plan;
        let mut next = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % below
        };
        for step in 0..12 {
            let which = next(sessions.len().max(1) as u32) as usize;
            match next(7) {
                0 | 1 => sessions.push((tracked_or_healed(&mut conn), Vec::new(), false)),
                2 if !sessions.is_empty() => drop(sessions.remove(which)),
                3 if !sessions.is_empty() => {
                    let (session, keys, is_lost) = &mut sessions[which];
                    match session.take_changeset() {
                        Ok(changeset) => {
                            assert_eq!((changeset.records().count(), *is_lost), (keys.len(), false));
                            keys.clear();
                        }
                        Err(error) => assert!(*is_lost && matches!(error, SessionError::OtherHook), "{plan}: {error}"),
                    }
                }
                4 if next(3) == 0 => {
                    hooks.on_preupdate(|| ());
                    sessions.iter_mut().for_each(|(_, _, is_lost)| *is_lost = true);
                }
                _ => {
                    insert(&mut conn, step);
                    sessions.iter_mut().for_each(|(_, keys, _)| keys.push(step));
                }
            }
        }
        for (session, keys, is_lost) in &mut sessions {
            match is_lost {
                true => assert!(matches!(session.changeset(), Err(SessionError::OtherHook)), "{plan}"),
                false => assert_eq!(recorded(session), *keys, "{plan}"),
            }
        }
    }
}

/// A foreign hook without a session under it is an error once.
fn tracked_or_healed(conn: &mut SqliteConnection) -> Session {
    let mut session = conn.create_session().or_else(|_| conn.create_session()).unwrap();
    session.attach_all().unwrap();
    session
}

/// Without this crate's trace function, nothing tells whether the connection is still there.
#[test]
fn a_foreign_trace_is_noticed_and_replaced_with_the_connection() {
    let (mut conn, _) = connect();
    let mut session = tracked(&mut conn);
    for id in 0..3 {
        insert(&mut conn, id);
        connection::trace(&mut conn);
        assert!(matches!(session.changeset(), Err(SessionError::OtherTrace)));
        assert!(matches!(session.untracked_tables(), Err(SessionError::OtherTrace)));
        assert_eq!(session.on(&mut conn).take_changeset().unwrap().records().count(), 1);
        session.untracked_tables().unwrap();
        // so does a new session
        connection::trace(&mut conn);
        drop(conn.create_session().unwrap());
        session.untracked_tables().unwrap();
    }
    drop(conn);
    assert!(session.is_closed());
}
