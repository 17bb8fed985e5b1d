"""A gateway of motet: how it is reached, as whom, and what it says of its pipelines."""

from dataclasses import dataclass, field

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

# The service that describes pipelines, and its file.
PIPELINES, PIPELINES_FILE = "motet.v1.Pipelines", "motet/v1/pipelines.proto"
# Seconds for each of its answers.
TIMEOUT = 30
OPTIONS = [
    # A server that is back is found within seconds.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A network that is gone is noticed while an answer is awaited.
    ("grpc.keepalive_time_ms", 30_000),
    # Of several gateways behind one name, each gets its share of the streams.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.max_receive_message_length", -1),
]


class Unknown(Exception):
    """The gateway said nothing of the pipeline."""


@dataclass(frozen=True)
class Gateway:
    """How a gateway is reached, and as whom. It has the contents of files, not their paths:
    machines that get it with the program need none."""

    address: str
    api_key: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: bytes | None = field(default=None, repr=False)
    cert: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    server_name: str | None = None

    def channel(self) -> grpc.Channel:
        """Returns a new channel. It connects by itself, again and again."""
        if not self.tls:
            return grpc.insecure_channel(self.address, OPTIONS)
        name = [("grpc.ssl_target_name_override", self.server_name)] if self.server_name else []
        credentials = grpc.ssl_channel_credentials(self.ca, self.key, self.cert)
        return grpc.secure_channel(self.address, credentials, OPTIONS + name)

    def metadata(self) -> list[tuple[str, str]]:
        """Returns what says who calls."""
        return [("authorization", f"Bearer {self.api_key}")] if self.api_key else []


@dataclass(frozen=True)
class Pipeline:
    """A pipeline of a gateway, with its messages. It is sent to workers with the program."""

    gateway: Gateway
    name: str
    # Inputs that every row must have a value for.
    required: frozenset[str]
    # A `FileDescriptorSet`: the file of the pipeline, after those that it imports.
    protos: bytes

    @staticmethod
    def learn(gateway: Gateway, name: str) -> "Pipeline":
        """Asks a gateway for the inputs of a pipeline, and by reflection for its messages."""
        with gateway.channel() as channel:
            try:
                return _learn(gateway, channel, name)
            except grpc.RpcError as error:
                why = f"{error.code().name}: {error.details()}"
                raise Unknown(f"pipeline `{name}` at {gateway.address}: {why}") from None

    def file(self):
        """Returns the descriptor of the pipeline's file."""
        return _pool(self.protos).FindFileByName(_file_name(self.name))


def _learn(gateway: Gateway, channel: grpc.Channel, name: str) -> Pipeline:
    options = {"metadata": gateway.metadata(), "timeout": TIMEOUT}
    reflection = ServerReflectionStub(channel)

    def ask(file: str) -> list[bytes]:
        request = iter([ServerReflectionRequest(file_by_filename=file)])
        (answer,) = reflection.ServerReflectionInfo(request, **options)
        return answer.file_descriptor_response.file_descriptor_proto

    pool = _pool(_collected(ask, PIPELINES_FILE))
    method = pool.FindServiceByName(PIPELINES).FindMethodByName("Describe")
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    describe = channel.unary_unary(
        f"/{PIPELINES}/Describe",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    inputs = describe(request(name=name), **options).inputs
    required = frozenset(port.name for port in inputs if not port.default and not port.optional)
    return Pipeline(gateway, name, required, _collected(ask, _file_name(name)))


def _file_name(pipeline: str) -> str:
    return f"motet/pipeline/{pipeline}.proto"


def _collected(ask, file: str) -> bytes:
    """Returns a .proto file, after those that it imports, as a `FileDescriptorSet`."""
    found, files = {}, {}

    def collect(name: str):
        if name not in found:
            for serialized in ask(name):
                proto = FileDescriptorProto.FromString(serialized)
                found[proto.name] = proto
        if name not in found:
            raise Unknown(f"the reflection of the gateway lacks {name}")
        for imported in found[name].dependency:
            if imported not in files:
                collect(imported)
        files[name] = found[name]

    collect(file)
    return FileDescriptorSet(file=files.values()).SerializeToString()


def _pool(protos: bytes) -> DescriptorPool:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(protos).file:
        pool.Add(file)
    return pool
