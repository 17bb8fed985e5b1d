//! The reasons of motet's errors: for each its gRPC code, who is at fault, and if a retry helps.
//!
//! `docs/errors.md` is generated from this table; see [`page`](super::page).

use tonic::Code;

/// Who has to act for the error to go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller: the request is wrong, too large, or asks for something that is not served.
    Caller,
    /// The author of the pipeline.
    Author,
    /// The operator: the configuration or the machine.
    Operator,
    /// No one in particular: there is more load than capacity.
    Load,
    /// A model or a service behind this server.
    Service,
    /// motet itself: a bug.
    Motet,
}

impl Fault {
    /// The phrase for it on the documentation page.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Caller => "the caller",
            Self::Author => "the author of the pipeline",
            Self::Operator => "the operator of the server",
            Self::Load => "load: the server has more to do than it can",
            Self::Service => "the model or service that was called",
            Self::Motet => "motet (a bug: please report it)",
        }
    }
}

/// The outlook of a retry of the same call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same error.
    No,
    /// Possibly an answer, after the delay of `RetryInfo` or, without one, a growing pause.
    Later,
    /// An answer from another server.
    Elsewhere,
    /// Possibly an answer, if it is given more time.
    WithMoreTime,
}

impl Retry {
    /// `true` if repeating the call unchanged, against any server, can succeed.
    pub const fn helps(self) -> bool {
        matches!(self, Self::Later | Self::Elsewhere)
    }

    /// `true` if repeating the call can succeed when it is given a delay or more time.
    pub(super) const fn helps_in_time(self) -> bool {
        matches!(self, Self::Later | Self::WithMoreTime)
    }

    /// The phrase for it on the documentation page.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::No => "does not help",
            Self::Later => "helps, after the delay of `RetryInfo` or with growing pauses",
            Self::Elsewhere => "helps, at another server",
            Self::WithMoreTime => "helps with a longer deadline",
        }
    }
}

/// A row of the table.
struct Entry {
    name: &'static str,
    code: Code,
    fault: Fault,
    retry: Retry,
    meaning: &'static str,
    fix: &'static str,
}

macro_rules! reasons {
    ($($reason:ident = $name:literal: $code:ident, $fault:ident, $retry:ident,
        $meaning:literal, $fix:literal;)*) => {
        /// Why a call failed: `ErrorInfo.reason` on the wire.
        ///
        /// ```
        /// use motet_runtime::status::{Reason, Retry, StatusBuilder};
        ///
        /// let status = StatusBuilder::new(Reason::QueueFull, "1,024 calls wait already").build();
        /// assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        /// assert_eq!(Reason::of(&status), Some(Reason::QueueFull));
        /// assert_eq!(Reason::QueueFull.retry(), Retry::Later);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $reason,)*
        }

        impl Reason {
            /// Every reason, in the order of their names on the wire.
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            const fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$reason => &Entry {
                        name: $name,
                        code: Code::$code,
                        fault: Fault::$fault,
                        retry: Retry::$retry,
                        meaning: $meaning,
                        fix: $fix,
                    },)*
                }
            }
        }
    };
}

impl Reason {
    /// The name on the wire, in UPPER_SNAKE_CASE.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// The gRPC code of every error with this reason.
    pub const fn code(self) -> Code {
        self.entry().code
    }

    /// Who has to act.
    pub const fn fault(self) -> Fault {
        self.entry().fault
    }

    /// Describes the outlook for the page of errors.
    pub const fn retry(self) -> Retry {
        self.entry().retry
    }

