"""Calls of a pipeline over one channel: a stream of requests, some of them in flight.

What fails is tried again as `motet batch` does: a server that is away or full is asked again for
`retry_for` seconds, at the time that it names (`RetryInfo`); what may be the row's fault or the
server's is tried `ATTEMPTS` times; what is the row's fault is its error.
"""

import heapq
import random
import threading
import time
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2, status_pb2

from motet_gateway import Gateway

# Calls that may fail for the row's sake.
ATTEMPTS = 3
# Seconds: the first wait after a refusal, and the longest one, unless the server asks for more.
WAIT_FIRST, WAIT_MAX = 0.1, 10.0
# The bulk priority: calls of people go first.
BULK = ("motet-priority", "2")
# A receipt names the nodes whose results are substitutes.
RECEIPT = ("motet-receipt", "1")
# Most requests of one stream that a server runs at a time.
IN_FLIGHT_MAX = 64
CODES = {code.value[0]: code.name for code in grpc.StatusCode}
# Codes that are the fault of the caller for every row, and of the row alone.
OF_CALLER = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
OF_ROW = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
}


class Refused(Exception):
    """No row will have an answer: the gateway refuses this caller, or lacks the pipeline."""


class Away(Exception):
    """The gateway was away or full for longer than `retry_for`."""


@dataclass(frozen=True)
class Settings:
    """Pace of calls, and their patience."""

    # Requests in flight, of each worker.
    in_flight: int = 32
    # Seconds for the rows of one stream.
    deadline: float = 300.0
    # Seconds that a server may be away or full.
    retry_for: float = 300.0


@dataclass(frozen=True)
class Failure:
    """The error of a row."""

    code: str
    message: str
    node: str | None = None
    attempts: int = 0
    retry_after: float | None = None

    @staticmethod
    def of_status(status) -> "Failure":
        """Returns a `google.rpc.Status` as a failure."""
        node = retry_after = None
        for detail in status.details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                node = info.metadata.get("node")
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        code = CODES.get(status.code, "UNKNOWN")
        return Failure(code, status.message, node, retry_after=retry_after)

    @staticmethod
    def of_call(error: grpc.RpcError) -> "Failure":
        """Returns the end of a stream as a failure."""
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                return Failure.of_status(status_pb2.Status.FromString(value))
        return Failure(error.code().name, error.details() or "")

    def after(self, attempts: int) -> "Failure":
        return Failure(self.code, self.message, self.node, attempts)

    def is_of_caller(self) -> bool:
        missing = self.code in ("NOT_FOUND", "UNIMPLEMENTED") and self.node is None
        return self.code in OF_CALLER or missing

    def is_of_server(self) -> bool:
        """Returns whether the server is away or full. A limit without a time to come back is one
        that waiting does not change, such as the size of a message."""
        full = self.code == "RESOURCE_EXHAUSTED" and self.retry_after is not None
        return self.code == "UNAVAILABLE" or full


