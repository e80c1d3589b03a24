//! The program that `cargo xtask run` profiles: two threads do the same modest work for about three seconds, with
//! functions of different kinds, and the same number of calls in every run.
#![expect(unused_crate_dependencies, reason = "the dependencies are xtask's")]
#![expect(clippy::print_stdout, reason = "its result shows that the work was done")]

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

/// Rounds of each thread.
const ROUNDS: u32 = 150;
/// A round starts this long after the one before.
const PACE: Duration = Duration::from_millis(20);

const LINES: &[&str] = &[
    "GET /index.html 200 5120",
    "GET /style.css 304 0",
    "POST /login 302 128",
    "GET /a 404 310",
];

fn main() {
    let clients: Vec<_> = (0..2)
        .map(|number| thread::spawn(move || client(number)))
        .collect();
    let sums: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().unwrap_or_default())
        .collect();
    println!("workload done: {sums:?}");
}

#[inline(never)]
fn client(number: u64) -> u64 {
    let start = Instant::now();
    let mut sum = number;
    for round in 0..ROUNDS {
        thread::sleep((start + PACE * round).saturating_duration_since(Instant::now()));
        sum = sum.wrapping_add(serve(round));
    }
    sum
}

/// One round.
#[inline(never)]
fn serve(round: u32) -> u64 {
    let mut sizes: Vec<u64> = LINES
        .iter()
        .cycle()
        .take(24)
        .map(|line| parse_line(line))
        .collect();
    sort_sizes(&mut sizes);
    if round.is_multiple_of(10) {
        wait_for_disk();
    }
    hash_sizes(&sizes).wrapping_add(fibonacci(9))
}

#[inline(never)]
fn parse_line(line: &str) -> u64 {
    line.split(' ').map(parse_field).max().unwrap_or_default()
}

#[inline(never)]
fn parse_field(field: &str) -> u64 {
    field.parse().unwrap_or_default()
}

#[inline(never)]
fn sort_sizes(sizes: &mut [u64]) {
    sizes.sort_unstable_by(|left, right| right.cmp(left));
}

#[inline(never)]
fn hash_sizes(sizes: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    black_box(sizes).hash(&mut hasher);
    hasher.finish()
}

/// Slow now and then, without using the CPU.
#[inline(never)]
fn wait_for_disk() {
    thread::sleep(black_box(Duration::from_millis(5)));
}

#[inline(never)]
fn fibonacci(n: u64) -> u64 {
    if black_box(n) < 2 {
        n
    } else {
        fibonacci(n - 1) + fibonacci(n - 2)
    }
}
