//! Calls and returns.
use super::{Monitor, Records};
use crate::kernel::EventDetail;
use crate::record::RecordForm;

pub(super) static FUNCTIONS: Monitor = Monitor {
    name: "functions",
    aliases: &[],
    summary: "calls and returns; counted only, where nothing is recorded",
    form: RecordForm::Function,
    detail: EventDetail::Call,
    records: Records::OnDemand,
};
