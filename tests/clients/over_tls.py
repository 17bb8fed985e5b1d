"""grpcio over TLS, in a folder of certificates: python over_tls.py HOST:PORT FOLDER"""

import sys
from pathlib import Path

import grpc

address, folder = sys.argv[1], Path(sys.argv[2])
ca = (folder / "ca.crt").read_bytes()
cert = (folder / "client/tls.crt").read_bytes()
key = (folder / "client/tls.key").read_bytes()
# grpc.health.v1, whose messages are these bytes: the whole server, and SERVING.
REQUEST, SERVING = b"", b"\x08\x01"


def health(channel):
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    return check(REQUEST, timeout=10)


with grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert)) as channel:
    assert health(channel) == SERVING

# No certificate, an authority that is not the server's, another name, and plain text.
wrong_name = [("grpc.ssl_target_name_override", "elsewhere")]
for what, channel in [
    ("no certificate", grpc.secure_channel(address, grpc.ssl_channel_credentials(ca))),
    ("authority", grpc.secure_channel(address, grpc.ssl_channel_credentials(cert, key, cert))),
    (
        "name",
        grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert), wrong_name),
    ),
    ("plain text", grpc.insecure_channel(address)),
]:
    with channel:
        try:
            health(channel)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, (what, error)
        else:
            raise AssertionError(f"{what} was accepted")
print("ok")
