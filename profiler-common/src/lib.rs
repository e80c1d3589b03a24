//! What the kernel side and the user side of ebpf-prof agree on.
//!
//! Everything here is `no_std`, fixed-size and free of padding: [`event`] is what travels through the rings,
//! [`stats`] and [`histogram`] what lies in the shared maps, [`cookie`] what a probe carries, [`config`] what user space
//! tells the programs before they load, [`loss`] why something could not be kept, [`alloc`] how allocations are seen and
//! counted, [`sampling`] how some of them stand for all, and [`rss`] what makes resident memory grow.
#![no_std]

pub mod alloc;
pub mod config;
pub mod cookie;
pub mod event;
pub mod histogram;
pub mod loss;
pub mod rss;
pub mod sampling;
pub mod stats;
