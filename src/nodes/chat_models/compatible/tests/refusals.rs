//! Refusals of providers, and of inputs that a node cannot take.

use super::*;

#[test]
fn each_providers_refusal_is_told_in_its_words_and_without_the_key() {
    let bodies = [
        r#"{"error":{"message":"No such model for key-123456"}}"#,
        r#"{"object":"error","message":"No such model for key-123456","code":1500}"#,
        r#"{"detail":[{"loc":["body","model"],"msg":"No such model for key-123456"}]}"#,
    ];
    for (case, body) in cases().into_iter().flat_map(|case| {
        let inputs = case.inputs.clone();
        bodies.map(|body| (Case { inputs: inputs.clone(), body: Value::Null, ..case }, body))
    }) {
        run(Box::pin(async move {
            let script = answer("422", "", body);

            let (reply, ..) = ask(case.node, case.inputs, hello(), script, true).await;

            let error = reply.unwrap_err().to_string();
            assert!(error.ends_with(" answered 422: No such model for [hidden]"), "{error}");
        }));
    }
}

#[test]
fn an_error_in_a_good_answer_keeps_the_status_that_it_names() {
    run(Box::pin(async {
        let body = r#"{"error":{"code":429,"message":"Slow down"}}"#;
        let inputs = node("openRouterApiKey", [("modelName", "m")]);

        let (reply, ..) =
            ask("chatOpenRouter", inputs, hello(), answer("200", "", body), false).await;

        assert_eq!(reply.unwrap_err().to_string(), "OpenRouter answered 429: Slow down");
    }));
}

#[test]
fn a_model_without_a_name_is_refused_where_the_node_has_no_usual_one() {
    for case in cases() {
        let mut inputs = case.inputs;
        inputs.values.remove("modelName");
        let built = built(case.node, inputs);
        let has_usual =
            ["chatOpenAI", "chatDeepseek", "chatMistralAI", "azureChatOpenAI"].contains(&case.node);
        assert_eq!(built.is_ok(), has_usual, "{}", case.node);
        if let Err(error) = built {
            assert!(error.to_string().ends_with("modelName is empty; fill it in"), "{error}");
        }
    }
}

#[test]
fn settings_of_the_wrong_type_are_refused_by_name() {
    for (name, key, input, value) in [
        ("groqChat", "groqApiKey", "temperature", "warm"),
        ("chatOpenRouter", "openRouterApiKey", "topP", "1e999"),
        ("chatLocalAI", "localAIApiKey", "maxTokens", "-1"),
        ("chatOpenAICustom", "openAIApiKey", "timeout", "soon"),
        ("chatMistralAI", "mistralAIAPIKey", "randomSeed", "0.5"),
        ("chatMistralAI", "mistralAIAPIKey", "safeMode", "maybe"),
        ("chatOpenRouter", "openRouterApiKey", "baseOptions", "[1]"),
        ("chatOpenRouter", "openRouterApiKey", "baseOptions", r#"{"Host":"elsewhere"}"#),
        ("chatDeepseek", "deepseekApiKey", "baseOptions", r#"{"defaultHeaders":"x"}"#),
        ("azureChatOpenAI", "azureOpenAIApiKey", "imageResolution", "huge"),
    ] {
        let inputs = with_secrets(
            &[AZURE, &[(key, KEY)]].concat(),
            false,
            [("modelName", "m"), ("allowImageUploads", "true"), (input, value)],
        );
        let error = build_error(name, inputs);
        assert!(error.contains(input), "{name}: {error}");
    }
}
