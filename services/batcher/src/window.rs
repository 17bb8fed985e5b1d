//! Whether waiting for company pays, and how long.
//!
//! Waiting until `h` delays the rows that are here, and those that would have come during their pass, by `h`; it spares the `N` rows expected meanwhile a whole
//! pass. That is the balance for independent arrivals. Callers that answer a completion with their next request ("echo") are another matter: they come
//! whenever they are answered, and splitting them into two cohorts makes each wait out the other's pass. The two balances are mixed by how much of a finished
//! batch has lately come straight back.

use crate::CostModel;
use crate::forecast::{Class, Forecast, HORIZONS};

/// Delay counts this much more than what it spares: a forecast can be wrong.
const CAUTION: f64 = 1.2;
/// Share of a batch that comes back before callers count as closed-loop at all.
const ECHO_MIN: f64 = 0.6;
/// Below this ratio of fixed to variable cost, sharing a pass saves closed-loop callers too little.
const ECHO_FIXED_MIN: f64 = 0.3;
/// A batch this many times what independent arrivals bring in half a pass can tell echo from them.
const ECHO_BATCH_MIN: f64 = 1.5;

/// What the decision is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) cost: &'a CostModel,
    pub(crate) forecast: &'a Forecast,
    /// Kind of the decision point, and seconds since it.
    pub(crate) class: Class,
    pub(crate) elapsed: f64,
    /// Rows and tokens that would run now.
    pub(crate) rows: usize,
    pub(crate) tokens: u64,
    /// Mean tokens of a row, and rows of a batch, lately.
    pub(crate) row_tokens: f64,
    pub(crate) batch_rows: f64,
    /// Seconds until another executor is free; `None` if there is only one.
    pub(crate) next_free: Option<f64>,
}

/// A wait that pays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// How long from now, in seconds.
    pub(crate) seconds: f64,
    /// Rows expected meanwhile.
    pub(crate) company: f64,
}

/// How long to go on waiting; `None` where running now is best.
pub(crate) fn wait(scene: &Scene<'_>) -> Option<Wait> {
    let a = scene.cost.a();
    let pass = scene.cost.predict(scene.tokens);
    let pass = scene.next_free.map_or(pass, |free| free.min(pass));
    let seen = scene.forecast.within(scene.class, scene.elapsed)?;
    let late = scene
        .forecast
        .within(scene.class, scene.elapsed + pass.min(a))?
        - seen;
    let echo = echo(scene);
    let mut best = None;
    let mut gain_best = 0.0;
    for j in 0..HORIZONS {
        let h = scene.forecast.horizon(j) - scene.elapsed;
        if h <= 0.0 {
            continue;
        }
        let company = scene.forecast.within(scene.class, scene.elapsed + h)? - seen;
        let late = if scene.next_free.is_some() {
            0.0
        } else {
            (late - company).max(0.0)
        };
        let gain = gain(
            scene,
            Expected {
                company,
                late,
                echo,
                pass,
            },
            h,
        );
        if gain > gain_best {
            (best, gain_best) = (
                Some(Wait {
                    seconds: h,
                    company,
                }),
                gain,
            );
        }
    }
    best
}

/// What to expect of a wait.
#[derive(Clone, Copy, Debug)]
struct Expected {
    /// Rows that come while waiting.
    company: f64,
    /// Rows that come after that, before the pass would have ended.
    late: f64,
    /// Share of a finished batch that comes straight back.
    echo: f64,
    /// Seconds of the pass that company would have to wait out.
    pass: f64,
}

/// Row-seconds spared by waiting `h` seconds, less those spent.
fn gain(scene: &Scene<'_>, expected: Expected, h: f64) -> f64 {
    let Expected {
        company,
        late,
        echo,
        pass,
    } = expected;
    let (a, b) = (scene.cost.a(), scene.cost.b());
    let rows = scene.rows as f64;
    let fixed_matters =
        a >= ECHO_FIXED_MIN * b * (scene.tokens as f64 + company * scene.row_tokens);
    let echo = if fixed_matters {
        ((echo - ECHO_MIN) / (1.0 - ECHO_MIN)).max(0.0)
    } else {
        0.0
    };
    let open = company * (pass - h - b * scene.tokens as f64)
        - CAUTION * (rows * (h + 0.5 * b * scene.row_tokens * company) + late * h);
    let closed = company.min(1.0) * (rows + company) * a.min(pass) - CAUTION * (rows + company) * h;
    (1.0 - echo) * open + echo * closed
}

/// Share of a finished batch that comes straight back, 0 to 1: what follows a completion beyond the usual rate.
fn echo(scene: &Scene<'_>) -> f64 {
    let half = 0.5 * scene.cost.a();
    let usual = scene.forecast.rate() * half;
    if scene.batch_rows < ECHO_BATCH_MIN * usual || scene.batch_rows <= usual {
        return 0.0;
    }
    let follow = scene
        .forecast
        .within(Class::Completion, half)
        .unwrap_or(0.0);
    ((follow - usual) / (scene.batch_rows - usual)).clamp(0.0, 1.0)
}
