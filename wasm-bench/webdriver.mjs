// A server for a folder, and a browser that is driven by the WebDriver protocol
// (https://www.w3.org/TR/webdriver2/): without a library, since few commands are needed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const types = { html: "text/html", js: "text/javascript", mjs: "text/javascript", wasm: "application/wasm" };

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Calls `work` until it returns what is expected. */
export async function until(expected, work, seconds = 30) {
  let found;
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
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

/** Serves a folder with these headers. Returns its address, and a function that ends the server. */
export async function serve(folder, headers = {}) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    try {
      const file = await readFile(join(folder, pathname === "/" ? "index.html" : pathname));
      const type = types[pathname.split(".").pop()] ?? "text/html";
      response.writeHead(200, { "content-type": type, ...headers }).end(file);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

/** Starts the driver of `chromium` or `firefox`, with a profile that is kept until the end of `work`. */
export async function withDriver(browser, work) {
  const profile = await mkdtemp(join(tmpdir(), "webdriver-"));
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

  /** Runs `work` in a process of the browser. */
  async function withBrowser(work) {
    const { sessionId } = await command("POST", "/session", { capabilities: { alwaysMatch: capabilities } });
    const path = `/session/${sessionId}`;
    try {
      await work({
        open: (url) => command("POST", `${path}/url`, { url }),
        run: (script) => command("POST", `${path}/execute/sync`, { script, args: [] }),
        tabs: () => command("GET", `${path}/window/handles`),
        newTab: () => command("POST", `${path}/window/new`, { type: "tab" }),
        show: (handle) => command("POST", `${path}/window`, { handle }),
        close: () => command("DELETE", `${path}/window`),
      });
    } finally {
      await command("DELETE", path);
    }
  }

  try {
    await until(true, async () => (await command("GET", "/status")).ready);
    await work(withBrowser);
  } finally {
    driver.kill();
    await sleep(300);
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
