"""Write tiny checkpoints with random weights, in the real file layout of their model families."""

import json
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = (
    "the a of to and in is it you that he was for on are with as his they be at one have this from or had by hot but "
    "some what there we can out other were all your when up use word how said an each she which do their time will "
    "cat dog sat mat rain sun moon river spark table model vector sentence query passage city london people live"
).split()


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def wordpiece_tokenizer(lowercase: bool = True, words: Sequence[str] = WORDS) -> Tokenizer:
    """Return a WordPiece tokenizer over the words and all printable characters, with [CLS] text [SEP]."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = list(string.ascii_letters + string.digits + string.punctuation + "éüßñçаб中文日本")
    pieces = specials + characters + ["##" + c for c in characters] + [w for w in words if len(w) > 1]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    tokenizer.add_special_tokens(specials)
    return tokenizer


def unigram(specials: list[str], unknown: int, last: Sequence[str] = (), words: Sequence[str] = WORDS) -> Tokenizer:
    """Return a Unigram tokenizer: special tokens, words, characters, and the tokens of `last`."""
    pieces = [(token, 0.0) for token in specials] + [("▁", -3.0)]
    pieces += [("▁" + word, -4.0 - i / 50) for i, word in enumerate(dict.fromkeys(words))]
    pieces += [(c, -8.0 - i / 50) for i, c in enumerate(string.ascii_letters + string.digits + ".,!?'éü中文日本аб")]
    pieces += [(token, 0.0) for token in last]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.add_special_tokens(specials)
    return tokenizer


def write_wordpiece(folder: Path, tokenizer_class: str = "BertTokenizer", max_length: int = 512) -> int:
    """Write the files of a WordPiece tokenizer and return the size of its vocabulary."""
    tokenizer = wordpiece_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("\n".join(piece for piece, _ in vocab) + "\n", encoding="utf-8")
    names = {
        name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    }
    settings = {**names, "do_lower_case": True, "tokenizer_class": tokenizer_class, "model_max_length": max_length}
    write_json(folder / "tokenizer_config.json", settings)
    return len(vocab)


def write_modules(folder: Path, *types: tuple[str, str]) -> None:
    """Write modules.json from (path, class name), with the class paths of sentence-transformers up to version 5."""
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(types)
    ]
    write_json(folder / "modules.json", modules)
    versions = {"sentence_transformers": "2.0.0", "transformers": "4.6.1", "pytorch": "1.8.1"}
    write_json(folder / "config_sentence_transformers.json", {"__version__": versions})


def write_pooling(folder: Path, dim: int, mode: str = "mean_tokens", **more: Any) -> None:
    """Write 1_Pooling/config.json with the old flags, one of them on."""
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens"]
    config = {f"pooling_mode_{name}": name == mode for name in modes}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": dim, **config, **more})


def write_bert(folder: Path, *, seed: int = 0, dim: int = 32, max_seq_length: int = 64) -> Path:
    """Write a BERT of 2 layers with mean pooling and Normalize, in the layout of all-MiniLM-L6-v2."""
    from transformers import BertConfig, BertModel

    size = write_wordpiece(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=size,
        hidden_size=dim,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * dim,
        max_position_embeddings=512,
    )
    BertModel(config).eval().save_pretrained(folder)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    write_pooling(folder, dim)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False})
    return folder


def write_distilbert(folder: Path, *, seed: int = 1, dim: int = 32, pooling: str = "cls_token") -> Path:
    """Write a DistilBERT without Normalize, in the layout of msmarco-distilbert-base-tas-b."""
    from transformers import DistilBertConfig, DistilBertModel

    size = write_wordpiece(folder, "DistilBertTokenizer")
    torch.manual_seed(seed)
    config = DistilBertConfig(
        vocab_size=size, dim=dim, n_layers=2, n_heads=4, hidden_dim=2 * dim, max_position_embeddings=512
    )
    DistilBertModel(config).eval().save_pretrained(folder)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"))
    write_pooling(folder, dim, pooling)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False})
    return folder


def write_mpnet(folder: Path, *, seed: int = 2, dim: int = 32) -> Path:
    """Write an MPNet with relative position bias, mean pooling and Normalize, in the layout of all-mpnet-base-v2."""
    from transformers import MPNetConfig, MPNetModel

    size = write_wordpiece_as_mpnet(folder)
    torch.manual_seed(seed)
    config = MPNetConfig(
        vocab_size=size,
        hidden_size=dim,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * dim,
        max_position_embeddings=514,
    )
    model = MPNetModel(config).eval()
    torch.nn.init.normal_(model.encoder.relative_attention_bias.weight)  # zeros would hide a wrong bucket
    model.save_pretrained(folder)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    write_pooling(folder, dim)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 384, "do_lower_case": False})
    return folder


def write_wordpiece_as_mpnet(folder: Path) -> int:
    """Write MPNet's tokenizer: WordPiece with RoBERTa's special tokens, padding id 1."""
    vocab = ["<s>", "<pad>", "</s>", "[UNK]", *sorted(wordpiece_tokenizer().get_vocab()), "<mask>"]
    pieces = {piece: i for i, piece in enumerate(dict.fromkeys(vocab))}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    save_with_roberta_specials(tokenizer, folder, "MPNetTokenizer", unk_token="[UNK]")
    return tokenizer.get_vocab_size()


def save_with_roberta_specials(tokenizer: Tokenizer, folder: Path, tokenizer_class: str, **names: str) -> None:
    """Add <s> text </s>, and </s></s> inside a pair; write tokenizer.json and its config."""
    vocab = tokenizer.get_vocab()
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", vocab["</s>"]), ("<s>", vocab["<s>"]), trim_offsets=False
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<mask>", names.get("unk_token", "<unk>")])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "model_max_length": 512,
        "tokenizer_class": tokenizer_class,
        **names,
    }
    write_json(folder / "tokenizer_config.json", settings)


def write_roberta(folder: Path, *, seed: int = 3, dim: int = 32, max_seq_length: int | None = 128) -> Path:
    """Write a RoBERTa with byte-level BPE, weighted mean and max pooling side by side."""
    from tokenizers import decoders, trainers
    from transformers import RobertaConfig, RobertaModel

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 5, trainer)
    save_with_roberta_specials(tokenizer, folder, "RobertaTokenizer")
    torch.manual_seed(seed)
    config = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=dim,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * dim,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    RobertaModel(config).eval().save_pretrained(folder)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"))
    write_pooling(folder, dim, "max_tokens", pooling_mode_weightedmean_tokens=True)
    if max_seq_length is not None:
        write_json(folder / "sentence_roberta_config.json", {"max_seq_length": max_seq_length})
    return folder


def write_xlm_roberta(folder: Path, *, seed: int = 4, dim: int = 32) -> Path:
    """Write an XLM-R with a Unigram tokenizer, mean pooling without the prompt, and Dense with Tanh."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    tokenizer = unigram(["<s>", "<pad>", "</s>", "<unk>"], 3, last=["<mask>"])
    save_with_roberta_specials(tokenizer, folder, "XLMRobertaTokenizer")
    torch.manual_seed(seed)
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=dim,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * dim,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    XLMRobertaModel(config).eval().save_pretrained(folder)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"))
    write_pooling(folder, dim, include_prompt=False)
    write_dense(folder / "2_Dense", dim, 16)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 128})
    prompts = {"query": "query city: ", "passage": "passage: "}
    write_json(folder / "config_sentence_transformers.json", {"__version__": {}, "prompts": prompts})
    return folder


def write_dense(folder: Path, width: int, dim: int, *, bias: bool = True, activation: str = "Tanh") -> None:
    """Write a Dense module with random weights."""
    from safetensors.torch import save_file

    path = f"torch.nn.modules.{'linear' if activation == 'Identity' else 'activation'}.{activation}"
    config = {"in_features": width, "out_features": dim, "bias": bias, "activation_function": path}
    write_json(folder / "config.json", config)
    weights = {"linear.weight": torch.randn(dim, width)}
    save_file(weights | ({"linear.bias": torch.randn(dim)} if bias else {}), folder / "model.safetensors")


WRITERS: dict[str, Callable[[Path], Path]] = {
    "bert": write_bert,
    "distilbert": write_distilbert,
    "mpnet": write_mpnet,
    "roberta": write_roberta,
    "xlm-roberta": write_xlm_roberta,
}
