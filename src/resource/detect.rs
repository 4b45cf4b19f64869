//! What the process can see of itself and of where it runs. A thing that cannot be seen is left out.

use std::{fs, path::Path};

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::resource as names;

use super::{container, kubernetes};
use crate::config::{Detector, Source};

/// Everything these detectors see; `root` is where the file system begins.
pub(super) fn all(detectors: &[Detector], source: &Source, root: &Path) -> Vec<KeyValue> {
    let detected = detectors.iter().flat_map(|detector| match detector {
        Detector::Host => host(),
        Detector::Os => os(),
        Detector::Process => process(),
        Detector::Container => container::detect(root),
        Detector::Kubernetes => kubernetes::detect(source, root),
    });
    detected.collect()
}

/// A small text file below `root`; `None` when there is none or it is no text.
pub(super) fn read(root: &Path, path: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(path)).ok()?;
    (!text.trim().is_empty()).then_some(text)
}

fn host() -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new(names::HOST_ARCH, arch())];
    let name = host_name();
    if !name.is_empty() {
        attributes.push(KeyValue::new(names::HOST_NAME, name));
    }
    attributes
}

/// What this machine, or container, is called; empty where it has no name.
pub(crate) fn host_name() -> String {
    #[cfg(unix)]
    let name = nix::unistd::gethostname().unwrap_or_default();
    #[cfg(not(unix))]
    let name = gethostname::gethostname();
    name.to_string_lossy().into_owned()
}

/// The conventions' words for what Rust calls otherwise.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc" => "ppc32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

fn os() -> Vec<KeyValue> {
    let kind = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    vec![KeyValue::new(names::OS_TYPE, kind)]
}

fn process() -> Vec<KeyValue> {
    vec![
        KeyValue::new(names::PROCESS_PID, i64::from(std::process::id())),
        KeyValue::new(names::PROCESS_EXECUTABLE_NAME, executable()),
    ]
}

/// The file name of the running program.
pub(super) fn executable() -> String {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}
