//! `split`: its arms and shadows, bound, and the state that all requests share.

mod state;

use std::sync::Arc;

use motet_runtime::metrics::ShadowMetrics;

use super::check::Checked;
use crate::check::Node;
use crate::plan::{BindError, BindKind, Binder, BoundBody, BoundKind, IsUp};

pub use state::{SHADOWS_MAX, SplitState, pick_weighted};

/// A `split` that is ready to run.
#[derive(Debug)]
pub struct Bound {
    /// Requests with equal values of this argument take the same arm.
    pub sticky: Option<usize>,
    /// Weights and arms.
    pub arms: Vec<(f64, BoundBody)>,
    /// Shadows beside the arms.
    pub shadows: Vec<Shadow>,
    /// State that all requests share.
    pub state: SplitState,
}

/// A body whose results are only compared.
#[derive(Debug)]
pub struct Shadow {
    /// The share of requests that run it, in percent.
    pub percent: f64,
    /// The body. The task that runs it can outlive the request.
    pub body: Arc<BoundBody>,
    /// Metrics of its comparisons.
    pub metrics: ShadowMetrics,
}

impl BindKind for Checked {
    type Bound = Bound;

    fn bind(&self, node: &Node, binder: &Binder<'_>) -> Result<Bound, BindError> {
        let arms = self.arms.iter();
        let arms = arms.map(|(weight, body)| Ok((*weight, binder.body(body)?)));
        let (pipeline, metrics) = (binder.pipeline, binder.metrics);
        let shadows = self.shadow.iter().map(|(percent, body)| {
            Ok(Shadow {
                percent: *percent,
                body: Arc::new(binder.body(body)?),
                metrics: metrics.shadow(pipeline, &node.name, &body.name),
            })
        });
        Ok(Bound {
            sticky: self.sticky,
            arms: arms.collect::<Result<_, BindError>>()?,
            shadows: shadows.collect::<Result<_, BindError>>()?,
            state: SplitState::new(pipeline, &node.name),
        })
    }
}

impl BoundKind for Bound {
    fn can_answer(&self, is_up: IsUp<'_>) -> bool {
        let mut arms = self.arms.iter();
        arms.all(|(_, body)| body.can_answer(is_up))
    }

    fn bodies(&self) -> Vec<&BoundBody> {
        let arms = self.arms.iter().map(|(_, body)| body);
        arms.chain(self.shadows.iter().map(|shadow| &*shadow.body))
            .collect()
    }
}
