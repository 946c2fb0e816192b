//! The prompts of a chain, and what its moderations and parser make of a turn.

use parlor_schemas::{ErrorCode, StreamEvent};
use serde_json::{Value, json};

use super::*;
use crate::model::{Part, Speaker};
use crate::prompts::{ChatPrompt, TextPrompt};
use crate::rich_text::RichText;
use crate::template::Template;
use crate::test_support::{FakeModel, TestTurn, build, image, node, source, system, user};

fn template(text: &str) -> Template {
    Template::parse(&RichText::source(text))
}

fn text_prompt(text: &str, values: &Value) -> Instance {
    let values = values.as_object().unwrap().clone();
    Instance::Prompt(Arc::new(TextPrompt { template: template(text), values }))
}

fn chain(model: &Arc<FakeModel>, prompt: Instance) -> Arc<dyn Runnable> {
    let model = node(Instance::ChatModel(model.clone()));
    match build(&SPEC, [("model", model), ("prompt", node(prompt))]) {
        Instance::Runnable(chain) => chain,
        other => panic!("{}", other.kind()),
    }
}

#[tokio::test]
async fn the_open_variable_gets_the_question_and_the_rest_their_values() {
    let naming = "What is a good name for a company that makes {product}?";
    let named = "What is a good name for a company that makes socks?";
    for (text, values, question, expected) in [
        // The two forms of Flowise's own example, recorded with 2.2.8.
        (naming, json!({"product": "socks"}), "socks", named),
        (naming, json!({}), "socks", named),
        (naming, json!({"product": ""}), "socks", named),
        ("{a} and {b}", json!({"a": 1, "b": {"c": [2]}}), "q", "1 and {\"c\":[2]}"),
        ("no variable", json!({}), "q", "no variable"),
        ("Say {x}", json!({}), "{y} {{x}}", "Say {y} {{x}}"),
    ] {
        let model = FakeModel::saying("Sock it!");
        let chain = chain(&model, text_prompt(text, &values));

        let output = chain.run(&TestTurn::asking(question).ctx(), false).await.unwrap();

        assert_eq!(output, RunOutput::text("Sock it!"));
        assert_eq!(model.only_prompt(), [user(expected)]);
    }
}

#[tokio::test]
async fn a_chat_prompt_keeps_its_messages() {
    let model = FakeModel::saying("J'adore");
    let values = json!({"input_language": "English", "output_language": "French", "text": ""});
    let messages = vec![
        (Speaker::System, template("Translate {input_language} to {output_language}.")),
        (Speaker::User, template("{text}")),
    ];
    let values = values.as_object().unwrap().clone();
    let prompt = Instance::ChatPrompt(Arc::new(ChatPrompt { messages, values }));

    let turn = TestTurn::asking("I love it").ctx();
    chain(&model, prompt).run(&turn, false).await.unwrap();

    let expected = [system("Translate English to French."), user("I love it")];
    assert_eq!(model.only_prompt(), expected);
}

#[tokio::test]
async fn two_open_variables_are_the_callers_to_fill() {
    let model = FakeModel::saying("x");
    let chain = chain(&model, text_prompt("{a} {b} {c}", &json!({"b": "x"})));

    let error = chain.run(&TestTurn::asking("q").ctx(), false).await.unwrap_err();

    assert_eq!(error.code(), ErrorCode::BadRequest);
    assert_eq!(error.to_string(), "Please provide Prompt Values for: a, c");
    assert_eq!(model.n_calls(), 0);
}

#[tokio::test]
async fn an_objection_is_the_answer_and_the_model_is_not_asked() {
    let values = [("denyList", source("cats")), ("moderationErrorMessage", source("No cats."))];
    let moderation = build(crate::moderation::NODES[0], values);
    let model = FakeModel::saying("x");
    let chain = build(
        &SPEC,
        [
            ("model", node(Instance::ChatModel(model.clone()))),
            ("prompt", node(text_prompt("{x}", &json!({})))),
            ("inputModeration", node(moderation)),
        ],
    );
    let Instance::Runnable(chain) = chain else { panic!("a chain") };

    let (ctx, mut events) = TestTurn::asking("about CATS").streaming();
    let output = chain.run(&ctx, true).await.unwrap();

    assert_eq!(output, RunOutput::text("No cats."));
    assert_eq!(events.try_recv().unwrap(), StreamEvent::Start("No".into()));
    assert_eq!(model.n_calls(), 0);
}

