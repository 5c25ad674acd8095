// Tests the page in a browser, by the WebDriver protocol: node test.mjs chromium|firefox
//
// A note is there after a reload and in a new process of the browser. A second tab waits for the
// first one, and continues when that one is closed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const browser = process.argv[2];
const here = import.meta.dirname;
const types = { html: "text/html", js: "text/javascript", wasm: "application/wasm" };
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  try {
    const file = await readFile(join(here, pathname === "/" ? "index.html" : pathname));
    response.writeHead(200, { "content-type": types[pathname.split(".").pop()] ?? "text/html" }).end(file);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const page = `http://127.0.0.1:${server.address().port}/`;

const profile = await mkdtemp(join(tmpdir(), "notes-"));
const port = 20000 + Math.floor(Math.random() * 20000);
const driver = spawn(browser === "firefox" ? "geckodriver" : "chromedriver", [`--port=${port}`], { stdio: "ignore" });
const capabilities = {
  chromium: {
    "goog:chromeOptions": {
      args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", `--user-data-dir=${profile}`],
    },
  },
  firefox: { "moz:firefoxOptions": { args: ["-headless", "-profile", profile] } },
}[browser];

async function command(method, path, body) {
  const options = { method, headers: { "content-type": "application/json" } };
  if (method === "POST") options.body = JSON.stringify(body ?? {});
  const { value } = await (await fetch(`http://127.0.0.1:${port}${path}`, options)).json();
  if (value?.error) throw new Error(`${path}: ${value.error}: ${value.message}`);
  return value;
}

/** Calls `work` until it returns what is expected. */
async function until(expected, work) {
  let found;
  for (let turn = 0; turn < 300; turn++) {
    try {
      found = await work();
      assert.deepEqual(found, expected);
      return;
    } catch {
      await sleep(100);
    }
  }
  assert.deepEqual(found, expected);
}

async function withBrowser(work) {
  const { sessionId } = await command("POST", "/session", { capabilities: { alwaysMatch: capabilities } });
  const path = `/session/${sessionId}`;
  const script = (source) => command("POST", `${path}/execute/sync`, { script: source, args: [] });
  await work({
    open: (query) => command("POST", `${path}/url`, { url: page + query }),
    state: () => script("return document.querySelector('#state').textContent"),
    notes: () => script("return [...document.querySelectorAll('li')].map((item) => item.textContent)"),
    tabs: () => command("GET", `${path}/window/handles`),
    newTab: () => command("POST", `${path}/window/new`, { type: "tab" }),
    show: (handle) => command("POST", `${path}/window`, { handle }),
    close: () => command("DELETE", `${path}/window`),
  });
  await command("DELETE", path);
}

try {
  await until(true, async () => (await command("GET", "/status")).ready);
  await withBrowser(async ({ open, state, notes, tabs, newTab, show, close }) => {
    await open("?save=milk");
    await until(["milk"], notes);
    assert.match(await state(), /^1 notes; \d+ bytes to send$/);
    await open("?save=bread");
    await until(["milk", "bread"], notes);

    const [first] = await tabs();
    const { handle: second } = await newTab();
    await show(second);
    await open("");
    await sleep(500);
    assert.deepEqual([await state(), await notes()], ["Open in another tab.", []]);
    await show(first);
    await close();
    await show(second);
    await until(["milk", "bread"], notes);
  });
  await withBrowser(async ({ open, notes }) => {
    await open("?save=tea");
    await until(["milk", "bread", "tea"], notes);
  });
  console.log("test result: ok. 1 passed; 0 failed");
} finally {
  driver.kill();
  server.close();
  await sleep(300);
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
