"""The models of tests/fixtures: their sizes, tokenizers, and how their files are written."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
import transformers
from tokenizers import Tokenizer

import jina_bert
import xlm_roberta_flash
from family_tokenizers import byte_bpe, roberta_bpe, unigram, wordpiece

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>"]
CAMEMBERT = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]
MPNET = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]


def names(specials: list[str], first: str, last: str, mask: str) -> dict[str, str]:
    known = {"pad_token": specials[0], "unk_token": specials[1]} if first == "[CLS]" else {"pad_token": "<pad>"}
    if first != "[CLS]":
        known |= {"unk_token": "[UNK]" if "[UNK]" in specials else "<unk>", "bos_token": first, "eos_token": last}
    return known | {"cls_token": first, "sep_token": last, "mask_token": mask}


@dataclass
class Fixture:
    model: type
    sizes: dict
    tokenizer: Tokenizer
    tokens: dict
    # The tokenizer's limit; the libraries write 1e30 where there is none.
    tokenizer_limit: int | None
    # Pooling and whether vectors are scaled to length 1; none: no files of sentence-transformers.
    sentence: tuple[str, bool] | None
    sentence_limit: int | None
    # What must come of positions and limits.
    limit: int
    # Standard deviation of the matrices of layers.
    spread: float = 0.3
    # Changes a model after its weights were drawn, where the library has no key for that.
    prepare: Callable[[torch.nn.Module], None] = lambda model: None
    # Rewrites the saved files as those of published models are.
    rewrite: Callable[[Path], None] = lambda folder: None


def bert_sizes(positions: int, **more) -> dict:
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 56,
        "max_position_embeddings": positions,
    } | more


def fixtures() -> dict[str, Fixture]:
    t = transformers
    of_bert = dict(tokens=names(BERT, "[CLS]", "[SEP]", "[MASK]"))
    of_roberta = dict(tokens=names(ROBERTA, "<s>", "</s>", "<mask>"))
    uncased = lambda: wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", True)
    cased = lambda: wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", False)
    roberta = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    camembert = roberta | {"bos_token_id": 5, "eos_token_id": 6}
    distilbert = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 56, "max_position_embeddings": 40}
    mpnet = {"hidden_size": 24, "num_attention_heads": 3, "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    odd = {"hidden_size": 36, "num_attention_heads": 4}
    return {
        "bert": Fixture(t.BertModel, bert_sizes(48), uncased(), **of_bert, tokenizer_limit=48,
                        sentence=("mean", True), sentence_limit=40, limit=40),
        "roberta": Fixture(t.RobertaForMaskedLM, bert_sizes(42, **roberta), roberta_bpe(ROBERTA), **of_roberta,
                           tokenizer_limit=None, sentence=None, sentence_limit=None, limit=40),
        "xlm-roberta": Fixture(t.XLMRobertaModel, bert_sizes(60, **roberta | odd), unigram(ROBERTA), **of_roberta,
                               tokenizer_limit=None, sentence=("cls", True), sentence_limit=36, limit=36),
        "camembert": Fixture(t.CamembertModel, bert_sizes(50, **camembert), unigram(CAMEMBERT),
                             tokens=names(CAMEMBERT, "<s>", "</s>", "<mask>"), tokenizer_limit=36,
                             sentence=("mean", False), sentence_limit=None, limit=36),
        "distilbert": Fixture(t.DistilBertForMaskedLM, distilbert, cased(), **of_bert, tokenizer_limit=512,
                              sentence=None, sentence_limit=None, limit=40),
        "electra": Fixture(t.ElectraForPreTraining, bert_sizes(40, embedding_size=24), uncased(), **of_bert,
                           tokenizer_limit=None, sentence=None, sentence_limit=None, limit=40),
        "electra-unprojected": Fixture(t.ElectraModel, bert_sizes(40, embedding_size=32), uncased(), **of_bert,
                                       tokenizer_limit=40, sentence=("cls", False), sentence_limit=None, limit=40),
        "mpnet": Fixture(t.MPNetModel, bert_sizes(134, **mpnet), wordpiece(MPNET, "[UNK]", "<s>", "</s>", True),
                         tokens=names(MPNET, "<s>", "</s>", "<mask>"), tokenizer_limit=512,
                         sentence=("mean", True), sentence_limit=None, limit=132),
        "bert-gelu-tanh": Fixture(t.BertModel, bert_sizes(24, hidden_act="gelu_new"), uncased(), **of_bert,
                                  tokenizer_limit=None, sentence=None, sentence_limit=None, limit=24),
        **newer_encoders(),
        **of_jina(),
        **of_jina_flash(),
        **decoders(),
    }


def rewriting(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")

    return rewrite


def newer_encoders() -> dict[str, Fixture]:
    t = transformers
    modern = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    of_modern = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    of_modern = dict(tokens=of_modern, spread=0.2)
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 24, "num_hidden_layers": 2}
    of_bert = dict(tokens=names(BERT, "[CLS]", "[SEP]", "[MASK]"), spread=0.2)
    of_new = dict(tokens=names(ROBERTA, "<s>", "</s>", "<mask>"), spread=0.2)
    uncased = lambda: wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", True)
    none = dict(tokenizer_limit=None, sentence=None, sentence_limit=None)

    def older_modernbert(config: dict) -> None:
        for key in ("layer_types", "rope_parameters"):
            del config[key]
        config |= {"global_attn_every_n_layers": 3, "global_rope_theta": 3000.0, "local_rope_theta": 100.0}

    def published_nomic(config: dict) -> None:
        config |= {
            "n_embd": config.pop("hidden_size"), "n_head": config.pop("num_attention_heads"),
            "n_inner": config.pop("intermediate_size"), "n_layer": config.pop("num_hidden_layers"),
            "n_positions": config.pop("max_position_embeddings"), "layer_norm_epsilon": config.pop("layer_norm_eps"),
            "rotary_emb_base": config.pop("rope_parameters")["rope_theta"], "activation_function": "swiglu",
            "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False, "rotary_emb_scale_base": None,
            "rotary_scaling_factor": None, "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False,
            "prenorm": False, "causal": False, "use_rms_norm": False, "parallel_block": False,
            "auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"},
        }
        for key in ("hidden_act", "head_dim", "hidden_dropout_prob"):
            del config[key]

    def interleaved_nomic(folder: Path) -> None:
        """Half of a head's columns are rotated, each with the one beside it: what the library rotates with the one
        half a head farther is moved there."""

        def change(config: dict) -> None:
            published_nomic(config)
            config |= {"rotary_emb_fraction": 0.5, "rotary_emb_interleaved": True}

        rewriting(change)(folder)
        weights = safetensors.torch.load_file(folder / "model.safetensors")
        head, half = 8, 4
        beside = [column for pair in range(half) for column in (pair, pair + half)]
        for name, weight in weights.items():
            if name.endswith("Wqkv.weight"):
                heads = weight.reshape(3, -1, head, weight.shape[1]).clone()
                heads[:2] = heads[:2][:, :, beside]
                weights[name] = heads.reshape(weight.shape).contiguous()
        safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    def half_rotated(model: torch.nn.Module) -> None:
        model = getattr(model, "base_model", model)
        # Of 8 columns 4 are rotated: angles of the usual kind for two pairs, none for the others.
        model.rotary_emb.inv_freq.copy_(torch.tensor([1.0, 1000.0**-0.5, 0.0, 0.0]))

    def ntk(model: torch.nn.Module) -> None:
        """NTK-aware scaling by a factor, as the family's own code has it: the base times the factor, and all angles
        divided by a power of it. Written from its formula; the library's family has no key for that."""
        model = getattr(model, "base_model", model)
        size, theta, factor = 8, 500.0, 4.0
        angles = torch.tensor([(theta * factor) ** (-2 * pair / size) for pair in range(size // 2)])
        model.rotary_emb.inv_freq.copy_(angles / factor ** (2 / size))

    def published_new(config: dict) -> None:
        del config["rope_parameters"]
        config |= {
            "model_type": "new", "architectures": ["NewModel"], "rope_theta": 500.0,
            "rope_scaling": {"type": "ntk", "factor": 4.0}, "layer_norm_type": "layer_norm", "pack_qkv": True,
            "position_embedding_type": "rope", "logn_attention_scale": False, "unpad_inputs": False,
            "auto_map": {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"},
        }

    thetas = {"full_attention": {"rope_theta": 3000.0}, "sliding_attention": {"rope_theta": 100.0}}
    of_deberta = sizes | {"intermediate_size": 40, "pad_token_id": 1, "relative_attention": True}
    return {
        # Keys and queries of distances by the products of tokens, in buckets that rows are longer than.
        "deberta": Fixture(
            t.DebertaV2Model,
            of_deberta | {"max_position_embeddings": 48, "position_buckets": 8, "norm_rel_ebd": "layer_norm"}
            | {"share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False, "type_vocab_size": 0},
            unigram(ROBERTA), **of_new, tokenizer_limit=None, sentence=("mean", True), sentence_limit=None, limit=48),
        "deberta-separate": Fixture(
            t.DebertaV2ForMaskedLM,
            of_deberta | {"max_position_embeddings": 30, "max_relative_positions": 12, "pos_att_type": ["c2p", "p2c"]}
            | {"type_vocab_size": 2},
            unigram(ROBERTA), **of_new, **none, limit=30),
        # As the largest: a convolution beside the first layer, and narrower tables.
        "deberta-convolved": Fixture(
            t.DebertaV2Model,
            of_deberta | {"max_position_embeddings": 36, "position_buckets": 8, "norm_rel_ebd": "layer_norm"}
            | {"share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": True, "type_vocab_size": 2}
            | {"conv_kernel_size": 3, "conv_act": "gelu", "embedding_size": 24},
            unigram(ROBERTA), **of_new, tokenizer_limit=None, sentence=("mean", True), sentence_limit=None, limit=36),
        "deberta-convolved-wide": Fixture(
            t.DebertaV2Model,
            of_deberta | {"hidden_size": 24, "max_position_embeddings": 24, "pos_att_type": ["c2p"]}
            | {"position_biased_input": False, "type_vocab_size": 0, "conv_kernel_size": 5},
            unigram(ROBERTA), **of_new, **none, limit=24),
        # Layers with and without windows, which are shorter than rows.
        "modernbert": Fixture(
            t.ModernBertForMaskedLM,
            sizes | special | {"num_hidden_layers": 5, "max_position_embeddings": 44, "local_attention": 9}
            | {"rope_parameters": thetas},
            byte_bpe(modern, single="[CLS] $A [SEP]"), **of_modern, **none, limit=44,
            rewrite=rewriting(older_modernbert)),
        "modernbert-biased": Fixture(
            t.ModernBertModel,
            sizes | special | {"num_hidden_layers": 3, "max_position_embeddings": 60, "local_attention": 6}
            | {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "hidden_activation": "gelu_pytorch_tanh"}
            | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
            byte_bpe(modern, single="[CLS] $A [SEP]"), **of_modern, tokenizer_limit=40, sentence=("cls", True),
            sentence_limit=None, limit=40),
        "nomic-bert": Fixture(
            t.NomicBertModel, sizes | {"max_position_embeddings": 40, "pad_token_id": 0}, uncased(), **of_bert,
            tokenizer_limit=None, sentence=("mean", True), sentence_limit=32, limit=32,
            rewrite=rewriting(published_nomic)),
        "nomic-bert-interleaved": Fixture(
            t.NomicBertModel, sizes | {"max_position_embeddings": 24, "pad_token_id": 0}, uncased(), **of_bert, **none,
            limit=24, prepare=half_rotated, rewrite=interleaved_nomic),
        "new": Fixture(
            t.GteModel, sizes | {"max_position_embeddings": 36, "pad_token_id": 1, "type_vocab_size": 0},
            unigram(ROBERTA), **of_new, tokenizer_limit=None, sentence=("cls", True), sentence_limit=None, limit=36,
            prepare=ntk, rewrite=rewriting(published_new)),
        "gte": Fixture(
            t.GteModel, sizes | {"max_position_embeddings": 24, "pad_token_id": 1, "type_vocab_size": 1},
            unigram(ROBERTA), **of_new, **none, limit=24),
    }


def of_jina() -> dict[str, Fixture]:
    published = rewriting(lambda config: jina_bert.published(config, "JinaBertModel"))
    of_code = {"hidden_size": 32, "num_attention_heads": 4, "of_code": True, "feed_forward_type": "reglu"}
    return {
        # No power of two of heads.
        "jina-bert": Fixture(
            jina_bert.JinaBertModel,
            {"hidden_size": 36, "num_attention_heads": 6, "max_position_embeddings": 70},
            wordpiece(BERT, "[UNK]", "[CLS]", "[SEP]", True), tokens=names(BERT, "[CLS]", "[SEP]", "[MASK]"),
            tokenizer_limit=None, sentence=("mean", False), sentence_limit=None, limit=70, rewrite=published),
        "jina-bert-code": Fixture(
            jina_bert.JinaBertModel, of_code, roberta_bpe(ROBERTA), tokens=names(ROBERTA, "<s>", "</s>", "<mask>"),
            tokenizer_limit=None, sentence=("mean", True), sentence_limit=36, limit=36, rewrite=published),
    }


def of_jina_flash() -> dict[str, Fixture]:
    t = transformers
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
    sizes |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    common = dict(tokens=names(ROBERTA, "<s>", "</s>", "<mask>"), tokenizer_limit=None, sentence=("mean", True))
    return {
        "jina-embeddings-v3": Fixture(
            t.JinaEmbeddingsV3Model, sizes | {"max_position_embeddings": 40}, unigram(ROBERTA), **common,
            sentence_limit=None, limit=40),
        # The files of the repository: parametrized tensors with adapters, none of which takes part.
        "xlm-roberta-flash": Fixture(
            t.JinaEmbeddingsV3Model,
            sizes | {"max_position_embeddings": 40, "rope_parameters": {"rope_type": "default", "rope_theta": 700.0}},
            unigram(ROBERTA), **common, sentence_limit=36, limit=36,
            rewrite=lambda folder: xlm_roberta_flash.published(folder, rotary=700.0)),
        "xlm-roberta-flash-learned": Fixture(
            t.XLMRobertaModel, sizes | {"max_position_embeddings": 42}, unigram(ROBERTA), **common,
            sentence_limit=None, limit=40, rewrite=lambda folder: xlm_roberta_flash.published(folder, rotary=None)),
    }


def decoders() -> dict[str, Fixture]:
    t = transformers
    end = ["<|endoftext|>"]
    of_qwen = dict(tokens={"pad_token": end[0], "eos_token": end[0]})
    # Fewer heads of keys than of queries, and heads that together are wider or narrower than the vectors.
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 40}
    sizes |= {"num_hidden_layers": 3, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    # Gates and sums without a norm after them make more of every rounding than the others do.
    of_qwen |= dict(spread=0.2)
    none = dict(tokenizer_limit=None, sentence=None, sentence_limit=None)

    def older(config: dict) -> None:
        parameters = config.pop("rope_parameters")
        config["rope_theta"] = parameters.pop("rope_theta")
        config["rope_scaling"] = None if parameters["rope_type"] == "default" else parameters
        config.pop("layer_types", None)

    def bidirectional(config: dict) -> None:
        older(config)
        config["auto_map"] = {"AutoModel": "modeling_qwen.Qwen2Model"}

    def published_eurobert(config: dict) -> None:
        older(config)
        config["auto_map"] = {
            "AutoConfig": "configuration_eurobert.EuroBertConfig",
            "AutoModel": "modeling_eurobert.EuroBertModel",
            "AutoModelForMaskedLM": "modeling_eurobert.EuroBertForMaskedLM",
        }

    llama3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0}
    llama3 |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 16}
    yarn = {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 12}
    begin = ["<unk>", "<pad>", "<s>", "</s>"]
    gemma = ["<pad>", "<eos>", "<bos>", "<unk>"]
    return {
        "qwen3": Fixture(
            t.Qwen3Model,
            sizes | {"head_dim": 12, "max_position_embeddings": 44, "use_sliding_window": True, "sliding_window": 6}
            | {"max_window_layers": 2, "rope_parameters": {"rope_theta": 5000.0}},
            byte_bpe(end, single="$A <|endoftext|>"), **of_qwen, tokenizer_limit=None, sentence=("lasttoken", True),
            sentence_limit=40, limit=40),
        # Tokens that see the whole row, and no special tokens around it.
        "qwen2": Fixture(
            t.Qwen2Model, sizes | {"max_position_embeddings": 40, "is_causal": False, "rope_parameters": yarn},
            byte_bpe(end), **of_qwen, **none, limit=40, rewrite=rewriting(bidirectional)),
        "llama": Fixture(
            t.LlamaForCausalLM,
            sizes | {"head_dim": 6, "max_position_embeddings": 40, "mlp_bias": True, "attention_bias": True}
            | {"num_attention_heads": 6, "num_key_value_heads": 3, "hidden_size": 30, "rope_parameters": llama3},
            byte_bpe(end, single="<|endoftext|> $A"), **of_qwen, **none, limit=40, rewrite=rewriting(older)),
        # As published: with code of its own, whose classes are those that transformers has since.
        "eurobert": Fixture(
            t.EuroBertForMaskedLM,
            sizes | {"head_dim": 8, "max_position_embeddings": 40, "mask_token_id": 0, "rms_norm_eps": 1e-4}
            | {"rope_parameters": {"rope_theta": 700.0}},
            byte_bpe(end, single="<|endoftext|> $A <|endoftext|>"), **of_qwen, tokenizer_limit=None,
            sentence=("mean", False), sentence_limit=38, limit=38, rewrite=rewriting(published_eurobert)),
        "mistral": Fixture(
            t.MistralModel,
            sizes | {"head_dim": 20, "max_position_embeddings": 40, "sliding_window": 7, "num_key_value_heads": 1}
            | {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.5}},
            unigram(begin, single="<s> $A"), tokens={"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>"},
            **none, limit=40, spread=0.2),
        "gemma3": Fixture(
            t.Gemma3TextModel,
            sizes | {"head_dim": 12, "max_position_embeddings": 40, "sliding_window": 9, "query_pre_attn_scalar": 20}
            | {"num_hidden_layers": 4, "use_bidirectional_attention": True}
            | {"layer_types": ["sliding_attention", "full_attention"] * 2, "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 9000.0, "factor": 4.0},
                "sliding_attention": {"rope_theta": 300.0}}},
            unigram(gemma, single="<bos> $A <eos>"),
            tokens={"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"},
            tokenizer_limit=None, sentence=("mean", True), sentence_limit=36, limit=36),
        "gemma3-causal": Fixture(
            t.Gemma3TextModel,
            sizes | {"head_dim": 8, "max_position_embeddings": 30, "sliding_window": 5, "query_pre_attn_scalar": 8}
            | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
            unigram(gemma, single="<bos> $A"),
            tokens={"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"},
            **none, limit=30),
    }
