//! The container's id, as the kernel shows it to a process inside.

use std::path::Path;

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::resource as names;

use super::detect::read;

/// Version 1 of control groups names the container in the group's path, version 2 only in what is mounted.
pub(super) fn detect(root: &Path) -> Vec<KeyValue> {
    let id = read(root, "proc/self/cgroup")
        .as_deref()
        .and_then(id_of_cgroup)
        .or_else(|| read(root, "proc/self/mountinfo").as_deref().and_then(id_of_mounts));
    id.map(|id| KeyValue::new(names::CONTAINER_ID, id)).into_iter().collect()
}

/// From lines such as `5:cpu:/kubepods.slice/…/cri-containerd-{id}.scope` or `1:name=systemd:/docker/{id}`.
pub(super) fn id_of_cgroup(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let last = line.rsplit('/').next()?;
        let last = last.strip_suffix(".scope").unwrap_or(last);
        // a prefix names the runtime
        let id = last.rsplit(['-', ':']).next()?;
        is_id(id).then(|| id.to_owned())
    })
}

/// From the files that a runtime mounts over `/etc/hostname` and the like:
/// `… /var/lib/docker/containers/{id}/hostname /etc/hostname …`. A sandbox is not the container.
pub(super) fn id_of_mounts(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (from, to) = (fields.next()?, fields.next()?);
        if !matches!(to, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf") {
            return None;
        }
        let mut parts = from.split('/').peekable();
        while let Some(part) = parts.next() {
            match parts.peek() {
                Some(id) if part.ends_with("containers") && is_id(id) => return Some((*id).to_owned()),
                _ => {}
            }
        }
        None
    })
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
