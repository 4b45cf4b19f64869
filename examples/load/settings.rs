//! What is to be sent, from the command line.

/// What is to be sent, and where.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// OTLP over HTTP; service i sends to the i-th, modulo their number.
    pub(crate) endpoints: Vec<String>,
    pub(crate) services: u64,
    /// Traces a second, over all services.
    pub(crate) traces: u64,
    /// Spans a trace; half of them are of a second service.
    pub(crate) spans: u64,
    /// Log records a trace.
    pub(crate) logs: u64,
    /// Series a service, beside those of its duration histogram.
    pub(crate) series: u64,
    pub(crate) seconds: u64,
    /// Seconds between two exports of metrics.
    pub(crate) interval: u64,
    /// Traces in ten thousand that have an error, are slow, are a probe's.
    pub(crate) errors: u64,
    pub(crate) slow: u64,
    pub(crate) probes: u64,
    /// Seconds for which a refused message is sent again.
    pub(crate) patience: u64,
    pub(crate) seed: u64,
    pub(crate) record: Option<String>,
}

impl Settings {
    /// # Errors
    /// An unknown flag, or a value that is none: with what is accepted.
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut settings = Self {
            endpoints: vec!["http://127.0.0.1:4318".to_owned()],
            services: 10,
            traces: 100,
            spans: 6,
            logs: 2,
            series: 50,
            seconds: 10,
            interval: 5,
            errors: 100,
            slow: 100,
            probes: 500,
            patience: 60,
            seed: 1,
            record: None,
        };
        while let Some(flag) = args.next() {
            let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
            settings.set(&flag, value)?;
        }
        if settings.services == 0 || settings.spans < 2 || settings.interval == 0 {
            return Err("--services and --interval are at least 1, --spans at least 2".to_owned());
        }
        Ok(settings)
    }

    fn set(&mut self, flag: &str, value: String) -> Result<(), String> {
        let number = match flag {
            "--endpoint" => {
                self.endpoints = value.split(',').map(|url| url.trim_end_matches('/').to_owned()).collect();
                return Ok(());
            }
            "--record" => {
                self.record = Some(value);
                return Ok(());
            }
            "--services" => &mut self.services,
            "--traces" => &mut self.traces,
            "--spans" => &mut self.spans,
            "--logs" => &mut self.logs,
            "--series" => &mut self.series,
            "--seconds" => &mut self.seconds,
            "--interval" => &mut self.interval,
            "--errors" => &mut self.errors,
            "--slow" => &mut self.slow,
            "--probes" => &mut self.probes,
            "--patience" => &mut self.patience,
            "--seed" => &mut self.seed,
            _ => {
                return Err(format!(
                    "unknown flag {flag}; accepted: --endpoint URL[,URL…], --record FILE, and with a number --services, \
                     --traces (a second), --spans, --logs (a trace), --series (a service), --seconds, --interval (s), \
                     --errors, --slow, --probes (in 10,000), --patience (s), --seed"
                ));
            }
        };
        *number = value.parse().map_err(|_| format!("{flag} {value} is no whole number"))?;
        Ok(())
    }

    pub(crate) fn endpoint(&self, service: u64) -> &str {
        let index = usize::try_from(service).unwrap_or(usize::MAX) % self.endpoints.len();
        &self.endpoints[index]
    }
}
