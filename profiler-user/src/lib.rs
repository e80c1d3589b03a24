//! ebpf-prof: which functions an unmodified process calls, how often and for how long.
pub mod aggregate;
pub mod object;
pub mod probe;
