"""grpcio, with stubs made from `motet proto rag --out FOLDER`: python by_stubs.py HOST:PORT FOLDER"""

import sys
import tempfile

import grpc
import grpc_tools
from grpc_tools import protoc
from importlib.resources import files

from questions import DOCUMENTS, QUERY, check

address, folder = sys.argv[1:]
out = tempfile.mkdtemp()
made = protoc.main(
    [
        "protoc",
        f"-I{folder}",
        f"-I{files(grpc_tools) / '_proto'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        "google/rpc/status.proto",
        "motet/pipeline/rag.proto",
        "motet/v1/receipt.proto",
        "motet/v1/tensor.proto",
    ]
)
assert made == 0, made
sys.path.insert(0, out)

from motet.pipeline import rag_pb2, rag_pb2_grpc  # noqa: E402

with grpc.insecure_channel(address) as channel:
    rag = rag_pb2_grpc.RagStub(channel)
    request = rag_pb2.RagRequest(query=QUERY, documents=DOCUMENTS, top_n=2)
    answer = rag.Run(request, timeout=30, metadata=[("motet-receipt", "1")])
    check([(r.index, r.score, r.text) for r in answer.results])
    assert "rank" in [n.node for n in answer.receipt.nodes], answer.receipt

    def requests():
        for n in range(3):
            yield rag_pb2.RagRequest(
                query=QUERY, documents=DOCUMENTS, top_n=2, request_id=str(n)
            )
        yield rag_pb2.RagRequest(documents=DOCUMENTS, request_id="no query")

    answers = {a.request_id: a for a in rag.RunStream(requests(), timeout=60)}
    assert set(answers) == {"0", "1", "2", "no query"}, answers
    for n in range(3):
        check([(r.index, r.score, r.text) for r in answers[str(n)].results])
    error = answers["no query"].error
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0], error
    assert "query" in error.message, error

# Compressed requests: the answers are compressed, too. grpcio expands them.
gzip = grpc.Compression.Gzip
with grpc.insecure_channel(address, compression=gzip) as channel:
    rag = rag_pb2_grpc.RagStub(channel)
    request = rag_pb2.RagRequest(query=QUERY, documents=DOCUMENTS, top_n=2)
    answer = rag.Run(request, timeout=30, metadata=[("motet-receipt", "1")])
    check([(r.index, r.score, r.text) for r in answer.results])
    answers = list(rag.RunStream(requests(), timeout=60))
    assert len(answers) == 4, answers
print("ok")
