//! Where the instructions go, and what becomes of an answer that does not fit.

use parlor_schemas::ErrorCode;
use serde_json::json;

use super::*;
use crate::test_support::{FakeModel, TestTurn, assistant, build, source, system, user};

fn list_of(length: &str, autofix: &str) -> Arc<dyn OutputParser> {
    let values = [("length", source(length)), ("autofixParser", source(autofix))];
    match build(&custom_list_output_parser::SPEC, values) {
        Instance::OutputParser(parser) => parser,
        other => panic!("{}", other.kind()),
    }
}

#[test]
fn one_text_gets_the_instructions_at_its_end() {
    let mut messages = vec![user("Name {three} colours")];
    instruct(&mut messages, "In {JSON}.", true);
    assert_eq!(messages, [user("Name {three} colours\nIn {JSON}.")]);
}

#[test]
fn of_messages_only_the_systems_get_them_and_one_is_made_where_there_is_none() {
    let mut messages = vec![system("a"), user("b"), system("c"), assistant("d")];
    instruct(&mut messages, "JSON", false);
    assert_eq!(messages, [system("a\nJSON"), user("b"), system("c\nJSON"), assistant("d")]);

    let mut messages = vec![user("b")];
    instruct(&mut messages, "JSON", false);
    assert_eq!(messages, [system("JSON"), user("b")]);
}

#[tokio::test]
async fn an_answer_that_fits_costs_no_second_call() {
    let model = FakeModel::saying("x");
    let turn = TestTurn::asking("q").ctx();
    let value = shape(&*list_of("2", "true"), &*model, "a, b", &turn).await;
    assert_eq!(value.unwrap(), json!(["a", "b"]));
    assert_eq!(model.n_calls(), 0);
}

#[tokio::test]
async fn a_misfit_without_autofix_is_the_models_fault_and_names_what_is_wrong() {
    let model = FakeModel::saying("a, b");
    let turn = TestTurn::asking("q").ctx();
    let error = shape(&*list_of("2", ""), &*model, "a, b, c", &turn).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UpstreamFailed);
    assert_eq!(
        error.to_string(),
        "the model gave an answer that does not fit the output parser (the list has 3 items, \
         not 2); turn on Autofix in the output parser to let the model mend it"
    );
    assert_eq!(model.n_calls(), 0);
}

#[tokio::test]
async fn autofix_asks_the_model_once_with_the_answer_and_what_is_wrong() {
    let turn = TestTurn::asking("q").ctx();
    for (mended, expected) in [("a, b", Some(json!(["a", "b"]))), ("a", None)] {
        let model = FakeModel::saying(mended);
        let shaped = shape(&*list_of("2", "true"), &*model, "{x}, b, c", &turn).await;
        let prompt = model.only_prompt()[0].plain();
        for part in ["exactly 2 items", "{x}, b, c", "the list has 3 items, not 2"] {
            assert!(prompt.contains(part), "{prompt}");
        }
        match expected {
            Some(expected) => assert_eq!(shaped.unwrap(), expected),
            None => {
                let error = shaped.unwrap_err().to_string();
                assert!(
                    error.ends_with("(the list has 1 items, not 2) and could not mend it"),
                    "{error}"
                );
            }
        }
    }
}
