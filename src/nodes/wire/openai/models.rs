//! What OpenAI's own models refuse, by their names.

/// Whether a model reasons before it answers: the o series, and gpt-5 but for
/// its chat variants. OpenAI refuses `max_tokens` for these, because the limit
/// counts their reasoning too and has another name, and it refuses what steers
/// sampling (`temperature`, `top_p`, both penalties): an error of 400, not a
/// setting without effect. Flowise 2.2.8 drops the temperature for o3 only;
/// this is LangChain.js' later and wider rule. Later versions of gpt-5 take a
/// temperature while their reasoning is off; without it they answer as well.
pub(crate) fn reasons(model: &str) -> bool {
    let name = plain_name(model);
    let o_series = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    name.strip_prefix('o').is_some_and(o_series)
        || (name.starts_with("gpt-5") && !name.starts_with("gpt-5-chat"))
}

/// Whether OpenAI refuses `stop` for a model: the reasoning ones after o3-mini.
pub(super) fn refuses_stop_words(model: &str) -> bool {
    let name = plain_name(model);
    reasons(model) && !name.starts_with("o1") && !name.starts_with("o3-mini")
}

/// Cuts a text before the first of these words.
pub(super) fn stop_at(text: &mut String, words: &[&String]) {
    let words = words.iter().filter(|word| !word.is_empty());
    if let Some(at) = words.filter_map(|word| text.find(word.as_str())).min() {
        text.truncate(at);
    }
}

/// The name without a gateway's prefix (`openai/`) and without a tuned model's.
fn plain_name(model: &str) -> &str {
    let name = model.rsplit_once('/').map_or(model, |(_, name)| name);
    name.strip_prefix("ft:").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_reason_are_told_by_their_names() {
        for (model, expected) in [
            ("o1", true),
            ("o3-mini", true),
            ("o4-mini-2025-04-16", true),
            ("ft:o4-mini:acme", true),
            ("gpt-5-mini", true),
            ("gpt-5.1", true),
            ("openai/o3", true),
            ("gpt-5-chat-latest", false),
            ("gpt-4o", false),
            ("gpt-4.1", false),
            ("olmo-2", false),
            ("openai/gpt-oss-120b", false),
        ] {
            assert_eq!(reasons(model), expected, "{model}");
        }
    }

    #[test]
    fn some_of_them_take_stop_words() {
        for (model, expected) in
            [("o1", false), ("o3-mini", false), ("o3", true), ("gpt-5", true), ("gpt-4o", false)]
        {
            assert_eq!(refuses_stop_words(model), expected, "{model}");
        }
    }

    #[test]
    fn a_text_ends_before_the_first_stop_word() {
        let words = ["Observation:", "", "END"].map(str::to_owned);
        let mut text = "Action: x END Observation: y".to_owned();

        stop_at(&mut text, &words.each_ref());

        assert_eq!(text, "Action: x ");
    }
}
