//! Results as JSON, written and read again.
use std::path::Path;

use profiler_common::alloc::Family;
use serde_json::{Map, Value, json};

use crate::aggregate::memory::{
    FamilySummary, LiveBlockRow, MemoryCounters, MemoryRow, MemorySummary, ProcessMemory,
};
use crate::cli::mem_config::MemoryConfig;
use crate::kernel::AttachMode;
use crate::session::SessionError;
use crate::target::usage::MemoryUsage;

/// The result.
pub(super) fn text(
    summary: &MemorySummary,
    config: &MemoryConfig,
    mode: AttachMode,
) -> Result<String, SessionError> {
    let mut text = serde_json::to_string_pretty(&document(summary, config, mode)).map_err(|error| {
        SessionError::System {
            what: "write the result as JSON",
            source: error.into(),
        }
    })?;
    text.push('\n');
    Ok(text)
}

fn document(summary: &MemorySummary, config: &MemoryConfig, mode: AttachMode) -> Value {
    let MemorySummary {
        title,
        elapsed,
        families,
        rows,
        blocks,
        processes,
        sample_bytes,
        losses,
        notes,
    } = summary;
    let loss: Map<String, Value> = losses
        .iter()
        .map(|(reason, count)| (reason.key().to_owned(), json!(count)))
        .collect();
    let totals: Map<String, Value> = families
        .iter()
        .map(|family| (family.family.name().to_owned(), family_value(family, summary)))
        .collect();
    json!({
        "kind": "memory",
        "title": title,
        "elapsed_ns": elapsed.as_nanos() as u64,
        "attach_mode": mode.name(),
        "by": config.shown.by.name(),
        "sample_bytes": sample_bytes,
        "min_age_ns": config.shown.min_age.as_nanos() as u64,
        "families": totals,
        "rows": rows.iter().map(row_value).collect::<Vec<_>>(),
        "blocks": blocks.iter().map(block_value).collect::<Vec<_>>(),
        "processes": processes.iter().map(process_value).collect::<Vec<_>>(),
        "loss": loss,
        "notes": notes,
    })
}

fn family_value(family: &FamilySummary, summary: &MemorySummary) -> Value {
    let total = summary.total(family.family);
    let mut value = counters_value(&total);
    // Peaks of sites, each at its own time, do not add up.
    value["peak_bytes"] = json!(family.peak_bytes);
    value["peak_after_ns"] = json!(family.peak_after.map(|after| after.as_nanos() as u64));
    value["unknown_frees"] = json!(family.unknown_frees);
    value["double_frees"] = json!(family.double_frees);
    value["inherited_frees"] = json!(family.inherited_frees);
    value["missed_frees"] = json!(family.missed_frees);
    value["internal_frees"] = json!(family.internal_frees);
    value["partial_unmaps"] = json!(family.partial_unmaps);
    value
}

fn counters_value(counters: &MemoryCounters) -> Value {
    let numbers = MemoryCounters::NAMES.into_iter().zip(counters.numbers());
    let mut value: Map<String, Value> = numbers
        .map(|(name, number)| (name.to_owned(), json!(number)))
        .collect();
    value.insert("sizes".to_owned(), json!(trimmed(&counters.sizes)));
    value.insert("lifetimes".to_owned(), json!(trimmed(&counters.lifetimes)));
    Value::Object(value)
}

/// Without the empty buckets at the end.
fn trimmed(buckets: &[u64]) -> &[u64] {
    let used = buckets
        .iter()
        .rposition(|count| *count > 0)
        .map_or(0, |last| last + 1);
    &buckets[..used]
}

fn row_value(row: &MemoryRow) -> Value {
    let mut value = counters_value(&row.counters);
    value["what"] = json!(row.what);
    value["object"] = json!(row.object);
    value["allocator"] = json!(row.allocator);
    value["family"] = json!(row.family.name());
    value["pid"] = json!(row.pid);
    value["tid"] = json!(row.tid);
    value["file"] = json!(row.line.as_ref().map(|(file, _)| file));
    value["line"] = json!(row.line.as_ref().map(|(_, line)| line));
    value["caller"] = json!(row.caller);
    value["stack"] = json!(row.stack);
    value
}

fn block_value(block: &LiveBlockRow) -> Value {
    json!({
        "address": block.address,
        "size": block.size,
        "age_ns": block.age_ns,
        "pid": block.pid,
        "tid": block.tid,
        "family": block.family.name(),
        "caller": block.caller,
    })
}

fn process_value(process: &ProcessMemory) -> Value {
    let MemoryUsage {
        rss,
        rss_peak,
        vms,
        vms_peak,
        anonymous,
        file,
        shared,
        swap,
    } = process.usage;
    json!({
        "pid": process.pid,
        "comm": process.comm,
        "container": process.container,
        "ended": process.has_ended,
        "rss_bytes": rss,
        "rss_peak_bytes": rss_peak,
        "vms_bytes": vms,
        "vms_peak_bytes": vms_peak,
        "anonymous_bytes": anonymous,
        "file_bytes": file,
        "shared_bytes": shared,
        "swap_bytes": swap,
    })
}

/// The lines of a result that was written earlier.
pub(super) fn read(path: &Path) -> Result<MemorySummary, SessionError> {
    let text = std::fs::read_to_string(path).map_err(|source| SessionError::ReadResult {
        path: path.to_owned(),
        source,
    })?;
    let wrong = || SessionError::ReadResult {
        path: path.to_owned(),
        source: std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it is no result of `ebpf-prof mem --summary-json` about allocations",
        ),
    };
    let value: Value = serde_json::from_str(&text).map_err(|_error| wrong())?;
    if value["kind"] != "memory" {
        return Err(wrong());
    }
    let rows = value["rows"].as_array().ok_or_else(wrong)?;
    Ok(MemorySummary {
        title: value["title"].as_str().unwrap_or_default().to_owned(),
        elapsed: std::time::Duration::from_nanos(value["elapsed_ns"].as_u64().unwrap_or(0)),
        rows: rows.iter().map(row).collect(),
        sample_bytes: value["sample_bytes"].as_u64(),
        ..MemorySummary::default()
    })
}

fn row(value: &Value) -> MemoryRow {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut counters = MemoryCounters::default();
    for (name, number) in MemoryCounters::NAMES.into_iter().zip(counters.numbers_mut()) {
        *number = value[name].as_u64().unwrap_or(0);
    }
    let number = |key: &str| value[key].as_u64().map(|number| number as u32);
    let stack = value["stack"].as_array().cloned().unwrap_or_default();
    MemoryRow {
        what: text("what"),
        object: text("object"),
        allocator: text("allocator"),
        family: Family::by_name(&text("family")).unwrap_or_default(),
        pid: number("pid"),
        tid: number("tid"),
        line: value["file"].as_str().map(str::to_owned).zip(number("line")),
        caller: value["caller"].as_u64(),
        stack: stack
            .iter()
            .filter_map(|frame| frame.as_str().map(str::to_owned))
            .collect(),
        counters,
    }
}
