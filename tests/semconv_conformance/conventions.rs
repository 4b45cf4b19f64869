//! The conventions as the Go module has them that is made of them: names, types, units, and which attributes belong to which
//! metric.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The module, and the version of the conventions inside of it.
const MODULE: &str = "go.opentelemetry.io/otel@v1.47.0";
const VERSION: &str = "v1.43.0";

/// The conventions, as far as they can be compared.
#[derive(Default)]
pub(crate) struct Conventions {
    /// Attributes and their types.
    attributes: BTreeMap<String, String>,
    /// Families of attributes, such as `http.request.header.`, and their types.
    families: BTreeMap<String, String>,
    pub(crate) metrics: BTreeMap<String, Metric>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Metric {
    /// As Go calls it: `Float64Histogram`, `Int64ObservableGauge`.
    pub(crate) kind: String,
    pub(crate) unit: String,
    /// What each point must have.
    pub(crate) required: BTreeSet<String>,
    /// What it may have besides.
    pub(crate) optional: BTreeSet<String>,
}

impl Conventions {
    /// # Errors
    /// Why they cannot be fetched.
    pub(crate) fn fetch() -> Result<Self, String> {
        let output = Command::new("go")
            .args(["mod", "download", "-json", MODULE])
            .current_dir(std::env::temp_dir())
            .env("GOTOOLCHAIN", "local")
            .output()
            .map_err(|error| format!("go cannot be run: {error}"))?;
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        match answer["Dir"].as_str() {
            Some(folder) if output.status.success() => {
                Ok(Self::read(&PathBuf::from(folder).join("semconv").join(VERSION)))
            }
            _ => Err(format!("{MODULE} cannot be fetched: {}", answer["Error"])),
        }
    }

    fn read(folder: &Path) -> Self {
        let mut all = Self::default();
        all.read_attributes(&fs::read_to_string(folder.join("attribute_group.go")).unwrap());
        for entry in fs::read_dir(folder).unwrap() {
            if let Ok(text) = fs::read_to_string(entry.unwrap().path().join("metric.go")) {
                all.read_metrics(&text);
            }
        }
        let duration = &all.metrics["http.server.request.duration"];
        let looks_right = all.attributes.len() > 500
            && all.metrics.len() > 100
            && duration.required.iter().eq(["http.request.method", "url.scheme"])
            && duration.optional.contains("http.route");
        assert!(looks_right, "the module looks different: {duration:?}");
        all
    }

    fn read_attributes(&mut self, text: &str) {
        let mut kind = String::new();
        for line in text.lines() {
            if let Some(found) = line.trim().strip_prefix("// Type: ") {
                kind = found.to_owned();
            } else if let Some((_, name)) = line.split_once("= attribute.Key(\"") {
                self.attributes.insert(name.trim_end_matches("\")").to_owned(), kind.clone());
            } else if let Some((function, rest)) =
                line.trim().split_once("(\"").filter(|_| line.contains("\"+key"))
            {
                let kind = match function {
                    "return attribute.StringSlice" => "string[]",
                    "return attribute.String" => "string",
                    _ => "any",
                };
                self.families.insert(rest.split('"').next().unwrap().to_owned(), kind.to_owned());
            }
        }
    }

    /// A metric is a type, or two if it may be observable; what it says is in its methods.
    fn read_metrics(&mut self, text: &str) {
        let (mut types, mut names) = (BTreeMap::<&str, Metric>::new(), BTreeMap::new());
        let mut method = None;
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            let value = || pair[1].trim().trim_start_matches("return ").trim_matches('"').to_owned();
            if let Some(name) = pair[0].strip_prefix("type ").and_then(|rest| rest.strip_suffix(" struct {"))
            {
                types.entry(name).or_default().kind = pair[1].trim().trim_start_matches("metric.").to_owned();
            } else if pair[0].starts_with("func ") {
                method = method_of(pair[0]);
            }
            let Some((of, method)) = method else { continue };
            let metric = types.entry(of).or_default();
            let begins = pair[0].starts_with("func ");
            match method {
                "Name" if begins => _ = names.insert(of, value()),
                "Unit" if begins => metric.unit = value(),
                "Record" | "Add" => metric.required.extend(attribute(pair[0])),
                method if method.starts_with("Attr") => metric.optional.extend(attribute(pair[0])),
                _ => {}
            }
        }
        for (of, name) in names {
            let found = types[of].clone();
            let metric = self.metrics.entry(name).or_default();
            // of the two the one that is not observable tells what is required
            if metric.kind.is_empty() || !found.kind.contains("Observable") {
                metric.kind = found.kind;
                metric.unit = found.unit;
            }
            metric.required.extend(found.required);
            metric.optional.extend(found.optional);
        }
    }

    /// The type of an attribute's values, if there is such an attribute.
    pub(crate) fn type_of(&self, name: &str) -> Option<&str> {
        let family = || {
            self.families.iter().find(|(family, _)| name.starts_with(family.as_str())).map(|(_, kind)| kind)
        };
        self.attributes.get(name).or_else(family).map(String::as_str)
    }
}

/// `func (m ServerRequestDuration) Record(` is `Record` of `ServerRequestDuration`.
fn method_of(line: &str) -> Option<(&str, &str)> {
    let (receiver, rest) = line.strip_prefix("func (")?.split_once(") ")?;
    let of = receiver.rsplit(' ').next()?;
    Some((of, rest.split('(').next()?))
}

/// The key in `attribute.String("url.scheme", …`.
fn attribute(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("attribute.")?;
    let (kind, rest) = rest.split_once("(\"")?;
    let is_type = kind.chars().all(char::is_alphanumeric);
    is_type.then(|| rest.split('"').next().map(str::to_owned))?
}
