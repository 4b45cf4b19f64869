//! `grpc.health.v1`, fed by the checks of the service (grpc/doc/health-checking.md).

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::MissedTickBehavior};
use tonic::{Request, Response, Status, codegen::tokio_stream::wrappers::ReceiverStream};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health as Service, HealthServer},
};

use crate::{
    Telemetry,
    health::{Health, Phase, READY, Report, Status as CheckStatus},
};

/// How often a watcher's answer is looked at again. Checks run once per their cache period, however many watch.
const LOOK: Duration = Duration::from_millis(250);

/// Answers `grpc.health.v1.Health` from the service's phase and checks.
///
/// | asked for | `SERVING` while |
/// |---|---|
/// | `""` | the service is ready: not starting, not draining, and no critical check of the group `ready` fails |
/// | a name given to [`with_service`](Self::with_service) | the service is ready, and none of the checks said there fails |
/// | the name of a check | the service is ready, and the check does not fail |
///
/// Any other name is `NOT_FOUND`; who watches one is told `SERVICE_UNKNOWN` until there is such a check. `Watch` tells each
/// change, and from the first moment of a shutdown `NOT_SERVING`, with which it ends: a graceful shutdown would wait for
/// it otherwise. `Check` asks checks whose answer does not hold any more, for one second at most.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let telemetry = tracewell::Telemetry::builder().with_env([("OTEL_SDK_DISABLED", "true")]).build()?;
/// let health = tracewell::rpc::HealthService::new(&telemetry)
///     .with_service("shop.Stock", ["database"])
///     .into_server();
/// // tonic::transport::Server::builder().add_service(health)…
/// # let _ = health;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HealthService {
    health: Health,
    services: Arc<HashMap<String, Vec<String>>>,
    by_check: bool,
}

impl fmt::Debug for HealthService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthService").field("services", &self.services).finish_non_exhaustive()
    }
}

impl HealthService {
    /// Answers for this telemetry's service.
    #[must_use]
    pub fn new(telemetry: &Telemetry) -> Self {
        Self { health: telemetry.health().clone(), services: Arc::default(), by_check: true }
    }

    /// Lets `service` serve as long as none of these checks fails, critical or not; without any, as long as the whole is
    /// ready. A check that is not registered (yet, or by `TRACEWELL_CHECKS_DISABLED`) is not asked.
    #[must_use]
    pub fn with_service<C: Into<String>>(
        mut self,
        service: impl Into<String>,
        checks: impl IntoIterator<Item = C>,
    ) -> Self {
        let checks = checks.into_iter().map(Into::into).collect();
        Arc::make_mut(&mut self.services).insert(service.into(), checks);
        self
    }

    /// Does not answer for checks by their names, which strangers could guess then.
    #[must_use]
    pub fn without_check_names(mut self) -> Self {
        self.by_check = false;
        self
    }

    /// The service, for `tonic`'s server or router.
    #[must_use]
    pub fn into_server(self) -> HealthServer<Self> {
        HealthServer::new(self)
    }

    /// `None` for a name that is not known.
    async fn status(&self, service: &str) -> Option<ServingStatus> {
        let report = match self.services.get(service) {
            _ if service.is_empty() => None,
            Some(checks) if checks.is_empty() => None,
            Some(checks) => Some(checks.clone()),
            None if self.by_check && self.health.has_check(service) => Some(vec![service.to_owned()]),
            None => return None,
        };
        if self.health.phase() != Phase::Ready {
            return Some(ServingStatus::NotServing);
        }
        let report = match report {
            Some(checks) => self.health.ask_by_name(&checks).await,
            None => self.health.ask(Some(READY), &[]).await,
        };
        let fails = if service.is_empty() || self.services.get(service).is_some_and(Vec::is_empty) {
            report.status == CheckStatus::Fail
        } else {
            fails_at_all(&report)
        };
        // it may have begun to drain meanwhile
        let serves = !fails && self.health.phase() == Phase::Ready;
        Some(if serves { ServingStatus::Serving } else { ServingStatus::NotServing })
    }

    /// Tells each change until the watcher is gone or the service drains.
    async fn tell(self, service: String, told: mpsc::Sender<Result<HealthCheckResponse, Status>>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = told.closed() => return,
            }
            let status = self.status(&service).await.unwrap_or(ServingStatus::ServiceUnknown);
            if last != Some(status) {
                last = Some(status);
                if told.send(Ok(response(status))).await.is_err() {
                    return;
                }
            }
            if self.health.phase() == Phase::Draining && status != ServingStatus::Serving {
                return;
            }
        }
    }
}

/// Whether any of the checks asked for fails, however little that is to the whole.
fn fails_at_all(report: &Report) -> bool {
    report.results.iter().any(|result| result.status == CheckStatus::Fail)
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Service for HealthService {
    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = self.status(&request.get_ref().service).await;
        let status = status.ok_or_else(|| Status::not_found("no such service"))?;
        Ok(Response::new(response(status)))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (told, changes) = mpsc::channel(1);
        tokio::spawn(self.clone().tell(request.into_inner().service, told));
        Ok(Response::new(ReceiverStream::new(changes)))
    }
}
