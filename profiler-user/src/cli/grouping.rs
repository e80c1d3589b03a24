//! How processes are told apart in tables and records, and kept apart by links.
use super::targets::TARGETING;
use crate::target::identity::Attribute;

/// How processes are told apart.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = TARGETING)]
pub struct GroupingArgs {
    /// Count apart by these.
    #[arg(long, value_name = "WHAT[,WHAT...]", value_delimiter = ',', value_parser = attribute, help = by_help())]
    pub by: Vec<Option<Attribute>>,
    /// Add columns with these to every record; the same words as for --by
    #[arg(long = "with", value_name = "WHAT[,WHAT...]", value_delimiter = ',', value_parser = attribute)]
    pub columns: Vec<Option<Attribute>>,
    /// Never let other processes pay: with `run` and --children, too, reach each process by links of its own. The first
    /// milliseconds of a child are then missed
    #[arg(long)]
    pub isolate: bool,
}

fn by_help() -> String {
    format!(
        "Count apart by these, separated by commas: {} (function is always one of them)",
        names()
    )
}

fn names() -> String {
    Attribute::ALL.map(Attribute::name).join(", ")
}

/// A word of `--by`. `function` is what is counted in any case.
fn attribute(text: &str) -> Result<Option<Attribute>, String> {
    match text.trim() {
        "function" => Ok(None),
        word => Attribute::by_name(word).map(Some).ok_or_else(|| {
            format!(
                "`{word}` is nothing that processes are told apart by: write one of {}, function",
                names()
            )
        }),
    }
}

/// Each attribute once, in the order typed.
pub(super) fn distinct(typed: Vec<Option<Attribute>>) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    for attribute in typed.into_iter().flatten() {
        if !attributes.contains(&attribute) {
            attributes.push(attribute);
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::{attribute, distinct};
    use crate::target::identity::Attribute;

    #[test]
    fn functions_may_be_named_and_repetitions_are_dropped() {
        let typed = ["container", "function", "pid", "container"].map(|word| attribute(word).unwrap());
        assert_eq!(distinct(typed.to_vec()), [Attribute::Container, Attribute::Pid]);
        let error = attribute("color").unwrap_err();
        assert!(
            error.contains("`color`") && error.contains("namespace"),
            "{error}"
        );
    }
}
