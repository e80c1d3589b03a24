//! The programs.
mod alloc;
mod alloc_end;
mod alloc_process;
mod function;
mod place;
mod process;
mod registers;
mod rss;
mod rss_place;

pub(crate) use registers::Registers;
