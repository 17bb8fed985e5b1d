//! An answer, for people or as JSON.

use std::fmt::Write;

use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions, Value};

/// Returns the answer as JSON, with the names of the pipeline file.
pub(super) fn json(answer: &DynamicMessage) -> anyhow::Result<String> {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut out);
    let options = SerializeOptions::new().use_proto_field_name(true);
    answer.serialize_with_options(&mut serializer, &options)?;
    Ok(String::from_utf8(out)?)
}

/// Returns the answer for people: one line for each field, and for each item of a list. The receipt
/// comes last, if there is one.
pub(super) fn text(answer: &DynamicMessage) -> String {
    let mut out = String::new();
    let mut receipt = None;
    for (field, value) in answer.fields() {
        match (field.name(), value) {
            ("receipt", Value::Message(message)) => {
                receipt = motet_proto::v1::Receipt::decode(message.encode_to_vec().as_slice()).ok();
            }
            (name, Value::List(items)) => {
                let _ = writeln!(out, "{name}: {}", items.len());
                for (at, item) in items.iter().enumerate() {
                    let _ = writeln!(out, "{:>3}  {}", at + 1, line(item));
                }
            }
            (name, value) => {
                let _ = writeln!(out, "{name}: {}", line(value));
            }
        }
    }
    if out.is_empty() {
        out.push_str("(an empty answer)\n");
    }
    if let Some(receipt) = receipt {
        write_receipt(&mut out, &receipt);
    }
    out
}

/// Returns a value on one line.
fn line(value: &Value) -> String {
    match value {
        Value::String(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Value::F32(x) => format!("{x:.4}"),
        Value::F64(x) => format!("{x:.4}"),
        Value::Bool(b) => b.to_string(),
        Value::I32(n) => n.to_string(),
        Value::I64(n) => n.to_string(),
        Value::U32(n) => n.to_string(),
        Value::U64(n) => n.to_string(),
        Value::Bytes(bytes) => format!("({} bytes)", bytes.len()),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(line).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Message(message) => message
            .fields()
            .map(|(field, value)| format!("{} {}", field.name(), line(value)))
            .collect::<Vec<_>>()
            .join("  "),
        Value::EnumNumber(n) => n.to_string(),
        Value::Map(map) => format!("({} entries)", map.len()),
    }
}

/// Returns what else happened at a node: cached rows, retries, hedges, degradation.
fn notes(node: &motet_proto::v1::NodeReceipt) -> String {
    let mut notes = String::new();
    for (count, what) in [
        (node.cache_hits, "cached"),
        (node.cache_joined, "joined"),
        (node.retries, "retries"),
        (node.hedges, "hedges"),
    ] {
        if count > 0 {
            let _ = write!(notes, "  {what}: {count}");
        }
    }
    if node.hedge_won {
        notes.push_str(" (won)");
    }
    if node.circuit_open {
        notes.push_str("  circuit open");
    }
    if !node.degraded.is_empty() {
        let _ = write!(notes, "  degraded: {}", node.degraded);
    }
    notes
}

fn write_receipt(out: &mut String, receipt: &motet_proto::v1::Receipt) {
    let ms = |d: &Option<prost_types::Duration>| {
        let d = d.unwrap_or_default();
        d.seconds as f64 * 1e3 + f64::from(d.nanos) / 1e6
    };
    let _ = writeln!(out, "\n{:.1} ms in total; times in ms:", ms(&receipt.total));
    let _ = writeln!(
        out,
        "  {:<16} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6}",
        "node", "start", "total", "queue", "compute", "other", "rows", "batch"
    );
    for node in &receipt.nodes {
        let _ = writeln!(
            out,
            "  {:<16} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>6} {:>6}{}",
            node.node,
            ms(&node.started),
            ms(&node.total),
            ms(&node.queue),
            ms(&node.compute),
            ms(&node.network),
            node.rows,
            node.batch_rows,
            notes(node)
        );
    }
    let _ = writeln!(
        out,
        "  critical path: {}",
        receipt.critical_path.join(" > ")
    );
    if let Some(usage) = &receipt.usage {
        let tokens = (usage.tokens > 0 || usage.costs.is_empty())
            .then(|| format!("{} tokens", usage.tokens));
        let others = usage.costs.iter();
        let others = others.map(|of| format!("{} {}", of.cost, of.unit));
        let costs: Vec<String> = tokens.into_iter().chain(others).collect();
        let _ = writeln!(
            out,
            "  used: {:.1} ms of threads that serve, {:.1} ms of threads that compute, {}, {} bytes \
             in, {} bytes out",
            ms(&usage.runtime),
            ms(&usage.pool),
            costs.join(", "),
            usage.bytes_received,
            usage.bytes_sent
        );
    }
    if !receipt.trace_id.is_empty() {
        let _ = writeln!(out, "  trace: {}", receipt.trace_id);
    }
}
