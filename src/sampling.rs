//! Which sampler is in use: replaced while the service runs, and asked where work would be in vain.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::{ArcSwap, Guard};

use crate::config::Sampler;

/// The sampler in use; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SamplerInUse(Arc<InUse>);

#[derive(Debug)]
struct InUse {
    sampler: ArcSwap<Sampler>,
    follows_parent: AtomicBool,
}

impl SamplerInUse {
    pub(crate) fn new(sampler: &Sampler) -> Self {
        let follows_parent = AtomicBool::new(sampler.follows_parent());
        Self(Arc::new(InUse { sampler: ArcSwap::from_pointee(sampler.clone()), follows_parent }))
    }

    pub(crate) fn set(&self, sampler: &Sampler) {
        self.0.sampler.store(Arc::new(sampler.clone()));
        self.0.follows_parent.store(sampler.follows_parent(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Guard<Arc<Sampler>> {
        self.0.sampler.load()
    }

    /// Whether no span is recorded whose parent is not.
    pub(crate) fn follows_parent(&self) -> bool {
        self.0.follows_parent.load(Ordering::Relaxed)
    }
}
