//! Whether waiting for company pays, and how long.
//!
//! Waiting until `h` delays the rows that are here, and those that would have come during their pass, by `h`; it spares the `N` rows expected meanwhile a whole
//! pass. That is the balance for independent arrivals. Callers that answer a completion with their next request ("echo") are another matter: they come
//! whenever they are answered, and splitting them into two cohorts makes each wait out the other's pass. The two balances are mixed by how much of a finished
//! batch has lately come straight back. Rows that a caller has announced count as company from the time for which they are announced, and waiting for them costs
//! nothing to the rows of the same request, whose answer is not used before.

use crate::forecast::{Class, Forecast, HORIZONS};
use crate::lookahead::Announced;
use crate::{CostModel, Time};

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
    pub(crate) now: Time,
    pub(crate) announced: &'a Announced,
    /// Rows whose request waits for announced ones anyway.
    pub(crate) patient: usize,
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

impl Scene<'_> {
    /// Rows learnt to come within `seconds` from now; none as long as nothing is known.
    fn learnt(&self, seconds: f64) -> f64 {
        let within = |seconds| self.forecast.within(self.class, seconds);
        let more = within(self.elapsed + seconds).zip(within(self.elapsed));
        more.map_or(0.0, |(then, now)| then - now)
    }

    /// Rows that will come within `seconds` from now, learnt or announced.
    fn company(&self, seconds: f64) -> f64 {
        let then = self.now.plus_seconds(seconds);
        let announced = self.announced.rows_by(self.now, then) as f64;
        self.learnt(seconds).max(announced)
    }

    /// Waits worth looking at, in seconds: up to where a learnt expectation changes, or announced rows have come.
    fn waits(&self) -> impl Iterator<Item = f64> {
        let learnt = (0..HORIZONS).map(|j| self.forecast.horizon(j) - self.elapsed);
        let announced = self.announced.times(self.now);
        let announced = announced.map(|at| at.seconds_since(self.now));
        let most = self.cost.a();
        let all = learnt.chain(announced);
        all.filter(move |seconds| (f64::MIN_POSITIVE..=most).contains(seconds))
    }
}

/// How long to go on waiting; `None` where running now is best.
pub(crate) fn wait(scene: &Scene<'_>) -> Option<Wait> {
    let pass = scene.cost.predict(scene.tokens);
    let pass = scene.next_free.map_or(pass, |free| free.min(pass));
    let within_pass = scene.learnt(pass.min(scene.cost.a()));
    let echo = echo(scene);
    let mut best = None;
    let mut gain_best = 0.0;
    for seconds in scene.waits() {
        let company = scene.company(seconds);
        let late = if scene.next_free.is_some() {
            0.0
        } else {
            (within_pass - company).max(0.0)
        };
        let expected = Expected {
            company,
            late,
            echo,
            pass,
        };
        let gain = gain(scene, expected, seconds);
        if gain > gain_best {
            (best, gain_best) = (Some(Wait { seconds, company }), gain);
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
    let rows = (scene.rows - scene.patient) as f64;
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
