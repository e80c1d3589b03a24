//! From numbers to names: what a thread is called, and what the functions of a plan are called.
pub mod address;
pub mod jit;
pub mod kernel_symbols;
mod lines;
mod paths;
mod process;
mod thread;

pub use address::{AddressResolver, Kind, Place};
pub use lines::{FunctionLines, Lines, LinesAhead, LinesWanted};
pub use paths::PathStyle;
pub use process::Processes;
pub use thread::{CommReader, Threads};

use crate::event::FunctionNames;
use crate::probe::plan::Plan;

/// The names of a plan's functions from number `first` on.
pub fn function_names(plan: &Plan, first: usize) -> FunctionNames {
    let mut names = FunctionNames::new();
    for function in &plan.functions[first..] {
        let object = plan
            .objects
            .get(function.object)
            .map_or("", |object| object.name.as_str());
        names.push(function.name.as_str(), object);
    }
    names
}
