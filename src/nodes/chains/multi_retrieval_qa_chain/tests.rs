//! The choice between sources, and what a bad choice leads to.

use parlor_schemas::StreamEvent;
use serde_json::json;

use super::*;
use crate::inputs::InputValue;
use crate::memory;
use crate::retrieval::Document;
use crate::test_support::{
    self as support, FakeModel, FakeRetriever, FakeStore, TestTurn, node, says, source, user,
};

/// A retriever with a name.
struct Named(&'static str, Arc<FakeRetriever>);

impl Retriever for Named {
    fn retrieve<'a>(
        &'a self,
        query: &'a str,
        ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<Vec<Document>, NodeError>> {
        self.1.retrieve(query, ctx)
    }

    fn title(&self) -> Option<(&str, &str)> {
        Some((self.0, "what it holds"))
    }
}

fn named(name: &'static str, retriever: &Arc<FakeRetriever>) -> Instance {
    Instance::Retriever(Arc::new(Named(name, retriever.clone())))
}

struct Setting {
    model: Arc<FakeModel>,
    staff: Arc<FakeRetriever>,
    bakery: Arc<FakeRetriever>,
    chain: Arc<dyn Runnable>,
}

/// Two sources; the model's first reply is its choice.
fn choosing<const N: usize>(reply: &str, extra: [(&str, InputValue); N]) -> Setting {
    let model = FakeModel::playing([says(reply), says("answer")]);
    let staff = FakeRetriever::finding(["Ann bakes."]);
    let bakery = FakeRetriever::finding(["Opens at {eight}."]);
    let sources = vec![named("Staff", &staff), named("bakery", &bakery)];
    let mut inputs = support::inputs(extra);
    inputs.values.insert("model".to_owned(), node(Instance::ChatModel(model.clone())));
    inputs.values.insert(RETRIEVERS.to_owned(), InputValue::Nodes(sources));
    let Ok(Instance::Runnable(chain)) = (SPEC.build)(&inputs) else { panic!("a chain") };
    Setting { model, staff, bakery, chain }
}

#[tokio::test]
async fn the_chosen_source_is_searched_for_the_reworded_question() {
    let choice = r#"{"destination": "bakery", "next_inputs": {"query": "opening hours"}}"#;
    let Setting { model, staff, bakery, chain } = choosing(choice, []);

    let output = chain.run(&TestTurn::asking("When {x}?").ctx(), false).await.unwrap();

    assert_eq!(output, RunOutput::text("answer"));
    assert_eq!((staff.asked().len(), bakery.asked()), (0, vec!["opening hours".to_owned()]));
    let [choice, answer] = &model.prompts()[..] else { panic!("{:?}", model.prompts()) };
    let lines = "\nStaff: what it holds\nbakery: what it holds\n";
    assert!(choice[0].plain().contains(lines), "{choice:?}");
    assert_eq!(choice[1..], [user("When {x}?")]);
    assert!(answer[0].plain().ends_with("\nOpens at {eight}."), "{answer:?}");
    assert_eq!(answer[1..], [user("When {x}?")]);
}

#[tokio::test]
async fn a_choice_is_understood_as_models_write_it() {
    for reply in [
        "Sure!\n```json\n{\"destination\": \" BAKERY \", \"next_inputs\": \"hours\",}\n```",
        "{'destination': 'bakery', 'next_inputs': {'input': 'hours'}}",
    ] {
        let Setting { bakery, chain, .. } = choosing(reply, []);
        chain.run(&TestTurn::asking("q").ctx(), false).await.unwrap();
        assert_eq!(bakery.asked(), ["hours"], "{reply}");
    }
    for reply in [r#"{"destination": "bakery"}"#, r#"{"destination":"bakery","next_inputs":""}"#] {
        let Setting { bakery, chain, .. } = choosing(reply, []);
        chain.run(&TestTurn::asking("q").ctx(), false).await.unwrap();
        assert_eq!(bakery.asked(), ["q"], "{reply}");
    }
}

#[tokio::test]
async fn no_choice_or_a_strange_one_is_an_answer_without_documents() {
    for reply in [
        r#"{"destination": "DEFAULT", "next_inputs": {"query": "x"}}"#,
        r#"{"destination": "the moon"}"#,
        r#"{"destination": null}"#,
        "I would say: the bakery.",
        "",
    ] {
        let wanted = [("returnSourceDocuments", source("true"))];
        let Setting { model, staff, bakery, chain } = choosing(reply, wanted);

        let output = chain.run(&TestTurn::asking("Hi {x}").ctx(), false).await.unwrap();

        assert_eq!(output, RunOutput::text("answer"), "{reply}");
        assert_eq!((staff.asked().len(), bakery.asked().len()), (0, 0), "{reply}");
        let prompts = model.prompts();
        assert_eq!(prompts.len(), 2, "{reply}");
        assert_eq!(prompts[1], conversation_chain::first_words("Hi {x}").messages);
    }
}

#[tokio::test]
async fn sources_and_the_answer_are_streamed_but_not_the_choice() {
    let choice = r#"{"destination": "staff"}"#;
    let Setting { chain, .. } = choosing(choice, [("returnSourceDocuments", source("true"))]);
    let (ctx, mut events) = TestTurn::asking("Who?").streaming();

    let output = chain.run(&ctx, true).await.unwrap();

    let documents = json!([{"pageContent": "Ann bakes.", "metadata": {"source": 0}}]);
    assert_eq!(output.fields["sourceDocuments"], documents);
    let heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let expected = [
        StreamEvent::Start("answer".into()),
        StreamEvent::Token("answer".into()),
        StreamEvent::SourceDocuments(documents),
    ];
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn a_default_conversation_tells_the_model_what_a_conversation_chain_tells_it() {
    let model = FakeModel::saying("x");
    let inputs = [
        ("model", node(Instance::ChatModel(model.clone()))),
        ("memory", node(support::build(memory::NODES[0], []))),
    ];
    let Ok(Instance::Runnable(chain)) = (conversation_chain::SPEC.build)(&support::inputs(inputs))
    else {
        panic!("a chain")
    };

    chain.run(&TestTurn::asking("q").ctx(), false).await.unwrap();

    assert_eq!(model.prompts(), [conversation_chain::first_words("q").messages]);
}

#[test]
fn sources_without_a_name_of_their_own_are_refused() {
    let model = || node(Instance::ChatModel(FakeModel::saying("x")));
    let retriever = FakeRetriever::finding([]);
    let error = |sources: Vec<Instance>| {
        let inputs = [("model", model()), (RETRIEVERS, InputValue::Nodes(sources))];
        support::build_error(&SPEC, inputs).to_string()
    };
    let twice = error(vec![named("Staff", &retriever), named(" staff", &retriever)]);
    assert!(twice.contains("two retrievers named"), "{twice}");
    let nameless = error(vec![FakeStore::holding([]).into_instance()]);
    assert!(nameless.contains("needs a vector store retriever"), "{nameless}");
    let nameless = error(vec![Instance::Retriever(retriever)]);
    assert!(nameless.contains("needs a vector store retriever"), "{nameless}");
    assert!(error(Vec::new()).contains("is not connected"));
}
