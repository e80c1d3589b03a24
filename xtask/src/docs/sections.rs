//! Sections between `<!-- generated:NAME -->` and `<!-- /generated -->`.

use crate::exec::{Failure, Outcome};

const BEGIN: &str = "<!-- generated:";
const BEGIN_ENDS: &str = " -->";
const END: &str = "<!-- /generated -->";

/// The document with every section's content replaced by what `content` has for its name.
pub(super) fn fill(document: &str, mut content: impl FnMut(&str) -> Outcome<String>) -> Outcome<String> {
    let mut filled = String::with_capacity(document.len());
    let mut lines = document.split_inclusive('\n');
    while let Some(line) = lines.next() {
        filled.push_str(line);
        let Some(name) = line
            .trim()
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix(BEGIN_ENDS))
        else {
            continue;
        };
        let end = lines.find(|line| line.trim() == END).ok_or_else(|| {
            Failure::new(
                format!("section `{name}` has no end"),
                format!("close it with `{END}`"),
            )
        })?;
        filled.push('\n');
        filled.push_str(content(name)?.trim_matches('\n'));
        filled.push_str("\n\n");
        filled.push_str(end);
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "a\n<!-- generated:x -->\nold\n<!-- /generated -->\nb\n";

    #[test]
    fn a_section_is_replaced_and_the_rest_is_kept() {
        let filled = fill(DOCUMENT, |name| Ok(format!("new {name}\n"))).expect("well-formed");
        assert_eq!(
            filled,
            "a\n<!-- generated:x -->\n\nnew x\n\n<!-- /generated -->\nb\n"
        );
    }

    #[test]
    fn filling_twice_changes_nothing() {
        let once = fill(DOCUMENT, |_name| Ok("same".to_owned())).expect("well-formed");
        assert_eq!(
            fill(&once, |_name| Ok("same".to_owned())).expect("well-formed"),
            once
        );
    }

    #[test]
    fn a_section_without_end_is_refused() {
        let failure = fill("<!-- generated:x -->\nold\n", |_name| Ok(String::new())).expect_err("no end");
        assert!(
            failure.to_string().contains("section `x` has no end"),
            "{failure}"
        );
    }
}
