"""Write small checkpoints of community models: the true layout of each repository, random weights.

A family is one public model. Its row says what its repository holds: architecture and settings that matter, kind of
tokenizer, pooling, later modules, prompts. Every size is a parameter, so that tests and benchmarks share the rows.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.support.checkpoints import WORDS, unigram, wordpiece_tokenizer, write_dense, write_json, write_modules
from tests.support.clip_checkpoints import write_transformers_clip
from tests.support.word_checkpoints import write_model2vec, write_static

# Writes the files of a tokenizer into a folder, for these words, and returns the special tokens by name.
Writer = Callable[[Path, Sequence[str]], dict[str, str]]

_BERT = {"unk": "[UNK]", "pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
_BERT_PAIR = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
_ROBERTA_PAIR = ("<s> $A </s>", "<s> $A </s> </s> $B </s>")


@dataclass(frozen=True)
class Family:
    """How the repository of one public model is laid out.

    Attributes:
        kind: model_type of config.json.
        tokenizer: Writes its tokenizer.
        settings: Of config.json, beyond the sizes: values, functions of a Size, or None for "not in this config".
        pooling: One of cls_token, mean_tokens, max_tokens, weightedmean_tokens, lasttoken; None without modules.json.
        later: Kinds of the modules after the pooling.
        prompts: Of config_sentence_transformers.json.
        default_prompt: Name of the prompt of a plain encode().
        max_length: max_seq_length of sentence_bert_config.json, or None.
        model: Class of transformers that saves the weights, AutoModel by default.
        lower_case: do_lower_case of sentence_bert_config.json.
        include_prompt: Whether the pooling counts the prompt.
    """

    kind: str
    tokenizer: Writer
    settings: Mapping[str, Any] = field(default_factory=dict)
    pooling: str | None = "mean_tokens"
    later: tuple[str, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    max_length: int | None = 512
    model: str = "AutoModel"
    lower_case: bool = False
    include_prompt: bool = True


def _save(tokenizer: Tokenizer, folder: Path, kind: str, names: Mapping[str, str], **settings: Any) -> dict[str, str]:
    """Write tokenizer.json and tokenizer_config.json, with [CLS] and the like under their names."""
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in dict.fromkeys(names.values())])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {f"{name}_token": token for name, token in names.items()}
    write_json(folder / "tokenizer_config.json", {**named, "tokenizer_class": kind, **settings})
    return dict(names)


def _frame(tokenizer: Tokenizer, single: str, pair: str | None = None) -> None:
    """Put special tokens around texts and pairs, as in "[CLS] $A [SEP]"."""
    pair = pair or f"{single} {single.replace('$A', '$B')}"
    tokens = {part.split(":")[0] for part in f"{single} {pair}".split() if not part.startswith("$")}
    specials = [(token, tokenizer.token_to_id(token)) for token in sorted(tokens)]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=specials)


def wordpiece(kind: str = "BertTokenizer", lower: bool = True, roberta: bool = False, **settings: Any) -> Writer:
    """Return the writer of a WordPiece tokenizer: [CLS] text [SEP], or <s> text </s> with padding id 1."""

    def write(folder: Path, words: Sequence[str]) -> dict[str, str]:
        tokenizer = wordpiece_tokenizer(lower, words)
        names = _BERT
        if roberta:
            names = _ROBERTA | {"unk": "[UNK]"}
            pieces = dict.fromkeys(["<s>", "<pad>", "</s>", "[UNK]", *tokenizer.get_vocab(), "<mask>"])
            tokenizer.model = models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
            _frame(tokenizer, *_ROBERTA_PAIR)
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece, _ in vocabulary), encoding="utf-8")
        return _save(tokenizer, folder, kind, names, do_lower_case=lower, model_max_length=512, **settings)

    return write


def byte_bpe(
    kind: str, names: Mapping[str, str], single: str = "$A", pair: str | None = None, **settings: Any
) -> Writer:
    """Return the writer of a byte-level BPE tokenizer, as in GPT-2, RoBERTa, ModernBERT and Qwen."""

    def write(folder: Path, words: Sequence[str]) -> dict[str, str]:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=300 + 2 * len(words),
            special_tokens=list(dict.fromkeys(names.values())),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator([" " + " ".join(words)] * 5, trainer)
        if single != "$A":
            _frame(tokenizer, single, pair)
        return _save(tokenizer, folder, kind, names, **settings)

    return write


def sentencepiece(
    kind: str,
    names: Mapping[str, str],
    single: str,
    pair: str | None = None,
    first: Sequence[str] = (),
    **settings: Any,
) -> Writer:
    """Return the writer of a Unigram tokenizer, converted from SentencePiece; `first` are the first pieces."""

    def write(folder: Path, words: Sequence[str]) -> dict[str, str]:
        specials = list(dict.fromkeys([*first, *names.values()]))
        tokenizer = unigram(specials, specials.index(names["unk"]), words=words)
        _frame(tokenizer, single, pair)
        return _save(tokenizer, folder, kind, names, **settings)

    return write


def byte_fallback_bpe(kind: str, names: Mapping[str, str], single: str, **settings: Any) -> Writer:
    """Return the writer of a SentencePiece BPE with byte pieces, as in Llama, Mistral and Gemma."""

    def write(folder: Path, words: Sequence[str]) -> dict[str, str]:
        tokenizer = Tokenizer(models.BPE(unk_token=names["unk"], fuse_unk=True, byte_fallback=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        trainer = trainers.BpeTrainer(
            vocab_size=400 + 2 * len(words),
            special_tokens=[*dict.fromkeys(names.values()), *(f"<0x{byte:02X}>" for byte in range(256))],
            show_progress=False,
        )
        tokenizer.train_from_iterator([f" {word}" for word in words] * 5, trainer)
        _frame(tokenizer, single)
        return _save(tokenizer, folder, kind, names, **settings)

    return write


@dataclass(frozen=True)
class Size:
    """The size of a checkpoint. The default is for tests of a fraction of a second."""

    width: int = 32
    layers: int = 2
    heads: int = 4


def write(name: str, folder: Path, size: Size = Size(), words: Sequence[str] = WORDS) -> Path:
    """Write the checkpoint of a family.

    Args:
        name: One of NAMES.
        folder: Where to write; its parents need not exist.
        size: How large; static tables have one size.
        words: Words that are one piece of the vocabulary.
    """
    import transformers

    if name in WRITERS:
        return WRITERS[name](folder, size)
    family = FAMILIES[name]
    specials = family.tokenizer(folder, words)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = {f"{name}_token_id": tokenizer.token_to_id(token) for name, token in specials.items()}
    sizes = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "intermediate_size": 2 * size.width,
    }
    kept: dict[str, Any] = {name: ids[name] for name in ("pad_token_id", "bos_token_id", "eos_token_id") if name in ids}
    scaled: dict[str, Any] = {key: value(size) if callable(value) else value for key, value in family.settings.items()}
    names = transformers.CONFIG_MAPPING[family.kind].attribute_map
    stored = {**sizes, **kept, **scaled}
    merged: dict[str, Any] = {names.get(key, key): value for key, value in stored.items() if value is not None}
    config = transformers.AutoConfig.for_model(family.kind, **merged)
    torch.manual_seed(len(name))
    auto = getattr(transformers, family.model)
    model = auto.from_config(config) if family.model.startswith("Auto") else auto(config)
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            _draw(parameter)
            if family.kind in _UNSCALED and label.endswith(("q.weight", "q_proj.weight")):
                parameter.mul_((size.width / size.heads) ** -0.5)
    model.eval().save_pretrained(folder)
    _write_modules(family, folder, size.width)
    return folder


def _draw(parameter: torch.Tensor) -> None:
    """Draw a weight that makes each layer count: with transformers' own small ones mistakes would hardly show."""
    if parameter.ndim > 1:
        parameter.normal_(std=1 / math.sqrt(parameter[0].numel()))
    else:
        parameter.add_(torch.randn_like(parameter), alpha=0.05)


