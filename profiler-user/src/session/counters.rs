//! What the kernel counted, merged over the rows of a group: CPUs, processes or threads.
use std::collections::HashMap;

use profiler_common::cookie::FunctionId;
use profiler_common::stats::FunctionStats;

use crate::aggregate::FunctionTotals;
use crate::aggregate::histogram::Histogram;
use crate::kernel::load::Kernel;

/// From this many returns on one CPU, a bucket of 32 bits is watched for overflow.
const WATCH_FROM: u64 = 1 << 31;

/// Reads the counters of a session. Must be asked more often than a bucket can overflow: an hour is far too often enough.
#[derive(Default)]
pub struct Counters {
    /// By slot: what the buckets held in all, and what they showed last.
    watched: HashMap<usize, Watched>,
}

struct Watched {
    totals: Vec<u64>,
    shown: Vec<u32>,
}

impl Counters {
    /// By function: its calls. Looks after buckets that may overflow, too: to be called at each interval.
    pub fn calls(&mut self, kernel: &Kernel, functions: usize) -> Vec<u64> {
        let mut calls = vec![0; functions];
        for row in 0..kernel.rows_in_use() {
            for function in (0..functions as u32).map(FunctionId) {
                let stats = kernel.stats.get(kernel.slot(row, function));
                calls[function.0 as usize] += stats.timed + stats.untimed;
                if stats.returns >= WATCH_FROM {
                    let mut buckets = vec![0; kernel.layout.buckets() as usize];
                    self.add_slot(kernel, kernel.slot(row, function), stats.returns, &mut buckets);
                }
            }
        }
        calls
    }

    /// A function's counters by group, without their histograms. `of_rows`: the group of each row; rows beyond it are not
    /// looked at, and none means that all rows are of one group.
    pub fn totals(
        kernel: &Kernel,
        function: FunctionId,
        of_rows: &[usize],
        groups: usize,
    ) -> Vec<FunctionTotals> {
        let mut totals = vec![FunctionTotals::default(); groups];
        for row in 0..rows(kernel, of_rows) {
            let stats = kernel.stats.get(kernel.slot(row, function));
            if stats.timed | stats.untimed | stats.returns | stats.abandoned != 0 {
                totals[group_of(of_rows, row)].merge(&of_row(&stats));
            }
        }
        totals
    }

    /// The histogram of functions together in one group; empty where there is none.
    pub fn histogram(
        &mut self,
        kernel: &Kernel,
        functions: &[FunctionId],
        of_rows: &[usize],
        group: usize,
    ) -> Histogram {
        let Some(resolution) = kernel.layout.resolution else {
            return Histogram::default();
        };
        let mut buckets = vec![0; kernel.layout.buckets() as usize];
        for row in (0..rows(kernel, of_rows)).filter(|row| group_of(of_rows, *row) == group) {
            for slot in functions.iter().map(|function| kernel.slot(row, *function)) {
                let returns = kernel.stats.get(slot).returns;
                if returns > 0 {
                    self.add_slot(kernel, slot, returns, &mut buckets);
                }
            }
        }
        Histogram { resolution, buckets }
    }

    fn add_slot(&mut self, kernel: &Kernel, slot: usize, returns: u64, into: &mut [u64]) {
        let first = slot * into.len();
        let shown = (0..into.len()).map(|bucket| half(kernel, first + bucket));
        if returns < WATCH_FROM && !self.watched.contains_key(&slot) {
            for (total, shown) in into.iter_mut().zip(shown) {
                *total += u64::from(shown);
            }
            return;
        }
        let shown: Vec<u32> = shown.collect();
        let watched = self.watched.entry(slot).or_insert_with(|| Watched {
            totals: shown.iter().copied().map(u64::from).collect(),
            shown: shown.clone(),
        });
        for (index, now) in shown.into_iter().enumerate() {
            watched.totals[index] += u64::from(now.wrapping_sub(watched.shown[index]));
            watched.shown[index] = now;
            into[index] += watched.totals[index];
        }
    }
}

fn rows(kernel: &Kernel, of_rows: &[usize]) -> u32 {
    match of_rows.len() {
        0 => kernel.rows_in_use(),
        known => known as u32,
    }
}

fn group_of(of_rows: &[usize], row: u32) -> usize {
    of_rows.get(row as usize).copied().unwrap_or(0)
}

/// A counter of 32 bits: two lie in an element.
fn half(kernel: &Kernel, index: usize) -> u32 {
    let pair = kernel.histograms.get(index / 2);
    if index.is_multiple_of(2) {
        pair as u32
    } else {
        (pair >> 32) as u32
    }
}

fn of_row(stats: &FunctionStats) -> FunctionTotals {
    FunctionTotals {
        calls: stats.timed + stats.untimed,
        returns: stats.returns,
        total_ns: stats.total_ns,
        self_ns: stats.total_ns.saturating_sub(stats.child_ns),
        extremes_ns: (stats.returns > 0).then(|| (u64::MAX - stats.min_complement, stats.max_ns)),
        abandoned: stats.abandoned,
        untimed: stats.untimed,
        histogram: Histogram::default(),
    }
}
