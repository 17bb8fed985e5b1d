//! Every instrument, declared once. Instruments and the page `docs/metrics.md` are made from these
//! declarations, so that names, units, labels and descriptions cannot differ.

/// The kind of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A sum that goes up and down.
    UpDownCounter,
    /// The latest value.
    Gauge,
    /// A distribution, in buckets with these upper bounds.
    Histogram(Buckets),
}

/// Upper bounds of a histogram's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buckets {
    /// Durations from 100 µs to 30 s, in seconds.
    Seconds,
    /// Rows of a batch.
    Rows,
    /// Tokens of a batch.
    Tokens,
}

impl Buckets {
    /// Returns the bounds, ascending.
    pub fn bounds(self) -> &'static [f64] {
        match self {
            Self::Seconds => &[
                0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                1.0, 2.5, 5.0, 10.0, 30.0,
            ],
            Self::Rows => &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
            Self::Tokens => &[
                16.0, 64.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 65536.0,
            ],
        }
    }
}

/// The declaration of one instrument.
#[derive(Clone, Copy, Debug)]
pub struct Instrument {
    /// OpenTelemetry name, as OTLP carries it.
    pub name: &'static str,
    /// Name in Prometheus text (a histogram adds `_bucket`, `_sum` and `_count`).
    pub prometheus: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Unit in UCUM notation; a unit in braces only annotates.
    pub unit: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Description for users.
    pub description: &'static str,
}

macro_rules! instruments {
    ($(
        $id:ident:
        $kind:expr, $name:literal, $prometheus:literal,
        $unit:literal, [$($label:literal),*],
        $description:literal;
    )*) => {
        $(
            #[doc = $description]
            pub const $id: Instrument = Instrument {
                name: $name,
                prometheus: $prometheus,
                kind: $kind,
                unit: $unit,
                labels: &[$($label),*],
                description: $description,
            };
        )*
        /// Every instrument, in the order of the page.
        pub const CATALOGUE: &[Instrument] = &[$($id),*];
    };
}

