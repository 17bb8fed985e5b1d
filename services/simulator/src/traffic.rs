//! Requests that arrive: those of a trace, or of callers that answer each completion with their
//! next request.

use std::time::Duration;

use motet_batcher::{Flow, Priority, Time};

use crate::random::Random;

/// One request: a call of rows of one length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// Time of its arrival.
    pub arrival: Time,
    /// Number of its rows.
    pub rows: usize,
    /// Length of each row in tokens.
    pub tokens: u32,
    /// Time after its arrival by which it must be answered.
    pub deadline: Option<Duration>,
    /// Its priority.
    pub priority: Priority,
    /// For whom it is made.
    pub flow: Flow,
    /// How often it was refused before.
    pub refused: usize,
}

/// Callers that wait for each answer, think, and ask again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClosedLoop {
    /// Number of callers.
    pub callers: usize,
    /// Mean seconds between an answer and the next request (exponential).
    pub think: f64,
    /// Number of requests of all callers together, after which the run ends.
    pub requests: usize,
    /// Mean tokens of a request (uniform between half and one and a half times the mean).
    pub tokens: f64,
    /// Time after its arrival by which a request must be answered.
    pub deadline: Option<Duration>,
}

impl ClosedLoop {
    /// Returns the next request of a caller that starts thinking at `from`.
    pub(crate) fn next(&self, from: Time, random: &mut Random) -> Request {
        let tokens = (self.tokens * (0.5 + random.uniform())).round().max(1.0) as u32;
        let arrival = from.plus_seconds(random.exponential(self.think));
        Request {
            arrival,
            rows: 1,
            tokens,
            deadline: self.deadline,
            priority: Priority::Interactive,
            flow: Flow::default(),
            refused: 0,
        }
    }
}

/// Closed-loop callers, each a flow of its own, whose requests have several rows. A refused one
/// comes back when it is told to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Callers {
    /// The callers.
    pub callers: ClosedLoop,
    /// Rows of each request.
    pub rows: usize,
    /// The flow that those of the callers are in.
    pub flow: Flow,
}

/// Traffic of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// Requests at given times, in order of arrival.
    Open(Vec<Request>),
    /// Requests of closed-loop callers.
    Closed(ClosedLoop),
    /// Requests at given times, which come back when they are refused, as often as they are told to
    /// within their deadlines.
    Patient(Vec<Request>),
    /// Requests at given times, and groups of closed-loop callers.
    Mixed(Vec<Request>, Vec<Callers>),
}

/// A mistake in a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TraceError {
    /// The line, counted from 1.
    pub line: usize,
    /// The mistake, and what would be right.
    pub problem: String,
}

