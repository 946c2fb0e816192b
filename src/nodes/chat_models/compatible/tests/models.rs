//! What depends on the model: images, effort, stop words.

use super::*;

#[test]
fn images_go_to_models_whose_node_allows_them() {
    for (name, can) in [
        ("azureChatOpenAI", true),
        ("chatOpenRouter", true),
        ("chatXAI", true),
        ("chatOpenAI", true),
        ("groqChat", false),
        ("chatMistralAI", false),
        ("chatLocalAI", false),
    ] {
        let keys = ["openRouterApiKey", "xaiApiKey", "groqApiKey"].map(|key| (key, KEY));
        let secrets = [AZURE, &keys].concat();
        let values = [("modelName", "m"), ("allowImageUploads", "true")];
        let Ok(Instance::ChatModel(model)) = built(name, with_secrets(&secrets, false, values))
        else {
            panic!("{name}")
        };
        let profile = model.profile();
        assert_eq!(profile.images.is_some(), can, "{name}");
        assert_eq!(profile.images_apart, name == "chatOpenAI", "{name}");
    }
}

#[test]
fn effort_goes_to_models_that_reason_and_sampling_does_not() {
    for (node, inputs) in
        [("chatOpenAI", node("openAIApiKey", EFFORT)), ("azureChatOpenAI", azure(EFFORT))]
    {
        run(Box::pin(async move {
            let (_, server, _) = ask(node, inputs, hello(), answer("200", "", HELLO), false).await;

            let body = server.body();
            assert_eq!(body["reasoning_effort"], json!("high"), "{node}");
            assert_eq!(body["max_completion_tokens"], json!(9), "{node}");
            for refused in ["temperature", "top_p", "max_tokens"] {
                assert_eq!(body.get(refused), None, "{node}");
            }
        }));
    }
}

const EFFORT: [(&str, &str); 5] = [
    ("modelName", "o3-mini"),
    ("temperature", "0.9"),
    ("topP", "0.5"),
    ("maxTokens", "9"),
    ("reasoningEffort", "high"),
];

#[test]
fn a_stop_word_that_the_model_cannot_be_told_still_ends_the_answer() {
    let body = r#"{"choices":[{"message":{"content":"Action: look\nObservation: made up"}}]}"#;
    for (streams, expected) in [(false, vec![]), (true, vec!["Action: look"])] {
        run(Box::pin(async move {
            let mut request = hello();
            request.stop = vec!["\nObservation".to_owned()];
            let inputs = node("openAIApiKey", [("modelName", "gpt-5")]);
            let script = answer("200", "", body);

            let (reply, server, tokens) = ask("chatOpenAI", inputs, request, script, streams).await;

            assert_eq!(reply.unwrap().text, "Action: look");
            assert_eq!(tokens, expected);
            assert_eq!((server.body().get("stop"), server.body().get("stream")), (None, None));
        }));
    }
}
