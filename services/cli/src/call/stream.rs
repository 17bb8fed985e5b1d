//! `motet call --stream`: a request for each line of standard input, over one stream.

use std::error::Error;
use std::io::{BufRead, IsTerminal, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use motet_runtime::status::{self, unavailable};
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};

use super::ask_for_receipt;
use super::lines::{LineError, Lines};
use crate::client::PipelineClient;
use crate::output;
use crate::rows;

/// Number of a message's field with the identity of a request.
const REQUEST_ID: u32 = 16_001;
/// Number of a response's field with the error of its request.
const ERROR: u32 = 16_002;
/// Most bytes of a line.
const LINE_BYTES_MAX: u64 = 256 << 20;
/// Lines that are read ahead.
const READ_AHEAD: usize = 64;
/// Key of an answer's line with its receipt.
const RECEIPT: &str = "receipt";
/// Key of an error's details with the node that failed.
const NODE: &str = "node";
/// Pause between two lines of progress on a terminal.
const PROGRESS: Duration = Duration::from_millis(500);

/// A line of standard input.
enum Line {
    Text(String),
    /// A line that cannot be read, with the reason; others follow.
    Unreadable(String),
    /// The reason why nothing further can be read.
    End(String),
}

/// Lines and their results, shared by those who send and print.
type Shared = Arc<Mutex<Lines>>;

/// Sends each line as a request and prints each answer as a line.
///
/// # Errors
/// When the server refuses the stream, or a line has no answer.
pub(super) async fn run(
    pipeline: PipelineClient,
    receipt: bool,
    ordered: bool,
) -> anyhow::Result<()> {
    let lines: Shared = Arc::new(Mutex::new(Lines::new(ordered)));
    let (requests, to_send) = mpsc::channel(1);
    let (failures, mut failed) = mpsc::channel(READ_AHEAD);
    let feed = feed(
        read_lines(),
        pipeline.clone(),
        lines.clone(),
        requests,
        failures,
    );
    let feeding = tokio::spawn(feed);
    let mut request = Request::new(ReceiverStream::new(to_send));
    if receipt {
        ask_for_receipt(&mut request);
    }
    let answers = pipeline.run_stream(request).await;
    let mut answers = answers.map_err(|status| crate::connection::refusal(&status))?;
    let began = Instant::now();
    let mut progress = tokio::time::interval(PROGRESS);
    let is_shown = std::io::stderr().is_terminal();
    let mut lost = None;
    let mut reading = true;
    while lost.is_none() || reading {
        tokio::select! {
            answer = answers.message(), if lost.is_none() => match answer {
                Ok(Some(answer)) => output::print(&result(&lines, &answer)?)?,
                Ok(None) => lost = Some(unavailable("the server ended the stream").into()),
                Err(status) => {
                    lost = Some(status);
                    // Nothing that would still be read can be sent.
                    feeding.abort();
                }
            },
            failure = failed.recv(), if reading => match failure {
                Some((line, error)) => output::print(&lock(&lines).failed(line, &error))?,
                None => reading = false,
            },
            _ = progress.tick(), if is_shown => eprint!("\r{}", counts(&lines, began)),
        }
    }
    let lost = lost.unwrap_or_else(|| unavailable("the stream ended").into());
    let unanswered = lock(&lines).in_flight();
    for line in &unanswered {
        output::print(&lock(&lines).failed(*line, &error_of(&lost)))?;
    }
    if is_shown {
        eprint!("\r");
    }
    eprintln!("{}", counts(&lines, began));
    let (answers, errors) = {
        let lines = lock(&lines);
        (lines.answers, lines.errors)
    };
    if !unanswered.is_empty() {
        bail!(
            "the stream broke: {}; lines after those printed were not sent",
            lost.message()
        );
    }
    if errors > 0 {
        bail!("{errors} of {} lines have no answer", answers + errors);
    }
    Ok(())
}

/// Returns the progress as a text.
fn counts(lines: &Shared, began: Instant) -> String {
    let lines = lock(lines);
    let seconds = began.elapsed().as_secs_f64();
    let rate = (lines.answers + lines.errors) as f64 / seconds.max(1e-3);
    format!(
        "{} answers, {} errors, {seconds:.1} s, {rate:.0} lines/s",
        lines.answers, lines.errors
    )
}

/// Reads standard input on a thread of its own: a read that waits for more cannot be ended.
fn read_lines() -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        while let Some(line) = read_line(&mut input) {
            let is_end = matches!(line, Line::End(_));
            if sender.blocking_send(line).is_err() || is_end {
                return;
            }
        }
    });
    receiver
}

