//! onnxruntime in a process of its own, asked over its standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::Error;

pub(crate) struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    pub(crate) fn start(python: &str, model: &str) -> Result<Self, Error> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/onnxruntime_speed.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(model)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {python}: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipes".into());
        };
        let output = BufReader::new(output);
        Ok(Self {
            child,
            input,
            output,
        })
    }

    /// Returns the shortest time for rows of so many tokens, in seconds.
    pub(crate) fn best_seconds(&mut self, lens: &[usize], time: Duration) -> Result<f64, Error> {
        let lens: Vec<String> = lens.iter().map(usize::to_string).collect();
        writeln!(self.input, "{} {}", time.as_secs_f64(), lens.join(" "))?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        Ok(answer
            .trim()
            .parse()
            .map_err(|_| "onnxruntime gave no answer; see its messages above")?)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
