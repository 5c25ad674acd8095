// Runs the figures natively and in browsers, and prints a table:
//
//   node run.mjs RUNS ROUNDS NATIVE BROWSER...
//
// The runs alternate, and the table has the least of all rounds. NATIVE is the program of main.rs.

import { execFileSync } from "node:child_process";
import { serve, sleep, withDriver } from "../webdriver.mjs";

const [runs, rounds, native, ...browsers] = process.argv.slice(2);
// with these headers, clocks have a resolution of 5 µs in Chromium and of 20 µs in Firefox
const headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
const { url, close } = await serve(import.meta.dirname, headers);
const columns = {};
const keep = (column, figures) => {
  columns[column] ??= {};
  for (const [name, time] of Object.entries(figures)) {
    columns[column][name] = Math.min(columns[column][name] ?? Infinity, time);
  }
};

try {
  for (let run = 0; run < Number(runs); run++) {
    keep("native", JSON.parse(execFileSync(native, [rounds], { encoding: "utf8" })));
    for (const browser of browsers) {
      await withDriver(browser, (withBrowser) =>
        withBrowser(async ({ open, run }) => {
          await open(`${url}?rounds=${rounds}`);
          let text = "";
          while (!(text = await run("return document.querySelector('pre').textContent"))) await sleep(500);
          const { error, isolated, ours, theirs } = JSON.parse(text);
          if (error || !isolated) throw new Error(`${browser}: ${error ?? "not isolated"}`);
          keep(browser, ours);
          keep(`${browser}, SQLite`, theirs);
        }),
      );
    }
  }
} finally {
  close();
}

const digits = (time) => time.toPrecision(3);
const ratio = (one, other) => (other > 0 ? `${(one / other).toFixed(2)} ×` : "");
const heads = browsers.flatMap((browser) => [browser, "× native", "SQLite's JS build", "ours / SQLite's"]);
console.log(`| ms | native | ${heads.join(" | ")} |\n|---|${"---|".repeat(heads.length + 1)}`);
for (const [name, time] of Object.entries(columns.native)) {
  const cells = browsers.flatMap((browser) => {
    const [ours, theirs] = [columns[browser][name], columns[`${browser}, SQLite`][name]];
    return [digits(ours), ratio(ours, time), theirs === undefined ? "" : digits(theirs), theirs === undefined ? "" : ratio(ours, theirs)];
  });
  console.log(`| ${name} | ${digits(time)} | ${cells.join(" | ")} |`);
}
