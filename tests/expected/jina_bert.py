"""Jina BERT in plain torch, from its definition: transformers has no such family, and the code of
the published repositories is not run.

ALiBi (Press, Smith and Lewis, "Train Short, Test Long", 2022), on both sides of a token as in
"Jina Embeddings 2" (2023): the score of a query with a key is less by their distance times the
head's slope. There are no vectors of positions. Feed-forward is gated: of one product, halves a and
b, f(a) * b goes back; the kind for code takes a * f(b), norms queries and keys, and has a second
sum and norm after attention.
"""

import math

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

ACTIVATIONS = {"geglu": nn.functional.gelu, "reglu": nn.functional.relu}


def slopes(heads: int) -> list[float]:
    """Geometric from 2^(-8/n) on for n heads; where n is no power of two, those of the next lower
    one, and between them every second one of the next higher."""
    lower = 2 ** math.floor(math.log2(heads))
    first = [2 ** (-8 * (at + 1) / lower) for at in range(lower)]
    higher = [2 ** (-8 * (at + 1) / (2 * lower)) for at in range(2 * lower)]
    return (first + higher[::2])[:heads]


class JinaBertConfig(PretrainedConfig):
    model_type = "jina-bert-of-motet"

    def __init__(
        self,
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=40,
        type_vocab_size=2,
        layer_norm_eps=1e-12,
        feed_forward_type="geglu",
        of_code=False,
        **more,
    ):
        super().__init__(**more)
        self.vocab_size, self.hidden_size = vocab_size, hidden_size
        self.num_hidden_layers, self.num_attention_heads = num_hidden_layers, num_attention_heads
        self.intermediate_size, self.layer_norm_eps = intermediate_size, layer_norm_eps
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.feed_forward_type, self.of_code = feed_forward_type, of_code


def parts(**modules: nn.Module) -> nn.Module:
    """A module that only holds others by their names."""
    holder = nn.Module()
    for name, module in modules.items():
        holder.add_module(name, module)
    return holder


class Layer(nn.Module):
    def __init__(self, config: JinaBertConfig):
        super().__init__()
        size, inner = config.hidden_size, config.intermediate_size
        norm = lambda: nn.LayerNorm(size, eps=config.layer_norm_eps)
        square = lambda: nn.Linear(size, size)
        of_heads = parts(query=square(), key=square(), value=square())
        self.attention = parts(self=of_heads, output=parts(dense=square(), LayerNorm=norm()))
        if config.of_code:
            of_heads.layer_norm_q, of_heads.layer_norm_k = norm(), norm()
            self.layer_norm_1, self.layer_norm_2 = norm(), norm()
            gated = nn.Linear(size, 2 * inner, bias=False)
            self.mlp = parts(up_gated_layer=gated, down_layer=nn.Linear(inner, size))
        else:
            gated = nn.Linear(size, 2 * inner, bias=False)
            self.mlp = parts(gated_layers=gated, wo=nn.Linear(inner, size), layernorm=norm())
        self.activation = ACTIVATIONS[config.feed_forward_type]
        self.heads, self.of_code = config.num_attention_heads, config.of_code

    def attend(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        products = getattr(self.attention, "self")
        q, k, v = products.query(x), products.key(x), products.value(x)
        if self.of_code:
            q, k = products.layer_norm_q(q), products.layer_norm_k(k)
        by_head = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = by_head(q), by_head(k), by_head(v)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
        context = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.attention.output.LayerNorm(x + self.attention.output.dense(context))

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        attended = self.attend(x, bias)
        if self.of_code:
            x = self.layer_norm_1(x + attended)
            a, b = self.mlp.up_gated_layer(x).chunk(2, -1)
            return self.layer_norm_2(x + self.mlp.down_layer(a * self.activation(b)))
        a, b = self.mlp.gated_layers(attended).chunk(2, -1)
        return self.mlp.layernorm(attended + self.mlp.wo(self.activation(a) * b))


class JinaBertModel(PreTrainedModel):
    config_class = JinaBertConfig
    base_model_prefix = "bert"

    def __init__(self, config: JinaBertConfig):
        super().__init__(config)
        size = config.hidden_size
        self.embeddings = parts(
            word_embeddings=nn.Embedding(config.vocab_size, size),
            token_type_embeddings=nn.Embedding(config.type_vocab_size, size),
            LayerNorm=nn.LayerNorm(size, eps=config.layer_norm_eps))
        layers = (Layer(config) for _ in range(config.num_hidden_layers))
        self.encoder = parts(layer=nn.ModuleList(layers))
        self.pooler = parts(dense=nn.Linear(size, size))
        self.post_init()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, **_) -> BaseModelOutput:
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        tables = self.embeddings
        x = tables.word_embeddings(input_ids) + tables.token_type_embeddings(types)
        x = tables.LayerNorm(x)
        places = torch.arange(input_ids.shape[1])
        distances = (places[None, :] - places[:, None]).abs().float()
        bias = -torch.tensor(slopes(self.config.num_attention_heads))[:, None, None] * distances
        bias = bias[None]
        if attention_mask is not None:
            bias = bias.masked_fill(attention_mask[:, None, None, :] == 0, -torch.inf)
        for layer in self.encoder.layer:
            x = layer(x, bias)
        return BaseModelOutput(last_hidden_state=x)


class JinaBertForSequenceClassification(PreTrainedModel):
    config_class = JinaBertConfig
    base_model_prefix = "bert"

    def __init__(self, config: JinaBertConfig):
        super().__init__(config)
        self.bert = JinaBertModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, **_):
        hidden = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
        pooled = self.bert.pooler.dense(hidden[:, 0]).tanh()
        return SequenceClassifierOutput(logits=self.classifier(pooled))


AutoConfig.register(JinaBertConfig.model_type, JinaBertConfig)
AutoModel.register(JinaBertConfig, JinaBertModel)
AutoModelForSequenceClassification.register(JinaBertConfig, JinaBertForSequenceClassification)


def published(config: dict, name: str) -> None:
    """Changes the keys of a saved config.json to those of published files."""
    of_code = config.pop("of_code")
    code = "jina-bert-v2-qk-post-norm" if of_code else "jina-bert-implementation"
    code = f"jinaai/{code}"
    classes = {
        "AutoModel": "JinaBertModel",
        "AutoModelForMaskedLM": "JinaBertForMaskedLM",
        "AutoModelForSequenceClassification": "JinaBertForSequenceClassification",
    }
    modules = {key: f"{code}--modeling_bert.{name}" for key, name in classes.items()}
    config |= {
        "_name_or_path": code,
        "model_type": "bert",
        "position_embedding_type": "alibi",
        "hidden_act": "gelu",
        "architectures": [name],
        "emb_pooler": "mean",
        "auto_map": modules | {"AutoConfig": f"{code}--configuration_bert.JinaBertConfig"},
    }
