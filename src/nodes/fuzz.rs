//! Templates that authors type, with what requests put in.

use crate::rich_text::{Piece, RichText};
use crate::template::Template;

const SEEDS: [&str; 5] = [
    "\u{6}Hello {name}, {{not}} {\"a\": 1} {b}",
    "\u{3}\\{x\\} {unclosed } }} {{{n}}}",
    "\u{1}{a: b} {\n} {'q'} {;}",
    "\0{}{ }{  x  }\\",
    "\u{9}{history}\nHuman: {input}\nAI:",
];

fn seeds() -> Vec<Vec<u8>> {
    SEEDS.map(Vec::from).to_vec()
}

#[test]
fn every_variable_is_named_and_filled_once_and_its_value_is_not_read_again() {
    parlor_fuzz::check!(seeds(), |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let template = Template::parse(&RichText::source(text.as_ref()));
        let names = template.variables();
        let same = template.format(|name| names.contains(&name).then_some("{x}{{")).unwrap();
        let empty = template.format(|_| Some("")).unwrap();
        assert!(empty.len() <= text.len() && same.len() >= empty.len());
        for name in &names {
            assert_eq!(name.trim(), *name);
            let others = |other: &str| (other != *name).then_some("");
            assert_eq!(template.format(others), Err((*name).to_owned()));
        }
    });
}

#[test]
fn text_with_doubled_braces_is_itself() {
    parlor_fuzz::check!(seeds(), |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace('\\', "/");
        let escaped = text.replace('{', "{{").replace('}', "}}");
        let template = Template::parse(&RichText::source(escaped));
        assert!(template.variables().is_empty());
        assert_eq!(template.format(|_| None::<&str>), Ok(text));
    });
}

#[test]
fn data_stands_in_the_result_as_it_came() {
    parlor_fuzz::check!(seeds(), |bytes: &[u8]| {
        let Some((length, rest)) = bytes.split_first() else { return };
        let (source, data) = rest.split_at(usize::from(*length).min(rest.len()));
        let source = String::from_utf8_lossy(source).into_owned();
        let data = String::from_utf8_lossy(data).into_owned();
        let alone = Template::parse(&RichText::source(source.as_str()));
        let pieces = vec![Piece::Source(source), Piece::Data(data.clone())];
        let both = Template::parse(&RichText { pieces });
        let filled = |template: &Template| template.format(|_| Some("v")).unwrap();
        assert_eq!(filled(&both), filled(&alone) + &data);
    });
}
