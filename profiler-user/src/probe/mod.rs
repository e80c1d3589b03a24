//! From patterns to probes: what to probe ([`selection`]), where exactly ([`site`]), how its returns are seen
//! ([`returns`]), and all of it together ([`plan`]).
pub mod plan;
