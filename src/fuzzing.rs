//! Hostile bytes through the crate's own code, and what must hold whatever they are; a function panics when it does not.
//!
//! Only there when fuzzing (`tests/fuzz`), and in this crate's own tests, which replay the corpus.

pub use crate::{
    config::fuzzing::configuration,
    pipeline::fuzzing::{baggage, log_record, otlp_grpc, otlp_http, propagation},
};

/// Every function with the folder of its corpus.
pub const TARGETS: [(&str, fn(&[u8])); 6] = [
    ("baggage", baggage),
    ("configuration", configuration),
    ("log_record", log_record),
    ("otlp_grpc", otlp_grpc),
    ("otlp_http", otlp_http),
    ("propagation", propagation),
];

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Seeds and whatever once broke something.
    #[test]
    fn the_corpus_holds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        if root.join(".cargo_vcs_info.json").exists() {
            return; // a published package, which leaves the corpus out
        }
        let mut broken = Vec::new();
        for (target, run) in TARGETS {
            let folder = root.join("tests/fuzz/corpus").join(target);
            let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(files.len() >= 3, "no corpus in {}", folder.display());
            for file in files {
                let data = fs::read(&file).unwrap();
                if std::panic::catch_unwind(|| run(&data)).is_err() {
                    broken.push(file);
                }
            }
        }
        assert!(broken.is_empty(), "{broken:#?}");
    }
}