#[tokio::test]
async fn images_stand_before_the_text_in_one_message() {
    let model = FakeModel::seeing(true);
    let chain = chain(&model, text_prompt("{question}", &json!({})));
    let upload = ("file", Some("data:image/png;base64,QUJD"), "image/png");

    let turn = TestTurn::asking("What is this?").uploads(&[upload]).ctx();
    chain.run(&turn, false).await.unwrap();

    let [message] = &model.only_prompt()[..] else { panic!("one message") };
    let words = Part::Text("What is this?".into());
    assert_eq!(message.parts, [image("data:image/png;base64,QUJD"), words]);
}

#[tokio::test]
async fn a_streamed_run_sends_the_models_tokens() {
    let model = FakeModel::saying("Hi");
    let (ctx, mut events) = TestTurn::asking("q").streaming();

    chain(&model, text_prompt("{x}", &json!({}))).run(&ctx, true).await.unwrap();

    assert_eq!(events.try_recv().unwrap(), StreamEvent::Start("Hi".into()));
    assert_eq!(events.try_recv().unwrap(), StreamEvent::Token("Hi".into()));
}

fn parser(spec: &crate::spec::NodeSpec) -> crate::inputs::InputValue {
    node(build(spec, [("autofixParser", source("true"))]))
}

#[tokio::test]
async fn with_a_parser_the_answer_is_json_and_the_prompt_ends_with_its_instructions() {
    let model = FakeModel::saying("red, green");
    let values = [
        ("model", node(Instance::ChatModel(model.clone()))),
        ("prompt", node(text_prompt("Colours of {x}", &json!({})))),
        ("outputParser", parser(output_parsers::NODES[0])),
    ];
    let Instance::Runnable(chain) = build(&SPEC, values) else { panic!("a chain") };

    let (ctx, mut events) = TestTurn::asking("a {flag}").streaming();
    let output = chain.run(&ctx, true).await.unwrap();

    assert_eq!(output, RunOutput::json(json!(["red", "green"])));
    assert!(events.try_recv().is_err(), "an answer that is parsed was streamed");
    let prompt = model.only_prompt()[0].plain();
    let rest = prompt.strip_prefix("Colours of a {flag}\n").unwrap_or_else(|| panic!("{prompt}"));
    assert!(rest.starts_with("Answer with a list"), "{prompt}");
}

#[tokio::test]
async fn an_objection_is_a_text_even_where_a_parser_shapes_the_answers() {
    let values = [("denyList", source("cats")), ("moderationErrorMessage", source("No cats."))];
    let moderation = build(crate::moderation::NODES[0], values);
    let model = FakeModel::saying("x");
    let values = [
        ("model", node(Instance::ChatModel(model.clone()))),
        ("prompt", node(text_prompt("{x}", &json!({})))),
        ("outputParser", parser(output_parsers::NODES[0])),
        ("inputModeration", node(moderation)),
    ];
    let Instance::Runnable(chain) = build(&SPEC, values) else { panic!("a chain") };

    let output = chain.run(&TestTurn::asking("cats").ctx(), false).await.unwrap();

    assert_eq!(output, RunOutput::text("No cats."));
}

#[tokio::test]
async fn an_author_can_place_the_instructions() {
    let model = FakeModel::saying("red");
    let values = [
        ("model", node(Instance::ChatModel(model.clone()))),
        ("prompt", node(text_prompt("{format_instructions} Now: {x}", &json!({})))),
        ("outputParser", parser(output_parsers::NODES[0])),
    ];
    let Instance::Runnable(chain) = build(&SPEC, values) else { panic!("a chain") };

    chain.run(&TestTurn::asking("q").ctx(), false).await.unwrap();

    let prompt = model.only_prompt()[0].plain();
    assert!(prompt.starts_with("Answer with a list") && prompt.ends_with(" Now: q"), "{prompt}");
}