/// Reads a line; `None` after the last one.
fn read_line(input: &mut impl BufRead) -> Option<Line> {
    let mut bytes = Vec::new();
    let mut limited = input.take(LINE_BYTES_MAX + 1);
    Some(match limited.read_until(b'\n', &mut bytes) {
        Ok(0) => return None,
        Ok(read) if read as u64 > LINE_BYTES_MAX => Line::End(format!(
            "it has more bytes than the limit of {LINE_BYTES_MAX}"
        )),
        Ok(_) => match String::from_utf8(bytes) {
            Ok(text) => Line::Text(text),
            Err(error) => Line::Unreadable(format!("not UTF-8: {}", error.utf8_error())),
        },
        Err(error) => Line::End(format!("standard input cannot be read: {error}")),
    })
}

/// Sends requests until there are no more lines, or the stream has ended.
async fn feed(
    mut input: mpsc::Receiver<Line>,
    pipeline: PipelineClient,
    lines: Shared,
    requests: mpsc::Sender<DynamicMessage>,
    failures: mpsc::Sender<(u64, LineError)>,
) {
    let mut number = 0;
    while let Some(line) = input.recv().await {
        number += 1;
        let request = match line {
            Line::Text(text) if text.trim().is_empty() => {
                lock(&lines).skip(number);
                continue;
            }
            Line::Text(text) => lock(&lines)
                .read(number, &text)
                .and_then(|inputs| message(&pipeline, number, inputs)),
            Line::Unreadable(why) | Line::End(why) => {
                lock(&lines).begin(number);
                Err(LineError::of_input(format!("line {number}: {why}")))
            }
        };
        let passed_on = match request {
            Ok(request) => requests.send(request).await.is_ok(),
            Err(error) => failures.send((number, error)).await.is_ok(),
        };
        if !passed_on {
            return;
        }
    }
}

/// Returns the request of a line.
fn message(
    pipeline: &PipelineClient,
    line: u64,
    inputs: Map<String, Value>,
) -> Result<DynamicMessage, LineError> {
    let message = pipeline.message(rows::inputs(&pipeline.input(), inputs));
    let mut message =
        message.map_err(|error| LineError::of_input(format!("line {line}: {error}")))?;
    message.set_field_by_number(REQUEST_ID, prost_reflect::Value::String(line.to_string()));
    Ok(message)
}

/// Returns what is printed for a response.
fn result(lines: &Shared, response: &DynamicMessage) -> anyhow::Result<String> {
    let id = response.get_field_by_number(REQUEST_ID);
    let line = id.and_then(|id| id.as_str()?.parse().ok());
    let line = line.context("an answer has the `request_id` of no request")?;
    if response.has_field_by_number(ERROR)
        && let Some(error) = response.get_field_by_number(ERROR)
        && let Some(error) = error.as_message()
    {
        let status = status::of_message(&error.encode_to_vec());
        return Ok(lock(lines).failed(line, &error_of(&status)));
    }
    let mut answer = rows::answer(response).map_err(|failure| anyhow!("{failure}"))?;
    let receipt = rows::receipt(response).map_err(|failure| anyhow!("{failure}"))?;
    let receipt = receipt.map(|receipt| (RECEIPT.to_owned(), receipt));
    answer.outputs.extend(receipt);
    Ok(lock(lines).answered(line, answer.outputs))
}

/// Returns the error of a line whose request has this status.
fn error_of(status: &Status) -> LineError {
    // A status with a cause was made on this side, of a connection that broke.
    let code = match status.source() {
        Some(_) => Code::Unavailable,
        None => status.code(),
    };
    LineError {
        code: status::code_name(code),
        message: status.message().to_owned(),
        node: status::read(status).metadata.get(NODE).cloned(),
    }
}

fn lock(lines: &Shared) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_not_text_are_told_and_the_others_read() {
        let mut input: &[u8] = b"{}\n\xff\n\nlast";
        let mut found = Vec::new();
        while let Some(line) = read_line(&mut input) {
            found.push(match line {
                Line::Text(text) => text,
                Line::Unreadable(why) | Line::End(why) => why,
            });
        }
        let invalid = "not UTF-8: invalid utf-8 sequence of 1 bytes from index 0";
        assert_eq!(found, ["{}\n", invalid, "\n", "last"]);
    }
}
