//! A loader as a built node: the inputs that all of them have, and the way of
//! their documents from the source to the last touch.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::finish::Finish;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::Instance;
use crate::retrieval::{Document, DocumentLoader, Loaded, Origin, Supply};
use crate::spec::{Kind, Param};
use crate::workers;

/// The metadata that the author adds.
pub(super) const METADATA: Param = Param::open("metadata", Kind::Json);
/// The keys that are left out: names separated by commas, or `*`.
pub(super) const OMIT_METADATA_KEYS: Param = Param::open("omitMetadataKeys", Kind::Text);
/// What cuts the documents into chunks.
pub(super) const TEXT_SPLITTER: Param = Param::closed("textSplitter", Kind::Node);

/// A loader as a built node: `source` finds the documents, this cuts them,
/// adds the author's metadata and notes where they come from.
///
/// # Errors
/// [`NodeError::BadInput`] for metadata that is no object, and for something
/// else in the splitter's place.
pub(super) fn loader(
    inputs: &Inputs,
    source: impl DocumentLoader + 'static,
) -> Result<Instance, NodeError> {
    loader_adding(inputs, inputs.object(METADATA.name)?, source)
}

/// The same with metadata of which the loader took a part for itself.
///
/// # Errors
/// [`NodeError::BadInput`] for something else in the splitter's place.
pub(super) fn loader_adding(
    inputs: &Inputs,
    added: Map<String, Value>,
    source: impl DocumentLoader + 'static,
) -> Result<Instance, NodeError> {
    let id = Arc::from(inputs.id.as_str());
    let finish = Finish {
        splitter: inputs.splitter(TEXT_SPLITTER.name)?,
        added,
        omitted: inputs.text(OMIT_METADATA_KEYS.name).unwrap_or_default().trim().to_owned(),
        origin: if inputs.is_overridden { Origin::Request(id) } else { Origin::Chatflow(id) },
    };
    let title = inputs.title();
    Ok(Instance::Loader(Arc::new(Finished { title, source, finish: Arc::new(finish) })))
}

/// The output `text` of a loader: every page's content followed by a line break.
pub fn joined_text(documents: &[Document]) -> String {
    let length = documents.iter().map(|document| document.page_content.len() + 1).sum();
    let mut text = String::with_capacity(length);
    for document in documents {
        text.push_str(&document.page_content);
        text.push('\n');
    }
    text
}

struct Finished<S> {
    title: String,
    source: S,
    finish: Arc<Finish>,
}

impl<S: DocumentLoader> DocumentLoader for Finished<S> {
    fn load<'a>(&'a self, ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
        async move {
            let mut loaded = self.source.load(ctx).await?;
            let documents = std::mem::take(&mut loaded.documents);
            let finish = Arc::clone(&self.finish);
            let work = move || finish.finished(documents);
            let finished = match self.finish.is_quick() {
                true => work(),
                false => workers::compute(&self.title, ctx, work).await?,
            };
            let bad = |problem| NodeError::BadRequest(format!("{}: {problem}", self.title));
            loaded.documents = finished.map_err(bad)?;
            Ok(loaded)
        }
        .boxed()
    }

    fn takes_what_it_finds(&self) -> bool {
        self.source.takes_what_it_finds()
    }

    fn origin(&self) -> Option<&Origin> {
        Some(&self.finish.origin)
    }

    fn supply(&self) -> Supply {
        self.source.supply()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_support::{TestTurn, inputs, json as tree, source};

    /// A source of one page.
    struct Page;

    impl DocumentLoader for Page {
        fn load<'a>(&'a self, _ctx: &'a TurnCtx) -> BoxFuture<'a, Result<Loaded, NodeError>> {
            let metadata = json!({"source": "a.txt", "line": 1}).as_object().unwrap().clone();
            let documents = vec![Document::new("p", metadata)];
            std::future::ready(Ok(Loaded { documents, n_files: 1, failures: Vec::new() })).boxed()
        }
    }

    async fn loaded(inputs: &Inputs) -> Document {
        let Instance::Loader(loader) = loader(inputs, Page).unwrap() else { panic!("a loader") };
        loader.load(&TestTurn::asking("").ctx()).await.unwrap().documents.remove(0)
    }

    #[tokio::test]
    async fn metadata_is_merged_and_keys_are_omitted() {
        for (added, omitted, expected) in [
            (json!(null), "", json!({"source": "a.txt", "line": 1})),
            (
                json!({"line": 2, "team": "x"}),
                "",
                json!({"source": "a.txt", "line": 2, "team": "x"}),
            ),
            (json!({"team": "x"}), "source, line", json!({"team": "x"})),
            (json!({"team": "x"}), "team,nothing", json!({"source": "a.txt", "line": 1})),
            (json!({"team": "x"}), " * ", json!({"team": "x"})),
            (json!("{\"team\":\"x\"}"), "*", json!({"team": "x"})),
        ] {
            let inputs = inputs([("metadata", tree(added)), ("omitMetadataKeys", source(omitted))]);

            let document = loaded(&inputs).await;

            assert_eq!(Value::Object(document.metadata), expected, "{omitted}");
        }
    }

    #[tokio::test]
    async fn keys_inside_of_others_are_omitted_by_their_path() {
        let metadata = json!({"pdf": {"version": "1", "info": {"Title": "T"}}, "a.b": 1});
        let omitted = source("pdf.info.Title, a.b, line, source, source.x");
        let inputs = inputs([("metadata", tree(metadata)), ("omitMetadataKeys", omitted)]);

        let document = loaded(&inputs).await;

        let expected = json!({"pdf": {"version": "1", "info": {}}});
        assert_eq!(Value::Object(document.metadata), expected);
    }

    #[tokio::test]
    async fn the_origin_is_the_chatflow_unless_the_request_changed_the_loader() {
        let mut inputs = inputs([]);
        assert_eq!(loaded(&inputs).await.origin, Some(Origin::Chatflow("test_0".into())));

        inputs.is_overridden = true;
        assert_eq!(loaded(&inputs).await.origin, Some(Origin::Request("test_0".into())));
    }

    #[test]
    fn the_text_output_ends_every_page_with_a_line_break() {
        let pages = ["one", "two"].map(|text| Document::new(text, Map::new()));
        assert_eq!(joined_text(&pages), "one\ntwo\n");
    }

    #[test]
    fn metadata_that_is_no_object_is_refused_by_name() {
        let error = loader(&inputs([("metadata", tree(json!([1])))]), Page).err().unwrap();

        assert!(error.to_string().contains("metadata must be a JSON object"), "{error}");
    }
}
