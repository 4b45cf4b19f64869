//! The three forms of a prober's answer: our JSON, `application/health+json`, and the text of Kubernetes' own endpoints.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::endpoints::{millis, rfc3339};
use crate::{
    health::{CheckResult, Probe, Report, Status},
    redaction::Redactor,
};

const HEALTH_JSON: &str = "application/health+json";

/// An answer before it has a form.
pub(super) struct Answer<'a> {
    pub(super) probe: Probe,
    pub(super) code: StatusCode,
    pub(super) report: &'a Report,
    /// What the service says of itself, beside its checks.
    pub(super) words: &'a [Word],
    pub(super) json: Value,
}

/// Who says it, how it is, and what is said.
pub(super) type Word = (&'static str, Status, String);

impl Answer<'_> {
    /// The media type and the body.
    pub(super) fn render(&self, asked: &Asked, trusted: bool, about: &Value) -> (&'static str, String) {
        match asked.form {
            Form::Json => ("application/json", self.json.to_string()),
            Form::HealthJson => (HEALTH_JSON, self.health_json(trusted, about).to_string()),
            Form::Text => ("text/plain; charset=utf-8", self.text(asked)),
        }
    }

    /// draft-inadarei-api-health-check-06.
    fn health_json(&self, trusted: bool, about: &Value) -> Value {
        let mut body = json!({ "status": self.report.status.as_str() });
        if !trusted {
            return body;
        }
        if let Value::Object(about) = about {
            for (key, value) in about.iter().filter(|(_, value)| !value.is_null()) {
                body[key] = value.clone();
            }
        }
        let now = rfc3339(SystemTime::now());
        let mut checks = Map::new();
        for (name, status, said) in self.words {
            let mut check = json!({ "componentType": "component", "status": status.as_str(), "time": now });
            // the draft omits the output of what passes
            if *status != Status::Pass {
                check["output"] = said.clone().into();
            }
            checks.insert(format!("{name}:state"), json!([check]));
        }
        // of the other form's results: they show what may be seen
        let results = self.json["results"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        for (result, shown) in self.report.results.iter().zip(results.iter().skip(self.words.len())) {
            let time = SystemTime::now().checked_sub(result.age).map(rfc3339);
            let mut check = json!({
                "status": result.status.as_str(), "time": time,
                "observedValue": duration_ms(result), "observedUnit": "ms",
            });
            if result.status != Status::Pass {
                check["output"] = shown["output"].clone();
            }
            checks.insert(format!("{}:responseTime", result.name), json!([check]));
        }
        body["checks"] = checks.into();
        body
    }

    /// `[+]database ok`, and what it comes to in the last line.
    fn text(&self, asked: &Asked) -> String {
        let mut text = String::new();
        let line = |value: &Value| value.as_str().unwrap_or_default().replace(['\n', '\r'], " ");
        if self.probe == Probe::Liveness {
            for (name, status, said) in self.words {
                let (sign, word) = sign(*status != Status::Fail);
                text.push_str(&format!("[{sign}]{name} {word}: {said}\n"));
            }
        }
        for result in self.json["results"].as_array().into_iter().flatten() {
            let (sign, word) = sign(result["passed"] == true);
            text.push_str(&format!(
                "[{sign}]{} {word}: {}\n",
                line(&result["checker"]),
                line(&result["output"])
            ));
        }
        for name in &asked.exclude {
            text.push_str(&format!("[+]{} excluded: ok\n", name.replace(['\n', '\r'], " ")));
        }
        let passed = if self.report.status == Status::Fail { "failed" } else { "passed" };
        text.push_str(&format!("{} check {passed}\n", self.probe.short()));
        text
    }
}

fn sign(passed: bool) -> (char, &'static str) {
    if passed { ('+', "ok") } else { ('-', "failed") }
}

pub(super) fn word(status: Status) -> &'static str {
    if status == Status::Fail { "failure" } else { "success" }
}

/// Status, time and every result, what the service says of itself first.
pub(super) fn json(report: &Report, words: &[Word]) -> Value {
    let own = words.iter().map(|(name, status, said)| {
        json!({
            "checker": name, "passed": *status != Status::Fail, "status": status.as_str(), "critical": true,
            "output": said, "cached": false, "duration_ms": 0.0, "age_ms": 0,
        })
    });
    let results: Vec<Value> = own.chain(report.results.iter().map(result)).collect();
    json!({ "status": word(report.status), "timestamp": rfc3339(SystemTime::now()), "results": results })
}

fn result(result: &CheckResult) -> Value {
    json!({
        "checker": result.name,
        "passed": result.status != Status::Fail,
        "status": result.status.as_str(),
        "critical": result.critical,
        "output": result.message,
        "data": result.data,
        "cached": result.cached,
        "duration_ms": duration_ms(result),
        "age_ms": millis(result.age),
    })
}

fn duration_ms(result: &CheckResult) -> f64 {
    (result.duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Hides what must not be seen in every text of `shown`.
pub(super) fn hide(shown: &mut Value, redactor: &Redactor) {
    match shown {
        Value::String(text) => *text = redactor.text(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, redactor)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) => *text = redactor.value(name, text).into_owned(),
                    member => hide(member, redactor),
                }
            }
        }
        _ => {}
    }
}

/// How the answer looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Json,
    HealthJson,
    Text,
}

/// What the request asks for; what is unknown in its query is passed over, as Kubernetes does.
#[derive(Debug, Default)]
pub(super) struct Asked {
    form: Form,
    pub(super) exclude: Vec<String>,
    pub(super) group: Option<String>,
}

impl Asked {
    pub(super) fn read(query: Option<&str>, headers: &HeaderMap) -> Self {
        let mut asked = Self::default();
        if accepts_health_json(headers) {
            asked.form = Form::HealthJson;
        }
        for pair in query.unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match name {
                "verbose" if !matches!(&*value, "false" | "0") => asked.form = Form::Text,
                "exclude" => asked.exclude.extend(value.split(',').map(|name| name.trim().to_owned())),
                "group" => asked.group = Some(value.into_owned()),
                _ => {}
            }
        }
        asked
    }

    /// For whoever may see the status only.
    pub(super) fn only_form(&mut self) {
        let form = if self.form == Form::HealthJson { Form::HealthJson } else { Form::Json };
        *self = Self { form, ..Self::default() };
    }

    pub(super) fn is_text(&self) -> bool {
        self.form == Form::Text
    }
}

/// Named with a weight above zero: `*/*` gets the usual form.
fn accepts_health_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|accepted| accepted.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.parse() == Ok(0.0))
        });
        media.eq_ignore_ascii_case(HEALTH_JSON) && !refused
    })
}
