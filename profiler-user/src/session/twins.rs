//! The same function in copies of a file: each container has its own, as far as the kernel can tell.
use std::collections::HashMap;
use std::path::PathBuf;

use profiler_common::cookie::FunctionId;

use crate::probe::plan::Plan;

/// Which functions are shown as one.
#[derive(Debug, Default)]
pub(super) struct Twins {
    /// By path, address, name and whether it is followed as an allocator: the first function of its kind.
    first: HashMap<(PathBuf, u64, String, bool), usize>,
    /// By function: the first of its kind.
    of: Vec<usize>,
    /// By function that is the first of its kind: all of that kind.
    all: HashMap<usize, Vec<FunctionId>>,
}

impl Twins {
    /// The plan has grown.
    pub(super) fn grow(&mut self, plan: &Plan) {
        for (index, function) in plan.functions.iter().enumerate().skip(self.of.len()) {
            let path = plan.objects[function.object].path.clone();
            let allocates = function.allocator.is_some();
            let key = (path, function.address, function.name.clone(), allocates);
            let first = *self.first.entry(key).or_insert(index);
            self.of.push(first);
            self.all.entry(first).or_default().push(function.id);
        }
    }

    /// All functions that are shown as one, by the first of them. In the order of the plan.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (FunctionId, &[FunctionId])> {
        let firsts = self
            .of
            .iter()
            .enumerate()
            .filter(|(index, first)| index == *first);
        firsts.map(|(index, _)| (FunctionId(index as u32), self.of_kind(FunctionId(index as u32))))
    }

    /// All functions that are shown with this one, which is the first of its kind.
    pub(super) fn of_kind(&self, first: FunctionId) -> &[FunctionId] {
        self.all.get(&(first.0 as usize)).map_or(&[], Vec::as_slice)
    }
}
