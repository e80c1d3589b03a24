//! How the names of source files are shown.

/// What is left out of source files' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathStyle {
    /// Beginnings that are left out, the first that fits.
    pub strip_prefixes: Vec<String>,
    /// How many of the last parts are shown; none = all.
    pub depth: Option<usize>,
}

impl PathStyle {
    /// The name as it is shown.
    pub fn shown<'a>(&self, path: &'a str) -> &'a str {
        let rest = self
            .strip_prefixes
            .iter()
            .filter_map(|prefix| without_prefix(path, prefix))
            .find(|rest| !rest.is_empty());
        let path = rest.unwrap_or(path);
        let Some(depth) = self.depth else { return path };
        match path.rmatch_indices('/').nth(depth.saturating_sub(1)) {
            Some((slash, _)) => &path[slash + 1..],
            None => path,
        }
    }
}

/// A prefix ends with a part of the path.
fn without_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    if prefix.ends_with('/') {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::PathStyle;

    #[test]
    fn prefixes_end_with_a_part_of_the_path_and_the_first_that_fits_goes() {
        let style = PathStyle {
            strip_prefixes: ["/home/me", "/home/me/project/", "/usr"]
                .map(str::to_owned)
                .to_vec(),
            depth: None,
        };
        for (path, shown) in [
            ("/home/me/project/src/a.c", "project/src/a.c"),
            ("/home/melanie/a.c", "/home/melanie/a.c"),
            ("/usr/include/stdio.h", "include/stdio.h"),
            ("/usr", "/usr"),
            ("a.c", "a.c"),
        ] {
            assert_eq!(style.shown(path), shown);
        }
    }

    #[test]
    fn the_depth_counts_parts_from_the_end() {
        let style = |depth| PathStyle {
            strip_prefixes: Vec::new(),
            depth: Some(depth),
        };
        assert_eq!(style(1).shown("/a/b/c.c"), "c.c");
        assert_eq!(style(2).shown("/a/b/c.c"), "b/c.c");
        assert_eq!(style(3).shown("/a/b/c.c"), "a/b/c.c");
        assert_eq!(style(9).shown("/a/b/c.c"), "/a/b/c.c");
        assert_eq!(style(1).shown("c.c"), "c.c");
    }
}
