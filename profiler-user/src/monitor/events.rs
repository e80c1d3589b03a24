//! Calls, returns, allocations and frees in one stream, with who called.
use super::{Monitor, Records};
use crate::kernel::EventDetail;
use crate::record::RecordForm;

pub(super) static EVENTS: Monitor = Monitor {
    name: "events",
    aliases: &[],
    summary: "calls and returns, and every allocation and free of the heap, in one stream, with who called",
    form: RecordForm::Event,
    detail: EventDetail::CallAndCaller,
    records: Records::Always,
};