instruments! {
    PIPELINE_REQUESTS:
        Kind::Counter, "motet.pipeline.requests", "motet_pipeline_requests_total",
        "{request}", ["pipeline", "surface", "code"],
        "Requests answered by a pipeline, by gRPC code; surface is typed or oip.";
    PIPELINE_ERRORS:
        Kind::Counter, "motet.pipeline.errors", "motet_pipeline_errors_total",
        "{request}", ["pipeline", "surface", "code"],
        "Requests that a pipeline answered with an error.";
    PIPELINE_DURATION:
        Kind::Histogram(Buckets::Seconds), "motet.pipeline.duration",
        "motet_pipeline_duration_seconds",
        "s", ["pipeline", "surface", "code"],
        "Time from the arrival of a request at a pipeline to its answer.";
    NODE_REQUESTS:
        Kind::Counter, "motet.node.requests", "motet_node_requests_total",
        "{request}", ["pipeline", "node", "code"],
        "Runs of a node, by gRPC code.";
    NODE_ERRORS:
        Kind::Counter, "motet.node.errors", "motet_node_errors_total",
        "{request}", ["pipeline", "node", "code"],
        "Runs of a node that failed.";
    NODE_DURATION:
        Kind::Histogram(Buckets::Seconds), "motet.node.duration", "motet_node_duration_seconds",
        "s", ["pipeline", "node", "code"],
        "Duration of a run of a node, with its calls.";
    NODE_SHADOWS:
        Kind::Counter, "motet.node.shadows", "motet_node_shadows_total",
        "{run}", ["pipeline", "node", "arm", "outcome"],
        "Runs of the shadow arms of a split, by outcome: their results are the same as those that \
         were answered, different, failed (the shadow failed), unanswered (nothing to compare \
         with) or refused (too many were running).";
    BUDGET_REFUSED:
        Kind::Counter, "motet.budget.refused", "motet_budget_refused_total",
        "{refusal}", ["pipeline"],
        "Requests and nodes that were refused because the time left was less than their recent \
         minimum.";
    NODE_RETRIES:
        Kind::Counter, "motet.node.retries", "motet_node_retries_total",
        "{call}", ["pipeline", "node"],
        "Retries of a node.";
    NODE_RETRIES_REFUSED:
        Kind::Counter, "motet.node.retries_refused", "motet_node_retries_refused_total",
        "{call}", ["pipeline", "node", "reason"],
        "Retries that a node did not make, by reason: budget (too many calls of the model were \
         retries) or deadline (the pause would have passed it).";
    NODE_HEDGES:
        Kind::Counter, "motet.node.hedges", "motet_node_hedges_total",
        "{call}", ["pipeline", "node"],
        "Hedged attempts of a node, made while an earlier attempt was slow.";
    NODE_HEDGES_WON:
        Kind::Counter, "motet.node.hedges_won", "motet_node_hedges_won_total",
        "{call}", ["pipeline", "node"],
        "Hedged attempts that answered first.";
    NODE_HEDGES_REFUSED:
        Kind::Counter, "motet.node.hedges_refused", "motet_node_hedges_refused_total",
        "{call}", ["pipeline", "node"],
        "Hedged attempts that a node did not make because the budget was spent.";
    MODEL_READY:
        Kind::Gauge, "motet.model.ready", "motet_model_ready",
        "", ["model"],
        "1 while a model in another process is ready, else 0.";
    CIRCUIT_OPEN:
        Kind::Gauge, "motet.circuit.open", "motet_circuit_open",
        "", ["model"],
        "1 while the circuit of a model or endpoint is open, else 0.";
    CIRCUIT_OPENINGS:
        Kind::Counter, "motet.circuit.openings", "motet_circuit_openings_total",
        "{opening}", ["model"],
        "Times that the circuit of a model or endpoint opened.";
    CIRCUIT_REFUSED:
        Kind::Counter, "motet.circuit.refused", "motet_circuit_refused_total",
        "{call}", ["model"],
        "Calls of a model or endpoint that failed because its circuit was open.";
    CALLS_RESENT:
        Kind::Counter, "motet.calls.resent", "motet_calls_resent_total",
        "{call}", ["model"],
        "Calls of a model or endpoint that were lost with their connection and made again at once.";
    CACHE_ROWS:
        Kind::Counter, "motet.cache.rows", "motet_cache_rows_total",
        "{row}", ["model", "result"],
        "Rows of cached calls, by result: hit (in the cache), joined (in flight for another call) \
         or miss (sent to the model).";
    CACHE_MEMORY:
        Kind::Gauge, "motet.cache.memory", "motet_cache_memory_bytes",
        "By", ["model"],
        "Memory of the cached answers, keys and bookkeeping included.";
    CACHE_EVICTIONS:
        Kind::Counter, "motet.cache.evictions", "motet_cache_evictions_total",
        "{row}", ["model"],
        "Rows evicted from a cache to free memory.";
    MODEL_INFO:
        Kind::Gauge, "motet.model.info", "motet_model_info",
        "", ["model", "task", "unit"],
        "1 for each model of this process: its task, and the unit of its rows' costs, in which \
         `motet_batch_tokens` and `motet_cost_token_seconds` count.";
    MODEL_REQUESTS:
        Kind::Counter, "motet.model.requests", "motet_model_requests_total",
        "{request}", ["model", "code"],
        "Requests answered by a model service, by gRPC code.";
    MODEL_ERRORS:
        Kind::Counter, "motet.model.errors", "motet_model_errors_total",
        "{request}", ["model", "code"],
        "Requests that a model service answered with an error.";
    MODEL_DURATION:
        Kind::Histogram(Buckets::Seconds), "motet.model.duration", "motet_model_duration_seconds",
        "s", ["model", "code"],
        "Time from the arrival of a request at a model service to its answer.";
    MODEL_ROWS_REUSED:
        Kind::Counter, "motet.model.rows_reused", "motet_model_rows_reused_total",
        "{row}", ["model"],
        "Rows that a model did not encode, since another one with the same weights just had, for \
         the same caller.";
    BATCH_ROWS:
        Kind::Histogram(Buckets::Rows), "motet.batch.rows", "motet_batch_rows",
        "{row}", ["model"],
        "Rows in each batch that a model computed.";
    BATCH_TOKENS:
        Kind::Histogram(Buckets::Tokens), "motet.batch.tokens", "motet_batch_tokens",
        "{token}", ["model"],
        "Cost of each batch that a model computed: its tokens, or the sum in another unit that \
         `motet_model_info` names.";
    BATCH_DURATION:
        Kind::Histogram(Buckets::Seconds), "motet.batch.duration", "motet_batch_duration_seconds",
        "s", ["model"],
        "Time of computing a batch.";
    BATCH_STARTS:
        Kind::Counter, "motet.batch.starts", "motet_batch_starts_total",
        "{batch}", ["model", "cause"],
        "Batches that a model computed, by the cause of their start: ready (waiting would not \
         have paid), size (full), window (the wait ended), deadline (a longer wait would have \
         made a row late), drain (shutdown), retry (part of a batch that failed) or trial (a row \
         of a call that was refused because its deadline was shorter than its work, run to \
         measure how long it takes).";
    BATCH_DELIBERATE_WAIT:
        Kind::Histogram(Buckets::Seconds), "motet.batch.deliberate_wait",
        "motet_batch_deliberate_wait_seconds",
        "s", ["model"],
        "Time that a free executor waited for further rows before each batch; 0 without a wait.";
    BATCH_BISECTIONS:
        Kind::Counter, "motet.batch.bisections", "motet_batch_bisections_total",
        "{batch}", ["model"],
        "Batches that failed and were split in half to find the row at fault.";
    BATCH_MEMORY_SPLITS:
        Kind::Counter, "motet.batch.memory_splits", "motet_batch_memory_splits_total",
        "{batch}", ["model"],
        "Batches that ran out of memory and were split in half.";
    BATCH_ROWS_FAILED:
        Kind::Counter, "motet.batch.rows_failed", "motet_batch_rows_failed_total",
        "{row}", ["model"],
        "Rows that failed with their batch.";
    WINDOW_CHOSEN:
        Kind::Histogram(Buckets::Seconds), "motet.window.chosen", "motet_window_chosen_seconds",
        "s", ["model"],
        "Planned maximum of a wait for further rows, for each batch before which an executor \
         waited.";
    WINDOW_ROWS_EXPECTED:
        Kind::Counter, "motet.window.rows_expected", "motet_window_rows_expected_total",
        "{row}", ["model"],
        "Rows that were predicted to arrive while an executor waited.";
    WINDOW_ROWS_ARRIVED:
        Kind::Counter, "motet.window.rows_arrived", "motet_window_rows_arrived_total",
        "{row}", ["model"],
        "Rows that arrived while an executor waited.";
    QUEUE_WAIT:
        Kind::Histogram(Buckets::Seconds), "motet.queue.wait", "motet_queue_wait_seconds",
        "s", ["model"],
        "Time that a row waited in the queue of a model before its batch began.";
    QUEUE_DEPTH:
        Kind::Gauge, "motet.queue.depth", "motet_queue_depth",
        "{row}", ["model"],
        "Rows in the queue of a model.";
    QUEUE_REFUSED:
        Kind::Counter, "motet.queue.refused", "motet_queue_refused_total",
        "{row}", ["model", "reason"],
        "Rows that the queue of a model refused.";
    QUEUE_EXPIRED:
        Kind::Counter, "motet.queue.expired", "motet_queue_expired_total",
        "{row}", ["model"],
        "Rows whose deadline passed, or could no longer be met, in the queue.";
    QUEUE_CANCELLED:
        Kind::Counter, "motet.queue.cancelled", "motet_queue_cancelled_total",
        "{row}", ["model"],
        "Rows whose caller disconnected while they were in the queue.";
    ARRIVAL_RATE:
        Kind::Gauge, "motet.arrival.rate", "motet_arrival_rate_per_second",
        "{row}/s", ["model"],
        "Recent arrivals of interactive rows in the queue of a model, per second.";
    COST_BATCH:
        Kind::Gauge, "motet.cost.batch", "motet_cost_batch_seconds",
        "s", ["model"],
        "Estimated time of a batch that does not depend on its size.";
    COST_TOKEN:
        Kind::Gauge, "motet.cost.token", "motet_cost_token_seconds",
        "s", ["model"],
        "Estimated time that each token, or other unit of cost, adds to a batch.";
    COST_ERROR:
        Kind::Gauge, "motet.cost.error", "motet_cost_error_ratio",
        "1", ["model"],
        "Typical relative error of a predicted batch time.";
    EXECUTORS:
        Kind::Gauge, "motet.executor.alive", "motet_executor_alive",
        "{executor}", ["model"],
        "Executors alive; a model without one answers no request.";
    EXECUTOR_CRASHES:
        Kind::Counter, "motet.executor.crashes", "motet_executor_crashes_total",
        "{crash}", ["model"],
        "Runs of a model that crashed; each time its executor is rebuilt.";
    STREAM_CONNECTED:
        Kind::Gauge, "motet.stream.connected", "motet_stream_connected",
        "", ["stream"],
        "1 while a stream takes messages from its broker, else 0.";
    STREAM_LAG:
        Kind::Gauge, "motet.stream.lag", "motet_stream_lag",
        "{message}", ["stream"],
        "Messages of a stream that the broker has not delivered yet.";
    STREAM_OLDEST:
        Kind::Gauge, "motet.stream.oldest", "motet_stream_oldest_seconds",
        "s", ["stream"],
        "Age of the oldest message of a stream that is in flight, else 0.";
    STREAM_IN_FLIGHT:
        Kind::Gauge, "motet.stream.in_flight", "motet_stream_in_flight",
        "{message}", ["stream"],
        "Messages of a stream that are held: running, waiting for another attempt, or being \
         stored.";
    STREAM_ANSWERED:
        Kind::Counter, "motet.stream.answered", "motet_stream_answered_total",
        "{message}", ["stream"],
        "Messages of a stream whose answers were stored.";
    STREAM_REDELIVERED:
        Kind::Counter, "motet.stream.redelivered", "motet_stream_redelivered_total",
        "{message}", ["stream"],
        "Deliveries of messages that had been delivered before.";
    STREAM_DEAD:
        Kind::Counter, "motet.stream.dead", "motet_stream_dead_total",
        "{message}", ["stream"],
        "Messages of a stream that were stored as dead letters.";
    STREAM_ERRORS:
        Kind::Counter, "motet.stream.errors", "motet_stream_errors_total",
        "{error}", ["stream", "kind"],
        "Errors of a stream, by kind: attempt (a message had no answer), store (a letter was not \
         stored), acknowledge (the broker did not confirm one) or pull (the broker gave none).";
    WORKER_ROWS:
        Kind::Counter, "motet.worker.rows", "motet_worker_rows_total",
        "{row}", ["pipeline", "outcome"],
        "Rows that a worker of a batch has done, by outcome: answered, degraded (a part of the \
         answer is a substitute) or failed (the row has an error).";
    WORKER_ROWS_PLANNED:
        Kind::Gauge, "motet.worker.rows_planned", "motet_worker_rows_planned",
        "{row}", ["pipeline"],
        "Rows that a worker of a batch has to do, without those that were done before it began.";
    WORKER_UNITS:
        Kind::Counter, "motet.worker.units", "motet_worker_units_total",
        "{unit}", ["pipeline", "outcome"],
        "Units of a worker of a batch that are written, by outcome: written (by itself) or lost \
         (another worker was first).";
    WORKER_UNITS_PLANNED:
        Kind::Gauge, "motet.worker.units_planned", "motet_worker_units_planned",
        "{unit}", ["pipeline"],
        "Units that a worker of a batch has to write, without those that were there before.";
    WORKER_TOKENS:
        Kind::Counter, "motet.worker.tokens", "motet_worker_tokens_total",
        "{token}", ["pipeline"],
        "Tokens that were computed for a worker of a batch, where the server says so.";
    WORKER_CALLS_FAILED:
        Kind::Counter, "motet.worker.calls_failed", "motet_worker_calls_failed_total",
        "{call}", ["pipeline"],
        "Calls of a worker of a batch that failed, those included that were tried again.";
    WORKER_IN_FLIGHT:
        Kind::Gauge, "motet.worker.in_flight", "motet_worker_in_flight",
        "{call}", ["pipeline"],
        "Calls in flight of a worker of a batch.";
    WORKER_IN_FLIGHT_MAX:
        Kind::Gauge, "motet.worker.in_flight_max", "motet_worker_in_flight_max",
        "{call}", ["pipeline"],
        "Limit of the calls in flight of a worker of a batch, as stated or found out.";
    WORKER_RATE:
        Kind::Gauge, "motet.worker.rate", "motet_worker_rate_per_second",
        "{row}/s", ["pipeline"],
        "Rows a second of a worker of a batch, since it began.";
    WORKER_LEFT:
        Kind::Gauge, "motet.worker.left", "motet_worker_left_seconds",
        "s", ["pipeline"],
        "Time that the rest of a worker of a batch takes at its rate.";
    SERVER_IN_FLIGHT:
        Kind::UpDownCounter, "motet.server.in_flight", "motet_server_in_flight",
        "{request}", [],
        "Requests in flight on the gRPC port, those inside streams among them, without health and \
         reflection.";
    SERVER_STREAMS:
        Kind::UpDownCounter, "motet.server.streams", "motet_server_streams",
        "{stream}", ["kind"],
        "Open streams on the gRPC port: requests (each is a call with many requests) or watches \
         (health watches and reflection).";
    SERVER_BYTES_IN_FLIGHT:
        Kind::Gauge, "motet.server.bytes_in_flight", "motet_server_bytes_in_flight_bytes",
        "By", [],
        "Bytes of requests and answers that the gRPC port holds: received, decoded, or not yet \
         taken by a client.";
    SERVER_REFUSED:
        Kind::Counter, "motet.server.refused", "motet_server_refused_total",
        "{request}", ["reason"],
        "Calls and requests of streams refused before they reached a handler, by the limit: \
         concurrency, streams, watches (in all), with the prefix connection_ (of a connection), \
         with the prefix principal_ (of a principal: concurrency, requests_per_second, \
         tokens_per_second), or bytes.";
    AUTH_REFUSED:
        Kind::Counter, "motet.auth.refused", "motet_auth_refused_total",
        "{call}", ["reason"],
        "Calls whose credentials were not accepted: missing, malformed, unknown_key, expired_key, \
         unknown_certificate, bad_token (no token, or signed by no key), expired_token or \
         wrong_token (of another issuer, for another audience, or not valid yet).";
    AUTH_RELOAD_ERRORS:
        Kind::Counter, "motet.auth.reload_errors", "motet_auth_reload_errors_total",
        "{error}", ["file"],
        "Versions of the keys file (keys) or the key set of tokens (jwks) that could not be used; \
         those of before stay.";
    AUDIT_LOST:
        Kind::Counter, "motet.audit.lost", "motet_audit_lost_total",
        "{line}", [],
        "Lines of the audit that could not be written.";
    SERVER_CUT:
        Kind::Counter, "motet.server.cut", "motet_server_cut_total",
        "{event}", ["reason"],
        "Calls and connections that the server ended: slow_reader (a call whose client took \
         nothing of the answer for `write_timeout`), slow_connection (a connection with answers \
         that its client does not take), resets (a connection whose client reset more than \
         `max_resets_per_second` for long) or idle_connection (a connection that made room for \
         another).";
    SERVER_SLOWED:
        Kind::Counter, "motet.server.slowed", "motet_server_slowed_total",
        "{event}", [],
        "Pauses in reading connections whose clients reset more calls than \
         `max_resets_per_second`.";
    SERVER_CONNECTIONS:
        Kind::UpDownCounter, "motet.server.connections", "motet_server_connections",
        "{connection}", [],
        "Open connections of the gRPC port.";
    SERVER_HANDSHAKES:
        Kind::Counter, "motet.server.handshakes", "motet_server_handshakes_total",
        "{handshake}", ["result"],
        "TLS handshakes of the gRPC port, by result: ok, plain_text (the client did not speak \
         TLS), timeout, no_certificate (the client has none), certificate (the client's is not \
         accepted), refused (the client does not accept the server's, says its alert), protocol \
         (no version, cipher or protocol in common), closed (the client went away) or other.";
    SERVER_INSECURE:
        Kind::Gauge, "motet.server.insecure", "motet_server_insecure",
        "", ["port"],
        "1 while strangers may reach a port that lacks TLS or authentication, which `insecure` \
         allows, else 0.";
    TLS_EXPIRY:
        Kind::Gauge, "motet.tls.certificate_expiry", "motet_tls_certificate_expiry_seconds",
        "s", ["certificate"],
        "Time at which a certificate in use expires, in seconds since 1970; certificate is server, \
         that of the ports.";
    TLS_READ:
        Kind::Counter, "motet.tls.files_read", "motet_tls_files_read_total",
        "{change}", ["certificate", "result"],
        "Changes of TLS files while the process runs, by result: ok, or failed (they cannot be \
         used, and those from before stay in use).";
    SERVER_PANICS:
        Kind::Counter, "motet.server.panics", "motet_server_panics_total",
        "{panic}", ["task"],
        "Panics, which are bugs, by the task that they ended: handler (its caller got INTERNAL), \
         call (its stream was reset) or connection (it was closed).";
    RELOADS:
        Kind::Counter, "motet.reloads", "motet_reloads_total",
        "{reload}", [],
        "Changes of watched files that were taken (`--watch`).";
    RELOAD_ERRORS:
        Kind::Counter, "motet.reload.errors", "motet_reload_errors_total",
        "{reload}", [],
        "Changes of watched files that were refused; what was served before goes on (`--watch`).";
    BUILD_INFO:
        Kind::Gauge, "motet.build.info", "motet_build_info",
        "", ["service", "version"],
        "Always 1; the labels have service and version.";
    PROCESS_MEMORY:
        Kind::Gauge, "motet.process.memory", "motet_process_memory_bytes",
        "By", [],
        "Resident memory of the process (Linux only).";
}
