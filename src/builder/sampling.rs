//! What a program wants of sampling: which traces are kept.

use super::Builder;
use crate::config::{RemoteParent, Sampler, SamplingRule};

impl Builder {
    /// Which traces are recorded (specification, trace/sdk.md "Sampler"): all, as far as their callers sampled them, unless
    /// said otherwise. A share outside of 0 to 1 is an error of [`build`](Self::build).
    pub fn with_sampler(self, sampler: Sampler) -> Self {
        self.change(move |config| {
            sampler.validate()?;
            config.traces.sampler = sampler.clone();
            Ok(())
        })
    }

    /// Rules that decide which traces are kept before the sampler is asked: the first that holds. They decide about traces
    /// that start here; see [`with_remote_parent`](Self::with_remote_parent) for those of callers.
    ///
    /// ```
    /// use tracewell::config::SamplingRule;
    ///
    /// let builder = tracewell::Telemetry::builder().with_sampling_rules([
    ///     SamplingRule::drop().with_path("/health*"),
    ///     SamplingRule::keep().with_route("/orders").with_method("POST"),
    ///     SamplingRule::per_second(5.0).with_header("x-debug"),
    ///     SamplingRule::ratio(0.1),
    /// ]);
    /// # drop(builder);
    /// ```
    pub fn with_sampling_rules(self, rules: impl IntoIterator<Item = SamplingRule>) -> Self {
        let rules: Vec<SamplingRule> = rules.into_iter().collect();
        self.change(move |config| {
            for rule in &rules {
                rule.validate().map_err(|why| format!("sampling rule \"{rule}\": {why}"))?;
            }
            config.traces.sampling_rules.clone_from(&rules);
            Ok(())
        })
    }

    /// What becomes of traces that callers have begun; [`RemoteParent::Follow`] unless said otherwise.
    pub fn with_remote_parent(self, remote_parent: RemoteParent) -> Self {
        self.change(move |config| {
            config.traces.remote_parent = remote_parent;
            Ok(())
        })
    }
}
