//! What a program was built from, as far as its compiler was told.

use serde_json::{Value, json};

use super::lockfile::{self, Dependency};

/// What a program was built from; made by [`build_info!`](crate::build_info).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BuildInfo {
    /// The package's name.
    pub name: &'static str,
    /// The package's version.
    pub version: &'static str,
    /// `debug` or `release`, by whether debug assertions are on.
    pub profile: &'static str,
    /// The compiler's version.
    pub rustc: Option<&'static str>,
    /// What it was built for, such as `x86_64-unknown-linux-gnu`.
    pub target: Option<&'static str>,
    /// The commit, from `GIT_COMMIT`, `VERGEN_GIT_SHA`, `GITHUB_SHA` or `CI_COMMIT_SHA` at compile time.
    pub git_commit: Option<&'static str>,
    /// Those of the features named to the macro that are on.
    pub features: Vec<&'static str>,
    lockfile: Option<&'static str>,
}

impl BuildInfo {
    /// For [`build_info!`](crate::build_info).
    #[doc(hidden)]
    #[must_use]
    pub fn new(name: &'static str, version: &'static str, profile: &'static str) -> Self {
        let noted = |text: &'static str| Some(text).filter(|text| !text.is_empty());
        Self {
            name,
            version,
            profile,
            rustc: noted(env!("TRACEWELL_RUSTC")),
            target: noted(env!("TRACEWELL_TARGET")),
            git_commit: None,
            features: Vec::new(),
            lockfile: None,
        }
    }

    /// Shows the versions that `lockfile`, the text of a `Cargo.lock`, has of what the package depends on.
    #[must_use]
    pub fn with_lockfile(mut self, lockfile: &'static str) -> Self {
        self.lockfile = Some(lockfile);
        self
    }

    /// What the package depends on, directly or not, as its lockfile has it: for every platform and with
    /// `dev-dependencies`, which a lockfile does not tell apart. `None` without a lockfile.
    #[must_use]
    pub fn dependencies(&self) -> Option<Vec<Dependency>> {
        self.lockfile.map(|lockfile| lockfile::dependencies(lockfile, self.name))
    }

    pub(super) fn json(&self) -> Value {
        let mut shown = json!({
            "name": self.name,
            "version": self.version,
            "git_commit": self.git_commit,
            "rustc": self.rustc,
            "target": self.target,
            "profile": self.profile,
            "features": self.features,
        });
        if let Some(dependencies) = self.dependencies() {
            let dependencies =
                dependencies.into_iter().map(|of| json!({ "name": of.name, "version": of.version }));
            shown["dependencies"] = dependencies.collect();
        }
        shown
    }
}

/// The [`BuildInfo`](crate::environment::BuildInfo) of the crate that calls it: name, version, profile, compiler and target
/// always; the commit where the build's environment has it; which of the features named are on; and the versions of what it
/// depends on, if its lockfile is named.
///
/// ```
/// let build = tracewell::build_info!();
/// assert_eq!(build.name, env!("CARGO_PKG_NAME"));
/// ```
///
/// With features: `tracewell::build_info!(features: "postgres", "tls")`. With dependencies:
/// `tracewell::build_info!(lockfile: "Cargo.lock")`, or both: `build_info!(features: "tls"; lockfile: "../../Cargo.lock")`.
/// The path is relative to the package's folder: in a workspace the lockfile is that of the workspace's root. The file
/// becomes part of the program, and a missing one is an error of the compiler's.
#[macro_export]
macro_rules! build_info {
    ($(features: $($feature:literal),+ $(,)?)? $(; lockfile: $lockfile:literal)?) => {{
        let profile = if ::core::cfg!(debug_assertions) { "debug" } else { "release" };
        #[allow(unused_mut, reason = "not every part is in every build")]
        let mut build = $crate::environment::BuildInfo::new(
            ::core::env!("CARGO_PKG_NAME"),
            ::core::env!("CARGO_PKG_VERSION"),
            profile,
        );
        build.git_commit = ::core::option_env!("GIT_COMMIT")
            .or(::core::option_env!("VERGEN_GIT_SHA"))
            .or(::core::option_env!("GITHUB_SHA"))
            .or(::core::option_env!("CI_COMMIT_SHA"));
        $($(if ::core::cfg!(feature = $feature) { build.features.push($feature); })+)?
        $(let build = build.with_lockfile(::core::include_str!(::core::concat!(
            ::core::env!("CARGO_MANIFEST_DIR"), "/", $lockfile
        )));)?
        build
    }};
    (lockfile: $lockfile:literal) => {
        $crate::build_info!(; lockfile: $lockfile)
    };
}
