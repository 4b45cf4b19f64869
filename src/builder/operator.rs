//! What a program wants of the operator's endpoints, and what it tells them of itself.

use super::Builder;
use crate::{
    config::ConsoleLink,
    environment::BuildInfo,
    health::{Answering, Check, Renderer},
};

impl Builder {
    /// Where the operator's endpoints are served (feature `admin`); port 0 takes a free one, which
    /// `Telemetry::admin_address` tells. An address that cannot be had is an error of [`build`](Self::build).
    pub fn with_admin_address(self, address: std::net::SocketAddr) -> Self {
        self.change(move |config| {
            config.admin.addr = Some(address);
            Ok(())
        })
    }

    /// A link from each trace on the console to another tool: `{trace_id}`, `{span_id}`, `{start_ms}`, `{end_ms}` and
    /// `{service}` in the URL are filled in. After those of `TRACEWELL_CONSOLE_LINKS`; only `http://` and `https://`.
    ///
    /// ```
    /// let builder = tracewell::Telemetry::builder()
    ///     .with_console_link("Jaeger", "http://localhost:16686/trace/{trace_id}");
    /// # drop(builder);
    /// ```
    pub fn with_console_link(self, label: impl Into<String>, url: impl Into<String>) -> Self {
        let link = ConsoleLink::new(label, url);
        self.change(move |config| {
            config.admin.console_store.links.push(link.clone()?);
            Ok(())
        })
    }

    /// Adds a health check; see [`Health::register`](crate::health::Health::register).
    pub fn with_health_check(mut self, name: impl Into<String>, check: Check) -> Self {
        self.checks.push((name.into(), check));
        self
    }

    /// Lets `render` replace the answers of the probes and of `/healthcheck`; see
    /// [`Health::set_renderer`](crate::health::Health::set_renderer).
    pub fn with_health_renderer(
        mut self,
        render: impl Fn(&Answering<'_>, http::Response<String>) -> http::Response<String> + Send + Sync + 'static,
    ) -> Self {
        self.health_renderer = Some(Renderer::new(render));
        self
    }

    /// What this program was built from: `tracewell::build_info!()`.
    pub fn with_build_info(mut self, build: BuildInfo) -> Self {
        self.build_info = Some(build);
        self
    }

    /// Shows what the program's allocator says of itself as the metric `process.memory.allocator`, in bytes, one series
    /// per state. `read` is called at each collection; it should not block. Of several calls the last counts.
    ///
    /// ```
    /// # struct Statistics { allocated: u64, resident: u64 }
    /// # fn statistics() -> Statistics { Statistics { allocated: 1, resident: 2 } }
    /// let builder = tracewell::Telemetry::builder().with_allocator(|| {
    ///     let of = statistics(); // such as tikv_jemalloc_ctl's
    ///     vec![("allocated", of.allocated), ("resident", of.resident)]
    /// });
    /// # drop(builder);
    /// ```
    pub fn with_allocator(
        mut self,
        read: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static,
    ) -> Self {
        self.allocator = Some(std::sync::Arc::new(read));
        self
    }
}
