//! The pod, as its own specification tells the process: the downward API's variables and files.
//!
//! A pod that tells nothing has its name as host name, its namespace in the service account's folder and its uid in the
//! control group's path.

use std::path::Path;

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::resource as names;

use super::detect::read;
use crate::config::Source;

/// Set in every container of every pod.
const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";

/// Attribute, the variables that may hold it, and the downward API's customary files, the first that is there.
const TOLD: [(&str, &[&str], &[&str]); 5] = [
    (
        names::K8S_POD_NAME,
        &["K8S_POD_NAME", "KUBERNETES_POD_NAME", "POD_NAME", "HOSTNAME"],
        &["etc/podinfo/name"],
    ),
    (
        names::K8S_NAMESPACE_NAME,
        &["K8S_NAMESPACE_NAME", "K8S_NAMESPACE", "KUBERNETES_NAMESPACE", "POD_NAMESPACE"],
        &["etc/podinfo/namespace", "var/run/secrets/kubernetes.io/serviceaccount/namespace"],
    ),
    (names::K8S_POD_UID, &["K8S_POD_UID", "KUBERNETES_POD_UID", "POD_UID"], &["etc/podinfo/uid"]),
    (
        names::K8S_NODE_NAME,
        &["K8S_NODE_NAME", "KUBERNETES_NODE_NAME", "NODE_NAME"],
        &["etc/podinfo/nodename"],
    ),
    (names::K8S_CONTAINER_NAME, &["K8S_CONTAINER_NAME", "KUBERNETES_CONTAINER_NAME", "CONTAINER_NAME"], &[]),
];

pub(super) fn detect(source: &Source, root: &Path) -> Vec<KeyValue> {
    if source.get(IN_A_POD).is_none() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (attribute, variables, files) in TOLD {
        // a file is written for this purpose; the host's name is only a guess, and comes last
        let (guess, variables) = match variables.split_last() {
            Some((&"HOSTNAME", others)) => (source.get("HOSTNAME"), others),
            _ => (None, variables),
        };
        let told = variables.iter().find_map(|name| source.get(name));
        let written = || files.iter().find_map(|path| read(root, path)).map(|text| text.trim().to_owned());
        let seen = || (attribute == names::K8S_POD_UID).then(|| uid(root)).flatten();
        if let Some(value) = told.or_else(written).or_else(seen).or(guess) {
            found.push(KeyValue::new(attribute, value));
        }
    }
    found
}

fn uid(root: &Path) -> Option<String> {
    let mounts = || read(root, "proc/self/mountinfo").as_deref().and_then(uid_in);
    read(root, "proc/self/cgroup").as_deref().and_then(uid_in).or_else(mounts)
}

/// From `…/kubepods/burstable/pod{uid}/…`, `…-pod{uid with _}.slice/…` or `…/pods/{uid}/…`.
pub(super) fn uid_in(text: &str) -> Option<String> {
    for marker in ["/pod", "-pod", "/pods/"] {
        for (at, _) in text.match_indices(marker) {
            let uid: Option<String> =
                text.get(at + marker.len()..at + marker.len() + 36).map(|uid| uid.replace('_', "-"));
            if let Some(uid) = uid.filter(|uid| uuid::Uuid::try_parse(uid).is_ok()) {
                return Some(uid);
            }
        }
    }
    None
}
