//! Which blocks are alive, who allocated them, and what each call site has allocated and freed.
pub(crate) mod events;
mod freed;
pub(crate) mod live;
pub(crate) mod maps;
pub(crate) mod process;
pub(crate) mod ranges;
pub(crate) mod sites;
pub(crate) mod thread;
