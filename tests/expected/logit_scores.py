#!/usr/bin/env python3
"""Makes the models of tests/classifiers that score a pair by the next word of a language model (LogitScore), with
random weights, and what CrossEncoder of sentence-transformers answers with them.

    pip install transformers sentence-transformers
    python tests/expected/logit_scores.py [NAME ...]

Query and document become one text by a chat template; documents are cut, the text around them is not. The model without
files of sentence-transformers has no template for that, as the first files of Qwen3-Reranker, whose model card says how
it is asked: its rows are made as the card says, each part tokenized by itself.

expected.json   as that of classifiers.py, with the prompt of each row
"""

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore

from classifiers import FIXTURES, PAIRS
from families import long_texts, widen
from family_tokenizers import byte_bpe, unigram

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
GEMMA = ["<pad>", "<eos>", "<bos>", "<unk>"]
ANSWERS = ["yes", "no"]

# As published ones: an instruction of the system with a default, roles of their own for query and document.
FLAT = """<|im_start|>system
Judge whether the wing flows. Answer "yes" or "no".<|im_end|>
<|im_start|>user
<Instruct>: {{ messages | selectattr("role", "eq", "system") | map(attribute="content") | first \
| default("Given a river, find a wing") }}
<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}
<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}<|im_end|>
<|im_start|>assistant
<think>

</think>

"""
# With lists of contents, loops, methods of strings, special tokens by their roles, and a beginning of the answer.
STRUCTURED = """{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {{- 'task: ' + message.content[0].text.strip() + '\\n' }}
    {%- elif message['role'] in ['query', 'document'] -%}
        {{ message.role | upper }}: {{ message.content[0]['text'] }}
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ eos_token }}relevant:{% endif %}"""
# The document first: the query stands after it, and is not cut.
REVERSED = """{% set query = (messages | selectattr('role', 'eq', 'query') | first).content -%}
{% set document = (messages | selectattr('role', 'eq', 'document') | first).content -%}
document: {{ document }}
query: {{ query }}
answer:"""


@dataclass
class Fixture:
    model: type
    sizes: dict
    tokenizer: object
    tokens: dict
    limit: int
    template: str | None
    tokens_of_score: tuple[str, str | None] = ("yes", "no")
    prompts: dict = field(default_factory=dict)
    default: str | None = None
    activation: torch.nn.Module | None = None
    variables: dict = field(default_factory=dict)
    # False if the library cuts what is not the document: rows that are too long are left out.
    cuts: bool = True
    # False if it is saved without the files of sentence-transformers.
    files: bool = True


