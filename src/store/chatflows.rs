//! Chatflows, and which credential each of their nodes uses: an exported flow
//! names none, so the operator binds them once.

use std::collections::BTreeMap;

use parlor_schemas::{Chatflow, ChatflowId};

use super::error::StoreError;
use super::table::Table;

/// Node id to the id or the name of a credential.
pub type Bindings = BTreeMap<String, String>;

/// The stored chatflows. Reads are done in place and take microseconds;
/// writes block until they are on the disk. The errors are those of reading
/// and writing a row.
#[derive(Debug)]
pub struct Chatflows {
    flows: Table,
    bindings: Table,
}

impl Chatflows {
    pub(super) fn new(flows: Table, bindings: Table) -> Self {
        Self { flows, bindings }
    }

    /// Grows with each change of a chatflow or its bindings since the start:
    /// a plan compiled before may be stale.
    pub fn revision(&self) -> u64 {
        self.flows.revision() + self.bindings.revision()
    }

    /// One chatflow.
    pub fn get(&self, id: ChatflowId) -> Result<Option<Chatflow>, StoreError> {
        self.flows.get(id.as_bytes())
    }

    /// Whether a chatflow is there, without reading it.
    pub fn contains(&self, id: ChatflowId) -> Result<bool, StoreError> {
        self.flows.contains(id.as_bytes())
    }

    /// All chatflows, the oldest first.
    pub fn list(&self) -> Result<Vec<Chatflow>, StoreError> {
        let mut flows: Vec<Chatflow> =
            self.flows.list()?.into_iter().map(|(_, flow)| flow).collect();
        flows.sort_by_key(|flow| (flow.created_date, flow.id));
        Ok(flows)
    }

    /// Stores a chatflow over what had its id.
    pub fn put(&self, flow: &Chatflow) -> Result<(), StoreError> {
        self.flows.put(flow.id.as_bytes(), flow)
    }

    /// Deletes a chatflow and its bindings, not its history; false where there was none.
    pub fn delete(&self, id: ChatflowId) -> Result<bool, StoreError> {
        // The bindings first: alone they would be found by a later chatflow of that id.
        self.bindings.delete(id.as_bytes())?;
        self.flows.delete(id.as_bytes())
    }

    /// The credentials bound to a chatflow's nodes; empty where nobody bound any.
    pub fn bindings(&self, id: ChatflowId) -> Result<Bindings, StoreError> {
        Ok(self.bindings.get(id.as_bytes())?.unwrap_or_default())
    }

    /// Replaces the bindings of a chatflow.
    pub fn set_bindings(&self, id: ChatflowId, bindings: &Bindings) -> Result<(), StoreError> {
        self.bindings.put(id.as_bytes(), bindings)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{open, open_in};
    use super::*;
    use parlor_schemas::Timestamp;

    fn chatflow(name: &str, flow_data: String) -> Chatflow {
        Chatflow {
            id: ChatflowId::random(),
            name: name.to_owned(),
            flow_data,
            deployed: None,
            is_public: Some(true),
            apikeyid: None,
            chatbot_config: None,
            api_config: None,
            analytic: None,
            speech_to_text: None,
            follow_up_prompts: None,
            category: Some("a;b".to_owned()),
            kind: None,
            created_date: Timestamp::from_millis(1),
            updated_date: Timestamp::from_millis(2),
        }
    }

    #[test]
    fn a_chatflow_of_any_length_survives_a_restart() {
        let (folder, store) = open();
        let long = chatflow("long", "x🦊".repeat(200_000));
        let short = chatflow("short", "{}".to_owned());
        store.chatflows().put(&long).unwrap();
        store.chatflows().put(&short).unwrap();
        drop(store);
        let store = open_in(&folder);
        assert_eq!(store.chatflows().get(long.id).unwrap().unwrap(), long);
        assert_eq!(store.chatflows().list().unwrap().len(), 2);
    }

    #[test]
    fn a_chatflow_that_grows_shorter_leaves_nothing_behind() {
        let (_folder, store) = open();
        let mut flow = chatflow("flow", "y".repeat(50_000));
        store.chatflows().put(&flow).unwrap();
        flow.flow_data = "{}".to_owned();
        store.chatflows().put(&flow).unwrap();
        let tree = store.history().disk.tree("chatflows").unwrap();
        assert_eq!(tree.len(), 1);
        assert_eq!(store.chatflows().get(flow.id).unwrap().unwrap(), flow);
    }

    #[test]
    fn deleting_a_chatflow_takes_its_bindings_along_and_tells_whether_it_was_there() {
        let (_folder, store) = open();
        let flow = chatflow("flow", "{}".to_owned());
        let flows = store.chatflows();
        flows.put(&flow).unwrap();
        let bound = Bindings::from([("chatOpenAI_0".to_owned(), "my-openai".to_owned())]);
        flows.set_bindings(flow.id, &bound).unwrap();
        assert_eq!(flows.bindings(flow.id).unwrap(), bound);
        assert!(flows.delete(flow.id).unwrap());
        assert!(!flows.delete(flow.id).unwrap());
        assert_eq!(flows.bindings(flow.id).unwrap(), Bindings::new());
    }

    #[test]
    fn every_write_raises_the_revision() {
        let (_folder, store) = open();
        let flow = chatflow("flow", "{}".to_owned());
        let before = store.chatflows().revision();
        store.chatflows().put(&flow).unwrap();
        let between = store.chatflows().revision();
        store.chatflows().set_bindings(flow.id, &Bindings::new()).unwrap();
        assert!(before < between && between < store.chatflows().revision());
    }
}
