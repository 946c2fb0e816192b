//! Moderation: checks of what people write, before a model reads it.
//!
//! A chain or agent that takes them is built by [`guarded`].

mod input_moderation_open_ai;
mod input_moderation_simple;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, Moderation, RunOutput, Runnable};
use crate::spec::{Kind, NodeSpec, Param};

/// The moderation nodes.
pub const NODES: &[&NodeSpec] = &[&input_moderation_simple::SPEC, &input_moderation_open_ai::SPEC];

/// The words of the objection; who writes must not choose them.
const ERROR_MESSAGE: Param = Param::closed("moderationErrorMessage", Kind::Text);

/// The moderations of a chain or an agent.
pub const INPUT: Param = Param::closed("inputModeration", Kind::Nodes);

/// A chain or an agent as a built node: the moderations that are connected read
/// the question first, and the answer is what the first objection says.
///
/// # Errors
/// [`NodeError::BadInput`] when something else is connected.
pub fn guarded(inputs: &Inputs, inner: impl Runnable + 'static) -> Result<Instance, NodeError> {
    let moderations = connected(inputs, INPUT.name)?;
    Ok(Instance::Runnable(match moderations.is_empty() {
        true => Arc::new(inner),
        false => Arc::new(Moderated { moderations, inner }),
    }))
}

struct Moderated<R> {
    moderations: Vec<Arc<dyn Moderation>>,
    inner: R,
}

impl<R: Runnable> Runnable for Moderated<R> {
    fn run<'a>(
        &'a self,
        ctx: &'a TurnCtx,
        stream: bool,
    ) -> BoxFuture<'a, Result<RunOutput, NodeError>> {
        Box::pin(async move {
            match objection(&self.moderations, ctx, stream).await? {
                Some(answer) => Ok(RunOutput::text(answer)),
                None => self.inner.run(ctx, stream).await,
            }
        })
    }
}

/// The moderations connected to an input, in the order in which they ask.
fn connected(inputs: &Inputs, name: &str) -> Result<Vec<Arc<dyn Moderation>>, NodeError> {
    let moderation = |node: &Instance| match node {
        Instance::Moderation(moderation) => Ok(moderation.clone()),
        other => Err(inputs.wrong_node(name, "a moderation", Some(other))),
    };
    inputs.nodes(name).iter().map(moderation).collect()
}

/// What the first moderation that objects to the question answers in the
/// model's place, or `None` when the question may pass. With `stream`, the
/// answer goes to the client too: each word and each gap is one token, as in
/// Flowise 2.2.8.
///
/// # Errors
/// Those of the models and providers that are asked: what cannot be checked
/// does not pass.
async fn objection(
    moderations: &[Arc<dyn Moderation>],
    ctx: &TurnCtx,
    stream: bool,
) -> Result<Option<String>, NodeError> {
    for moderation in moderations {
        let Some(answer) = moderation.objection(&ctx.question, ctx).await? else { continue };
        if stream {
            for piece in words_and_gaps(&answer) {
                ctx.events.token(piece).await?;
            }
        }
        return Ok(Some(answer));
    }
    Ok(None)
}

/// A text cut wherever white space begins or ends.
fn words_and_gaps(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut in_gap = false;
    for (at, letter) in text.char_indices() {
        if letter.is_whitespace() != in_gap {
            pieces.push(&text[start..at]);
            start = at;
            in_gap = !in_gap;
        }
    }
    pieces.push(&text[start..]);
    pieces
}

#[cfg(test)]
mod tests {
    use parlor_schemas::StreamEvent;

    use super::*;
    use crate::test_support::{FakeModel, TestTurn, build, build_error, inputs, node, source};

    fn denying(word: &str, message: &str) -> Arc<dyn Moderation> {
        let values = [("denyList", source(word)), ("moderationErrorMessage", source(message))];
        match build(&input_moderation_simple::SPEC, values) {
            Instance::Moderation(moderation) => moderation,
            other => panic!("{}", other.kind()),
        }
    }

    #[tokio::test]
    async fn the_first_objection_is_the_answer_and_a_clean_question_passes() {
        let both = [denying("cats", "No cats."), denying("dogs", "No dogs.")];
        for (question, expected) in [
            ("About dogs and CATS", Some("No cats.")),
            ("About dogs", Some("No dogs.")),
            ("About birds", None),
        ] {
            let answer = objection(&both, &TestTurn::asking(question).ctx(), false).await.unwrap();
            assert_eq!(answer.as_deref(), expected, "{question}");
        }
    }

    #[tokio::test]
    async fn a_streamed_objection_comes_in_words_and_gaps() {
        let (ctx, mut events) = TestTurn::asking("cats").streaming();

        objection(&[denying("cats", "No cats,  please")], &ctx, true).await.unwrap();

        let mut seen = Vec::new();
        while let Ok(event) = events.try_recv() {
            seen.push(event);
        }
        let token = |text: &str| StreamEvent::Token(text.to_owned());
        let mut expected = vec![StreamEvent::Start("No".to_owned())];
        expected.extend(["No", " ", "cats,", "  ", "please"].map(token));
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_text_is_cut_where_white_space_begins_or_ends() {
        for (text, pieces) in [
            ("", vec![""]),
            ("a b", vec!["a", " ", "b"]),
            (" a\n\nb ", vec!["", " ", "a", "\n\n", "b", " "]),
        ] {
            assert_eq!(words_and_gaps(text), pieces, "{text:?}");
        }
    }

    #[test]
    fn something_else_in_a_moderations_place_is_named() {
        let model = || node(Instance::ChatModel(FakeModel::saying("x")));
        let error = connected(&inputs([("inputModeration", model())]), "inputModeration");
        let Err(error) = error else { panic!("a model passed as a moderation") };
        assert!(error.to_string().contains("needs a moderation, but a chat model"), "{error}");
        let error = build_error(
            crate::chains::NODES[0],
            [
                ("model", model()),
                ("prompt", node(build(crate::prompts::NODES[0], []))),
                ("inputModeration", model()),
            ],
        );
        assert!(error.to_string().contains("needs a moderation"), "{error}");
    }
}
