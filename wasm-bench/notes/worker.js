import init, { open, receive, save, texts } from "./pkg/notes.js";

const calls = { receive, save, texts };

// One tab at a time has the database. The lock is released when the worker ends.
navigator.locks.request("notes.db", async () => {
  await init();
  await open();
  onmessage = ({ data: { id, call, args } }) => {
    try {
      postMessage({ id, result: calls[call](...args) });
    } catch (error) {
      postMessage({ id, error: String(error) });
    }
  };
  postMessage({ id: 0, result: "open" });
  await new Promise(() => {});
});
