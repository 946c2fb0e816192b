//! Text in which the author's words and inserted data are kept apart, so that
//! what a user typed is never read as a template.

/// A stretch of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Written by the flow's author: braces in it mean something.
    Source(String),
    /// Put in at run time (a variable, the question, another node's text):
    /// braces in it are only braces.
    Data(String),
}

/// A text made of pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RichText {
    /// The pieces in order.
    pub pieces: Vec<Piece>,
}

impl RichText {
    /// A text that the author wrote.
    pub fn source(text: impl Into<String>) -> Self {
        Self { pieces: vec![Piece::Source(text.into())] }
    }

    /// A text that is data through and through.
    pub fn data(text: impl Into<String>) -> Self {
        Self { pieces: vec![Piece::Data(text.into())] }
    }

    /// The text without the distinction.
    pub fn plain(&self) -> String {
        self.pieces.iter().map(Piece::text).collect()
    }

    /// True when there is no character in it.
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(|piece| piece.text().is_empty())
    }
}

impl Piece {
    /// The characters of the piece.
    pub fn text(&self) -> &str {
        match self {
            Self::Source(text) | Self::Data(text) => text,
        }
    }
}