    /// One sentence: what happened.
    pub const fn meaning(self) -> &'static str {
        self.entry().meaning
    }

    /// One sentence: what makes the error go away.
    pub const fn fix(self) -> &'static str {
        self.entry().fix
    }

    /// The reason with this name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.name() == name)
    }

    /// The reason of an error that motet made; `None` for errors of other servers.
    pub fn of(status: &tonic::Status) -> Option<Self> {
        let details = super::read(status);
        match details.domain == super::DOMAIN {
            true => Self::from_name(&details.reason),
            false => None,
        }
    }

    /// Returns the reason of an error of which only the code is known: an error of a service
    /// that sends no details.
    pub const fn from_code(code: Code) -> Self {
        match code {
            Code::Cancelled => Self::Cancelled,
            Code::Ok | Code::Unknown => Self::Unknown,
            Code::InvalidArgument => Self::InvalidArgument,
            Code::DeadlineExceeded => Self::DeadlineExceeded,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::PermissionDenied => Self::PermissionDenied,
            Code::ResourceExhausted => Self::ResourceExhausted,
            Code::FailedPrecondition => Self::FailedPrecondition,
            Code::Aborted => Self::Aborted,
            Code::OutOfRange => Self::OutOfRange,
            Code::Unimplemented => Self::Unimplemented,
            Code::Internal => Self::Internal,
            Code::Unavailable => Self::Unavailable,
            Code::DataLoss => Self::DataLoss,
            Code::Unauthenticated => Self::Unauthenticated,
        }
    }
}

