//! What is said below the table: what was lost, what the probes cost, how exact it is.
use profiler_common::loss::LossReason;

use super::number::{duration, percent, thousands};
use super::{Overhead, Row, Summary, View};
use crate::record::escape::escaped;

/// Functions named in the note on those that are not timed.
const NAMED: usize = 3;

/// Its lines.
pub(super) fn lines(summary: &Summary, view: &View) -> Vec<String> {
    let plain = |line: String| view.fit(&line);
    let warning = |line: String| view.style.warning(&view.fit(&line));
    let mut lines: Vec<String> = losses(&summary.losses).into_iter().map(warning).collect();
    if lines.is_empty() {
        lines.push(plain("lost:      nothing".to_owned()));
    }
    lines.extend(summary.overhead.as_ref().map(overhead).map(plain));
    let timed = summary.rows.iter().any(|row| row.totals.returns > 0);
    lines.extend(
        summary
            .overhead
            .as_ref()
            .filter(|_| timed)
            .map(durations)
            .map(plain),
    );
    lines.extend(untimed(&summary.rows).map(plain));
    lines.extend(summary.quantile_error.filter(|_| timed).map(exactness).map(plain));
    lines.extend(
        summary
            .notes
            .iter()
            .map(|note| warning(format!("note:      {}", escaped(note)))),
    );
    lines
}

fn exactness(error: f64) -> String {
    format!(
        "exactness: percentiles are within {} of the true value; all else is exact",
        percent(error)
    )
}

fn losses(losses: &[(LossReason, u64)]) -> Vec<String> {
    let lost = losses.iter().filter(|(_, count)| *count > 0);
    lost.map(|(reason, count)| format!("lost:      {} {}", thousands(*count), reason.text()))
        .collect()
}

fn overhead(cost: &Overhead) -> String {
    format!(
        "overhead:  about {} of one core: {} probe hits at {} ({})",
        percent(cost.core_percent / 100.0),
        thousands(cost.hits),
        duration(cost.hit_ns.round() as u64),
        cost.basis
    )
}

fn durations(cost: &Overhead) -> String {
    let nanoseconds = |ns: f64| duration(ns.round() as u64);
    format!(
        "durations: contain up to {} of the probes' own time a call, {} where the entry is single-stepped \
         (--dry-run shows where), and that of the probed functions called",
        nanoseconds(cost.in_duration_ns),
        nanoseconds(cost.in_duration_stepped_ns),
    )
}

/// Called functions that are counted and not timed, and why.
fn untimed(rows: &[Row]) -> Option<String> {
    let called = rows.iter().filter(|row| row.totals.calls > 0);
    let untimed: Vec<(&Row, &str)> = called
        .filter_map(|row| row.untimed.as_deref().map(|reason| (row, reason)))
        .collect();
    let named: Vec<String> = untimed
        .iter()
        .take(NAMED)
        .map(|(row, reason)| format!("{} ({})", escaped(&row.function), escaped(reason)))
        .collect();
    match untimed.len() {
        0 => None,
        count if count > NAMED => Some(format!(
            "not timed: {} and {} more",
            named.join(", "),
            count - NAMED
        )),
        _ => Some(format!("not timed: {}", named.join(", "))),
    }
}
