//! Compiled plans by chatflow, made again when the flow or a credential changes.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use parlor_schemas::{Chatflow, ChatflowId, ErrorCode, Fault, variable::VariableType};

use super::credentials;
use super::door::Door;
use super::file;
use super::follow_up::FollowUp;
use super::keeping::Keeping;
use super::overrides::{OverridePolicy, OverrideRule};
use super::plan::{self, Plan};
use super::speech::{self, Speech};
use super::targets::{self, Target};
use super::upload_config::{UploadConfig, upload_config};
use crate::store::Store;

/// A chatflow with what a request needs of it, ready at hand.
pub struct ReadyFlow {
    /// The stored row.
    pub chatflow: Chatflow,
    /// The plan, or why there is none.
    pub plan: Result<Arc<Plan>, Fault>,
    /// Suggests what to ask next, where the chatflow wants that.
    pub follow_up: Option<Arc<FollowUp>>,
    /// What requests may change.
    pub policy: OverridePolicy,
    /// Whether turns are stored.
    pub stores: bool,
    /// Who may call it how often, and from where.
    pub door: Door,
    /// The stored variables by name.
    pub variables: Arc<HashMap<String, String>>,
    /// What people may upload.
    pub uploads: Result<UploadConfig, Fault>,
    /// What turns recordings into words, where the chatflow has one.
    pub speech: Option<Arc<Speech>>,
}

/// The cache.
pub struct FlowCache {
    store: Arc<Store>,
    /// Names of environment variables that runtime variables may read.
    runtime_variables: Vec<String>,
    overrides: OverrideRule,
    ready: RwLock<Cached>,
}

#[derive(Default)]
struct Cached {
    revisions: (u64, u64, u64),
    flows: HashMap<ChatflowId, Arc<ReadyFlow>>,
}

impl FlowCache {
    /// An empty cache over a store.
    pub fn new(store: Arc<Store>, runtime_variables: Vec<String>, overrides: OverrideRule) -> Self {
        Self { store, runtime_variables, overrides, ready: RwLock::default() }
    }

    /// The chatflow, compiled.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], or what the store says.
    pub fn get(&self, id: ChatflowId) -> Result<Arc<ReadyFlow>, Fault> {
        let revisions = self.revisions();
        {
            let cached = self.ready.read().unwrap_or_else(PoisonError::into_inner);
            if cached.revisions == revisions
                && let Some(flow) = cached.flows.get(&id)
            {
                return Ok(flow.clone());
            }
        }
        let chatflow = self.store.chatflows().get(id)?.ok_or_else(|| not_found(id))?;
        let flow = Arc::new(self.compile(chatflow)?);
        let mut cached = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if cached.revisions != revisions {
            *cached = Cached { revisions, flows: HashMap::new() };
        }
        cached.flows.insert(id, flow.clone());
        Ok(flow)
    }

    fn revisions(&self) -> (u64, u64, u64) {
        let store = &self.store;
        let kinds = (store.chatflows(), store.credentials(), store.variables());
        (kinds.0.revision(), kinds.1.revision(), kinds.2.revision())
    }

    fn compile(&self, chatflow: Chatflow) -> Result<ReadyFlow, Fault> {
        let bindings = self.store.chatflows().bindings(chatflow.id)?;
        let bind = |node: &_, spec: &parlor_nodes::NodeSpec| {
            let credential = spec.credential?;
            Some(credentials::bind(node, credential, &self.store, &bindings))
        };
        let plan = file::parse_flow(&chatflow.flow_data)
            .map_err(|error| Fault::new(ErrorCode::InvalidFlow, error.to_string()))
            .and_then(|flow| plan::compile(&flow, &bind).map_err(|error| (&error).into()))
            .map(|plan| {
                let can_stream = plan.can_stream && !is_post_processed(&chatflow);
                Arc::new(Plan { can_stream, ..plan })
            });
        let follow_up = FollowUp::of(&chatflow, &bind).map(Arc::new);
        let policy = OverridePolicy::of(&chatflow, self.overrides);
        // What cannot be read was stored by somebody else's hand: keep what there is.
        let stores = Keeping::of(&chatflow).map_or(true, |keeping| keeping.stores);
        let door = Door::of(&chatflow);
        let uploads = upload_config(&chatflow)
            .map_err(|error| Fault::new(ErrorCode::InvalidFlow, error.to_string()));
        let speech = speech::of(&chatflow, &self.store).map(Arc::new);
        let variables = Arc::new(self.variables()?);
        Ok(ReadyFlow {
            chatflow,
            plan,
            follow_up,
            policy,
            stores,
            door,
            variables,
            uploads,
            speech,
        })
    }

    /// The vector stores that a request is to fill, each compiled with what it
    /// depends on. They are not kept: the files of their loaders are large,
    /// and upserts are rare.
    ///
    /// # Errors
    /// [`targets::choose`]'s, and what is wrong with the flow.
    pub fn targets(&self, flow: &ReadyFlow, wanted: &[String]) -> Result<Vec<Target>, Fault> {
        let bindings = self.store.chatflows().bindings(flow.chatflow.id)?;
        let bind = |node: &_, spec: &parlor_nodes::NodeSpec| {
            let credential = spec.credential?;
            Some(credentials::bind(node, credential, &self.store, &bindings))
        };
        let data = file::parse_flow(&flow.chatflow.flow_data)
            .map_err(|error| Fault::new(ErrorCode::InvalidFlow, error.to_string()))?;
        targets::compile(&data, wanted, &bind)
    }

    /// Static variables by their value; runtime ones from the environment, if
    /// the operator lists them.
    fn variables(&self) -> Result<HashMap<String, String>, Fault> {
        let listed = self.store.variables().list()?;
        let value = |variable: &parlor_schemas::Variable| match variable.kind {
            VariableType::Runtime if self.runtime_variables.contains(&variable.name) => {
                std::env::var(&variable.name).unwrap_or_default()
            }
            VariableType::Runtime => String::new(),
            VariableType::Static => variable.value.clone(),
        };
        Ok(listed.iter().map(|variable| (variable.name.clone(), value(variable))).collect())
    }
}

/// Whether code is to work on the whole answer, which is then never streamed
/// (contract 2.4).
fn is_post_processed(chatflow: &Chatflow) -> bool {
    let settings = Chatflow::settings(chatflow.chatbot_config.as_deref());
    settings["postProcessing"]["enabled"] == true
}

/// The fault for a chatflow that does not exist.
pub fn not_found(id: impl std::fmt::Display) -> Fault {
    Fault::new(ErrorCode::NotFound, format!("Chatflow {id} not found in the database!"))
}
