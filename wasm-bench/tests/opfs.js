// What the tests of opfs.rs need from the browser: another worker, locks of files, a full disk.

const GLUE = new URL("../../../wasm-bindgen-test.js", import.meta.url).href;
const WASM = new URL("../../../wasm-bindgen-test_bg.wasm", import.meta.url).href;

/** Runs `write_without_commit` of this module in another worker, and terminates it at its end. */
export async function writeAndTerminate(directory) {
  const source = `
    import init, { write_without_commit } from ${JSON.stringify(GLUE)};
    try {
      await init({ module_or_path: ${JSON.stringify(WASM)} });
      await write_without_commit(${JSON.stringify(directory)});
      postMessage("written");
    } catch (error) {
      postMessage(String(error));
    }`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  const message = await new Promise((resolve) => {
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = (event) => resolve(`the worker failed: ${event.message}`);
  });
  worker.terminate();
  URL.revokeObjectURL(url);
  return message;
}

/** Locks all files of a directory, as a pool in another tab does. Returns a function that unlocks them. */
export async function lockFiles(directory) {
  const root = await navigator.storage.getDirectory();
  const handles = [];
  const lock = async (folder) => {
    for await (const entry of folder.values()) {
      if (entry.kind === "directory") {
        await lock(entry);
      } else {
        handles.push(await entry.createSyncAccessHandle());
      }
    }
  };
  await lock(await root.getDirectoryHandle(directory));
  return () => {
    handles.forEach((handle) => handle.close());
    return handles.length;
  };
}

/** Makes files unable to grow, as on a full disk. Returns a function that ends this. */
export function fillDisk() {
  const { prototype } = FileSystemSyncAccessHandle;
  const { write, truncate } = prototype;
  const check = (handle, size) => {
    if (size > handle.getSize()) {
      throw new DOMException("the quota is used up", "QuotaExceededError");
    }
  };
  prototype.write = function (buffer, options) {
    check(this, (options?.at ?? 0) + buffer.byteLength);
    return write.call(this, buffer, options);
  };
  prototype.truncate = function (size) {
    check(this, size);
    return truncate.call(this, size);
  };
  return () => {
    Object.assign(prototype, { write, truncate });
  };
}

export const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
