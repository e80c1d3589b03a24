//! ebpf-prof: which functions an unmodified process calls, how often and for how long.
pub mod aggregate;
pub mod cli;
pub mod event;
pub mod kernel;
pub mod object;
pub mod probe;
pub mod record;
pub mod recorder;
pub mod resolve;
pub mod ui;
