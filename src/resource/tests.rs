//! What a resource says, and where it has it from.

use opentelemetry::Key;

use super::*;
use crate::config::Detector;

fn own(config: &ResourceConfig, identity: &Identity) -> Resource {
    resource(config, identity, &Source::from_pairs::<&str, &str>([]), &Redactor::new())
}

fn get(resource: &Resource, key: &'static str) -> Option<String> {
    resource.get(&Key::from_static_str(key)).map(|value| value.to_string())
}

#[test]
fn the_service_name_is_code_then_environment_then_default_then_the_executable() {
    let mut config = ResourceConfig::default();
    let mut identity = Identity::default();
    let name = |config: &_, identity: &_| get(&own(config, identity), "service.name").unwrap();
    assert!(name(&config, &identity).starts_with("unknown_service:"));
    identity.default_service_name = Some("default".into());
    assert_eq!(name(&config, &identity), "default");
    config.service_name = Some("environment".into());
    assert_eq!(name(&config, &identity), "environment");
    identity.service_name = Some("code".into());
    assert_eq!(name(&config, &identity), "code");
}

#[test]
fn a_resource_says_who_where_and_with_what_and_code_wins() {
    let config = ResourceConfig {
        attributes: vec![("host.name".into(), "from-env".into()), ("team".into(), "env".into())],
        ..ResourceConfig::default()
    };
    let identity = Identity { attributes: vec![KeyValue::new("team", "code")], ..Identity::default() };
    let resource = own(&config, &identity);
    assert_eq!(get(&resource, "host.name").as_deref(), Some("from-env"));
    assert_eq!(get(&resource, "team").as_deref(), Some("code"));
    assert_eq!(get(&resource, "telemetry.distro.name").as_deref(), Some("tracewell"));
    assert_eq!(get(&resource, "process.pid"), Some(std::process::id().to_string()));
    let id = get(&resource, "service.instance.id").unwrap();
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 4);
}

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UID: &str = "2f1a3c5e-7b9d-4f02-8a46-0c1e2d3f4a5b";

#[test]
fn a_container_is_found_in_both_versions_of_control_groups() {
    for (text, found) in [
        (format!("12:cpu:/docker/{ID}\n0::/x"), true),
        (format!("0::/system.slice/docker-{ID}.scope"), true),
        (format!("1:name=systemd:/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"), true),
        (format!("0::/kubepods/burstable/pod{UID}/crio-{ID}"), true),
        (format!("0::/system.slice/containerd.service/kubepods:cri-containerd:{ID}"), true),
        ("0::/user.slice/user-1000.slice".to_owned(), false),
        (format!("0::/x/{}", &ID[1..]), false),
        (String::new(), false),
    ] {
        assert_eq!(container::id_of_cgroup(&text).as_deref(), found.then_some(ID), "{text}");
    }
    for (text, found) in [
        (
            format!("473 456 254:1 /docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda1 rw"),
            true,
        ),
        (format!("1 2 0:1 /overlay-containers/{ID}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw"), true),
        (format!("1 2 0:1 /io.containerd/sandboxes/{ID}/hostname /etc/hostname rw - ext4 x rw"), false),
        (format!("1 2 0:1 /var/lib/docker/containers/{ID}/x /data rw - ext4 x rw"), false),
        ("1 2".to_owned(), false),
    ] {
        assert_eq!(container::id_of_mounts(&text).as_deref(), found.then_some(ID), "{text}");
    }
}

/// A file system of its own, gone with the test.
struct Root(std::path::PathBuf);

impl Root {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("tracewell-{}", uuid::Uuid::new_v4()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(root)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_pod_is_what_its_variables_say_then_its_files_then_what_can_be_seen() {
    let root = Root::new(&[
        ("proc/self/cgroup", &format!("0::/kubepods/burstable/pod{}/{ID}\n", UID.replace('-', "_"))),
        ("etc/podinfo/name", "shop-7d9f8b6c5d-x2x4z\n"),
        ("var/run/secrets/kubernetes.io/serviceaccount/namespace", "shop"),
    ]);
    let seen = |pairs: &[(&str, &str)]| {
        let source = Source::from_pairs(pairs.iter().copied());
        below(&root.0, &ResourceConfig::default(), &Identity::default(), &source, &Redactor::new())
    };
    let pod = seen(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("HOSTNAME", "h"), ("NODE_NAME", "node-1")]);
    for (key, value) in [
        ("k8s.pod.name", "shop-7d9f8b6c5d-x2x4z"),
        ("k8s.namespace.name", "shop"),
        ("k8s.node.name", "node-1"),
        ("k8s.pod.uid", UID),
        ("container.id", ID),
    ] {
        assert_eq!(get(&pod, key).as_deref(), Some(value), "{key}");
    }
    let told =
        seen(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("K8S_POD_NAME", "told"), ("POD_NAMESPACE", "n")]);
    assert_eq!(get(&told, "k8s.pod.name").as_deref(), Some("told"));
    assert_eq!(get(&told, "k8s.namespace.name").as_deref(), Some("n"));
    let outside = seen(&[("POD_NAME", "x")]);
    assert_eq!(get(&outside, "k8s.pod.name"), None, "no pod without a cluster");
}

#[test]
fn a_detector_that_is_not_wanted_says_nothing() {
    let config = ResourceConfig { detectors: vec![Detector::Os], ..ResourceConfig::default() };
    let resource = own(&config, &Identity::default());
    assert!(get(&resource, "os.type").is_some());
    assert_eq!(get(&resource, "host.name"), None);
}

#[test]
fn a_secret_among_the_attributes_is_hidden() {
    let identity = Identity { attributes: vec![KeyValue::new("api_key", "hunter2")], ..Identity::default() };
    assert_eq!(get(&own(&ResourceConfig::default(), &identity), "api_key").as_deref(), Some("REDACTED"));
}
