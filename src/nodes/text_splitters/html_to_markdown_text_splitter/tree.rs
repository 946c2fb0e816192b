//! HTML as a tree, by the few rules of the npm package `node-html-parser`, which
//! decide how broken HTML is understood. One pass; no tree is deeper than [`MAX_DEPTH`].

use super::entities;

/// Elements below this many others become part of the deepest of them, so that
/// nobody who walks through the tree runs out of stack.
const MAX_DEPTH: usize = 128;

const VOID: &[&str] = &[
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];
/// Elements whose content is no markup, and none of the text.
const UNREAD: &[&str] = &["script", "noscript", "style"];

/// The place of a node in its tree; the root is 0.
pub(super) type NodeId = usize;

/// An element or a piece of text.
pub(super) struct Node<'a> {
    /// In small letters; empty for texts and for the root.
    pub name: String,
    /// What stands in the tag after the name, or the text as it is written.
    pub source: &'a str,
    pub is_text: bool,
    pub parent: NodeId,
    pub children: Vec<NodeId>,
}

/// The nodes of one document.
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Tree<'a> {
    /// Reads a document.
    pub fn parse(html: &'a str) -> Self {
        let mut parser = Parser::new(html);
        parser.run();
        parser.unwrap_unclosed();
        parser.tree
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node<'a> {
        &self.nodes[id]
    }

    /// An attribute's value, if there is one that is not empty.
    pub fn attribute(&self, id: NodeId, name: &str) -> Option<String> {
        let mut rest = self.nodes[id].source;
        while let Some((found, value, after)) = next_attribute(rest) {
            if found.eq_ignore_ascii_case(name) && !value.is_empty() {
                return Some(entities::decoded(value).into_owned());
            }
            rest = after;
        }
        None
    }

    /// Whether the text below a node is exactly this.
    pub fn has_text(&self, id: NodeId, text: &str) -> bool {
        let mut written = String::new();
        let mut waiting = vec![id];
        while let Some(next) = waiting.pop() {
            let node = &self.nodes[next];
            if node.is_text {
                written.push_str(node.source);
            } else if node.name == "br" {
                written.push('\n');
            }
            waiting.extend(node.children.iter().rev());
        }
        entities::decoded(&written) == text
    }
}

/// The first attribute's name and value, and what follows it.
fn next_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(|c: char| c.is_ascii_alphabetic() || "()[]#@$.?:".contains(c))?;
    let text = &text[start..];
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_:()[]#@$.?".contains(c);
    let (name, rest) = text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()));
    let Some(value) = rest.trim_start().strip_prefix('=').map(str::trim_start) else {
        return Some((name, "", rest));
    };
    for quote in ['"', '\''] {
        if let Some((value, rest)) = value.strip_prefix(quote).and_then(|v| v.split_once(quote)) {
            return Some((name, value, rest));
        }
    }
    let end = value.find(char::is_whitespace).unwrap_or(value.len());
    Some((name, &value[..end], &value[end..]))
}

/// Where the first `>` is that stands in no quotes.
fn length_outside_quotes(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let place = at + text[at..].find(['>', '"', '\''])?;
        let found = char::from(text.as_bytes()[place]);
        if found == '>' {
            return Some(place);
        }
        at = place + text[place + 1..].find(found)? + 2;
    }
}

/// A tag of the document.
struct Tag<'a> {
    closes: bool,
    closes_itself: bool,
    name: String,
    attributes: &'a str,
    end: usize,
}

struct Parser<'a> {
    html: &'a str,
    tree: Tree<'a>,
    /// Open elements, the root first: names and nodes. Below the greatest depth
    /// several stand for one node.
    open: Vec<(String, NodeId)>,
    /// How many were open when the last link began.
    before_link: Option<usize>,
    /// False when a quote that was never closed has swallowed the rest once.
    minds_quotes: bool,
    /// False when a comment did not end.
    minds_comments: bool,
}

impl<'a> Parser<'a> {
    fn new(html: &'a str) -> Self {
        let root =
            Node { name: String::new(), source: "", is_text: false, parent: 0, children: vec![] };
        let tree = Tree { nodes: vec![root] };
        let open = vec![(String::new(), 0)];
        Self { html, tree, open, before_link: None, minds_quotes: true, minds_comments: true }
    }

    fn run(&mut self) {
        let (mut written, mut at) = (0, 0);
        // Behind the last `>` there are no more tags.
        let last = self.html.rfind('>').unwrap_or(0);
        while let Some(found) = self.html[at..].find('<') {
            let start = at + found;
            if start > last {
                break;
            }
            if let Some(end) = self.comment(start) {
                self.text(written, start);
                (written, at) = (end, end);
            } else if let Some(tag) = self.tag(start) {
                self.text(written, start);
                if tag.closes {
                    self.close(&tag.name)
                } else {
                    self.begin(&tag)
                }
                at = self.after(&tag);
                written = at;
            } else {
                at = start + 1;
            }
        }
        self.text(written, self.html.len());
    }

