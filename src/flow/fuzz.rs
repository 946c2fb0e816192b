//! Files that operators import, and bodies that anybody sends.

use parlor_nodes::files::InputFile;
use parlor_nodes::{Kind, registry};
use parlor_schemas::flow_file::FlowData;
use parlor_schemas::prediction::{MAX_HISTORY_ITEMS, MAX_UPLOADS};
use parlor_schemas::{Chatflow, ChatflowId, PredictionRequest, Timestamp};
use serde_json::{Value, json};

use super::file::{find_flows, parse_flow};
use super::overrides::{self, OverridePolicy, OverrideRule};
use super::plan::{self, Plan, PlanInput};
use super::text;

const FLOW: &str = r#"{"nodes":[
  {"id":"m_0","data":{"id":"m_0","name":"chatOpenAI","label":"Model","category":"Chat Models",
   "inputs":{"modelName":"gpt-4o-mini","temperature":"0.5","basepath":"http://a.test"}}},
  {"id":"p_0","data":{"id":"p_0","name":"promptTemplate","label":"Prompt","category":"Prompts",
   "inputParams":[{"name":"promptValues","type":"json","acceptVariable":true}],
   "inputs":{"template":"{a}","promptValues":"{\"a\":\"{{question}} {{t_0.data.instance}}\"}"}}},
  {"id":"t_0","data":{"id":"t_0","name":"textFile","label":"Text","category":"Document Loaders",
   "inputs":{"txtFile":"FILE-STORAGE::a.txt"},"outputs":{"output":"text"}}},
  {"id":"c_0","data":{"id":"c_0","name":"llmChain","label":"Chain","category":"Chains",
   "inputs":{"model":"{{m_0.data.instance}}","prompt":"{{p_0.data.instance}}"}}}],
 "edges":[{"source":"m_0","target":"c_0"},{"source":"p_0","target":"c_0"},
  {"source":"t_0","target":"p_0"}]}"#;

fn plan(flow: &FlowData) -> Option<Plan> {
    plan::compile(flow, &|_, _| None).ok()
}

fn flow_seeds() -> Vec<Vec<u8>> {
    let instance = json!({"ChatFlow": [{"id": "1", "name": "A", "flowData": FLOW}], "Tool": []});
    let mut seeds = vec![FLOW.into(), instance.to_string().into_bytes()];
    seeds.push(
        br#"{"nodes":[{"id":"a","data":{"name":"llmChain","category":"Chains",
            "inputs":{"model":"{{a.data.instance}}"}}}],"edges":[{"source":"a","target":"a"}]}"#
            .to_vec(),
    );
    seeds
}

#[test]
fn any_file_becomes_a_plan_whose_dependencies_come_first_or_is_refused() {
    parlor_fuzz::check!(flow_seeds(), |bytes: &[u8]| {
        let Ok(flows) = find_flows(&String::from_utf8_lossy(bytes)) else { return };
        for found in flows {
            let flow = parse_flow(&found.flow_data).unwrap();
            let Some(plan) = plan(&flow) else { continue };
            assert!(!plan.nodes.is_empty() && plan.nodes.len() <= flow.nodes.len());
            for edge in &flow.edges {
                let place = |id: &str| plan.nodes.iter().position(|node| node.id == id);
                if let (Some(source), Some(target)) = (place(&edge.source), place(&edge.target)) {
                    assert!(source < target, "{} after {}", edge.source, edge.target);
                }
            }
            assert!(
                plan.nodes.iter().flat_map(|node| node.sources()).all(|at| at < plan.nodes.len())
            );
        }
    });
}

/// Each line is a node: its kind, a bit for each node that is connected to it, and
/// what is typed into it, between bars.
fn drawn(bytes: &[u8]) -> FlowData {
    let specs: Vec<_> = registry::all().collect();
    let (mut nodes, mut edges) = (Vec::new(), Vec::new());
    for (at, line) in bytes.split(|byte| *byte == b'\n').take(8).enumerate() {
        let Some(([kind, sources], typed)) = line.split_first_chunk() else { continue };
        let spec = specs[usize::from(*kind) % specs.len()];
        let sources: Vec<usize> = (0..8).filter(|bit| sources >> bit & 1 == 1).collect();
        let typed = String::from_utf8_lossy(typed);
        let mut values = typed.split('|');
        let inputs = spec.params.iter().enumerate().filter_map(|(nth, param)| {
            let value = match (param.kind, sources.get(nth % sources.len().max(1))) {
                (Kind::Node, Some(source)) => json!(format!("{{{{n{source}.data.instance}}}}")),
                (Kind::Nodes, Some(_)) => {
                    let all =
                        sources.iter().map(|source| format!("{{{{n{source}.data.instance}}}}"));
                    all.collect()
                }
                _ => Value::from(values.next()?),
            };
            Some((param.name.to_owned(), value))
        });
        let inputs: serde_json::Map<_, _> = inputs.collect();
        let id = format!("n{at}");
        edges
            .extend(sources.iter().map(|from| json!({"source": format!("n{from}"), "target": id})));
        nodes.push(json!({"id": id, "data": {"name": spec.name, "label": id,
            "category": spec.category, "inputs": inputs}}));
    }
    parse_flow(&json!({"nodes": nodes, "edges": edges}).to_string()).unwrap()
}