def fixtures() -> dict[str, Fixture]:
    t = transformers
    sizes = {"hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24}
    sizes |= {"num_hidden_layers": 2, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "head_dim": 8}
    of_qwen = dict(tokens={"pad_token": SPECIALS[0], "eos_token": SPECIALS[2]})
    words = lambda: byte_bpe(SPECIALS, words=ANSWERS)
    gemma = dict(tokens={"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"})
    return {
        "qwen3-logits": Fixture(t.Qwen3ForCausalLM, sizes | {"tie_word_embeddings": True, "max_position_embeddings": 400},
                                words(), **of_qwen, limit=330, template=FLAT, prompts={"web": "Given a letter, find"},
                                default="web"),
        "llama-logits": Fixture(t.LlamaForCausalLM, sizes | {"tie_word_embeddings": False, "max_position_embeddings": 200},
                                words(), **of_qwen, limit=200, template=REVERSED, tokens_of_score=("yes", None),
                                activation=torch.nn.Identity(), cuts=False),
        "gemma3-logits": Fixture(t.Gemma3ForCausalLM,
                                 sizes | {"max_position_embeddings": 120, "sliding_window": 9, "pad_token_id": 0}
                                 | {"layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 8},
                                 unigram(GEMMA, single="<bos> $A"), **gemma, limit=110, template=STRUCTURED,
                                 tokens_of_score=("er", "our"), variables={"add_generation_prompt": True}),
        "qwen3-plain": Fixture(t.Qwen3ForCausalLM, sizes | {"tie_word_embeddings": True, "max_position_embeddings": 400},
                               words(), **of_qwen, limit=400, template=None, files=False),
    }


PREFIX = ('<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct '
          'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n')
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"


def by_card(tokenizer, prompt: str, query: str, document: str, limit: int) -> list[int]:
    ids = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
    before, after = ids(PREFIX), ids(SUFFIX)
    pair = ids(f"<Instruct>: {prompt or INSTRUCTION}\n<Query>: {query}\n<Document>: {document}")
    return before + pair[: limit - len(before) - len(after)] + after


def make(name: str, fixture: Fixture, into: Path) -> None:
    config = fixture.model.config_class(vocab_size=fixture.tokenizer.get_vocab_size(), **fixture.sizes)
    config._attn_implementation = "eager"
    model = fixture.model(config).eval()
    widen(model, sum(name.encode()), 0.2)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fixture.tokenizer, **fixture.tokens, model_max_length=fixture.limit,
        model_input_names=["input_ids", "attention_mask"])
    tokenizer.chat_template = fixture.template
    shutil.rmtree(into, ignore_errors=True)
    model.save_pretrained(into)
    (into / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save_pretrained(into)
    yes, no = (token and tokenizer.convert_tokens_to_ids(token) for token in fixture.tokens_of_score)
    scorer = None
    if fixture.files:
        kwargs = {"processing_kwargs": {"chat_template": fixture.variables}} if fixture.variables else {}
        transformer = Transformer(str(into), transformer_task="text-generation", **kwargs)
        scorer = CrossEncoder(modules=[transformer, LogitScore(yes, no)], device="cpu", prompts=fixture.prompts,
                              default_prompt_name=fixture.default, activation_fn=fixture.activation)
        shutil.rmtree(into)
        scorer.save_pretrained(str(into), create_model_card=False)
        (into / "generation_config.json").unlink(missing_ok=True)

    prompts = ["", "Find: a wing"]
    default = fixture.prompts.get(fixture.default, "")
    pairs = PAIRS + [("wing of a river", long) for long in long_texts(fixture.limit)]
    pairs += [("wing of a river", "the river, " * fixture.limit), ("0 1 2 3 4", "0 1 2 3 4 " * fixture.limit)]
    rows = []
    for query, document in pairs:
        for prompt in dict.fromkeys([default, *prompts]):
            score = None
            if scorer is None:
                ids = by_card(tokenizer, prompt, query, document, fixture.limit)
            else:
                given = {"prompt": prompt} if prompt else {"prompt": None, "prompt_name": None}
                if not prompt and default:
                    continue  # the default prompt is not to be left out
                ids = scorer.preprocess([(query, document)], prompt=prompt or None)["input_ids"][0].tolist()
                score = float(scorer.predict([(query, document)], **given)[0])
            if len(ids) == fixture.limit and not fixture.cuts:
                continue
            with torch.inference_mode():
                logits = model(torch.tensor([ids])).logits[0, -1]
            logit = float(logits[yes] - (0 if no is None else logits[no]))
            if score is None:
                score = float(torch.softmax(torch.stack([logits[no], logits[yes]]), 0)[1])
            assert len(ids) <= fixture.limit, (name, query, document)
            rows.append({"text": query, "pair": document, "prompt": prompt, "ids": ids, "types": [],
                         "logits": [[logit]], "score": score})
    packages = [transformers, sentence_transformers, tokenizers]
    made_with = {package.__name__: package.__version__ for package in packages}
    made_with["torch"] = torch.__version__.split("+")[0]
    (into / "expected.json").write_text(json.dumps({"made_with": made_with, "rows": rows}) + "\n")
    spread = np.array([row["logits"][0][0] for row in rows])
    print(name, [len(row["ids"]) for row in rows], f"logits {spread.min():.2f} to {spread.max():.2f}",
          sum(f.stat().st_size for f in into.rglob("*") if f.is_file()) // 1024, "KiB")


def main() -> None:
    known = fixtures()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or known:
        make(name, known[name], FIXTURES / name)


if __name__ == "__main__":
    main()
