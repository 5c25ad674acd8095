//! Listings of the documentation that cannot be compiled here are those of tested examples.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn the_page_in_the_browser_shows_the_tested_example() {
    let page = read("session/src/docs/browser.md");
    let library = read("wasm-bench/notes/src/lib.rs");
    let (_, code) = library.split_once("errors_doc)]\n\n").unwrap();
    assert!(page.contains(code), "src/lib.rs of the example differs from the page");
    assert!(page.contains(&read("wasm-bench/notes/worker.js")), "worker.js differs from the page");
    let manifest = read("wasm-bench/notes/Cargo.toml");
    for line in page.lines().filter(|line| line.contains(" = { version") || line.contains(" = \"0.")) {
        let (name, _) = line.split_once(" = ").unwrap();
        assert!(manifest.contains(&format!("\n{name} = ")), "{name}");
    }
}
