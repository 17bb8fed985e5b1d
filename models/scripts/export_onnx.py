"""Exports a sentence-transformers BERT for onnxruntime: python export_onnx.py MODEL_FOLDER MODEL.onnx

Needs torch, transformers and onnx. Mean pooling and scaling to length 1 are part of the exported model.
"""

import sys

import torch
from transformers import AutoModel

folder, target = sys.argv[1:]


class Embedder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bert = AutoModel.from_pretrained(folder, attn_implementation="eager")

    def forward(self, input_ids, attention_mask):
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


ids = torch.arange(1000, 1032).reshape(2, 16)
torch.onnx.export(
    Embedder().eval(),
    (ids, torch.ones_like(ids)),
    target,
    input_names=["input_ids", "attention_mask"],
    output_names=["embedding"],
    dynamic_axes={name: {0: "rows", 1: "tokens"} for name in ("input_ids", "attention_mask")},
    opset_version=17,
    dynamo=False,
)
