"""A caller that says who it is: the address of the server and its key are the arguments."""

import sys

import grpc

address, key = sys.argv[1:]

with grpc.insecure_channel(address) as channel:
    ready = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")

    def code(*metadata):
        try:
            ready(b"", metadata=metadata, timeout=30)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()

    bearer = ("authorization", f"Bearer {key}")
    assert code(bearer) == grpc.StatusCode.OK, code(bearer)
    for metadata in [(), (("authorization", "Bearer wrong"),), (("authorization", key),)]:
        assert code(*metadata) == grpc.StatusCode.UNAUTHENTICATED, (metadata, code(*metadata))

print("ok")
