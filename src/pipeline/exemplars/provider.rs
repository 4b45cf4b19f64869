//! The meter provider that wraps the SDK's: every instrument measures as before, and offers exemplars.

use std::{borrow::Cow, panic::AssertUnwindSafe, sync::Arc};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    metrics::{
        AsyncInstrument, AsyncInstrumentBuilder, BoundCounter, BoundHistogram, BoundSyncInstrument, Counter,
        Gauge, Histogram, HistogramBuilder, InstrumentBuilder, InstrumentProvider, Meter, MeterProvider,
        ObservableCounter, ObservableGauge, ObservableUpDownCounter, SyncInstrument, UpDownCounter,
    },
};

use super::{
    attribute_patterns::{Keep as _, observing},
    reservoir::{Layout, Number},
    store::{BoundSeries, ExemplarStore, InstrumentExemplars, StreamShape},
};
use crate::{
    diagnostics,
    pipeline::views::{Asked, InstrumentKind, Keys, Views},
};

/// The SDK's default boundaries (specification, metrics/sdk.md "Explicit Bucket Histogram Aggregation").
const DEFAULT_BOUNDARIES: [f64; 15] =
    [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0];

/// A meter provider whose counters and histograms have exemplars.
#[derive(Clone)]
pub(crate) struct ExemplarMeterProvider {
    inner: Arc<dyn MeterProvider + Send + Sync>,
    /// `None`: no exemplars (`always_off`); counters and histograms are then the SDK's own.
    store: Option<Arc<ExemplarStore>>,
    views: Arc<Views>,
}

impl std::fmt::Debug for ExemplarMeterProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExemplarMeterProvider").field("store", &self.store).finish_non_exhaustive()
    }
}

impl ExemplarMeterProvider {
    pub(crate) fn new(
        inner: Arc<dyn MeterProvider + Send + Sync>,
        store: Option<Arc<ExemplarStore>>,
        views: Arc<Views>,
    ) -> Self {
        Self { inner, store, views }
    }
}

impl MeterProvider for ExemplarMeterProvider {
    fn meter_with_scope(&self, scope: InstrumentationScope) -> Meter {
        let inner = self.inner.meter_with_scope(scope.clone());
        Meter::new(Arc::new(ExemplarMeter {
            inner,
            scope,
            store: self.store.clone(),
            views: Arc::clone(&self.views),
        }))
    }
}

struct ExemplarMeter {
    inner: Meter,
    scope: InstrumentationScope,
    store: Option<Arc<ExemplarStore>>,
    views: Arc<Views>,
}

impl ExemplarMeter {
    fn exemplars(
        &self,
        name: &str,
        unit: Option<&str>,
        kind: InstrumentKind,
        boundaries: Option<&[f64]>,
    ) -> Option<Arc<InstrumentExemplars>> {
        let store = self.store.as_ref()?;
        let unit = unit.unwrap_or_default();
        let stream = self.views.stream(&Asked { name, kind, unit, scope: &self.scope });
        let boundaries = stream.boundaries.as_deref().or(boundaries);
        let layout = match kind {
            InstrumentKind::Counter => Layout::Fixed(1),
            InstrumentKind::Histogram => match (stream.exponential, boundaries) {
                // min(20, max_buckets): specification, metrics/sdk.md "Exemplar defaults"
                (true, _) => Layout::Fixed(20),
                (false, Some([])) => Layout::Fixed(1),
                (false, Some(boundaries)) => Layout::Buckets(boundaries.into()),
                (false, None) => Layout::Buckets(Arc::from(DEFAULT_BOUNDARIES)),
            },
            _ => Layout::Fixed(1),
        };
        let shape = StreamShape {
            metric: stream.name.unwrap_or_else(|| name.to_owned()),
            layout,
            allowed_keys: stream.allowed_keys,
            cardinality_limit: stream.cardinality_limit,
        };
        Some(store.instrument(&self.scope, shape))
    }

    /// What a view's patterns leave of an instrument's attributes.
    fn patterns(&self, name: &str, unit: Option<&str>, kind: InstrumentKind) -> Option<Arc<Keys>> {
        self.views.patterns(&Asked { name, kind, unit: unit.unwrap_or_default(), scope: &self.scope })
    }

