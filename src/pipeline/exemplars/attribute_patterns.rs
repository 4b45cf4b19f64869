//! Instruments whose metric has the attributes that a view's patterns leave: the SDK knows exact names only.

use std::{borrow::Cow, sync::Arc};

use opentelemetry::{
    KeyValue,
    metrics::{
        AsyncInstrument, BoundCounter, BoundGauge, BoundHistogram, BoundSyncInstrument, BoundUpDownCounter,
        Callback, Counter, Gauge, Histogram, SyncInstrument, UpDownCounter,
    },
};

use crate::pipeline::views::Keys;

/// What a metric has of an instrument's attributes.
fn kept<'a>(keys: &Keys, attributes: &'a [KeyValue]) -> Cow<'a, [KeyValue]> {
    match attributes.iter().all(|attribute| keys.keeps(&attribute.key)) {
        true => Cow::Borrowed(attributes),
        false => attributes.iter().filter(|attribute| keys.keeps(&attribute.key)).cloned().collect(),
    }
}

/// An instrument of which the SDK gets the attributes that are kept.
struct Kept<I> {
    inner: I,
    keys: Arc<Keys>,
}

/// A bound instrument, whose attributes were kept when it was bound.
struct Bound<B>(B);

/// An instrument that can be told which attributes to keep.
pub(super) trait Keep: Sized {
    /// The same instrument where there are no patterns for it.
    fn keeping(self, keys: Option<Arc<Keys>>) -> Self;
}

macro_rules! keep {
    ($instrument:ident, $bound:ident, $measure:ident) => {
        impl<T: Copy + Send + Sync + 'static> SyncInstrument<T> for Kept<$instrument<T>> {
            fn measure(&self, measurement: T, attributes: &[KeyValue]) {
                self.inner.$measure(measurement, &kept(&self.keys, attributes));
            }

            fn bind(&self, attributes: &[KeyValue]) -> Box<dyn BoundSyncInstrument<T> + Send + Sync> {
                Box::new(Bound(self.inner.bind(&kept(&self.keys, attributes))))
            }
        }

        impl<T: Copy + Send + Sync + 'static> BoundSyncInstrument<T> for Bound<$bound<T>> {
            fn measure(&self, measurement: T) {
                self.0.$measure(measurement);
            }
        }

        impl<T: Copy + Send + Sync + 'static> Keep for $instrument<T> {
            fn keeping(self, keys: Option<Arc<Keys>>) -> Self {
                match keys {
                    Some(keys) => Self::new(Arc::new(Kept { inner: self, keys })),
                    None => self,
                }
            }
        }
    };
}

keep!(Counter, BoundCounter, add);
keep!(Gauge, BoundGauge, record);
keep!(Histogram, BoundHistogram, record);
keep!(UpDownCounter, BoundUpDownCounter, add);

/// An observer of a callback.
struct Observer<'a, T> {
    inner: &'a dyn AsyncInstrument<T>,
    keys: &'a Keys,
}

impl<T> AsyncInstrument<T> for Observer<'_, T> {
    fn observe(&self, measurement: T, attributes: &[KeyValue]) {
        self.inner.observe(measurement, &kept(self.keys, attributes));
    }
}

/// A callback that observes with the attributes that are kept.
pub(super) fn observing<T: 'static>(callback: Callback<T>, keys: Option<Arc<Keys>>) -> Callback<T> {
    match keys {
        Some(keys) => Box::new(move |inner| callback(&Observer { inner, keys: &keys })),
        None => callback,
    }
}
