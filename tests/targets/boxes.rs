//! Boxes and vectors of known sizes: by Rust's allocator, or, with `--cfg jemalloc`, by jemalloc under the names that its crate
//! gives it.
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::os::fd::FromRawFd as _;

#[cfg(jemalloc)]
mod jemalloc {
    use std::alloc::{GlobalAlloc, Layout};
    use std::ffi::c_void;

    unsafe extern "C" {
        fn _rjem_mallocx(size: usize, flags: i32) -> *mut c_void;
        fn _rjem_rallocx(block: *mut c_void, size: usize, flags: i32) -> *mut c_void;
        fn _rjem_sdallocx(block: *mut c_void, size: usize, flags: i32);
    }

    struct Jemalloc;

    fn flags(layout: Layout) -> i32 {
        layout.align().trailing_zeros() as i32
    }

    unsafe impl GlobalAlloc for Jemalloc {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            unsafe { _rjem_mallocx(layout.size(), flags(layout)).cast() }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            unsafe { _rjem_sdallocx(block.cast(), layout.size(), flags(layout)) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            unsafe { _rjem_rallocx(block.cast(), size, flags(layout)).cast() }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Jemalloc = Jemalloc;
}

/// Without the buffer that standard input would have.
fn wait() {
    let mut byte = [0];
    let mut input = unsafe { std::fs::File::from_raw_fd(0) };
    input.read(&mut byte).unwrap();
}

/// 1,000 boxes of 64 bytes, 100 vectors of 1,000 bytes that grow to 3,000, and half of all of them freed.
#[inline(never)]
fn work() -> (Vec<Box<[u64; 8]>>, Vec<Vec<u8>>) {
    let mut boxes = Vec::with_capacity(1000);
    for number in 0..1000 {
        boxes.push(Box::new([black_box(number); 8]));
    }
    let mut vectors = Vec::with_capacity(100);
    for _ in 0..100 {
        let mut vector: Vec<u8> = Vec::with_capacity(black_box(1000));
        vector.reserve_exact(black_box(3000));
        vectors.push(vector);
    }
    boxes.truncate(black_box(500));
    vectors.truncate(black_box(50));
    (boxes, vectors)
}

fn main() {
    print!("ready\n");
    std::io::stdout().flush().unwrap();
    wait();
    let kept = black_box(work());
    // The two lists of 1,000 pointers and 100 vectors are among them; what grew was freed and allocated.
    let lists = 1000 * 8 + 100 * 24;
    println!("truth allocations {}", 1000 + 100 + 100 + 2);
    println!("truth bytes {}", 64_000 + 100_000 + 300_000 + lists);
    println!("truth frees {}", 500 + 100 + 50);
    println!("truth live_count {}", 500 + 50 + 2);
    println!("truth live_bytes {}", 32_000 + 150_000 + lists);
    std::mem::forget(kept);
}
