//! Plain pictures by category: the logos of others are not ours to ship.

macro_rules! picture {
    ($path:literal) => {
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32" viewBox="0 0 32 32" "#,
            r##"fill="none" stroke="#4a5568" stroke-width="2" stroke-linecap="round" "##,
            r#"stroke-linejoin="round"><path d=""#,
            $path,
            r#""/></svg>"#
        )
    };
}

/// A key.
pub const CREDENTIAL: &str =
    picture!("M15 17a5 5 0 1 1-6-6a5 5 0 0 1 6 6zM14 12L26 5M21 8l3 5M17 10l2 4");

const MODEL: &str = picture!("M6 8h20v13H16l-6 5v-5H6zM11 13h10M11 17h6");
const CHAIN: &str = picture!(
    "M13 19a5 5 0 0 1 0-7l4-4a5 5 0 0 1 7 7l-2 2M19 13a5 5 0 0 1 0 7l-4 4a5 5 0 0 1-7-7l2-2"
);
const MEMORY: &str = picture!("M6 10l10-5l10 5l-10 5zM6 16l10 5l10-5M6 22l10 5l10-5");
const DOCUMENT: &str = picture!("M9 4h10l5 5v19H9zM19 4v5h5M13 15h7M13 20h7");
const BOX: &str = picture!("M6 10l10-5l10 5v12l-10 5l-10-5zM6 10l10 5l10-5M16 15v12");

/// The picture of a category of Flowise's palette.
pub fn of_category(category: &str) -> &'static str {
    match category {
        "Chat Models" | "LLMs" | "Embeddings" => MODEL,
        "Chains" | "Agents" | "Prompts" => CHAIN,
        "Memory" | "Vector Stores" => MEMORY,
        "Document Loaders" | "Text Splitters" | "Retrievers" => DOCUMENT,
        _ => BOX,
    }
}
