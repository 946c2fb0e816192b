//! Flowise `currentDateTime`, version 1: tells a model what time it is.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::{BoxFuture, ready};
use serde::Serialize;
use serde_json::Value;

use super::arguments;
use crate::ctx::TurnCtx;
use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::instance::{Instance, Tool, ToolOutput};
use crate::model::ToolDefinition;
use crate::spec::NodeSpec;

/// The node.
pub const SPEC: NodeSpec = NodeSpec {
    name: "currentDateTime",
    category: "Tools",
    version: 1.0,
    about: "Tells the day, the date and the time, in UTC.",
    params: &[],
    credential: None,
    build,
};

fn build(_inputs: &Inputs) -> Result<Instance, NodeError> {
    Ok(Instance::Tool(Arc::new(CurrentDateTime { now: Utc::now })))
}

struct CurrentDateTime {
    now: fn() -> DateTime<Utc>,
}

/// The parts that Flowise 2.2.8 tells, in its order and by its names. Flowise
/// takes some of them from the machine's time zone; a server has none of its
/// own worth telling, so all are in UTC.
#[derive(Serialize)]
struct Parts {
    date: String,
    time: String,
    day: String,
    timezone: &'static str,
    #[serde(rename = "timezoneOffset")]
    timezone_offset: &'static str,
    iso8601: String,
    unix_timestamp: i64,
}

impl Parts {
    fn at(now: DateTime<Utc>) -> Self {
        Self {
            date: now.format("%Y-%m-%d").to_string(),
            time: now.format("%H:%M:%S").to_string(),
            day: now.format("%A").to_string(),
            timezone: "UTC",
            timezone_offset: "+00:00",
            iso8601: now.to_rfc3339_opts(SecondsFormat::Millis, true),
            unix_timestamp: now.timestamp(),
        }
    }
}

impl Tool for CurrentDateTime {
    fn definition(&self) -> ToolDefinition {
        ToolDefinition {
            name: "current_date_time".to_owned(),
            description: "Useful to get current day, date and time.".to_owned(),
            parameters: arguments::nothing(),
            strict: false,
        }
    }

    fn call<'a>(
        &'a self,
        _arguments: Value,
        _ctx: &'a TurnCtx,
    ) -> BoxFuture<'a, Result<ToolOutput, NodeError>> {
        // Texts and a number have no way to fail.
        let text = serde_json::to_string(&Parts::at((self.now)())).unwrap_or_default();
        Box::pin(ready(Ok(ToolOutput { text, ..ToolOutput::default() })))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_support::{TestTurn, build};

    #[tokio::test]
    async fn every_part_of_an_instant_is_told_in_the_recorded_order() {
        let now = || DateTime::from_timestamp_millis(1_795_420_622_037).unwrap();
        let tool = CurrentDateTime { now };

        let output = tool.call(json!({}), &TestTurn::asking("q").ctx()).await.unwrap();

        let expected = "{\"date\":\"2026-11-23\",\"time\":\"07:57:02\",\"day\":\"Monday\",\
            \"timezone\":\"UTC\",\"timezoneOffset\":\"+00:00\",\
            \"iso8601\":\"2026-11-23T07:57:02.037Z\",\"unix_timestamp\":1795420622}";
        assert_eq!(output.text, expected);
    }

    #[test]
    fn the_node_is_a_tool_without_arguments() {
        let Instance::Tool(tool) = build(&SPEC, []) else { panic!("a tool") };

        assert_eq!(tool.definition().name, "current_date_time");
        assert_eq!(tool.definition().parameters["properties"], json!({}));
    }
}
