//! The programs.
mod function;
mod place;
mod process;
mod registers;