    /// The end of the comment that begins here, if one does.
    fn comment(&mut self, start: usize) -> Option<usize> {
        if !self.minds_comments || !self.html[start..].starts_with("<!--") {
            return None;
        }
        let inner = start + "<!--".len();
        let length = self.html[inner..].find("-->");
        self.minds_comments = length.is_some();
        length.map(|length| inner + length + "-->".len())
    }

    fn top(&self) -> NodeId {
        self.open.last().map_or(0, |(_, node)| *node)
    }

    fn add(&mut self, name: String, source: &'a str, is_text: bool) -> NodeId {
        let (id, parent) = (self.tree.nodes.len(), self.top());
        self.tree.nodes.push(Node { name, source, is_text, parent, children: Vec::new() });
        self.tree.nodes[parent].children.push(id);
        id
    }

    fn text(&mut self, start: usize, end: usize) {
        if start < end {
            self.add(String::new(), &self.html[start..end], true);
        }
    }

    /// The tag that begins here, if one does.
    fn tag(&mut self, start: usize) -> Option<Tag<'a>> {
        let html = self.html;
        let closes = html[start + 1..].starts_with('/');
        let named = start + 1 + usize::from(closes);
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-.:_".contains(c);
        let rest = &html[named..];
        let (name, rest) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        if !rest.starts_with(|c: char| c == '>' || c == '/' || c.is_whitespace()) {
            return None;
        }
        let length = self.tag_length(rest)?;
        let inner = rest[..length].trim();
        let attributes = inner.strip_suffix('/').unwrap_or(inner);
        let closes_itself = attributes.len() < inner.len();
        let end = html.len() - rest.len() + length + 1;
        Some(Tag { closes, closes_itself, name: name.to_ascii_lowercase(), attributes, end })
    }

    /// Where the tag's `>` is, outside of quotes as long as these are closed.
    fn tag_length(&mut self, rest: &str) -> Option<usize> {
        let length = self.minds_quotes.then(|| length_outside_quotes(rest)).flatten();
        self.minds_quotes = length.is_some();
        length.or_else(|| rest.find('>'))
    }

    /// Where the text goes on after a tag.
    fn after(&self, tag: &Tag<'_>) -> usize {
        if tag.closes || !UNREAD.contains(&tag.name.as_str()) {
            return tag.end;
        }
        let end = format!("</{}>", tag.name);
        let rest = self.html.as_bytes()[tag.end..].windows(end.len());
        let found = rest.into_iter().position(|part| part.eq_ignore_ascii_case(end.as_bytes()));
        found.map_or(self.html.len(), |found| tag.end + found + end.len())
    }

    fn begin(&mut self, tag: &Tag<'a>) {
        let parent = self.open.last().map_or("", |(name, _)| name);
        if !tag.closes_itself && is_closed_by_opening(parent, &tag.name) {
            self.open.pop();
        }
        if tag.name == "a" {
            if let Some(before) = self.before_link {
                self.open.truncate(before);
            }
            self.before_link = Some(self.open.len());
        }
        let is_deep = self.open.len() > MAX_DEPTH;
        let id =
            if is_deep { self.top() } else { self.add(tag.name.clone(), tag.attributes, false) };
        self.open.push((tag.name.clone(), id));
        let name = tag.name.as_str();
        if tag.closes_itself || VOID.contains(&name) || UNREAD.contains(&name) {
            self.close(name);
        }
    }

    /// Closes the innermost element if it has this name, or ends with it.
    fn close(&mut self, name: &str) {
        if name == "a" {
            self.before_link = None;
        }
        while self.open.len() > 1 {
            let last = self.open.last().map_or("", |(last, _)| last);
            let is_it = last == name;
            if !is_it && !is_closed_by_closing(last, name) {
                return;
            }
            self.open.pop();
            if is_it {
                return;
            }
        }
    }

    /// Elements that were never closed give their content to those around them.
    fn unwrap_unclosed(&mut self) {
        while self.open.len() > 1 {
            let Some((name, last)) = self.open.pop() else { return };
            let (around, before) = self.open.last().cloned().unwrap_or_default();
            let parent = self.tree.nodes[last].parent;
            if last == before || parent == 0 {
                continue;
            }
            self.tree.nodes[before].children.retain(|&child| child != last);
            let content = std::mem::take(&mut self.tree.nodes[last].children);
            let is_pair = parent == before && name == around;
            let heir = if is_pair { self.tree.nodes[before].parent } else { before };
            for &child in &content {
                self.tree.nodes[child].parent = heir;
            }
            self.tree.nodes[heir].children.extend(content);
            if is_pair {
                self.open.pop();
            }
        }
    }
}

/// Whether an element that is begun ends the one that is open.
fn is_closed_by_opening(open: &str, begun: &str) -> bool {
    match open {
        "li" => begun == "li",
        "p" => matches!(begun, "p" | "div"),
        "b" => begun == "div",
        "td" | "th" => matches!(begun, "td" | "th"),
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => begun == open,
        _ => false,
    }
}

/// Whether the end of another element ends the one that is open.
fn is_closed_by_closing(open: &str, closed: &str) -> bool {
    match open {
        "li" => matches!(closed, "ul" | "ol"),
        "a" | "b" | "i" | "p" => closed == "div",
        "td" | "th" => matches!(closed, "tr" | "table"),
        _ => false,
    }
}
