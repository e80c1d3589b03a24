//! The kernel side of ebpf-prof.
//!
//! A probe's hit runs through [`probes::function`]: the cookie names the function, [`filter`] decides whether it is
//! wanted, [`stack`] pairs entries with returns per thread or goroutine, [`stats`] counts, and [`emit`] sends events to user space.
#![no_std]
#![no_main]
#![expect(
    unstable_features,
    reason = "inline assembly for BPF is not stable; `atomic` and `stack` need a few instructions of it"
)]
#![feature(asm_experimental_arch)]

mod atomic;
mod emit;
mod filter;
mod heap;
mod log;
mod maps;
mod memory;
mod probes;
mod rows;
mod stack;
mod stats;

/// The kernel lends GPL-only helpers (task storage, probe reads) to programs under a compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
