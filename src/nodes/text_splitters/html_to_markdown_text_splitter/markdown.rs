//! The walk through a document that writes its Markdown.

use super::super::units::{is_blank, trim};
use super::rules::{Place, Rule, rule, speaks_empty};
use super::tree::{NodeId, Tree};
use super::{entities, marks, tables};

/// HTML as Markdown.
pub(in super::super) fn markdown(html: &str) -> String {
    let tree = Tree::parse(html);
    let most_bytes = html.len().saturating_mul(4).saturating_add(1 << 16);
    let mut writer = Writer { tree: &tree, text: String::new(), caption: None, most_bytes };
    writer.visit(0, &mut Around::default());
    marks::with_few_breaks(&writer.text)
}

/// What is around a node.
#[derive(Debug, Clone, Default)]
struct Around {
    place: Place,
    /// Blanks stay as they are written.
    is_pre: bool,
    /// Nothing is escaped.
    is_literal: bool,
    list: Option<List>,
}

/// The innermost list.
#[derive(Debug, Clone, Copy)]
struct List {
    is_ordered: bool,
    n_items: usize,
    level: usize,
}

struct Writer<'t> {
    tree: &'t Tree<'t>,
    text: String,
    /// Of the table that is being written.
    caption: Option<String>,
    /// Nested lists and quotes repeat their indents; beyond this they do no more.
    most_bytes: usize,
}

