"""tritonclient: python by_triton.py HOST:PORT"""

import queue
import sys

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from questions import DOCUMENTS, QUERY, check


def texts(name, values):
    tensor = triton.InferInput(name, [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array([v.encode() for v in values], dtype=object))
    return tensor


def rag_inputs(top_n=2):
    number = triton.InferInput("top_n", [1], "INT64")
    number.set_data_from_numpy(np.array([top_n], dtype=np.int64))
    return [texts("query", [QUERY]), texts("documents", DOCUMENTS), number]


def results(answer):
    columns = [answer.as_numpy(f"results.{name}") for name in ("index", "score", "text")]
    return [(int(i), float(s), t.decode()) for i, s, t in zip(*columns)]


client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready()
for model in ("rag", "minilm", "reranker", "chunker"):
    assert client.is_model_ready(model), model

metadata = client.get_model_metadata("minilm")
assert [(t.name, t.datatype, list(t.shape)) for t in metadata.outputs] == [
    ("embedding", "FP32", [-1, 384])
], metadata
assert client.get_model_config("rag").config.max_batch_size == 0
assert "rag" in [m.name for m in client.get_model_repository_index().models]

check(results(client.infer("rag", rag_inputs())))
only = [triton.InferRequestedOutput("results.index")]
answer = client.infer("rag", rag_inputs(), outputs=only)
assert [o.name for o in answer.get_response().outputs] == ["results.index"]

vectors = client.infer("minilm", [texts("text", ["hello", "world", ""])]).as_numpy("embedding")
assert vectors.shape == (3, 384), vectors.shape
assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
scores = client.infer("reranker", [texts("query", [QUERY]), texts("text", DOCUMENTS)])
assert scores.as_numpy("score").argmax() == 1

for model, inputs, word in [
    ("nothing", [texts("text", ["a"])], "nothing"),
    ("minilm", [texts("txet", ["a"])], "txet"),
    ("rag", rag_inputs(top_n=101), "top_n"),
]:
    try:
        client.infer(model, inputs)
        raise AssertionError(f"{model} accepted it")
    except InferenceServerException as error:
        assert word in error.message(), error

answers = queue.Queue()
client.start_stream(lambda result, error: answers.put((result, error)))
for n in range(3):
    client.async_stream_infer("minilm", [texts("text", [str(n)])], request_id=str(n))
seen = set()
for _ in range(3):
    result, error = answers.get(timeout=60)
    assert error is None, error
    seen.add(result.get_response().id)
client.stop_stream()
assert seen == {"0", "1", "2"}, seen

counted = client.get_inference_statistics("minilm").model_stats[0]
assert counted.inference_stats.success.count >= 4, counted
print("ok")