class Calls:
    """Calls of one method `RunStream`, over one channel."""

    def __init__(self, gateway: Gateway, path: str, request, response, settings: Settings):
        self.channel = gateway.channel()
        self.metadata = gateway.metadata() + [BULK, RECEIPT]
        self.settings = settings
        self.run_stream = self.channel.stream_stream(
            path,
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

    def answer(self, requests: dict) -> dict:
        """Returns the response, or the `Failure`, of each request. Requests are by number, which
        is their `request_id`."""
        exchange = Exchange(requests, self.settings)
        while exchange.is_open():
            outgoing = exchange.begin()
            stream = self.run_stream(
                outgoing, timeout=self.settings.deadline, metadata=self.metadata
            )
            try:
                for response in stream:
                    exchange.answered(int(response.request_id), response)
                failure = Failure("UNAVAILABLE", "the server ended the stream")
            except grpc.RpcError as error:
                failure = Failure.of_call(error)
            finally:
                exchange.end_stream()
                stream.cancel()
            exchange.broken(failure)
        return exchange.done

    def close(self):
        self.channel.close()


class Exchange:
    """Requests on their way to answers. One thread, of gRPC, takes those that are to be sent;
    another one brings what comes back."""

    def __init__(self, requests: dict, settings: Settings):
        self.requests, self.settings = requests, settings
        self.done = {}
        self.attempts = dict.fromkeys(requests, 0)
        # What is to be sent: the moment from which on, and the number.
        self.waiting = [(0.0, number) for number in requests]
        self.in_flight = set()
        # Requests of which one may have ended a stream: they go one at a time.
        self.suspects = set()
        self.stream = 0
        # Nothing is sent before this moment.
        self.pause_until = 0.0
        self.refusals, self.refused_since = 0, None
        self.changed = threading.Condition()

    def is_open(self) -> bool:
        return len(self.done) < len(self.requests)

    def begin(self):
        """Begins a stream, and returns its requests."""
        with self.changed:
            self.stream += 1
            return self._outgoing(self.stream)

    def end_stream(self):
        """Ends the requests of the stream, so that nobody waits for the next."""
        with self.changed:
            self.stream += 1
            self.changed.notify_all()

    def _outgoing(self, stream: int):
        while (number := self._next(stream)) is not None:
            yield self.requests[number]

    def _next(self, stream: int) -> int | None:
        """Waits for the next request to send; `None` once the stream has no more."""
        with self.changed:
            while self.is_open() and stream == self.stream:
                window = 1 if self.suspects else min(self.settings.in_flight, IN_FLIGHT_MAX)
                if not self.waiting or len(self.in_flight) >= window:
                    self.changed.wait()
                    continue
                early = max(self.waiting[0][0], self.pause_until) - time.monotonic()
                if early > 0:
                    self.changed.wait(early)
                    continue
                number = heapq.heappop(self.waiting)[1]
                self.in_flight.add(number)
                return number
            return None

    def answered(self, number: int, response):
        """Takes what came back for a request: its answer, or its error."""
        with self.changed:
            self.in_flight.discard(number)
            if response.HasField("error"):
                status = status_pb2.Status.FromString(response.error.SerializeToString())
                self._failed(number, Failure.of_status(status))
            else:
                self.refusals, self.refused_since = 0, None
                self._end(number, response)
            self.changed.notify_all()

    def broken(self, failure: Failure):
        """Takes the end of a stream. Whatever was in flight is sent again; where one of many may
        have ended it, one at a time."""
        with self.changed:
            lost, self.in_flight = sorted(self.in_flight), set()
            if not self.is_open():
                return
            if failure.is_of_caller():
                raise Refused(f"{failure.code}: {failure.message}")
            if failure.is_of_server() or not lost:
                self._refused(failure)
            elif len(lost) == 1:
                return self._failed(lost[0], failure)
            else:
                self.suspects.update(lost)
            for number in lost:
                heapq.heappush(self.waiting, (0.0, number))

    def _failed(self, number: int, failure: Failure):
        if failure.is_of_caller():
            raise Refused(f"{failure.code}: {failure.message}")
        due = 0.0
        if failure.is_of_server():
            self._refused(failure)
        else:
            self.refusals, self.refused_since = 0, None
            self.attempts[number] += 1
            attempts = self.attempts[number]
            if failure.code in OF_ROW or attempts >= ATTEMPTS:
                return self._end(number, failure.after(attempts))
            due = time.monotonic() + wait(attempts)
        heapq.heappush(self.waiting, (due, number))

    def _end(self, number: int, result):
        self.done[number] = result
        self.suspects.discard(number)

    def _refused(self, failure: Failure):
        """Pauses: a server that is away or full is not asked at once."""
        now = time.monotonic()
        if self.refused_since is None:
            self.refused_since = now
        # Refusals of one moment are one.
        if now >= self.pause_until:
            self.refusals += 1
        pause = max(wait(self.refusals), failure.retry_after or 0.0)
        if now + pause - self.refused_since > self.settings.retry_for:
            why = f"{failure.code}: {failure.message}"
            raise Away(f"no answer within {self.settings.retry_for} s of trying: {why}")
        self.pause_until = max(self.pause_until, now + pause)


def wait(nth: int) -> float:
    """Returns the wait before the nth try more, in seconds: twice as long each time, and spread."""
    longest = min(WAIT_FIRST * 2 ** min(nth - 1, 16), WAIT_MAX)
    return longest * random.uniform(0.5, 1.0)
