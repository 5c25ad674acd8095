// The same work with SQLite's JavaScript build, through its C API.

import sqlite3InitModule from "./sqlite-wasm/index.mjs";

const { capi, wasm } = await sqlite3InitModule();
const CONNECTIONS = 40;
const SCHEMA = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT)";

function check(code, what) {
  if (code !== capi.SQLITE_OK) throw new Error(`${what}: ${capi.sqlite3_js_rc_str(code)}`);
}

/** Calls `work` with the address of a pointer, and returns the pointer that it has stored there. */
function out(work) {
  const stack = wasm.pstack.pointer;
  try {
    const at = wasm.pstack.allocPtr();
    work(at);
    return wasm.peekPtr(at);
  } finally {
    wasm.pstack.restore(stack);
  }
}

function open() {
  const db = out((at) => check(capi.sqlite3_open_v2(":memory:", at, capi.SQLITE_OPEN_READWRITE | capi.SQLITE_OPEN_CREATE, 0), "open"));
  check(capi.sqlite3_exec(db, SCHEMA, 0, 0, 0), "schema");
  return db;
}

const createSession = (db) => out((at) => check(capi.sqlite3session_create(db, "main", at), "session"));
const attach = (session) => check(capi.sqlite3session_attach(session, "users"), "attach");

// with a JavaScript string, sqlite3_bind_text of this build throws a ReferenceError
function bindText(statement, number, text) {
  const [bytes, length] = wasm.allocCString(text, true);
  capi.sqlite3_bind_text(statement, number, bytes, length, capi.SQLITE_WASM_DEALLOC);
}

function fill(db, count) {
  check(capi.sqlite3_exec(db, "BEGIN", 0, 0, 0), "begin");
  const insert = out((at) => check(capi.sqlite3_prepare_v2(db, "INSERT INTO users VALUES (?, ?, ?)", -1, at, 0), "prepare"));
  for (let id = 1; id <= count; id++) {
    capi.sqlite3_bind_int(insert, 1, id);
    bindText(insert, 2, `user ${id}`);
    bindText(insert, 3, `user${id}@example.com`);
    if (capi.sqlite3_step(insert) !== capi.SQLITE_DONE) throw new Error("insert");
    capi.sqlite3_reset(insert);
  }
  capi.sqlite3_finalize(insert);
  check(capi.sqlite3_exec(db, "COMMIT", 0, 0, 0), "commit");
}

/** Calls `work` with the address and the length of a patchset. */
function patchset(session, work = () => {}) {
  const stack = wasm.pstack.pointer;
  try {
    const [length, at] = [wasm.pstack.alloc(8), wasm.pstack.allocPtr()];
    check(capi.sqlite3session_patchset(session, length, at), "patchset");
    const bytes = wasm.peekPtr(at);
    work(bytes, wasm.peek32(length));
    capi.sqlite3_free(bytes);
  } finally {
    wasm.pstack.restore(stack);
  }
}

const apply = (db, bytes, length) =>
  check(capi.sqlite3changeset_apply(db, length, bytes, 0, () => capi.SQLITE_CHANGESET_ABORT, 0), "apply");

function tracked() {
  const db = open();
  const session = createSession(db);
  attach(session);
  return [db, session];
}

function release(connections, sessions) {
  sessions.forEach((session) => capi.sqlite3session_delete(session));
  connections.forEach((db) => capi.sqlite3_close_v2(db));
}

function timed(count, work) {
  const start = performance.now();
  work();
  return (performance.now() - start) / count;
}

const connections = (count) => Array.from({ length: count }, open);

function sessions(before) {
  const dbs = connections(CONNECTIONS);
  if (before) dbs.forEach((db) => capi.sqlite3session_delete(createSession(db)));
  const all = [];
  const time = timed(CONNECTIONS, () => dbs.forEach((db) => all.push(createSession(db))));
  release(dbs, all);
  return time;
}

function applyOf(rows) {
  const [db, session] = tracked();
  fill(db, rows);
  const count = Math.min(4000 / rows, 20);
  const replicas = connections(count);
  let time;
  patchset(session, (bytes, length) => {
    time = timed(count, () => replicas.forEach((replica) => apply(replica, bytes, length)));
  });
  release([db, ...replicas], [session]);
  return time;
}

function patchsetOf(rows) {
  const [db, session] = tracked();
  fill(db, rows);
  const time = timed(4000 / rows, () => {
    for (let turn = 0; turn < 4000 / rows; turn++) patchset(session);
  });
  release([db], [session]);
  return time;
}

/** The figures that both have, by the names in lib.rs. */
export const theirs = {
  "session creation, first on a connection": () => sessions(false),
  "session creation, again": () => sessions(true),
  "attach, compared with table!": () => {
    const dbs = connections(CONNECTIONS);
    const all = dbs.map(createSession);
    const time = timed(CONNECTIONS, () => all.forEach(attach));
    release(dbs, all);
    return time;
  },
  "patchset 100": () => patchsetOf(100),
  "patchset 1000": () => patchsetOf(1000),
  "apply 100 on a fresh replica": () => applyOf(100),
  "apply 1000 on a fresh replica": () => applyOf(1000),
  "full replication of 100": () => {
    const pairs = Array.from({ length: 10 }, () => [open(), open()]);
    const all = [];
    const time = timed(10, () => {
      for (const [source, replica] of pairs) {
        const session = createSession(source);
        all.push(session);
        attach(session);
        fill(source, 100);
        patchset(session, (bytes, length) => apply(replica, bytes, length));
      }
    });
    release(pairs.flat(), all);
    return time;
  },
};
