//! Prints the native figures as JSON: the least of the rounds, in milliseconds.
//!
//! ```sh
//! cargo run --release -p figures -- ROUNDS
//! ```

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
fn main() {
    let rounds: usize = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(9);
    let start = std::time::Instant::now();
    let clock = || start.elapsed().as_secs_f64() * 1e3;
    let mut least = [f64::INFINITY; figures::FIGURES.len()];
    for _ in 0..rounds {
        for (least, figure) in least.iter_mut().zip(figures::FIGURES) {
            *least = least.min((figure.run)(&clock));
        }
    }
    let figures: Vec<String> =
        figures::FIGURES.iter().zip(least).map(|(figure, least)| format!("{:?}: {least}", figure.name)).collect();
    println!("{{{}}}", figures.join(", "));
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
fn main() {}
