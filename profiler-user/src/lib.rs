//! ebpf-prof: which functions an unmodified process calls, how often and for how long.
//!
//! Imports point one way: `cli → session → {recorder, ui} → {monitor, aggregate, resolve, probe} →
//! {event, target, object, kernel} → record`; `plot` needs only `record` and `ui`. `rooted`, which opens files, is below all of them.
pub mod aggregate;
pub mod cli;
pub mod describe;
pub mod doctor;
pub mod event;
pub mod kernel;
pub mod list;
pub mod monitor;
pub mod object;
pub mod plot;
pub mod probe;
pub mod record;
pub mod recorder;
pub mod resolve;
mod rooted;
pub mod session;
pub mod target;
pub mod ui;
