"""grpcio, with messages from the server's reflection: python by_reflection.py HOST:PORT"""

import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from questions import DOCUMENTS, QUERY, check

with grpc.insecure_channel(sys.argv[1]) as channel:
    database = ProtoReflectionDescriptorDatabase(channel)
    services = database.get_services()
    assert "motet.pipeline.Rag" in services, services
    method = DescriptorPool(database).FindServiceByName("motet.pipeline.Rag").FindMethodByName("Run")
    request_type = GetMessageClass(method.input_type)
    response_type = GetMessageClass(method.output_type)
    run = channel.unary_unary(
        "/motet.pipeline.Rag/Run",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )
    answer = run(request_type(query=QUERY, documents=DOCUMENTS, top_n=2), timeout=30)
    check([(r.index, r.score, r.text) for r in answer.results])

    try:
        run(request_type(query=QUERY, documents=DOCUMENTS, top_n=0), timeout=30)
        raise AssertionError("top_n 0 was accepted")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        assert "top_n" in error.details(), error
print("ok")
