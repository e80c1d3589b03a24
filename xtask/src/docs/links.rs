//! Relative links of the Markdown files lead somewhere.

use std::{fs, path::Path};

use crate::{
    exec::{Failure, Outcome},
    workspace,
};

pub(super) fn check() -> Outcome<()> {
    let mut dead = Vec::new();
    for path in workspace::files("md")? {
        let text = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        for (line, link) in relative_links(&text) {
            let file = link.split('#').next().unwrap_or(link);
            if !folder.join(file).exists() {
                dead.push(format!("\n  {}:{line}: {link}", path.display()));
            }
        }
    }
    if dead.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!("links that lead nowhere:{}", dead.concat()),
        "mend them",
    ))
}

/// The targets of `[text](target)` outside code fences that are files of ours, with their line numbers.
fn relative_links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', ' ']).next());
        let ours =
            targets.filter(|target| !target.is_empty() && !target.starts_with('#') && !target.contains(':'));
        links.extend(ours.map(|target| (index + 1, target)));
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_ours_count_as_links() {
        let text = "[a](A.md#x) [b](https://b) [c](#c)\n```\n[d](d.md)\n```\n![e](img/e.png \"title\")\n";
        assert_eq!(relative_links(text), [(1, "A.md#x"), (5, "img/e.png")]);
    }
}
