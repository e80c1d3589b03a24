//! The programs.
mod function;
mod process;
mod registers;
