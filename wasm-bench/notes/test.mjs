// Tests the page in a browser: node test.mjs chromium|firefox
//
// A note is there after a reload and in a new process of the browser. A second tab waits for the
// first one, and continues when that one is closed.

import assert from "node:assert/strict";
import { serve, sleep, until, withDriver } from "../webdriver.mjs";

const STATE = "return document.querySelector('#state').textContent";
const NOTES = "return [...document.querySelectorAll('li')].map((item) => item.textContent)";

const { url, close: closeServer } = await serve(import.meta.dirname);
try {
  await withDriver(process.argv[2], async (withBrowser) => {
    await withBrowser(async ({ open, run, tabs, newTab, show, close }) => {
      await open(`${url}?save=milk`);
      await until(["milk"], () => run(NOTES));
      assert.match(await run(STATE), /^1 notes; \d+ bytes to send$/);
      await open(`${url}?save=bread`);
      await until(["milk", "bread"], () => run(NOTES));

      const [first] = await tabs();
      const { handle: second } = await newTab();
      await show(second);
      await open(url);
      await sleep(500);
      assert.deepEqual([await run(STATE), await run(NOTES)], ["Open in another tab.", []]);
      await show(first);
      await close();
      await show(second);
      await until(["milk", "bread"], () => run(NOTES));
    });
    await withBrowser(async ({ open, run }) => {
      await open(`${url}?save=tea`);
      await until(["milk", "bread", "tea"], () => run(NOTES));
    });
  });
  console.log("test result: ok. 1 passed; 0 failed");
} finally {
  closeServer();
}