#[test]
fn any_drawing_of_known_nodes_is_compiled_with_dependencies_first_or_refused() {
    let place = |name: &str| registry::all().position(|spec| spec.name == name).unwrap() as u8;
    let (chain, model, prompt) = (place("llmChain"), place("chatOpenAI"), place("promptTemplate"));
    let seeds = vec![
        [&[model, 0], &b"0.5|gpt-4o-mini\n"[..], &[prompt, 0], b"{a}|{}\n", &[chain, 3], b"x"]
            .concat(),
        [&[chain, 2], &b"\n"[..], &[chain, 1]].concat(),
        (0..4).flat_map(|kind| [kind * 30, 0, b'1', b'|', b'{', b'}', b'\n']).collect(),
    ];
    parlor_fuzz::check!(seeds, |bytes: &[u8]| {
        let flow = drawn(bytes);
        let Some(plan) = plan(&flow) else { return };
        for (at, node) in plan.nodes.iter().enumerate() {
            assert!(node.sources().all(|source| source < at), "{}", node.id);
        }
    });
}

#[test]
fn a_flow_that_is_written_is_read_again() {
    parlor_fuzz::check!(flow_seeds(), |bytes: &[u8]| {
        let Ok(flow) = parse_flow(&String::from_utf8_lossy(bytes)) else { return };
        let written = serde_json::to_string(&flow).unwrap();
        assert_eq!(parse_flow(&written).unwrap(), flow);
    });
}

#[test]
fn a_text_that_nothing_resolves_is_itself() {
    let seeds =
        ["a {{question}} {{x}} {{$vars.y}} {{n_0.data.instance.k.l}}", "{{{question}}} {{$flow.}}"];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let source = String::from_utf8_lossy(bytes);
        for accepts in [true, false] {
            let segments = text::parse(&source, accepts);
            assert_eq!(text::resolve(&segments, &|_| None).plain(), source);
            let n_references = text::references(&segments).count();
            let filled = text::resolve(&segments, &|_| Some("{{question}}".to_owned())).plain();
            assert!(filled.matches("{{question}}").count() >= n_references);
        }
    });
}

fn body_seeds() -> Vec<Vec<u8>> {
    [
        json!({"question": "hi", "streaming": "true", "chatId": "c", "sessionId": "a",
            "overrideConfig": {"sessionId": "b", "temperature": {"m_0": 0.1}, "vars": {"x": 1}},
            "history": [{"role": "userMessage", "content": "x"}, {"type": "apiMessage", "message": "y"}]}),
        json!({"question": 5, "leadEmail": null, "uploads": [{"type": "file", "name": null,
            "mime": "image/png", "data": "data:image/png;base64,aGk="}],
            "overrideConfig": {"promptValues": "{\"a\":\"{{question}}\"}", "basepath": "http://evil.test",
            "template": "{a}", "model": "{{x.data.instance}}"}}),
        json!({"overrideConfig": {"txtFile": "data:text/plain;base64,aGk=,filename:a.txt", "modelName": "m",
            "streaming": true, "maxTokens": "12", "topP": 1e300}}),
        json!({"overrideConfig": {"txtFile": "FILE-STORAGE::secret.txt"}}),
    ]
    .map(|body| body.to_string().into_bytes())
    .to_vec()
}

#[test]
fn a_body_becomes_a_request_within_its_limits_or_is_refused() {
    parlor_fuzz::check!(body_seeds(), |bytes: &[u8]| {
        let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
        let Ok(request) = PredictionRequest::from_json(body) else { return };
        assert!(request.history.len() <= MAX_HISTORY_ITEMS);
        assert!(request.uploads.as_ref().is_none_or(|all| all.len() <= MAX_UPLOADS));
        assert!(request.chat_id.as_ref().is_none_or(|id| (1..=512).contains(&id.as_str().len())));
        assert!(!request.overrides.contains_key("sessionId"));
        let chat = request.settle_chat_id();
        assert!(request.chat_id.is_none_or(|id| id == chat));
    });
}

/// No body opens what is closed: addresses, connections, names of stored files.
#[test]
fn no_override_reaches_what_the_nodes_close() {
    let plan = plan(&parse_flow(FLOW).unwrap()).unwrap();
    let now = Timestamp::from_millis(0);
    let flow = Chatflow::new(ChatflowId::from_bytes([1; 16]), "x".into(), FLOW.into(), now);
    let policy = OverridePolicy::of(&flow, OverrideRule::Documented);
    parlor_fuzz::check!(body_seeds(), |bytes: &[u8]| {
        let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
        let Ok(request) = PredictionRequest::from_json(body) else { return };
        let Ok(parsed) = overrides::parse(&request.overrides, &plan, &policy) else { return };
        for ((place, name), input) in &parsed.inputs {
            let param = plan.nodes[*place].spec.param(name).unwrap();
            assert!(param.open && !matches!(param.kind, Kind::Node | Kind::Nodes), "{name}");
            match input {
                PlanInput::Files(files) => {
                    assert!(!files.iter().any(|file| matches!(file, InputFile::Stored(_))));
                }
                PlanInput::Text(segments) => assert_eq!(text::references(segments).count(), 0),
                PlanInput::Json(_) => assert_eq!(param.kind, Kind::Json),
                PlanInput::Nodes(_) => panic!("{name} connects a node"),
            }
        }
    });
}
