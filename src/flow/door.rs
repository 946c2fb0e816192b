//! What stands at a chatflow's door: how often one client may call it, and
//! from which pages. Read from its settings when it is compiled.

use parlor_schemas::Chatflow;
use reqwest::Url;
use serde_json::Value;

/// The settings of a door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Door {
    /// `apiConfig.rateLimit`, where one is on.
    pub limit: Option<FlowLimit>,
    /// `chatbotConfig.allowedOrigins`, where any are listed.
    pub origins: Option<AllowedOrigins>,
}

/// How often one client may call a chatflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowLimit {
    /// Requests in one window, at least 1.
    pub max: u32,
    /// Seconds that a window lasts, at least 1.
    pub window_s: u32,
    /// What is answered to more.
    pub message: String,
}

/// The pages that may embed a chatflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigins {
    hosts: Vec<Host>,
    /// What is answered to others.
    pub message: String,
}

/// Host and port; none where it is the scheme's own, as browsers write it.
type Host = (String, Option<u16>);

impl Door {
    /// The door of a stored chatflow.
    pub fn of(chatflow: &Chatflow) -> Self {
        let api = Chatflow::settings(chatflow.api_config.as_deref());
        let widget = Chatflow::settings(chatflow.chatbot_config.as_deref());
        Self { limit: limit(&api["rateLimit"]), origins: origins(&widget) }
    }
}

/// On unless `status` is `false`, and only where all three settings are there
/// (Flowise 2.2.8, `utils/rateLimit.ts`).
fn limit(settings: &Value) -> Option<FlowLimit> {
    if settings["status"] == Value::Bool(false) {
        return None;
    }
    Some(FlowLimit {
        max: count(&settings["limitMax"])?,
        window_s: count(&settings["limitDuration"])?,
        message: settings["limitMsg"].as_str().filter(|text| !text.is_empty())?.to_owned(),
    })
}

/// A number, or one as text, which is how the UI stores it; the part before
/// the point. Nothing below 1 counts.
fn count(value: &Value) -> Option<u32> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let number = number.floor().clamp(0.0, f64::from(u32::MAX));
    // In range by the line above; NaN becomes 0.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let number = number as u32;
    (number >= 1).then_some(number)
}

/// On where the first entry is no empty text. An entry that is no address
/// allows nobody.
fn origins(settings: &Value) -> Option<AllowedOrigins> {
    let listed = settings["allowedOrigins"].as_array()?;
    if listed.first()?.as_str() == Some("") {
        return None;
    }
    let text = settings["allowedOriginsError"].as_str().filter(|text| !text.is_empty());
    let message = text.unwrap_or("This site is not allowed to access this chatbot");
    Some(AllowedOrigins {
        hosts: listed.iter().filter_map(|entry| host(entry.as_str()?)).collect(),
        message: message.to_owned(),
    })
}

impl AllowedOrigins {
    /// Whether a page of this origin may embed the chatflow: its host and port
    /// are exactly those of an entry.
    pub fn allow(&self, origin: &str) -> bool {
        host(origin).is_some_and(|own| self.hosts.contains(&own))
    }
}

fn host(url: &str) -> Option<Host> {
    let url = Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_limit_is_on_with_all_three_settings_as_numbers_or_as_text() {
        let wanted = FlowLimit { max: 2, window_s: 60, message: "slow down".into() };
        for on in [
            json!({"status": true, "limitMax": "2", "limitDuration": "60", "limitMsg": "slow down"}),
            json!({"limitMax": 2, "limitDuration": 60.9, "limitMsg": "slow down"}),
        ] {
            assert_eq!(limit(&on), Some(wanted.clone()), "{on}");
        }
        for off in [
            json!(null),
            json!({"status": false, "limitMax": 2, "limitDuration": 60, "limitMsg": "x"}),
            json!({"limitMax": 2, "limitDuration": 60}),
            json!({"limitMax": 2, "limitDuration": 60, "limitMsg": ""}),
            json!({"limitMax": 0, "limitDuration": 60, "limitMsg": "x"}),
            json!({"limitMax": "many", "limitDuration": 60, "limitMsg": "x"}),
            json!({"limitMax": "NaN", "limitDuration": -1, "limitMsg": "x"}),
        ] {
            assert_eq!(limit(&off), None, "{off}");
        }
        let huge = json!({"limitMax": 1e300, "limitDuration": "inf", "limitMsg": "x"});
        assert_eq!(limit(&huge).unwrap().max, u32::MAX);
    }

    #[test]
    fn an_origin_is_allowed_by_its_whole_host_and_port_only() {
        let config = json!({"allowedOrigins": ["https://ok.example", "http://dev.example:8080/x"]});
        let allowed = origins(&config).unwrap();
        for fine in ["https://ok.example", "http://ok.example", "http://dev.example:8080"] {
            assert!(allowed.allow(fine), "{fine}");
        }
        for other in [
            "https://ok.example.evil.example",
            "https://evil-ok.example",
            "https://sub.ok.example",
            "https://ok.example:8443",
            "http://dev.example",
            "http://dev.example:808",
            "https://ok.example@evil.example",
            "null",
            "",
            "ok.example",
        ] {
            assert!(!allowed.allow(other), "{other}");
        }
    }

    #[test]
    fn an_empty_first_entry_opens_the_door_and_a_bad_one_keeps_it_shut() {
        for open in [json!({}), json!({"allowedOrigins": []}), json!({"allowedOrigins": [""]})] {
            assert_eq!(origins(&open), None, "{open}");
        }
        let shut = origins(&json!({"allowedOrigins": ["ok.example"]})).unwrap();
        assert!(!shut.allow("https://ok.example"));
        assert_eq!(shut.message, "This site is not allowed to access this chatbot");
    }
}
