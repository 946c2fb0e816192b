//! Which secret belongs to which node. Exports carry none, so they are bound
//! by, in this order: the node's own credential id; the chatflow's map of node
//! ids; and, where the flow names none, the only stored credential of a kind
//! that the node takes, or the provider's usual environment variable.

use parlor_nodes::inputs::Secrets;
use parlor_nodes::spec::CredentialSpec;
use parlor_schemas::Credential;
use parlor_schemas::flow_file::FlowNode;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::graph::title;
use crate::store::{Bindings, Store};

/// Finds the secrets of a node, or the sentence that says how to give them.
pub fn bind(
    node: &FlowNode,
    spec: &CredentialSpec,
    store: &Store,
    bindings: &Bindings,
) -> Result<Secrets, String> {
    let typed = node.data.inputs.get("credentialId").and_then(Value::as_str);
    let own = node.data.credential.as_deref().or(typed).filter(|id| !id.is_empty());
    let bound = own
        .and_then(|id| by_id_or_name(id, spec, store))
        .or_else(|| by_id_or_name(bindings.get(&node.id)?, spec, store))
        // Another credential never stands in for one that the flow names.
        .or_else(|| if own.is_none() { only_one(spec, store) } else { None });
    match bound {
        Some(credential) => Ok(Secrets { fields: credential.plain_data, from_environment: false }),
        None if own.is_some() => Err(how_to_bind(node, spec)),
        None => from_environment(spec).ok_or_else(|| how_to_bind(node, spec)),
    }
}

/// The secrets of a chatflow's speech to text: the credential that it names,
/// or, where it names none, the only one of the kind or the environment's.
///
/// # Errors
/// The sentence that says how to give them.
pub fn for_speech(
    named: Option<&str>,
    spec: &CredentialSpec,
    store: &Store,
) -> Result<Secrets, String> {
    let found = match named {
        Some(id) => Uuid::try_parse(id).ok().and_then(|id| read(id, store)),
        None => only_one(spec, store),
    };
    match found {
        Some(credential) => {
            Some(Secrets { fields: credential.plain_data, from_environment: false })
        }
        None if named.is_none() => from_environment(spec),
        None => None,
    }
    .ok_or_else(|| {
        format!(
            "speech to text has no usable {} credential: store one with POST /api/v1/credentials \
             and choose it in the chatflow's settings",
            spec.kind
        )
    })
}

fn by_id_or_name(wanted: &str, spec: &CredentialSpec, store: &Store) -> Option<Credential> {
    let listed = store.credentials().list().ok()?;
    let info = listed.into_iter().find(|info| {
        spec.takes(&info.credential_name) && (info.id.to_string() == wanted || info.name == wanted)
    })?;
    read(info.id, store)
}

fn only_one(spec: &CredentialSpec, store: &Store) -> Option<Credential> {
    let mut listed = store.credentials().list().ok()?;
    listed.retain(|info| spec.takes(&info.credential_name));
    match listed.as_slice() {
        [info] => read(info.id, store),
        _ => None,
    }
}

fn read(id: Uuid, store: &Store) -> Option<Credential> {
    store.credentials().get(id).ok().flatten()
}

fn from_environment(spec: &CredentialSpec) -> Option<Secrets> {
    let mut fields = Map::new();
    for (field, variable) in spec.fields {
        let value = variable.and_then(|name| std::env::var(name).ok());
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            fields.insert((*field).to_owned(), Value::String(value));
        }
    }
    (!fields.is_empty()).then_some(Secrets { fields, from_environment: true })
}

fn how_to_bind(node: &FlowNode, spec: &CredentialSpec) -> String {
    let kinds: Vec<_> = spec.kinds().collect();
    let variables: Vec<_> = spec.fields.iter().filter_map(|(_, variable)| *variable).collect();
    let environment = match variables.as_slice() {
        [] => String::new(),
        names => format!(", or set {}", names.join(" and ")),
    };
    format!(
        "{} has no usable {} credential: store one with POST /api/v1/credentials, or name one at import \
         with --credential {}=NAME{environment}",
        title(node),
        kinds.join(" or "),
        node.id
    )
}
