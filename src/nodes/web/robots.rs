//! robots.txt (RFC 9309): which paths a crawler may ask for.

/// The name that groups of rules call this crawler by.
const TOKEN: &str = "parlor";
/// What is read of a file.
const MAX_BYTES: usize = 512 << 10;
/// Rules that are kept.
const MAX_RULES: usize = 2_000;

/// The rules for this crawler.
#[derive(Debug, Default)]
pub(crate) struct Robots {
    /// Patterns of paths, and whether they allow.
    rules: Vec<(String, bool)>,
}

impl Robots {
    /// Rules that close everything, for a site whose rules cannot be had.
    pub(crate) fn closed() -> Self {
        Self { rules: vec![("/".to_owned(), false)] }
    }

    /// The rules of the groups that name this crawler, else of those for all.
    pub(crate) fn parse(text: &str) -> Self {
        let text = &text[..text.floor_char_boundary(MAX_BYTES)];
        let (mut own, mut general) = (Vec::new(), Vec::new());
        let (mut is_named, mut for_own, mut for_all, mut in_rules) = (false, false, false, false);
        for (key, value) in text.lines().filter_map(line) {
            match key.as_str() {
                "user-agent" => {
                    if std::mem::take(&mut in_rules) {
                        (for_own, for_all) = (false, false);
                    }
                    for_own |= value.eq_ignore_ascii_case(TOKEN);
                    for_all |= value == "*";
                    is_named |= for_own;
                }
                "allow" | "disallow" => {
                    in_rules = true;
                    let rule = (value.to_owned(), key == "allow");
                    // An empty rule closes nothing.
                    if for_own && !value.is_empty() {
                        own.push(rule.clone());
                    }
                    if for_all && !value.is_empty() {
                        general.push(rule);
                    }
                }
                _ => {}
            }
        }
        let mut rules = if is_named { own } else { general };
        rules.truncate(MAX_RULES);
        Self { rules }
    }

    /// Whether a path, with its query, may be asked for: the longest rule that
    /// fits decides, of two alike the one that allows.
    pub(crate) fn allows(&self, path: &str) -> bool {
        let fitting = self.rules.iter().filter(|(pattern, _)| fits(pattern, path));
        let longest = fitting.max_by_key(|(pattern, allows)| (pattern.len(), *allows));
        longest.is_none_or(|(_, allows)| *allows)
    }
}

/// A line's key in lower case and its value, without a comment.
fn line(line: &str) -> Option<(String, &str)> {
    let line = line.split('#').next().unwrap_or_default();
    let (key, value) = line.split_once(':')?;
    Some((key.trim().to_ascii_lowercase(), value.trim()))
}

/// `*` stands for anything, `$` at the end for the end.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, is_whole) = match pattern.strip_suffix('$') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let mut pieces = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let last = if is_whole { pieces.pop() } else { None };
    for piece in &pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    match last {
        Some(last) => rest.ends_with(last),
        None => !is_whole || rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_rule_that_fits_decides() {
        let robots = Robots::parse(
            "# all\nUser-agent: *\nDisallow: /private # not here\nAllow: /private/open\n\
             Disallow: /*.pdf$\nDisallow: /search*q=\nDisallow:\n",
        );
        for (path, is_allowed) in [
            ("/", true),
            ("/private", false),
            ("/private/a", false),
            ("/private/open/a", true),
            ("/a/b.pdf", false),
            ("/a/b.pdf?x", true),
            ("/search?p=1&q=2", false),
            ("/search?p=1", true),
        ] {
            assert_eq!(robots.allows(path), is_allowed, "{path}");
        }
    }

    #[test]
    fn rules_for_this_crawler_replace_those_for_all() {
        let robots = Robots::parse(
            "User-agent: *\nDisallow: /\n\nUser-agent: other\nUser-Agent: Parlor\nDisallow: /x\n",
        );
        assert!(robots.allows("/a") && !robots.allows("/x/y"));

        let others = Robots::parse("User-agent: other\nDisallow: /\n");
        assert!(others.allows("/a"));
        assert!(Robots::parse("<html>not found</html>").allows("/a"));
        assert!(!Robots::closed().allows("/a"));
    }
}