def _write_modules(family: Family, folder: Path, width: int) -> None:
    if family.pooling is None:
        return
    places = [(f"{i}_{kind}", kind) for i, kind in enumerate(family.later, 2)]
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"), *places)
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    flags = {f"pooling_mode_{mode}": mode == family.pooling for mode in modes}
    pooling = {"word_embedding_dimension": width, **flags, "include_prompt": family.include_prompt}
    write_json(folder / "1_Pooling" / "config.json", pooling)
    inner = [width, 4 * width] if family.later.count("Dense") == 2 else [width]  # EmbeddingGemma widens, then narrows
    for path, kind in places:
        if kind == "Dense":
            write_dense(folder / path, inner.pop(0), inner[0] if inner else width, bias=False, activation="Identity")
    settings = {"max_seq_length": family.max_length, "do_lower_case": family.lower_case}
    write_json(folder / "sentence_bert_config.json", settings)
    file = folder / "config_sentence_transformers.json"
    stored = json.loads(file.read_text(encoding="utf-8"))
    prompts = {"prompts": dict(family.prompts), "default_prompt_name": family.default_prompt}
    write_json(file, {**stored, **prompts, "similarity_fn_name": "cosine"})


_XLMR = sentencepiece("XLMRobertaTokenizer", _ROBERTA, *_ROBERTA_PAIR, first=["<s>", "<pad>", "</s>", "<unk>"])
_ROBERTA_BPE = byte_bpe("RobertaTokenizer", _ROBERTA, *_ROBERTA_PAIR, model_max_length=512)
_MODERN_BPE = byte_bpe("PreTrainedTokenizerFast", _BERT, *_BERT_PAIR, model_max_length=8192)
_END = "<|endoftext|>"
_GPT2 = byte_bpe("GPT2Tokenizer", {"unk": _END, "bos": _END, "eos": _END, "pad": _END}, model_max_length=1024)
_NEOX = byte_bpe("GPTNeoXTokenizer", {"unk": _END, "bos": _END, "eos": _END, "pad": "<|padding|>"})
_QWEN = byte_bpe("Qwen2Tokenizer", {"pad": _END, "eos": "<|im_end|>"}, f"$A {_END}", padding_side="left")
_LLAMA = {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": "</s>"}
_GEMMA = {"pad": "<pad>", "eos": "<eos>", "bos": "<bos>", "unk": "<unk>"}
_ALBERT = {"pad": "<pad>", "unk": "<unk>", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_UNSCALED = ("gpt_neo", "mt5", "umt5")  # no factor in their attention: their trained queries are small
_AFTER_PADDING = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
_QUERY = "Represent this sentence for searching relevant passages: "
_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
_GROUPED = {"num_key_value_heads": 2, "head_dim": lambda size: size.width // size.heads}

FAMILIES: dict[str, Family] = {
    # BERT and RoBERTa
    "intfloat/e5-base-v2": Family("bert", wordpiece(), later=("Normalize",)),
    "BAAI/bge-base-en-v1.5": Family("bert", wordpiece(), pooling="cls_token", later=("Normalize",), lower_case=True),
    "thenlper/gte-base": Family("bert", wordpiece(), later=("Normalize",)),
    "mixedbread-ai/mxbai-embed-large-v1": Family(
        "bert", wordpiece(), pooling="cls_token", prompts={"query": _QUERY, "passage": ""}
    ),
    "Snowflake/snowflake-arctic-embed-m": Family(
        "bert", wordpiece(), {"add_pooling_layer": None}, "cls_token", ("Normalize",), {"query": _QUERY}
    ),
    "moka-ai/m3e-base": Family("bert", wordpiece(), later=()),
    "cointegrated/rubert-tiny2": Family(
        "bert", wordpiece(lower=False), {"max_position_embeddings": 2048}, "cls_token", ("Normalize",), max_length=2048
    ),
    "princeton-nlp/sup-simcse-bert-base-uncased": Family("bert", wordpiece(), pooling=None),
    "sentence-transformers/bert-base-nli-max-tokens": Family("bert", wordpiece(lower=False), pooling="max_tokens"),
    "shibing624/text2vec-base-chinese-paraphrase": Family(
        "ernie", wordpiece(), {"task_type_vocab_size": 3, "use_task_id": True, "max_position_embeddings": 512}
    ),
    "jhgan/ko-sroberta-multitask": Family("roberta", wordpiece(roberta=True), _AFTER_PADDING, max_length=128),
    "ibm-granite/granite-embedding-125m-english": Family(
        "roberta", _ROBERTA_BPE, _AFTER_PADDING, "cls_token", ("Normalize",)
    ),
    "intfloat/multilingual-e5-base": Family("xlm-roberta", _XLMR, _AFTER_PADDING, later=("Normalize",)),
    "BAAI/bge-m3": Family(
        "xlm-roberta",
        _XLMR,
        {**_AFTER_PADDING, "max_position_embeddings": 8194},
        "cls_token",
        ("Normalize",),
        max_length=8192,
    ),
    "Snowflake/snowflake-arctic-embed-l-v2.0": Family(
        "xlm-roberta",
        _XLMR,
        {**_AFTER_PADDING, "max_position_embeddings": 8194},
        "cls_token",
        ("Normalize",),
        {"query": "query: "},
        max_length=8192,
    ),
    "dangvantuan/sentence-camembert-base": Family("camembert", _XLMR, _AFTER_PADDING, max_length=128),
    # Encoders with rotary positions
    "answerdotai/ModernBERT-base": Family("modernbert", _MODERN_BPE, pooling=None),
    "Alibaba-NLP/gte-modernbert-base": Family("modernbert", _MODERN_BPE, pooling="cls_token", max_length=8192),
    "nomic-ai/modernbert-embed-base": Family(
        "modernbert",
        _MODERN_BPE,
        later=("Normalize",),
        prompts={"query": "search_query: ", "document": "search_document: "},
        max_length=8192,
    ),
    "ibm-granite/granite-embedding-english-r2": Family(
        "modernbert", _MODERN_BPE, pooling="cls_token", later=("Normalize",), max_length=8192
    ),
    "nomic-ai/nomic-embed-text-v1.5": Family(
        "nomic_bert", wordpiece(), {"max_position_embeddings": 2048}, max_length=8192
    ),
    "Snowflake/snowflake-arctic-embed-m-long": Family(
        "nomic_bert", wordpiece(), {"max_position_embeddings": 2048}, "cls_token", ("Normalize",), {"query": _QUERY}
    ),
    "alibaba-nlp-community/gte-multilingual-base": Family(
        "gte", _XLMR, {}, "cls_token", ("Normalize",), max_length=8192
    ),
    "EuroBERT/EuroBERT-210m": Family(
        "eurobert",
        byte_bpe(
            "PreTrainedTokenizerFast",
            {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>", "pad": "<|pad|>"},
            "<|begin_of_text|> $A <|end_of_text|>",
        ),
        _GROUPED,
        max_length=8192,
    ),
    # Decoders
    "Qwen/Qwen3-Embedding-0.6B": Family(
        "qwen3", _QWEN, _GROUPED, "lasttoken", ("Normalize",), {"query": _INSTRUCT, "document": ""}, max_length=None
    ),
    "codefuse-ai/F2LLM-0.6B": Family(
        "qwen3",
        _QWEN,
        {**_GROUPED, "tie_word_embeddings": True},
        "lasttoken",
        ("Normalize",),
        max_length=None,
        model="AutoModelForCausalLM",
    ),
    "HIT-TMG/KaLM-embedding-multilingual-mini-v1": Family(
        "qwen2", _QWEN, {"num_key_value_heads": 2}, later=("Normalize",)
    ),
    "intfloat/e5-mistral-7b-instruct": Family(
        "mistral",
        byte_fallback_bpe("LlamaTokenizer", _LLAMA, "<s> $A </s>", padding_side="left", add_eos_token=True),
        {**_GROUPED, "sliding_window": 4096},
        "lasttoken",
        ("Normalize",),
        {"web_search_query": _INSTRUCT, "sts_query": "Instruct: Retrieve semantically similar text.\nQuery: "},
        max_length=4096,
    ),
    "BAAI/bge-multilingual-gemma2": Family(
        "gemma2",
        byte_fallback_bpe("GemmaTokenizer", _GEMMA, "<bos> $A <eos>", padding_side="left"),
        {**_GROUPED, "sliding_window": 64},
        "lasttoken",
        ("Normalize",),
        max_length=8192,
    ),
    "google/embeddinggemma-300m": Family(
        "gemma3_text",
        byte_fallback_bpe("GemmaTokenizer", _GEMMA, "<bos> $A <eos>", model_max_length=2048),
        {**_GROUPED, "sliding_window": 64, "use_bidirectional_attention": True, "num_key_value_heads": 1},
        later=("Dense", "Dense", "Normalize"),
        prompts={"query": "task: search result | query: ", "document": "title: none | text: "},
        max_length=2048,
    ),
    "HuggingFaceTB/SmolLM2-135M": Family(
        "llama", _GPT2, {**_GROUPED, "tie_word_embeddings": True}, pooling=None, model="AutoModelForCausalLM"
    ),
    "Muennighoff/SGPT-125M-weightedmean-nli-bitfit": Family(
        "gpt_neo",
        _GPT2,
        {
            "attention_types": lambda size: [[["global", "local"], size.layers // 2]],
            "max_position_embeddings": 2048,
            "intermediate_size": None,
        },
        "weightedmean_tokens",
        max_length=75,
    ),
    "Muennighoff/SGPT-5.8B-weightedmean-msmarco-specb-bitfit": Family(
        "gptj", _GPT2, {"rotary_dim": 4, "intermediate_size": None}, "weightedmean_tokens", max_length=300
    ),
    "bigscience/sgpt-bloom-7b1-msmarco": Family(
        "bloom",
        byte_bpe("BloomTokenizer", {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": "<pad>"}, padding_side="left"),
        {"intermediate_size": None},
        "weightedmean_tokens",
        max_length=300,
    ),
    "openai-community/gpt2": Family("gpt2", _GPT2, {"intermediate_size": None}, "weightedmean_tokens"),
    "EleutherAI/pythia-70m": Family("gpt_neox", _NEOX, pooling=None, model="AutoModelForCausalLM"),
    "facebook/opt-125m": Family(
        "opt",
        byte_bpe("GPT2Tokenizer", {"bos": "</s>", "eos": "</s>", "unk": "</s>", "pad": "<pad>"}, "</s> $A"),
        {"word_embed_proj_dim": lambda size: size.width, "ffn_dim": lambda size: 2 * size.width},
        "mean_tokens",
    ),
    "microsoft/phi-1_5": Family("phi", _GPT2, pooling=None, model="AutoModelForCausalLM"),
    "mosaicml/mpt-7b": Family(
        "mpt", _NEOX, {"intermediate_size": None, "max_position_embeddings": 2048}, "mean_tokens"
    ),
    # Other encoders
    "sentence-transformers/paraphrase-albert-base-v2": Family(
        "albert",
        sentencepiece("AlbertTokenizer", _ALBERT, *_BERT_PAIR),
        {"embedding_size": lambda size: size.width // 2},
        max_length=256,
    ),
    "ddobokki/electra-small-nli-sts": Family(
        "electra", wordpiece("ElectraTokenizer"), {"embedding_size": lambda size: size.width // 2}, max_length=512
    ),
    "dbmdz/convbert-base-turkish-cased": Family("convbert", wordpiece("ConvBertTokenizer"), pooling=None),
    "microsoft/deberta-v3-base": Family(
        "deberta-v2",
        sentencepiece("DebertaV2Tokenizer", {**_BERT, "bos": "[CLS]", "eos": "[SEP]"}, *_BERT_PAIR, first=["[PAD]"]),
        {
            "relative_attention": True,
            "position_buckets": 256,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "max_relative_positions": -1,
            "position_biased_input": False,
            "type_vocab_size": 0,
            "max_position_embeddings": 512,
        },
    ),
    "microsoft/deberta-base": Family(
        "deberta",
        byte_bpe("DebertaTokenizer", _BERT, *_BERT_PAIR),
        {
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "max_relative_positions": -1,
            "position_biased_input": False,
            "type_vocab_size": 0,
            "max_position_embeddings": 512,
        },
    ),
    "xlnet/xlnet-base-cased": Family(
        "xlnet",
        sentencepiece(
            "XLNetTokenizer",
            {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "cls": "<cls>", "sep": "<sep>", "pad": "<pad>"},
            "$A <sep> <cls>:2",
            "$A <sep> $B:1 <sep>:1 <cls>:2",
            padding_side="left",
        ),
    ),
    "allenai/longformer-base-4096": Family(
        "longformer",
        _ROBERTA_BPE,
        {**_AFTER_PADDING, "attention_window": 64, "max_position_embeddings": 4098},
        max_length=4096,
    ),
    "google/bigbird-roberta-base": Family(
        "big_bird",
        sentencepiece(
            "BigBirdTokenizer", {**_BERT, "unk": "<unk>", "pad": "<pad>", "bos": "<s>", "eos": "</s>"}, *_BERT_PAIR
        ),
        {"max_position_embeddings": 4096},
        max_length=4096,
    ),
    "microsoft/deberta-v2-xlarge": Family(
        "deberta-v2",
        sentencepiece("DebertaV2Tokenizer", {**_BERT, "bos": "[CLS]", "eos": "[SEP]"}, *_BERT_PAIR, first=["[PAD]"]),
        {
            "relative_attention": True,
            "position_buckets": 256,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "max_relative_positions": -1,
            "position_biased_input": False,
            "type_vocab_size": 0,
            "max_position_embeddings": 512,
            "conv_kernel_size": 3,
            "conv_act": "gelu",
        },
    ),
    "google/fnet-base": Family("fnet", sentencepiece("FNetTokenizer", _ALBERT, *_BERT_PAIR)),
    "funnel-transformer/small": Family(
        "funnel",
        wordpiece("FunnelTokenizer"),
        {
            "architectures": ["FunnelModel"],
            "hidden_size": None,
            "d_model": lambda size: size.width,
            "num_hidden_layers": None,
            "block_sizes": lambda size: [size.layers // 2] * 2,
            "num_attention_heads": None,
            "n_head": lambda size: size.heads,
            "d_head": lambda size: size.width // size.heads,
            "intermediate_size": None,
            "d_inner": lambda size: 2 * size.width,
        },
    ),
    "google/mobilebert-uncased": Family(
        "mobilebert",
        wordpiece("MobileBertTokenizer"),
        {
            "embedding_size": lambda size: size.width // 2,
            "intra_bottleneck_size": lambda size: size.width,
            "true_hidden_size": lambda size: size.width,
        },
    ),
    "squeezebert/squeezebert-uncased": Family(
        "squeezebert", wordpiece("SqueezeBertTokenizer"), {"embedding_size": lambda size: size.width}
    ),
    "google/rembert": Family(
        "rembert",
        sentencepiece("RemBertTokenizer", {**_BERT, "unk": "<unk>"}, *_BERT_PAIR),
        {"input_embedding_size": lambda size: size.width // 2, "output_embedding_size": 64},
    ),
    "kssteven/ibert-roberta-base": Family("ibert", _ROBERTA_BPE, {**_AFTER_PADDING, "quant_mode": False}),
    "facebook/data2vec-text-base": Family("data2vec-text", _ROBERTA_BPE, _AFTER_PADDING),
    "nvidia/megatron-bert-cased-345m": Family("megatron-bert", wordpiece(lower=False)),
    "uw-madison/nystromformer-512": Family(
        "nystromformer",
        sentencepiece("AlbertTokenizer", _ALBERT, *_BERT_PAIR),
        {"segment_means_seq_len": 64, "num_landmarks": 64, "max_position_embeddings": 510},
    ),
    "uw-madison/yoso-4096": Family("yoso", _ROBERTA_BPE, {"max_position_embeddings": 4096, "use_expectation": True}),
    "tau/splinter-base": Family(
        "splinter", wordpiece("SplinterTokenizer", lower=False), {"max_position_embeddings": 512}
    ),
    "studio-ousia/luke-base": Family(
        "luke",
        byte_bpe("LukeTokenizer", _ROBERTA, *_ROBERTA_PAIR),
        {**_AFTER_PADDING, "entity_vocab_size": 10, "entity_emb_size": 16},
    ),
    "princeton-nlp/efficient_mlm_m0.40": Family("roberta-prelayernorm", _ROBERTA_BPE, _AFTER_PADDING, pooling=None),
    "facebook/xlm-roberta-xl": Family("xlm-roberta-xl", _XLMR, _AFTER_PADDING),
    "google/umt5-small": Family(
        "umt5",
        sentencepiece("T5Tokenizer", {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}, "$A </s>"),
        {"d_kv": lambda size: size.width // size.heads, "feed_forward_proj": "gated-gelu", "intermediate_size": None},
        model="UMT5EncoderModel",
    ),
    "google/mt5-small": Family(
        "mt5",
        sentencepiece("T5Tokenizer", {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}, "$A </s>"),
        {"d_kv": lambda size: size.width // size.heads, "feed_forward_proj": "gated-gelu", "intermediate_size": None},
        model="AutoModel",
    ),
}
# Families that are no single transformer have writers of their own.
WRITERS: dict[str, Callable[[Path, Size], Path]] = {
    "minishlab/potion-base-8M": lambda folder, _: write_model2vec(folder),
    "sentence-transformers/static-retrieval-mrl-en-v1": lambda folder, _: write_static(folder),
    "openai/clip-vit-base-patch32": lambda folder, size: write_transformers_clip(folder, width=size.width),
}
NAMES = (*FAMILIES, *WRITERS)
