//! What Flowise 2.2.8 takes out of a tool agent's answer.

/// The answer without its first block of thoughts, and without images that
/// are nowhere on the web.
pub(super) fn clean(text: &str) -> String {
    without_images(&without_thoughts(text))
}

/// Some models write down what they think before they call a tool.
fn without_thoughts(text: &str) -> String {
    let block = text.split_once("<thinking>");
    let block = block.and_then(|(before, rest)| Some((before, rest.split_once("</thinking>")?.1)));
    block.map_or_else(|| text.to_owned(), |(before, after)| format!("{before}{after}"))
}

/// Models invent Markdown images of files that tools made (`sandbox:/a.png`).
fn without_images(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        push_without_images(line, &mut kept);
    }
    kept
}

fn push_without_images(line: &str, kept: &mut String) {
    let mut rest = line;
    while let Some((before, image)) = rest.split_once("![") {
        // Without an address nothing that follows on the line is an image either.
        let address = image.split_once("](").map(|(_, address)| address);
        let Some((address, after)) = address.and_then(|address| address.split_once(')')) else {
            break;
        };
        kept.push_str(before);
        if address.starts_with("https://") || address.starts_with("http://") {
            kept.push_str(&rest[before.len()..rest.len() - after.len()]);
        }
        rest = after;
    }
    kept.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_and_images_of_nowhere_are_taken_out_and_the_rest_stays() {
        for (text, expected) in [
            ("plain ", "plain "),
            ("<thinking>I\nsee</thinking>Yes<thinking>b</thinking>", "Yes<thinking>b</thinking>"),
            ("<thinking>open", "<thinking>open"),
            ("a ![plot](sandbox:/a.png) b\n![x](data:image/png;base64,AA==)", "a  b\n"),
            ("![y](https://a.example/y.png)!", "![y](https://a.example/y.png)!"),
            ("![y](http://a/b) and [a](local)", "![y](http://a/b) and [a](local)"),
            ("![no address\n](x)", "![no address\n](x)"),
            ("wow![", "wow!["),
        ] {
            assert_eq!(clean(text), expected);
        }
    }
}
