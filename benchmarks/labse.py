"""A checkpoint of LaBSE's size and layout with random weights, to measure speed.

It has the tokenizer of all-MiniLM-L6-v2, with 30,522 pieces. LaBSE has 501,153 pieces; looking them up is as fast.
"""

import json
import shutil
from pathlib import Path

from benchmarks.encoders import model_folder

WIDTH = 768


def write(folder: Path) -> Path:
    """Write the checkpoint (430 MB): BERT of 12 layers, [CLS] pooling, Dense with tanh, Normalize."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30_522, hidden_size=WIDTH, num_hidden_layers=12, num_attention_heads=12, intermediate_size=4 * WIDTH
    )
    BertModel(config).eval().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(model_folder() / name, folder / name)
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