reasons! {
    Aborted = "ABORTED": Aborted, Service, Later,
        "A service that was called gave up a conflict and sent no reason.",
        "Repeat the call; if it fails again, read the message and the service's own log.";
    AdminElsewhere = "ADMIN_ELSEWHERE": PermissionDenied, Caller, No,
        "The address that was called does not change the server.",
        "Call the address of `server.admin`.";
    AlreadyExists = "ALREADY_EXISTS": AlreadyExists, Service, No,
        "A service that was called has this already and sent no reason.",
        "Read the message: it is the service's own.";
    AuditUnavailable = "AUDIT_UNAVAILABLE": Unavailable, Operator, Later,
        "The audit cannot be written, and `audit.required` says that nothing is answered then.",
        "Make room for the audit file, or mend its folder; see the server's log.";
    BadAnswer = "BAD_ANSWER": Internal, Service, No,
        "A model or service answered something else than its signature promises.",
        "Mend or redeploy the model or service that `node` or `model` names, or load the pipeline \
         again if its signature has changed.";
    BadModel = "BAD_MODEL": InvalidArgument, Caller, No,
        "The configuration of a model has mistakes, which the message lists.",
        "Correct them; `motet check FILE` shows the same reports with the lines of the file.";
    BadPipeline = "BAD_PIPELINE": InvalidArgument, Author, No,
        "The text of a pipeline has mistakes, which the message lists.",
        "Correct them; `motet check FILE` shows the same reports with the lines of the file.";
    BadTensor = "BAD_TENSOR": InvalidArgument, Author, No,
        "A value that only exists while the request runs does not fit the port it goes to.",
        "Look at the node that `node` names: send the pipeline other input, or convert the value \
         before that node.";
    Cancelled = "CANCELLED": Cancelled, Caller, No,
        "The call was cancelled before it was answered.",
        "Nothing, where the caller cancelled it; else look for a proxy that closes connections.";
    CircuitOpen = "CIRCUIT_OPEN": Unavailable, Service, Later,
        "A model or endpoint failed several times in a row and is not called for a while.",
        "Bring the model or endpoint back; calls to it resume by themselves.";
    DataLoss = "DATA_LOSS": DataLoss, Service, No,
        "A service that was called lost data and sent no reason.",
        "Read the message: it is the service's own.";
    DeadlineExceeded = "DEADLINE_EXCEEDED": DeadlineExceeded, Load, WithMoreTime,
        "There was no answer within the deadline of the call or the timeout of the pipeline.",
        "Give the call more time, send less in one call, or give the server more capacity; the \
         metadata names what was still running.";
    DeadlineTooShort = "DEADLINE_TOO_SHORT": DeadlineExceeded, Caller, WithMoreTime,
        "The model needs more time for the call's own rows than its deadline allows, even idle.",
        "Give the call more time than `needed_ms`, or send fewer or shorter rows in one call; \
         nothing was computed for it.";
    DeviceLost = "DEVICE_LOST": Unavailable, Operator, Elsewhere,
        "The model's device was lost while it ran this row.",
        "Look at the device, and start the process anew: it cannot use the device any more. The \
         message has the words of its driver.";
    Draining = "DRAINING": Unavailable, Operator, Elsewhere,
        "The server is shutting down and takes no new calls.",
        "Repeat the call: a load balancer sends it to another server.";
    EncodingNotSupported = "ENCODING_NOT_SUPPORTED": Unimplemented, Caller, No,
        "The messages of the call are compressed in a way that this server does not know.",
        "Send `grpc-encoding` gzip, zstd or identity, as `grpc-accept-encoding` of the answer \
         says.";
    ExpansionLimit = "EXPANSION_LIMIT": ResourceExhausted, Caller, No,
        "A message would take far more memory or work once decoded than its bytes tell.",
        "Send tensors as raw contents, with fewer tensors, parameters and fields in one message; \
         the message names the limit.";
    FailedPrecondition = "FAILED_PRECONDITION": FailedPrecondition, Caller, No,
        "The server is not in a state in which it can do this.",
        "Read the message: it names what has to be changed first.";
    Internal = "INTERNAL": Internal, Motet, No,
        "Something failed that should not, and there is no more specific reason.",
        "Look at the server's log; when the metadata names a node or model of another service, \
         look at the log of that service.";
    InvalidArgument = "INVALID_ARGUMENT": InvalidArgument, Caller, No,
        "A field of the request has a value that it cannot have.",
        "Correct the fields that `BadRequest` names.";
    MalformedMessage = "MALFORMED_MESSAGE": InvalidArgument, Caller, No,
        "The bytes of the request are not a valid Protobuf message of the method's type.",
        "Generate the client from this server's own `.proto` files (`motet proto`, or reflection).";
    MessageTooLarge = "MESSAGE_TOO_LARGE": ResourceExhausted, Caller, No,
        "A request or an answer has more bytes than the limit, after decompression.",
        "Send several smaller calls, ask for fewer outputs, or raise `max_message_bytes`.";
    ModelsAreFixed = "MODELS_ARE_FIXED": FailedPrecondition, Caller, No,
        "The model runs in another process, or this server does not load and unload models.",
        "Load or unload it where it runs, or change the configuration and restart the process.";
    ModelCrashed = "MODEL_CRASHED": Unavailable, Motet, Later,
        "The model's code panicked on this row; it goes on with other rows.",
        "Look at the server's log, and report the panic with the row that caused it.";
    ModelDied = "MODEL_DIED": Unavailable, Motet, Elsewhere,
        "The thread that runs the model ended and could not be started again.",
        "Look at the server's log and restart the process.";
    ModelFailed = "MODEL_FAILED": Internal, Service, No,
        "The model could not compute this row.",
        "Look at the message and the server's log; other rows are not affected.";
    ModelInUse = "MODEL_IN_USE": FailedPrecondition, Caller, No,
        "Pipelines call the model, and could not do so after the change.",
        "Unload the pipelines that the message names, or load them anew for the changed model.";
    ModelLoading = "MODEL_LOADING": Unavailable, Operator, Later,
        "The model is being loaded.",
        "Call again when it is ready, as health and `ModelReady` say.";
    ModelNotFound = "MODEL_NOT_FOUND": NotFound, Caller, No,
        "No model has this name here.",
        "Use one of the names that the message lists.";
    ModelNotLoaded = "MODEL_NOT_LOADED": FailedPrecondition, Operator, No,
        "The model cannot be loaded on this machine: its weights cannot be read or do not fit.",
        "Read the message: it names the file or the limit. What ran before goes on.";
    ModelStuck = "MODEL_STUCK": Unavailable, Service, Elsewhere,
        "A batch on the model's device or thread runs many times longer than it should.",
        "Look at the device and the server's log; the model serves again once the batch ends.";
    NameTaken = "NAME_TAKEN": AlreadyExists, Caller, No,
        "The name is in use already.",
        "Choose another name, or unload what has it.";
    NotAuthenticated = "NOT_AUTHENTICATED": Unauthenticated, Caller, No,
        "The call has no credentials, or none that the server accepts.",
        "Send `authorization: Bearer KEY` with a key that the server has; its operator sees in \
         log and metrics why one was not accepted.";
    NotEnoughMemory = "NOT_ENOUGH_MEMORY": ResourceExhausted, Operator, No,
        "The model would not fit into the memory that the process may use; it was not read.",
        "Take `dtype: int8` or a smaller model, unload others, run it on another machine, or raise \
         the limit: the message has what is needed and what there is.";
    NotFound = "NOT_FOUND": NotFound, Service, No,
        "A service that was called does not have what was asked for and sent no reason.",
        "Read the message: it is the service's own.";
    NotPermitted = "NOT_PERMITTED": PermissionDenied, Caller, No,
        "The credentials of the call do not permit it.",
        "Ask whoever runs the server for the grant that the message names.";
    OpFailed = "OP_FAILED": Internal, Author, No,
        "An operation inside the gateway cannot be applied to the values it got.",
        "Look at the node that `node` names, and at the nodes its values come from.";
    OutOfMemory = "OUT_OF_MEMORY": ResourceExhausted, Operator, No,
        "The device has too little memory for this row alone.",
        "Send a shorter text, or give the model a device with more memory.";
    OutOfRange = "OUT_OF_RANGE": OutOfRange, Service, No,
        "A service that was called was asked for something past an end and sent no reason.",
        "Read the message: it is the service's own.";
    OverLimit = "OVER_LIMIT": ResourceExhausted, Caller, No,
        "The request asks for more than a limit of the pipeline allows.",
        "Send less in one call, or raise the limit that the message names.";
    Panic = "PANIC": Internal, Motet, No,
        "The server's code panicked on this request; it goes on with others.",
        "Look at the server's log, and report the panic with the request that caused it.";
    PermissionDenied = "PERMISSION_DENIED": PermissionDenied, Service, No,
        "A service that was called does not permit this and sent no reason.",
        "Give the gateway the rights at that service, or ask for something else.";
    PipelineNotFound = "PIPELINE_NOT_FOUND": NotFound, Caller, No,
        "No pipeline has this name here.",
        "Use one of the names that the message lists, or load the pipeline.";
    QueueFull = "QUEUE_FULL": ResourceExhausted, Load, Later,
        "The model's queue holds as many rows as `max_queue_size` allows.",
        "Call less often, add capacity, or raise `max_queue_size` if a longer wait is acceptable.";
    QuotaExceeded = "QUOTA_EXCEEDED": ResourceExhausted, Caller, Later,
        "The holder of the credentials is at one of its limits.",
        "Call again after the delay of `RetryInfo`, or ask whoever runs the server for more.";
    RepositoryName = "REPOSITORY_NAME": Unimplemented, Caller, No,
        "A repository was named, but there is only one and it has no name.",
        "Leave `repository_name` empty.";
    RequestTooSlow = "REQUEST_TOO_SLOW": DeadlineExceeded, Caller, Later,
        "The bytes of the request did not arrive in time after its headers.",
        "Send the message at once after the headers; look at the network if that is the case.";
    ResourceExhausted = "RESOURCE_EXHAUSTED": ResourceExhausted, Load, Later,
        "A limit is reached that the message names.",
        "Where there is a `RetryInfo`, call again after its delay; else send less in one call.";
    ResultNotFinite = "RESULT_NOT_FINITE": Internal, Service, No,
        "A model computed a number that is infinite or none (NaN) for a row of the call.",
        "Look at the row and the model: its weights may be broken, or its `dtype` too small.";
    ServiceNotFound = "SERVICE_NOT_FOUND": NotFound, Caller, No,
        "Health knows no service of this name.",
        "Ask for the health of a model or pipeline by its name, or of the server by an empty name.";
    TextTooLong = "TEXT_TOO_LONG": ResourceExhausted, Caller, No,
        "A text has more bytes than the model takes.",
        "Split the text.";
    TooLittleTime = "TOO_LITTLE_TIME": DeadlineExceeded, Caller, WithMoreTime,
        "The call's deadline leaves less time than the pipeline recently needed at the least.",
        "Give the call more time; nothing was computed for it.";
    TooManyBytes = "TOO_MANY_BYTES": ResourceExhausted, Load, Later,
        "The server holds as many bytes of requests and answers as `max_bytes_in_flight` allows, \
         or the connection has its share of them.",
        "Call again after the delay of `RetryInfo`, take answers as they come, send less at a \
         time, or raise `max_bytes_in_flight`.";
    TooManyPipelines = "TOO_MANY_PIPELINES": ResourceExhausted, Operator, No,
        "The gateway serves as many pipelines as it can.",
        "Unload one that is not needed, or start another gateway.";
    TooManyRequests = "TOO_MANY_REQUESTS": ResourceExhausted, Load, Later,
        "The server works on as many requests as `max_concurrent_requests` allows, or the \
         connection has its share of them.",
        "Call less often, add servers, or raise the limit that the message names.";
    TooManyRows = "TOO_MANY_ROWS": ResourceExhausted, Caller, No,
        "The call has more rows than the model takes in one call.",
        "Send several calls.";
    TooManyStreams = "TOO_MANY_STREAMS": ResourceExhausted, Load, Later,
        "As many streams of requests are open as `max_request_streams` allows, in all or of the \
         connection.",
        "Send more requests over each stream, close idle ones, or raise the limit that the message \
         names.";
    TooManyTokens = "TOO_MANY_TOKENS": ResourceExhausted, Caller, No,
        "The texts of the call have more tokens than may be answered with a vector each.",
        "Send several calls.";
    TooManyWatches = "TOO_MANY_WATCHES": ResourceExhausted, Load, Later,
        "As many health watches and reflection streams are open as `max_watches` allows, in all or \
         of the connection.",
        "Close those that are not needed, ask with `Check` instead of `Watch`, or raise the limit \
         that the message names.";
    Unauthenticated = "UNAUTHENTICATED": Unauthenticated, Service, No,
        "A service that was called does not know who calls and sent no reason.",
        "Give the gateway the credentials that the service asks for.";
    Unavailable = "UNAVAILABLE": Unavailable, Service, Later,
        "Something that the call needs cannot be reached or went away.",
        "See that the model, endpoint or server that the message names is running.";
    Unimplemented = "UNIMPLEMENTED": Unimplemented, Service, No,
        "A service that was called does not have this method and sent no reason.",
        "Compare the versions of the pipeline and the service.";
    Unknown = "UNKNOWN": Unknown, Service, No,
        "A service that was called failed and did not say why.",
        "Look at the log of that service.";
    UnknownMethod = "UNKNOWN_METHOD": Unimplemented, Caller, No,
        "The server has no method of this name.",
        "Compare the name with those that reflection lists (`grpcurl ADDRESS list`).";
    UpstreamDenied = "UPSTREAM_DENIED": Internal, Operator, No,
        "A service that was called does not know this server, or does not let it do this.",
        "Give the server the credentials that the service asks for, or call it by a way that adds \
         them.";
    UpstreamUnimplemented = "UPSTREAM_UNIMPLEMENTED": Internal, Operator, No,
        "A service that was called does not have the method that the pipeline names.",
        "Compare the versions of the pipeline and the service, and its address.";
    VersionNotFound = "VERSION_NOT_FOUND": NotFound, Caller, No,
        "The model or pipeline is here, but not in this version.",
        "Use one of the versions that the message lists, or none.";
    WouldBeLate = "WOULD_BE_LATE": ResourceExhausted, Load, Later,
        "Behind the calls that wait already, the call would be answered after its deadline.",
        "Call again after the delay of `RetryInfo`, give the call more time, or add capacity.";
}
