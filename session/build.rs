//! Checks that the linked SQLite has the session extension, and otherwise prints what to do. The
//! linker would only name a missing symbol.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All session functions are in one source file of SQLite, so one of them stands for all.
const SESSION: &str = "sqlite3session_create";
/// Added in SQLite 3.44.
const CLIENT_DATA: &str = "sqlite3_set_clientdata";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBSQLITE3_FLAGS");
    println!("cargo:rustc-check-cfg=cfg(fuzzing)");
    let is_set = |name: &str| env::var_os(name).is_some();
    if !is_set("CARGO_FEATURE_SQLITE") || is_set("DOCS_RS") || is_set("DOCSRS") {
        return;
    }
    if env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        return; // sqlite-wasm-rs has all functions
    }
    let Some(library) = find_library() else {
        return; // the library is not accessible from here: the linker will report missing symbols
    };
    let Ok(bytes) = fs::read(&library) else {
        return;
    };
    let has = |symbol: &str| bytes.windows(symbol.len()).any(|window| window == symbol.as_bytes());
    if has(SESSION) && has(CLIENT_DATA) {
        return;
    }
    let bundled = is_set("DEP_SQLITE3_LIB_DIR");
    let file = library.display();
    eprintln!();
    if bundled {
        eprintln!(
            "The bundled SQLite was compiled without the session extension. Add to your project's .cargo/config.toml:"
        );
        eprintln!();
        eprintln!("    [env]");
        eprintln!("    LIBSQLITE3_FLAGS = \"-DSQLITE_ENABLE_SESSION -DSQLITE_ENABLE_PREUPDATE_HOOK\"");
        eprintln!();
        eprintln!("or enable the feature `buildtime_bindgen` of diesel-sqlite-session, which requires libclang.");
    } else if has(CLIENT_DATA) {
        eprintln!("{file} was compiled without the session extension. Install a SQLite with it, or add to Cargo.toml:");
        eprintln!();
        eprintln!(
            "    diesel-sqlite-session = {{ version = \"{}\", features = [\"bundled\"] }}",
            env!("CARGO_PKG_VERSION")
        );
    } else {
        eprintln!(
            "{file} is older than SQLite 3.44, which diesel-sqlite-session requires. Install a newer SQLite, or add to"
        );
        eprintln!("Cargo.toml, to compile SQLite from source:");
        eprintln!();
        eprintln!(
            "    diesel-sqlite-session = {{ version = \"{}\", features = [\"bundled\"] }}",
            env!("CARGO_PKG_VERSION")
        );
    }
    eprintln!();
    std::process::exit(1);
}

/// Returns the library that libsqlite3-sys links: the one that it compiled, or the system library.
fn find_library() -> Option<PathBuf> {
    if let Some(directory) = env::var_os("DEP_SQLITE3_LIB_DIR") {
        let directory = Path::new(&directory);
        return ["libsqlite3.a", "sqlite3.lib"].iter().map(|name| directory.join(name)).find(|path| path.is_file());
    }
    if env::var("TARGET").ok()? != env::var("HOST").ok()? {
        return None;
    }
    let directory = match env::var("SQLITE3_LIB_DIR") {
        Ok(directory) => directory,
        Err(_) => {
            let output = Command::new("pkg-config").args(["--variable=libdir", "sqlite3"]).output().ok()?;
            String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?
        }
    };
    let directory = Path::new(directory.trim());
    ["libsqlite3.so", "libsqlite3.dylib", "libsqlite3.a"]
        .iter()
        .map(|name| directory.join(name))
        .find(|path| path.is_file())
}