impl Writer<'_> {
    fn visit(&mut self, id: NodeId, around: &mut Around) {
        let node = self.tree.node(id);
        if node.is_text {
            return self.visit_text(node.source, around);
        }
        if !self.says_something(id) {
            return;
        }
        let rule = rule(around.place, &node.name);
        match node.name.as_str() {
            "ul" | "ol" => {
                let level = around.list.map_or(0, |list| list.level + 1);
                let list = List { is_ordered: node.name == "ol", n_items: 0, level };
                self.element(id, rule, &mut Around { list: Some(list), ..around.clone() });
            }
            "pre" => self.element(id, rule, &mut Around { is_pre: true, ..around.clone() }),
            "li" => {
                if let Some(list) = &mut around.list {
                    list.n_items += usize::from(list.is_ordered);
                }
                self.element(id, rule, around);
            }
            _ => self.element(id, rule, around),
        }
    }

    /// Whether there is text or a picture in it, or it stands for something itself.
    fn says_something(&self, id: NodeId) -> bool {
        let node = self.tree.node(id);
        node.is_text
            || if node.children.is_empty() {
                speaks_empty(&node.name)
            } else {
                node.children.iter().any(|&child| self.says_something(child))
            }
    }

    fn visit_text(&mut self, source: &str, around: &Around) {
        let is_blank_only = source.split("&nbsp;").all(marks::is_empty);
        if is_blank_only && !around.is_pre {
            if self.text.chars().next_back().is_some_and(|last| !is_blank(last)) {
                self.text.push(' ');
            }
            return;
        }
        let text = entities::decoded(source);
        let text = if around.is_pre { text } else { marks::collapsed(&text).into() };
        self.text.push_str(&if around.is_literal { text } else { marks::escaped(&text).into() });
    }

    fn children(&mut self, id: NodeId, around: &mut Around) {
        let tree = self.tree;
        for &child in &tree.node(id).children {
            self.visit(child, around);
        }
    }

    /// The content of an element, taken off the end of what is written.
    fn content(&mut self, id: NodeId, around: &mut Around) -> String {
        let start = self.text.len();
        self.children(id, around);
        self.text.split_off(start)
    }

    fn element(&mut self, id: NodeId, rule: Rule, around: &mut Around) {
        match rule {
            Rule::Through => self.children(id, around),
            Rule::Nothing => {}
            Rule::Fixed(text) => self.text.push_str(text),
            Rule::FixedBlock(text) => {
                self.breaks(2);
                self.text.push_str(text);
                self.breaks(2);
            }
            Rule::Block => self.apart(2, |writer| writer.children(id, around)),
            Rule::Pre { is_block } => {
                let mut around = Around { is_literal: true, ..around.clone() };
                let n_breaks = if is_block { 2 } else { 0 };
                self.apart(n_breaks, |writer| writer.children(id, &mut around));
            }
            Rule::Heading(level) => self.apart(2, |writer| {
                writer.text.extend([&"#".repeat(level), " "]);
                writer.children(id, around);
            }),
            Rule::Bracketed => self.apart(2, |writer| {
                writer.text.push('[');
                writer.children(id, around);
                writer.text.push(']');
            }),
            Rule::List | Rule::Line => self.apart(1, |writer| writer.children(id, around)),
            Rule::Quote => self.quote(id, around),
            Rule::Marked(mark) => self.marked(id, mark, around),
            Rule::Item => self.item(id, around),
            Rule::Code => self.code(id, around),
            Rule::Link => self.link(id, around),
            Rule::Image => self.image(id),
            Rule::Table | Rule::Caption | Rule::Row | Rule::Cell => self.tabular(id, rule, around),
        }
    }

    /// Line breaks until so many are at the end.
    fn breaks(&mut self, least: usize) {
        let ends = self.text.chars().rev().take(10).take_while(|&c| is_blank(c));
        let n_breaks = ends.filter(|&c| c == '\n' || c == '\r').count();
        self.text.extend(std::iter::repeat_n('\n', least.saturating_sub(n_breaks)));
    }

    fn apart(&mut self, n_breaks: usize, write: impl FnOnce(&mut Self)) {
        self.breaks(n_breaks);
        write(self);
        self.breaks(n_breaks);
    }

    /// Marks next to each other would be one.
    fn push_apart(&mut self, text: &str) {
        if text.chars().next().is_some_and(|first| self.text.ends_with(first)) {
            self.text.push(' ');
        }
        self.text.push_str(text);
    }

    fn quote(&mut self, id: NodeId, around: &mut Around) {
        self.breaks(2);
        let content = self.content(id, around);
        let is_short = content.len() < self.most_bytes;
        self.text.push_str(&if is_short { marks::quoted(&content) } else { content });
        self.breaks(2);
    }

    fn marked(&mut self, id: NodeId, mark: &str, around: &mut Around) {
        let content = self.content(id, around);
        if !marks::is_empty(&content) {
            self.push_apart(&marks::surrounded(&content, mark));
        }
    }

    fn item(&mut self, id: NodeId, around: &mut Around) {
        let start = self.text.len();
        self.breaks(1);
        let (level, number) = match around.list {
            Some(List { level, is_ordered: true, n_items }) => (level, Some(n_items)),
            Some(List { level, .. }) => (level, None),
            None => (0, None),
        };
        // `item` indents the lines that follow as far as this one.
        self.text.push_str(&"   ".repeat(level));
        let mark = number.map_or("* ".to_owned(), |number| format!("{number}. "));
        self.text.push_str(&mark);
        let content = self.content(id, around);
        if marks::is_empty(&content) {
            self.text.truncate(start);
            if let Some(list) = &mut around.list {
                list.n_items = list.n_items.saturating_sub(1);
            }
            return;
        }
        let is_short = content.len() < self.most_bytes;
        let content = if is_short { marks::item(&content, level) } else { content };
        self.text.push_str(&content);
        self.breaks(1);
    }

    fn code(&mut self, id: NodeId, around: &Around) {
        let parent = self.tree.node(self.tree.node(id).parent);
        let mut around = Around { is_literal: true, ..around.clone() };
        if parent.name != "pre" || parent.children.len() > 1 {
            let content = self.content(id, &mut around);
            return self.push_apart(&marks::code(&content));
        }
        around.place = Place::Code;
        let class = self.tree.attribute(id, "class").unwrap_or_default();
        let language = class.split_once("language-").map_or("", |(_, rest)| rest);
        let language = language.split(is_blank).next().unwrap_or_default();
        self.text.extend(["```", language, "\n"]);
        self.children(id, &mut around);
        self.text.push_str("\n```");
    }

    fn link(&mut self, id: NodeId, around: &mut Around) {
        let Some(address) = self.tree.attribute(id, "href") else {
            return self.children(id, around);
        };
        let mut encoded = String::with_capacity(address.len());
        for character in address.chars() {
            match character {
                '(' => encoded.push_str("%28"),
                ')' => encoded.push_str("%29"),
                '_' => encoded.push_str("%5F"),
                '*' => encoded.push_str("%2A"),
                other => encoded.push(other),
            }
        }
        if self.tree.has_text(id, &address) {
            return self.text.extend(["<", &encoded, ">"]);
        }
        let mut around = Around { place: Place::Link, ..around.clone() };
        self.text.push('[');
        let content = self.content(id, &mut around);
        self.text.extend([&marks::on_one_line(&content), "](", &encoded, &self.title(id), ")"]);
    }

    fn image(&mut self, id: NodeId) {
        let Some(source) = self.tree.attribute(id, "src") else { return };
        if source.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
            return;
        }
        let instead = self.tree.attribute(id, "alt").unwrap_or_default();
        self.text.extend(["![", &instead, "](", &source, &self.title(id), ")"]);
    }

    fn title(&self, id: NodeId) -> String {
        self.tree.attribute(id, "title").map(|title| format!(" \"{title}\"")).unwrap_or_default()
    }

    fn tabular(&mut self, id: NodeId, rule: Rule, around: &Around) {
        let start = self.text.len();
        let place = match rule {
            Rule::Table => Place::Table,
            Rule::Row => Place::Row,
            _ => Place::Cell,
        };
        let mut around = Around { place, ..around.clone() };
        match rule {
            Rule::Table => {
                self.breaks(2);
                let outer = self.caption.take();
                let content = self.content(id, &mut around);
                let caption = std::mem::replace(&mut self.caption, outer);
                match tables::table(&content, caption.as_deref()) {
                    Some(table) => self.text.push_str(&table),
                    None => return self.text.truncate(start),
                }
                self.breaks(2);
            }
            Rule::Row => {
                self.text.push_str("| ");
                let content = self.content(id, &mut around);
                if !content.trim_end_matches(is_blank).ends_with(" |") {
                    return self.text.truncate(start);
                }
                self.text.extend([&content, "\n"]);
            }
            Rule::Caption => {
                let content = self.content(id, &mut around);
                let caption = marks::on_one_line(&content);
                if !trim(&caption).is_empty() {
                    self.caption = Some(format!("__{}__", trim(&caption)));
                }
            }
            _ => {
                self.text.push(' ');
                let content = self.content(id, &mut around);
                let content = content.trim_matches('\n').replacen('|', "\\|", 1);
                self.text.extend([trim(&marks::on_one_line(&content)), " |"]);
            }
        }
    }
}
