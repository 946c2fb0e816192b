//! Draws a PDF page in thought: where each string stands decides whether a
//! space or a line break comes before it.

use std::rc::Rc;

use lopdf::Object;
use lopdf::content::Operation;

use super::MAX_TEXT_BYTES;
use super::pdf_font::{Font, Fonts};

/// A gap of this part of the font's size, between two letters, is a space.
const WORD_GAP: f32 = 0.18;
/// A step across of this part of the font's size begins a line.
const LINE_STEP: f32 = 0.5;
/// States that a page may save inside of each other.
const MAX_STATES: usize = 256;

/// Bytes that are turned into letters at once, of which each may become many.
const MAX_CODES: usize = 4096;

/// A matrix as PDF writes it: a, b, c, d, e, f.
type Matrix = [f32; 6];

const IDENTITY: Matrix = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];

/// The settings that `q` saves (ISO 32000-1, sections 8.4 and 9.3).
#[derive(Clone)]
struct State<'a> {
    matrix: Matrix,
    font: Option<Rc<Font<'a>>>,
    size: f32,
    letter_gap: f32,
    word_gap: f32,
    scale: f32,
    leading: f32,
}

/// Where the last string ended.
struct End {
    x: f32,
    y: f32,
    /// False where the file does not say how wide its letters are.
    is_exact: bool,
}

/// The text of a page as it grows.
pub(super) struct Writer<'a> {
    state: State<'a>,
    saved: Vec<State<'a>>,
    text_matrix: Matrix,
    line_matrix: Matrix,
    /// Whether the place was set since the last string.
    has_moved: bool,
    end: Option<End>,
    text: String,
}

impl<'a> Writer<'a> {
    pub(super) fn new() -> Self {
        let state = State {
            matrix: IDENTITY,
            font: None,
            size: 1.0,
            letter_gap: 0.0,
            word_gap: 0.0,
            scale: 1.0,
            leading: 0.0,
        };
        Self {
            state,
            saved: Vec::new(),
            text_matrix: IDENTITY,
            line_matrix: IDENTITY,
            has_moved: false,
            end: None,
            text: String::new(),
        }
    }

    /// The text, without spaces at the ends of lines.
    pub(super) fn finish(self) -> String {
        let lines: Vec<&str> = self.text.lines().map(str::trim_end).collect();
        lines.join("\n").trim().to_owned()
    }

    pub(super) fn save(&mut self) {
        if self.saved.len() < MAX_STATES {
            self.saved.push(self.state.clone());
        }
    }

    pub(super) fn restore(&mut self) {
        if let Some(state) = self.saved.pop() {
            self.state = state;
        }
    }

    /// Moves what follows, as the matrix of a form does.
    pub(super) fn transform(&mut self, matrix: &[Object]) {
        if let Some(matrix) = six(matrix) {
            self.state.matrix = times(&matrix, &self.state.matrix);
        }
    }

    /// One operation, with the fonts that its names mean.
    pub(super) fn draw(&mut self, operation: &Operation, fonts: &Fonts<'a>) {
        let operands = operation.operands.as_slice();
        let first = || operands.first().and_then(|value| value.as_float().ok()).unwrap_or_default();
        match operation.operator.as_str() {
            "q" => self.save(),
            "Q" => self.restore(),
            "cm" => self.transform(operands),
            "BT" => self.place(IDENTITY),
            "Tf" => self.set_font(operands, fonts),
            "Tc" => self.state.letter_gap = first(),
            "Tw" => self.state.word_gap = first(),
            "Tz" => self.state.scale = first() / 100.0,
            "TL" => self.state.leading = first(),
            "Tm" => self.place(six(operands).unwrap_or(IDENTITY)),
            "Td" | "TD" => {
                let down =
                    operands.get(1).and_then(|down| down.as_float().ok()).unwrap_or_default();
                if operation.operator == "TD" {
                    self.state.leading = -down;
                }
                self.step(first(), down);
            }
            "T*" => self.next_line(),
            "Tj" | "TJ" => self.show_all(operands),
            "'" | "\"" => {
                if let [words, letters, _] = operands {
                    self.state.word_gap = words.as_float().unwrap_or_default();
                    self.state.letter_gap = letters.as_float().unwrap_or_default();
                }
                self.next_line();
                self.show_all(operands);
            }
            _ => {}
        }
    }

