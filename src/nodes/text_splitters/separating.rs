//! A text into pieces at a separator, which begins each piece but the first.

/// The pieces of a text before every place where the separator stands. Places may
/// overlap: three line breaks hold two double ones, as a regular expression that
/// only looks ahead finds them.
///
/// Knuth, Morris and Pratt's search: every byte is looked at once, whatever the
/// separator repeats within itself.
pub(super) struct PiecesBefore<'a> {
    text: &'a str,
    separator: &'a [u8],
    /// For each prefix of the separator, how long the longest other prefix is that it ends in.
    borders: Vec<usize>,
    start: usize,
    at: usize,
    matched: usize,
}

impl<'a> PiecesBefore<'a> {
    /// The pieces of `text` before `separator`, which is not empty.
    pub fn new(text: &'a str, separator: &'a str) -> Self {
        let separator = separator.as_bytes();
        Self { text, separator, borders: borders(separator), start: 0, at: 0, matched: 0 }
    }

    /// Where the separator stands next, if it does.
    fn next_place(&mut self) -> Option<usize> {
        let text = self.text.as_bytes();
        while let Some(&byte) = text.get(self.at) {
            self.at += 1;
            self.matched = extended(self.separator, &self.borders, self.matched, byte);
            if self.matched == self.separator.len() {
                self.matched = self.borders[self.matched - 1];
                return Some(self.at - self.separator.len());
            }
        }
        None
    }
}

impl<'a> Iterator for PiecesBefore<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while let Some(place) = self.next_place() {
            if place > self.start {
                let piece = &self.text[self.start..place];
                self.start = place;
                return Some(piece);
            }
        }
        let rest = &self.text[self.start..];
        self.start = self.text.len();
        (!rest.is_empty()).then_some(rest)
    }
}

fn borders(separator: &[u8]) -> Vec<usize> {
    let mut borders = vec![0; separator.len()];
    for at in 1..separator.len() {
        borders[at] = extended(separator, &borders, borders[at - 1], separator[at]);
    }
    borders
}

/// How much of the separator matches when one more byte has been read.
fn extended(separator: &[u8], borders: &[usize], mut matched: usize, byte: u8) -> usize {
    while matched > 0 && separator[matched] != byte {
        matched = borders[matched - 1];
    }
    matched + usize::from(separator[matched] == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_separator_begins_a_piece_even_where_places_overlap() {
        for (text, separator, expected) in [
            ("a b c", " ", &["a", " b", " c"][..]),
            (" a ", " ", &[" a", " "]),
            ("\n\n\n\nx", "\n\n", &["\n", "\n", "\n\nx"]),
            ("abab", "abab", &["abab"]),
            ("xababab", "abab", &["x", "ab", "abab"]),
            ("aabaaab", "aab", &["aaba", "aab"]),
            ("中。文。", "。", &["中", "。文", "。"]),
            ("nothing", "|", &["nothing"]),
            ("", "|", &[]),
        ] {
            let pieces: Vec<_> = PiecesBefore::new(text, separator).collect();
            assert_eq!(pieces, expected, "{text:?} {separator:?}");
        }
    }
}
