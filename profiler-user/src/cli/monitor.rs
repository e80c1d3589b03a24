//! What is recorded of each call.
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::monitor::{MONITORS, Monitor};

/// What is recorded of each call.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct MonitorArgs {
    /// What is recorded of each call and return
    #[arg(long, value_name = "MONITOR", default_value = Monitor::usual().name, value_parser = monitor())]
    pub monitor: &'static Monitor,
}

fn monitor() -> impl TypedValueParser<Value = &'static Monitor> {
    let possible = MONITORS.iter().map(|monitor| {
        PossibleValue::new(monitor.name)
            .help(monitor.summary)
            .aliases(monitor.aliases)
    });
    PossibleValuesParser::new(possible.collect::<Vec<_>>()).try_map(|typed| {
        Monitor::by_name(&typed).ok_or_else(|| format!("`{typed}` is not one of the monitors"))
    })
}
