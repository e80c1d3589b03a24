//! From numbers to names: what a thread is called, and what the functions of a plan are called.
mod lines;
mod paths;
mod thread;

pub use lines::{FunctionLines, LinesAhead, LinesWanted};
pub use paths::PathStyle;
pub use thread::{CommReader, Threads};

use crate::event::FunctionNames;
use crate::probe::plan::Plan;

impl From<&Plan> for FunctionNames {
    fn from(plan: &Plan) -> Self {
        let mut names = Self::new();
        for function in &plan.functions {
            let object = plan
                .objects
                .get(function.object)
                .map_or("", |object| object.name.as_str());
            names.push(function.name.as_str(), object);
        }
        names
    }
}
