//! A weighted least squares fit of a line, kept as sums, so that old points can be forgotten
//! gradually (Plackett 1950; Ljung, *System Identification*, ch. 11).

/// Factor of the weight of older points for each batch: about the last 50 batches decide.
pub(super) const FORGETTING: f64 = 0.98;

/// Sums of a weighted least squares fit of `y = a + b x`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    w: f64,
    x: f64,
    xx: f64,
    y: f64,
    xy: f64,
}

impl Sums {
    /// Adds a point.
    pub(super) fn add(&mut self, x: f64, y: f64, weight: f64) {
        self.w += weight;
        self.x += weight * x;
        self.xx += weight * x * x;
        self.y += weight * y;
        self.xy += weight * x * y;
    }

    /// Lowers the weight of all points so far.
    pub(super) fn forget(&mut self) {
        for sum in [
            &mut self.w,
            &mut self.x,
            &mut self.xx,
            &mut self.y,
            &mut self.xy,
        ] {
            *sum *= FORGETTING;
        }
    }

    /// Rescales as if every duration and prediction so far had been `ratio` times as long (weights
    /// are 1 / predicted^2).
    pub(super) fn rescale(&mut self, ratio: f64) {
        for sum in [&mut self.w, &mut self.x, &mut self.xx] {
            *sum /= ratio * ratio;
        }
        for sum in [&mut self.y, &mut self.xy] {
            *sum /= ratio;
        }
    }

    /// Returns the best `a, b >= 0`; `None` if no finite line other than zero fits.
    pub(super) fn fit(&self) -> Option<(f64, f64)> {
        let determinant = self.w * self.xx - self.x * self.x;
        let (mut a, mut b) = if determinant > 1e-9 * self.w * self.xx {
            let b = (self.w * self.xy - self.x * self.y) / determinant;
            ((self.y - b * self.x) / self.w, b)
        } else {
            (0.0, self.xy / self.xx)
        };
        if b < 0.0 {
            (a, b) = (self.y / self.w, 0.0);
        } else if a < 0.0 {
            (a, b) = (0.0, self.xy / self.xx);
        }
        (a.is_finite() && b.is_finite() && a + b > 0.0).then_some((a, b))
    }
}
