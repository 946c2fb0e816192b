//! Reads a Zod expression: `z.`, a kind with its arguments, and what is said
//! of it (`.optional()`, `.max(5)`, ...). Whatever is not known is named.

use serde_json::{Number, Value};

use super::lexer::{self, Placed, Token};
use super::meaning::{self, Argument};
use super::schema::Schema;

/// An expression of this size is no shape that somebody typed.
const MOST_BYTES: usize = 64 * 1024;
const MOST_DEPTH: usize = 96;

/// The schema that an expression describes.
///
/// # Errors
/// The piece that is not read, with its line: a phrase that follows the name
/// of the input.
pub(crate) fn parse(source: &str) -> Result<Schema, String> {
    if source.len() > MOST_BYTES {
        return Err(format!("is longer than {MOST_BYTES} bytes; shorten it"));
    }
    let mut parser = Parser { tokens: lexer::tokens(source), at: 0, depth: 0 };
    let schema = parser.schema()?;
    while parser.skip(';') {}
    match parser.tokens.get(parser.at) {
        None => Ok(schema),
        Some(_) => Err(parser.unexpected("the end")),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn schema(&mut self) -> Result<Schema, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(format!("is nested deeper than {MOST_DEPTH} levels; make it flatter"));
        }
        if self.word()? != "z" {
            self.at -= 1;
            return Err(self.unexpected("z."));
        }
        self.expect('.')?;
        let name = self.word()?;
        if !meaning::KINDS.contains(&name.as_str()) {
            return Err(self.unknown(&format!("z.{name}")));
        }
        let arguments = self.arguments()?;
        let mut schema =
            meaning::base(&name, arguments.into_iter()).map_err(|why| self.here(&why))?;
        while self.skip('.') {
            let name = self.word()?;
            if !meaning::METHODS.contains(&name.as_str()) {
                return Err(self.unknown(&format!(".{name}()")));
            }
            let arguments = self.arguments()?;
            schema = meaning::refine(schema, &name, arguments.into_iter())
                .map_err(|why| self.here(&why))?;
        }
        self.depth -= 1;
        Ok(schema)
    }

    fn arguments(&mut self) -> Result<Vec<Argument>, String> {
        self.expect('(')?;
        self.list(')')
    }

    /// Arguments up to a closing sign; a comma may follow the last.
    fn list(&mut self, end: char) -> Result<Vec<Argument>, String> {
        let mut items = Vec::new();
        while !self.skip(end) {
            items.push(self.argument()?);
            if !self.skip(',') {
                self.expect(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn map(&mut self) -> Result<Vec<(String, Argument)>, String> {
        let mut fields = Vec::new();
        while !self.skip('}') {
            let key = match self.next() {
                Some(Token::Word(key) | Token::Text(key)) => key,
                Some(Token::Number(number)) => number.to_string(),
                _ => return Err(self.back("the name of a field")),
            };
            self.expect(':')?;
            fields.push((key, self.argument()?));
            if !self.skip(',') {
                self.expect('}')?;
                break;
            }
        }
        Ok(fields)
    }

    fn argument(&mut self) -> Result<Argument, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(format!("is nested deeper than {MOST_DEPTH} levels; make it flatter"));
        }
        let argument = match self.next() {
            Some(Token::Word(word)) => match word.as_str() {
                "z" => {
                    self.at -= 1;
                    Argument::Schema(self.schema()?)
                }
                "true" => Argument::Value(Value::Bool(true)),
                "false" => Argument::Value(Value::Bool(false)),
                "null" => Argument::Value(Value::Null),
                _ => return Err(self.unknown(&word)),
            },
            Some(Token::Text(text)) => Argument::Value(Value::String(text)),
            Some(Token::Number(number)) => Argument::Value(Value::Number(number)),
            Some(Token::Sign('-')) => match self.next() {
                Some(Token::Number(number)) => Argument::Value(negative(&number)),
                _ => return Err(self.back("a number")),
            },
            Some(Token::Sign('[')) => Argument::List(self.list(']')?),
            Some(Token::Sign('{')) => Argument::Map(self.map()?),
            _ => return Err(self.back("a value")),
        };
        self.depth -= 1;
        Ok(argument)
    }

    fn next(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).map(|placed| placed.token.clone())
    }

    fn skip(&mut self, sign: char) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|next| next.token == Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        if self.skip(sign) { Ok(()) } else { Err(self.unexpected(&sign.to_string())) }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word),
            _ => Err(self.back("a name")),
        }
    }

    /// The error about the token that was just taken.
    fn back(&mut self, wanted: &str) -> String {
        self.at -= 1;
        self.unexpected(wanted)
    }

    fn unexpected(&self, wanted: &str) -> String {
        let Some(Placed { token, line }) = self.tokens.get(self.at) else {
            return format!("ends where {wanted} is expected");
        };
        let found = match token {
            Token::Word(word) => word.clone(),
            Token::Text(text) => format!("\"{text}\""),
            Token::Number(number) => number.to_string(),
            Token::Sign(sign) => sign.to_string(),
            Token::Broken(why) => return why.clone(),
        };
        format!("has {found} in line {line}, where {wanted} is expected")
    }

    fn unknown(&self, piece: &str) -> String {
        self.here(&format!("uses {piece}, which is not among the parts of Zod that Parlor reads"))
    }

    /// A problem with what was just read.
    fn here(&self, problem: &str) -> String {
        let last = self.tokens.get(self.at.saturating_sub(1)).or(self.tokens.last());
        format!("{problem} (line {})", last.map_or(1, |placed| placed.line))
    }
}

fn negative(number: &Number) -> Value {
    match number.as_i64() {
        Some(whole) => Value::from(-whole),
        None => Value::from(-number.as_f64().unwrap_or_default()),
    }
}
