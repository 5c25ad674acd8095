#![allow(missing_docs)]
#[path = "../algebra/rebase.rs"]
mod rebase;
use diesel_sqlite_session_tests::sqlite;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let local = rebase::local(1_000_000);
    let data = rebase::data(&local, a[1].parse().unwrap());
    let n: usize = a[3].parse().unwrap();
    let t = std::time::Instant::now();
    for _ in 0..n {
        match a[2].as_str() {
            "ours" => {
                std::hint::black_box(local.rebase(&data).unwrap());
            }
            _ => {
                std::hint::black_box(sqlite::rebased_length(local.as_bytes(), data.as_bytes()).unwrap());
            }
        }
    }
    eprintln!("{:?}", t.elapsed() / n.max(1) as u32);
}
