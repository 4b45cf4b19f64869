//! Notes the compiler that builds this crate, which builds the program that uses it too.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    // "rustc 1.85.0 (4d91de4e4 2025-02-17)"
    println!("cargo::rustc-env=TRACEWELL_RUSTC={}", version.trim().trim_start_matches("rustc "));
    println!("cargo::rustc-env=TRACEWELL_TARGET={}", env::var("TARGET").unwrap_or_default());
}
