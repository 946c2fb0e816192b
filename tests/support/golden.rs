//! Reads an exchange recorded with Flowise 2.2.8: a request, its response and
//! what Flowise then sent to the model server.

use serde_json::Value;

use super::{fixture, fixture_text};

/// A recorded exchange.
#[derive(Debug, Clone)]
pub struct Golden {
    /// File name without its ending.
    pub name: String,
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// Request headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Request body, empty when none was sent.
    pub body: String,
    /// The response; `None` where Flowise never answered.
    pub response: Option<Recorded>,
}

/// A recorded response.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: String,
}

/// Reads `goldens/NAME.txt`.
pub fn load(name: &str) -> Golden {
    let text = fixture_text(&format!("goldens/{name}.txt"));
    parse(name, &text).unwrap_or_else(|why| panic!("goldens/{name}.txt: {why}"))
}

/// What Flowise sent to the model server during the exchange, one body a call.
pub fn upstream_bodies(name: &str) -> Vec<Value> {
    let text = fixture_text(&format!("goldens/{name}.upstream.json"));
    let calls: Vec<Value> = serde_json::from_str(&text).expect("upstream calls are JSON");
    calls.into_iter().map(|mut call| call["body"].take()).collect()
}

/// The names of all recorded exchanges, sorted.
pub fn names() -> Vec<String> {
    let entries = std::fs::read_dir(fixture("goldens")).expect("the recordings are there");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> =
        names.filter_map(|name| name.strip_suffix(".txt").map(str::to_owned)).collect();
    names.sort();
    names
}

/// Parses the text of a recording.
///
/// # Errors
/// A sentence that says what is missing.
pub fn parse(name: &str, text: &str) -> Result<Golden, String> {
    let text = text.strip_prefix("### REQUEST\n").ok_or("it does not begin with ### REQUEST")?;
    let (request, response) = text.split_once("\n### RESPONSE").ok_or("no ### RESPONSE")?;
    let (line, headers, body) = message(request)?;
    let mut words = line.split(' ');
    let (method, path) = words.next().zip(words.next()).ok_or("no method and path")?;
    if words.next() != Some("HTTP/1.1") {
        return Err(format!("no HTTP version in the line {line:?}"));
    }
    let (_, response) = response.split_once('\n').unwrap_or((response, ""));
    Ok(Golden {
        name: name.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        body: body.trim_end_matches('\n').to_owned(),
        response: if response.trim().is_empty() { None } else { Some(recorded(response)?) },
    })
}

fn recorded(text: &str) -> Result<Recorded, String> {
    let (line, headers, body) = message(text)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("no status")?;
    Ok(Recorded { status, headers, body: body.to_owned() })
}

type Message<'t> = (&'t str, Vec<(String, String)>, &'t str);

fn message(text: &str) -> Result<Message<'_>, String> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
    let (line, rest) = head.split_once('\n').unwrap_or((head, ""));
    let header = |line: &str| {
        let (name, value) = line.split_once(':').ok_or(format!("no header: {line:?}"))?;
        Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = rest.lines().map(header).collect::<Result<_, String>>()?;
    Ok((line, headers, body))
}

impl Golden {
    /// The response, where one is expected.
    pub fn response(&self) -> &Recorded {
        self.response.as_ref().unwrap_or_else(|| panic!("{} has no response", self.name))
    }
}

impl Recorded {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a recorded JSON body")
    }

    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(own, _)| own == name);
        header.map(|(_, value)| value.as_str())
    }

    /// The media type without its parameters.
    pub fn media_type(&self) -> &str {
        self.header("content-type").unwrap_or("").split(';').next().unwrap_or("").trim()
    }
}
