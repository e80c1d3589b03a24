//! The programs.
mod alloc;
mod alloc_process;
mod function;
mod place;
mod process;
mod registers;

pub(crate) use registers::Registers;