    fn counter<T>(&self, builder: InstrumentBuilder<'_, Counter<T>>, make: MakeCounter<T>) -> Counter<T>
    where
        T: Into<Number> + Copy + Send + Sync + 'static,
    {
        let exemplars = self.exemplars(&builder.name, builder.unit.as_deref(), InstrumentKind::Counter, None);
        let keys = self.patterns(&builder.name, builder.unit.as_deref(), InstrumentKind::Counter);
        let inner = make(&self.inner, builder.name, builder.description, builder.unit).keeping(keys);
        match exemplars {
            Some(exemplars) => Counter::new(Arc::new(WithExemplars { inner, exemplars })),
            None => inner,
        }
    }

    fn histogram<T>(
        &self,
        builder: HistogramBuilder<'_, Histogram<T>>,
        make: MakeHistogram<T>,
    ) -> Histogram<T>
    where
        T: Into<Number> + Copy + Send + Sync + 'static,
    {
        let exemplars = self.exemplars(
            &builder.name,
            builder.unit.as_deref(),
            InstrumentKind::Histogram,
            builder.boundaries.as_deref(),
        );
        let keys = self.patterns(&builder.name, builder.unit.as_deref(), InstrumentKind::Histogram);
        let inner = make(&self.inner, builder.name, builder.description, builder.unit, builder.boundaries);
        let inner = inner.keeping(keys);
        match exemplars {
            Some(exemplars) => Histogram::new(Arc::new(WithExemplars { inner, exemplars })),
            None => inner,
        }
    }
}

type Text = Cow<'static, str>;
type MakeCounter<T> = fn(&Meter, Text, Option<Text>, Option<Text>) -> Counter<T>;
type MakeHistogram<T> = fn(&Meter, Text, Option<Text>, Option<Text>, Option<Vec<f64>>) -> Histogram<T>;

/// An instrument of the SDK together with the exemplars of its metric.
struct WithExemplars<I> {
    inner: I,
    exemplars: Arc<InstrumentExemplars>,
}

/// A bound instrument of the SDK together with the exemplars of its series.
struct BoundWithExemplars<B> {
    inner: B,
    exemplars: Arc<InstrumentExemplars>,
    series: BoundSeries,
}

macro_rules! with_exemplars {
    ($instrument:ident, $bound:ident, $measure:ident) => {
        impl<T: Into<Number> + Copy + Send + Sync + 'static> SyncInstrument<T>
            for WithExemplars<$instrument<T>>
        {
            fn measure(&self, measurement: T, attributes: &[KeyValue]) {
                self.inner.$measure(measurement, attributes);
                self.exemplars.offer(measurement.into(), attributes);
            }

            fn bind(&self, attributes: &[KeyValue]) -> Box<dyn BoundSyncInstrument<T> + Send + Sync> {
                Box::new(BoundWithExemplars {
                    inner: self.inner.bind(attributes),
                    exemplars: Arc::clone(&self.exemplars),
                    series: self.exemplars.bind(attributes),
                })
            }
        }

        impl<T: Into<Number> + Copy + Send + Sync + 'static> BoundSyncInstrument<T>
            for BoundWithExemplars<$bound<T>>
        {
            fn measure(&self, measurement: T) {
                self.inner.$measure(measurement);
                self.exemplars.offer_bound(&self.series, measurement.into());
            }
        }
    };
}

with_exemplars!(Counter, BoundCounter, add);
with_exemplars!(Histogram, BoundHistogram, record);

macro_rules! describe {
    ($builder:expr, $description:expr, $unit:expr) => {{
        let mut builder = $builder;
        if let Some(description) = $description {
            builder = builder.with_description(description);
        }
        if let Some(unit) = $unit {
            builder = builder.with_unit(unit);
        }
        builder
    }};
}

macro_rules! counters {
    ($($name:ident: $number:ty),*) => {$(
        fn $name(&self, builder: InstrumentBuilder<'_, Counter<$number>>) -> Counter<$number> {
            self.counter(builder, |meter, name, description, unit| {
                describe!(meter.$name(name), description, unit).build()
            })
        }
    )*};
}

macro_rules! histograms {
    ($($name:ident: $number:ty),*) => {$(
        fn $name(&self, builder: HistogramBuilder<'_, Histogram<$number>>) -> Histogram<$number> {
            self.histogram(builder, |meter, name, description, unit, boundaries| {
                let mut inner = describe!(meter.$name(name), description, unit);
                if let Some(boundaries) = boundaries {
                    inner = inner.with_boundaries(boundaries);
                }
                inner.build()
            })
        }
    )*};
}

/// Instruments without exemplars are the SDK's own, but for their attributes.
macro_rules! delegated {
    ($($name:ident: $instrument:ident<$number:ty>),*) => {$(
        fn $name(&self, builder: InstrumentBuilder<'_, $instrument<$number>>) -> $instrument<$number> {
            let keys = self.patterns(&builder.name, builder.unit.as_deref(), InstrumentKind::$instrument);
            describe!(self.inner.$name(builder.name), builder.description, builder.unit).build().keeping(keys)
        }
    )*};
}

/// Observable instruments are the SDK's own, with callbacks that cannot take the collection down.
macro_rules! observed {
    ($($name:ident: $instrument:ident<$number:ty>),*) => {$(
        fn $name(
            &self,
            builder: AsyncInstrumentBuilder<'_, $instrument<$number>, $number>,
        ) -> $instrument<$number> {
            let name = builder.name.clone();
            let keys = self.patterns(&name, builder.unit.as_deref(), InstrumentKind::$instrument);
            let mut inner = describe!(self.inner.$name(builder.name), builder.description, builder.unit);
            for callback in builder.callbacks {
                let callback = observing(callback, keys.clone());
                inner = inner.with_callback(contained(name.clone(), callback));
            }
            inner.build()
        }
    )*};
}

/// A panicking callback would end the SDK's collection for good: it is reported and the others go on.
fn contained<T: 'static>(
    name: Text,
    callback: opentelemetry::metrics::Callback<T>,
) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
    move |observer| {
        if std::panic::catch_unwind(AssertUnwindSafe(|| callback(observer))).is_err() {
            diagnostics::warn("metric-callback", format_args!("the callback of instrument {name} panicked"));
        }
    }
}

impl InstrumentProvider for ExemplarMeter {
    counters!(u64_counter: u64, f64_counter: f64);

    histograms!(u64_histogram: u64, f64_histogram: f64);

    delegated!(
        i64_up_down_counter: UpDownCounter<i64>,
        f64_up_down_counter: UpDownCounter<f64>,
        u64_gauge: Gauge<u64>,
        i64_gauge: Gauge<i64>,
        f64_gauge: Gauge<f64>
    );

    observed!(
        u64_observable_counter: ObservableCounter<u64>,
        f64_observable_counter: ObservableCounter<f64>,
        i64_observable_up_down_counter: ObservableUpDownCounter<i64>,
        f64_observable_up_down_counter: ObservableUpDownCounter<f64>,
        u64_observable_gauge: ObservableGauge<u64>,
        i64_observable_gauge: ObservableGauge<i64>,
        f64_observable_gauge: ObservableGauge<f64>
    );
}
