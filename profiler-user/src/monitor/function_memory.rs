//! The memory of the process at every call and return. The kernel side reads it, so that nobody reads `/proc`.
use super::{Monitor, Records};
use crate::kernel::EventDetail;
use crate::record::RecordForm;

pub(super) static FUNCTION_MEMORY: Monitor = Monitor {
    name: "function-memory",
    aliases: &["function_memory"],
    summary: "resident and mapped memory of the process at every call and return",
    form: RecordForm::FunctionMemory,
    detail: EventDetail::CallAndMemory,
    records: Records::Always,
};
