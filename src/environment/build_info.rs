//! What a program was built from, as far as its compiler was told.

use serde_json::{Value, json};

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
    /// The compiler, from `RUSTC_VERSION` or `VERGEN_RUSTC_SEMVER` at compile time.
    pub rustc: Option<&'static str>,
    /// The commit, from `GIT_COMMIT`, `VERGEN_GIT_SHA`, `GITHUB_SHA` or `CI_COMMIT_SHA` at compile time.
    pub git_commit: Option<&'static str>,
    /// Those of the features named to the macro that are on.
    pub features: Vec<&'static str>,
}

impl BuildInfo {
    /// For [`build_info!`](crate::build_info).
    #[doc(hidden)]
    #[must_use]
    pub fn new(name: &'static str, version: &'static str, profile: &'static str) -> Self {
        Self { name, version, profile, rustc: None, git_commit: None, features: Vec::new() }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "version": self.version,
            "git_commit": self.git_commit,
            "rustc": self.rustc,
            "profile": self.profile,
            "features": self.features,
        })
    }
}

/// The [`BuildInfo`](crate::environment::BuildInfo) of the crate that calls it: name, version and profile always; the
/// compiler and the commit where the build's environment has them; and which of the features named are on.
///
/// ```
/// let build = tracewell::build_info!();
/// assert_eq!(build.name, env!("CARGO_PKG_NAME"));
/// ```
///
/// With features: `tracewell::build_info!(features: "postgres", "tls")`.
#[macro_export]
macro_rules! build_info {
    ($(features: $($feature:literal),+ $(,)?)?) => {{
        let profile = if ::core::cfg!(debug_assertions) { "debug" } else { "release" };
        #[allow(unused_mut, reason = "not every part is in every build")]
        let mut build = $crate::environment::BuildInfo::new(
            ::core::env!("CARGO_PKG_NAME"),
            ::core::env!("CARGO_PKG_VERSION"),
            profile,
        );
        build.rustc = ::core::option_env!("RUSTC_VERSION").or(::core::option_env!("VERGEN_RUSTC_SEMVER"));
        build.git_commit = ::core::option_env!("GIT_COMMIT")
            .or(::core::option_env!("VERGEN_GIT_SHA"))
            .or(::core::option_env!("GITHUB_SHA"))
            .or(::core::option_env!("CI_COMMIT_SHA"));
        $($(if ::core::cfg!(feature = $feature) {
            build.features.push($feature);
        })+)?
        build
    }};
}