    fn set_font(&mut self, operands: &[Object], fonts: &Fonts<'a>) {
        let name = operands.first().and_then(|name| name.as_name().ok());
        self.state.font = name.and_then(|name| fonts.get(name).cloned());
        self.state.size = operands.get(1).and_then(|size| size.as_float().ok()).unwrap_or(1.0);
    }

    fn place(&mut self, matrix: Matrix) {
        self.text_matrix = matrix;
        self.line_matrix = matrix;
        self.has_moved = true;
    }

    fn step(&mut self, right: f32, down: f32) {
        self.place(times(&[1.0, 0.0, 0.0, 1.0, right, down], &self.line_matrix));
    }

    /// A new line also where nobody set how far down it is.
    fn next_line(&mut self) {
        self.step(0.0, -self.state.leading);
        self.new_line();
    }

    fn show_all(&mut self, operands: &[Object]) {
        for operand in operands {
            match operand {
                Object::String(bytes, _) => self.show(bytes),
                Object::Array(items) => {
                    for item in items {
                        match item {
                            Object::String(bytes, _) => self.show(bytes),
                            other => self.shift(other.as_float().unwrap_or_default() / 1000.0),
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Moves back by a part of the font's size.
    fn shift(&mut self, back: f32) {
        self.advance(-back * self.state.size * self.state.scale);
        let is_exact = self.end.as_ref().is_some_and(|end| end.is_exact);
        if !is_exact && -back > WORD_GAP {
            self.space();
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        let Some(font) = self.state.font.clone() else { return };
        let whole = times(&self.text_matrix, &self.state.matrix);
        self.join(&whole);
        for part in bytes.chunks(MAX_CODES) {
            // Beyond the limit the page is refused at its end.
            if self.text.len() > MAX_TEXT_BYTES {
                return;
            }
            self.text.push_str(&font.text(part));
        }
        let advances = font.advances(bytes);
        let is_exact = advances.is_some();
        let gaps =
            |is_space| self.state.letter_gap + if is_space { self.state.word_gap } else { 0.0 };
        let wide =
            |(width, is_space): (f32, bool)| width / 1000.0 * self.state.size + gaps(is_space);
        let width: f32 = advances.into_iter().flatten().map(wide).sum();
        self.advance(width * self.state.scale);
        let [.., x, y] = times(&self.text_matrix, &self.state.matrix);
        self.end = Some(End { x, y, is_exact });
        self.has_moved = false;
    }

    fn advance(&mut self, right: f32) {
        self.text_matrix = times(&[1.0, 0.0, 0.0, 1.0, right, 0.0], &self.text_matrix);
    }

    /// What comes between the last string and one that begins here.
    fn join(&mut self, here: &Matrix) {
        let Some(end) = &self.end else { return };
        let [a, b, c, d, x, y] = *here;
        let (right, up) = (a.hypot(b), c.hypot(d) * self.state.size.abs());
        let (dx, dy) = (x - end.x, y - end.y);
        // Along the line of writing and across it, in sizes of the font.
        let along = (dx * a + dy * b) / (right * up);
        let across = (dx * b - dy * a).abs() / (right * up);
        if !along.is_finite() || !across.is_finite() {
            return;
        }
        match end.is_exact {
            _ if across > LINE_STEP => self.new_line(),
            // Back by more than kerning does: another column, another cell.
            true if along < -1.0 => self.space(),
            true if along > WORD_GAP => self.space(),
            false if self.has_moved => self.space(),
            _ => {}
        }
    }

    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(char::is_whitespace) {
            self.text.push(' ');
        }
    }

    fn new_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

fn six(operands: &[Object]) -> Option<Matrix> {
    let numbers: Option<Vec<f32>> = operands.iter().map(|value| value.as_float().ok()).collect();
    numbers?.try_into().ok()
}

/// First one, then the other.
fn times(one: &Matrix, other: &Matrix) -> Matrix {
    let [a, b, c, d, e, f] = *one;
    let [g, h, i, j, k, l] = *other;
    [
        a * g + b * i,
        a * h + b * j,
        c * g + d * i,
        c * h + d * j,
        e * g + f * i + k,
        e * h + f * j + l,
    ]
}
