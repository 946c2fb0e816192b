//! What each element becomes, depending on where it stands.

/// What an element becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing of itself; its content as if it stood there alone.
    Through,
    /// Nothing at all.
    Nothing,
    /// Its content between empty lines.
    Block,
    /// A fixed text.
    Fixed(&'static str),
    /// A fixed text between empty lines.
    FixedBlock(&'static str),
    /// Content as it is written.
    Pre {
        /// Between empty lines.
        is_block: bool,
    },
    /// A heading of a level.
    Heading(usize),
    /// A heading within code.
    Bracketed,
    /// Content between marks.
    Marked(&'static str),
    List,
    Item,
    Quote,
    Code,
    Table,
    Caption,
    Row,
    /// A row within code.
    Line,
    Cell,
    Link,
    Image,
}

/// Where an element stands: what is around it changes what it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    #[default]
    Text,
    Link,
    Code,
    Table,
    Row,
    Cell,
}

/// What the element of this name becomes in that place.
pub(super) fn rule(place: Place, name: &str) -> Rule {
    match place {
        Place::Text => in_text(name),
        Place::Code => in_code(name),
        Place::Link => match name {
            "br" | "hr" => Rule::Fixed("\n"),
            "pre" => Rule::Pre { is_block: false },
            "img" => Rule::Image,
            _ => marked(name),
        },
        Place::Table if name == "caption" => Rule::Caption,
        Place::Table if name == "tr" => Rule::Row,
        Place::Table | Place::Row => match name {
            "th" | "td" => Rule::Cell,
            _ => Rule::Through,
        },
        Place::Cell => match name {
            "a" => Rule::Link,
            "img" => Rule::Image,
            _ => marked(name),
        },
    }
}

/// Whether it says something even with no content.
pub(super) fn speaks_empty(name: &str) -> bool {
    use Rule::{Code, Heading, Image, Item, Link, List, Table};
    matches!(name, "br" | "hr")
        || matches!(in_text(name), Heading(_) | List | Item | Code | Table | Link | Image)
}

fn in_text(name: &str) -> Rule {
    match name {
        "pre" => Rule::Pre { is_block: true },
        "br" => Rule::Fixed("  \n"),
        "hr" => Rule::FixedBlock("---"),
        "h1" => Rule::Heading(1),
        "h2" => Rule::Heading(2),
        "h3" => Rule::Heading(3),
        "h4" => Rule::Heading(4),
        "h5" => Rule::Heading(5),
        "h6" => Rule::Heading(6),
        "ol" | "ul" => Rule::List,
        "li" => Rule::Item,
        "blockquote" => Rule::Quote,
        "code" => Rule::Code,
        "table" => Rule::Table,
        "a" => Rule::Link,
        "img" => Rule::Image,
        _ => bare(name).unwrap_or_else(|| marked(name)),
    }
}

fn in_code(name: &str) -> Rule {
    match name {
        "br" => Rule::Fixed("\n"),
        "hr" => Rule::FixedBlock("---"),
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => Rule::Bracketed,
        "ol" | "ul" => Rule::List,
        "li" => Rule::Item,
        "tr" => Rule::Line,
        "pre" | "blockquote" | "table" => Rule::Block,
        _ => bare(name).unwrap_or(Rule::Through),
    }
}

fn marked(name: &str) -> Rule {
    match name {
        "strong" | "b" => Rule::Marked("**"),
        "del" | "s" | "strike" => Rule::Marked("~~"),
        "em" | "i" => Rule::Marked("_"),
        _ => Rule::Through,
    }
}

/// Elements that are only set apart, or left out.
fn bare(name: &str) -> Option<Rule> {
    match name {
        "area" | "base" | "col" | "command" | "embed" | "head" | "input" | "keygen" | "link"
        | "meta" | "param" | "script" | "source" | "style" | "track" | "wbr" => Some(Rule::Nothing),
        "address" | "article" | "aside" | "audio" | "body" | "canvas" | "center" | "dd" | "dir"
        | "div" | "dl" | "dt" | "fieldset" | "figcaption" | "figure" | "footer" | "form"
        | "frameset" | "header" | "hgroup" | "html" | "isindex" | "main" | "menu" | "nav"
        | "noframes" | "noscript" | "output" | "p" | "section" | "tbody" | "td" | "tfoot"
        | "th" | "thead" | "tr" => Some(Rule::Block),
        _ => None,
    }
}
