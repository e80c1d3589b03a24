//! Panics that are caught, through 1, 10 and 100 frames, with clean-ups, and across threads.
use std::cell::Cell;
use std::hint::black_box;
use std::io::{Read, Write};
use std::panic;

thread_local!(static CLEANUPS: Cell<u64> = const { Cell::new(0) });

struct Cleanup;

impl Drop for Cleanup {
    #[inline(never)]
    fn drop(&mut self) {
        CLEANUPS.set(CLEANUPS.get() + 1);
    }
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    let _cleanup = Cleanup;
    if depth == 1 {
        panic!("bottom");
    }
    black_box(descend(black_box(depth - 1))) + 1
}

#[inline(never)]
fn caught(depth: u64) -> bool {
    panic::catch_unwind(|| descend(depth)).is_err()
}

#[inline(never)]
fn resumed(depth: u64) -> bool {
    panic::catch_unwind(|| {
        let _cleanup = Cleanup;
        if let Err(cause) = panic::catch_unwind(|| descend(depth)) {
            panic::resume_unwind(cause);
        }
    })
    .is_err()
}

#[inline(never)]
fn joined(depth: u64) -> bool {
    std::thread::spawn(move || descend(depth)).join().is_err()
}

#[inline(never)]
fn out_of_bounds(index: usize) -> bool {
    panic::catch_unwind(|| vec![1, 2, 3][black_box(index)]).is_err()
}

fn main() {
    panic::set_hook(Box::new(|_| {}));
    println!("ready");
    std::io::stdout().flush().expect("stdout is open");
    let _ = std::io::stdin().read(&mut [0]);
    for depth in [1, 10, 100] {
        let index = depth as usize + 5;
        println!(
            "depth {depth}: caught {} resumed {} joined {} bounds {}",
            caught(depth),
            resumed(depth),
            joined(depth),
            out_of_bounds(index)
        );
    }
    println!("cleanups {}", CLEANUPS.get());
    std::process::exit(12);
}