/// Reads a trace: comma-separated columns `arrival_ms,tokens,deadline_ms,priority,flow,rows`, found
/// by their names in the first line. All but the first two may be missing or empty: no deadline,
/// interactive, no flow, one row. A flow is a number, the same for the calls of one caller.
///
/// A deadline counts from its request's arrival, unless all of them can only be meant as points in
/// time: every deadline is at or after its own arrival, and some request arrives after the smallest
/// deadline.
///
/// # Errors
/// The first line that cannot be read.
///
/// ```
/// let trace = "arrival_ms,tokens,deadline_ms,priority\n0,64,200,interactive\n3.5,128,,bulk\n";
/// let requests = motet_batcher_simulator::parse_trace(trace)?;
/// assert_eq!(requests[1].tokens, 128);
/// # Ok::<(), motet_batcher_simulator::TraceError>(())
/// ```
pub fn parse_trace(text: &str) -> Result<Vec<Request>, TraceError> {
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let wrong = |line: usize, problem: String| TraceError {
        line: line + 1,
        problem,
    };
    let (first, header) = lines.next().ok_or_else(|| {
        wrong(
            0,
            "the trace is empty; its first line is arrival_ms,tokens,deadline_ms,priority"
                .to_owned(),
        )
    })?;
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let column = |name: &str| names.iter().position(|found| *found == name);
    let required = |name: &str| {
        column(name).ok_or_else(|| {
            let problem = format!(
                "column {name} is missing; the columns are \
                 arrival_ms,tokens,deadline_ms,priority"
            );
            wrong(first, problem)
        })
    };
    let (arrival, tokens, deadline, priority, flow, rows_of) = (
        required("arrival_ms")?,
        required("tokens")?,
        column("deadline_ms"),
        column("priority"),
        column("flow"),
        column("rows"),
    );

    let mut rows: Vec<(f64, u32, Option<f64>, Priority, Flow, usize)> = Vec::new();
    for (line, text) in lines {
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        let field = |column: Option<usize>| {
            column
                .and_then(|column| fields.get(column))
                .copied()
                .unwrap_or_default()
        };
        let number = |column: Option<usize>, name: &str| {
            let number = field(column)
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && *number >= 0.0);
            number.ok_or_else(|| {
                wrong(
                    line,
                    format!("{name} is {:?}, not a number of at least 0", field(column)),
                )
            })
        };
        let optional = |column: Option<usize>, name: &str| match field(column).is_empty() {
            true => Ok(None),
            false => number(column, name).map(Some),
        };
        let deadline = optional(deadline, "deadline_ms")?;
        let flow = optional(flow, "flow")?.map_or(Flow::default(), |key| {
            Flow::default().under(key as u64, Flow::USUAL_SHARE)
        });
        let rows_of = optional(rows_of, "rows")?.map_or(1, |rows| rows.max(1.0) as usize);
        let priority = match field(priority) {
            "" | "interactive" => Priority::Interactive,
            "bulk" => Priority::Bulk,
            other => {
                return Err(wrong(
                    line,
                    format!("priority is {other:?}, neither interactive nor bulk"),
                ));
            }
        };
        rows.push((
            number(Some(arrival), "arrival_ms")?,
            number(Some(tokens), "tokens")?.max(1.0) as u32,
            deadline,
            priority,
            flow,
            rows_of,
        ));
    }
    let last = rows.iter().map(|row| row.0).fold(0.0, f64::max);
    let smallest = rows
        .iter()
        .filter_map(|row| row.2)
        .fold(f64::INFINITY, f64::min);
    let absolute = last > smallest
        && rows
            .iter()
            .all(|row| row.2.is_none_or(|deadline| deadline >= row.0));
    let mut requests: Vec<Request> = rows
        .into_iter()
        .map(
            |(arrival, tokens, deadline, priority, flow, rows)| Request {
                arrival: Time::from_seconds(arrival * 1e-3),
                rows,
                tokens,
                deadline: deadline.map(|deadline| {
                    Time::from_seconds(
                        (if absolute {
                            deadline - arrival
                        } else {
                            deadline
                        }) * 1e-3,
                    )
                    .since(Time::ZERO)
                }),
                priority,
                flow,
                refused: 0,
            },
        )
        .collect();
    requests.sort_by_key(|request| request.arrival);
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arrival in milliseconds, tokens, deadline in milliseconds, priority.
    type Parts = (u64, u32, Option<u64>, Priority);

    fn check(text: &str, expected: Result<&[Parts], &str>) {
        let read = parse_trace(text).map(|requests| {
            let parts = |r: Request| {
                (
                    r.arrival.as_nanos() / 1_000_000,
                    r.tokens,
                    r.deadline.map(|d| d.as_millis() as u64),
                    r.priority,
                )
            };
            requests.into_iter().map(parts).collect::<Vec<_>>()
        });
        assert_eq!(
            read.as_deref().map_err(ToString::to_string),
            expected.map_err(str::to_owned)
        );
    }

    #[test]
    fn a_trace_is_read_or_its_first_mistake_is_named() {
        use Priority::{Bulk, Interactive};
        check(
            "arrival_ms,tokens,deadline_ms,priority\n\
             5,10,200,bulk\n1,20,,\n\n900,30,50,interactive\n",
            Ok(&[
                (1, 20, None, Interactive),
                (5, 10, Some(200), Bulk),
                (900, 30, Some(50), Interactive),
            ]),
        );
        check(
            "tokens, arrival_ms\n7, 3\n",
            Ok(&[(3, 7, None, Interactive)]),
        );
        check(
            "arrival_ms,tokens,deadline_ms\n0,1,100\n500,1,600\n",
            Ok(&[
                (0, 1, Some(100), Interactive),
                (500, 1, Some(100), Interactive),
            ]),
        );
        check(
            "",
            Err("line 1: the trace is empty; its first line is \
                 arrival_ms,tokens,deadline_ms,priority"),
        );
        check(
            "arrival_ms\n1\n",
            Err("line 1: column tokens is missing; the columns are \
                 arrival_ms,tokens,deadline_ms,priority"),
        );
        check(
            "arrival_ms,tokens\n1,x\n",
            Err("line 2: tokens is \"x\", not a number of at least 0"),
        );
        check(
            "arrival_ms,tokens,deadline_ms,priority\n1,1,,high\n",
            Err("line 2: priority is \"high\", neither interactive nor bulk"),
        );
    }
}
