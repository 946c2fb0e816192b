//! Takes a Zod expression apart. Comments and white space are left out.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::Number;

/// A piece of the expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name.
    Word(String),
    /// A text between quotes.
    Text(String),
    /// A number without a sign.
    Number(Number),
    /// `( ) [ ] { } . , : - ;`, and any other that means nothing here.
    Sign(char),
    /// What ends the reading, in words; nothing follows it.
    Broken(String),
}

/// A piece with the line that it stands in, counted from one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) line: usize,
}

/// All pieces in order. What cannot be taken apart is the last of them, so
/// that the parser first speaks of what stands before it.
pub(super) fn tokens(source: &str) -> Vec<Placed> {
    let mut lexer = Lexer { rest: source.chars().peekable(), line: 1 };
    let mut tokens = Vec::new();
    loop {
        match lexer.next() {
            Ok(Some(placed)) => tokens.push(placed),
            Ok(None) => return tokens,
            Err(why) => {
                tokens.push(Placed { token: Token::Broken(why), line: lexer.line });
                return tokens;
            }
        }
    }
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Placed>, String> {
        self.skip_blanks_and_comments()?;
        let line = self.line;
        let Some(first) = self.step() else { return Ok(None) };
        let token = match first {
            '"' | '\'' | '`' => Token::Text(self.text(first)?),
            '0'..='9' => Token::Number(self.number(first)?),
            _ if is_name(first) => {
                let rest = self.take_while(|letter| is_name(letter) || letter.is_ascii_digit());
                Token::Word(format!("{first}{rest}"))
            }
            _ => Token::Sign(first),
        };
        Ok(Some(Placed { token, line }))
    }

    fn step(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(letter) = self.rest.next_if(|letter| wanted(*letter)) {
            taken.push(letter);
        }
        taken
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), String> {
        loop {
            while self.rest.peek().is_some_and(|letter| letter.is_whitespace()) {
                self.step();
            }
            let mut ahead = self.rest.clone();
            match (ahead.next(), ahead.next()) {
                (Some('/'), Some('/')) => while self.step().is_some_and(|letter| letter != '\n') {},
                (Some('/'), Some('*')) => self.skip_block()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_block(&mut self) -> Result<(), String> {
        let (mut last, mut n_letters) = (' ', 0);
        while let Some(letter) = self.step() {
            n_letters += 1;
            // The star of `/*/` does not close what it opens.
            if last == '*' && letter == '/' && n_letters > 3 {
                return Ok(());
            }
            last = letter;
        }
        Err(self.bad("a comment without an end"))
    }

    fn text(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.step() {
                None => return Err(self.bad("a text without its closing quote")),
                Some(letter) if letter == quote => return Ok(text),
                Some('\n') if quote != '`' => {
                    return Err(self.bad("a text without its closing quote"));
                }
                Some('$') if quote == '`' && self.rest.peek() == Some(&'{') => {
                    return Err(self.bad("a text with ${...}"));
                }
                Some('\\') => text.extend(self.escaped()?),
                Some(letter) => text.push(letter),
            }
        }
    }

    fn escaped(&mut self) -> Result<Option<char>, String> {
        match self.step() {
            Some('n') => Ok(Some('\n')),
            Some('t') => Ok(Some('\t')),
            Some('r') => Ok(Some('\r')),
            Some('\n') => Ok(None),
            Some('u') => {
                let digits: String = (0..4).filter_map(|_| self.step()).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                code.map(Some).ok_or_else(|| self.bad("an escape that is no character"))
            }
            Some(letter) => Ok(Some(letter)),
            None => Err(self.bad("a text without its closing quote")),
        }
    }

    fn number(&mut self, first: char) -> Result<Number, String> {
        let mut digits = self.take_while(|letter| letter.is_ascii_digit() || letter == '_');
        // A point that no digit follows belongs to what comes next.
        let mut ahead = self.rest.clone();
        if ahead.next() == Some('.') && ahead.next().is_some_and(|next| next.is_ascii_digit()) {
            digits.extend(self.step());
            digits.push_str(&self.take_while(|letter| letter.is_ascii_digit() || letter == '_'));
        }
        if let Some(letter) = self.rest.next_if(|letter| matches!(letter, 'e' | 'E')) {
            digits.push(letter);
            digits.extend(self.rest.next_if(|letter| matches!(letter, '+' | '-')));
            digits.push_str(&self.take_while(|letter| letter.is_ascii_digit()));
        }
        let number = format!("{first}{digits}").replace('_', "");
        serde_json::from_str(&number).map_err(|_| self.bad(&format!("the number {number}")))
    }

    fn bad(&self, what: &str) -> String {
        format!("holds {what} in line {}, which is not read", self.line)
    }
}

fn is_name(letter: char) -> bool {
    letter.is_alphabetic() || matches!(letter, '_' | '$')
}
