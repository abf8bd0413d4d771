"""Checkpoints that are broken in one way each. docs/models/refused.md has what st-spark says about each.

Write the page again with: python -m tests.support.broken_checkpoints
"""

import json
import pickle
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from st_spark.model import check
from tests.support import checkpoints, clip_checkpoints, community_checkpoints, text_checkpoints, word_checkpoints
from tests.support.paths import ROOT

Change = Callable[[Path], object]
PAGE = ROOT / "docs" / "models" / "refused.md"
WRITERS: dict[str, Callable[[Path], Path]] = {
    **checkpoints.WRITERS,
    **text_checkpoints.WRITERS,
    **word_checkpoints.WRITERS,
    "clip": clip_checkpoints.write_transformers_clip,
    "convbert": partial(community_checkpoints.write, "dbmdz/convbert-base-turkish-cased"),  # through transformers
}
OLD = "sentence_transformers.models"
LAYER = "encoder.layer.1.output.dense.weight"


@dataclass(frozen=True)
class Case:
    """A kind of broken checkpoint.

    Attributes:
        what: What is broken, in the words of the page.
        family: The checkpoint that is broken.
        change: Breaks it.
    """

    what: str
    family: str
    change: Change

    def write(self, folder: Path) -> Path:
        """Write the broken checkpoint."""
        self.change(WRITERS[self.family](folder))
        return folder


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    """Return a change of the tensors of a folder."""

    def apply(folder: Path) -> None:
        stored = load_file(folder / "model.safetensors")
        change(stored)
        save_file(stored, folder / "model.safetensors", {"format": "pt"})

    return apply


def without(*names: str) -> Change:
    """Return a change that leaves tensors out."""
    return tensors(lambda stored: [stored.pop(name) for name in names])


def with_also(*names: str) -> Change:
    """Return a change that adds tensors."""
    return tensors(lambda stored: stored.update({name: torch.zeros(2) for name in names}))


def reshaped(name: str, *shape: int) -> Change:
    """Return a change that gives a tensor another shape."""
    return tensors(lambda stored: stored.update({name: torch.zeros(shape)}))


def filled(name: str, value: float) -> Change:
    """Return a change of one number of a tensor."""
    return tensors(lambda stored: stored[name].view(-1)[3:4].fill_(value))


def set_in(file: str, **values: object) -> Change:
    """Return a change of the values in a JSON file, which need not exist."""

    def apply(folder: Path) -> None:
        path = folder / file
        stored = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**stored, **values}))

    return apply


def config(**values: object) -> Change:
    """Return a change of config.json."""
    return set_in("config.json", **values)


def write(name: str, content: str | bytes) -> Change:
    """Return a change that writes a file."""

    def apply(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return apply


def lost(*names: str) -> Change:
    """Return a change that deletes files."""

    def apply(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return apply


def both(*changes: Change) -> Change:
    """Return several changes as one."""

    def apply(folder: Path) -> None:
        for change in changes:
            change(folder)

    return apply


def only(name: str) -> Change:
    """Return a change that leaves a file of another program in place of the weights."""
    return both(lost("model.safetensors"), write(name, b"weights"))


def sharded(index: object) -> Change:
    """Return a change that leaves the index of shards alone."""
    return both(lost("model.safetensors"), write("model.safetensors.index.json", json.dumps(index)))


def pickled(content: object) -> Change:
    """Return a change that leaves a pickle in place of the weights."""

    def apply(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        torch.save(content, folder / "pytorch_model.bin")

    return apply


def cut(name: str) -> Change:
    """Return a change that leaves the first half of a file."""

    def apply(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return apply


def module(place: int, **values: object) -> Change:
    """Return a change of an entry of modules.json."""

    def apply(folder: Path) -> None:
        entries = json.loads((folder / "modules.json").read_text())
        entries[place] |= values
        (folder / "modules.json").write_text(json.dumps(entries))

    return apply


def plain(**values: object) -> Change:
    """Return a change that leaves a transformers folder without the files of sentence-transformers."""
    return both(lost("modules.json", "config_sentence_transformers.json"), config(**values))


def siglip(folder: Path) -> None:
    """Replace the model by an encoder of texts and images that has no forward of texts alone."""
    from transformers import SiglipConfig, SiglipModel

    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    sizes["num_attention_heads"] = 2
    text = {**sizes, "vocab_size": 400, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)


def link_out(folder: Path) -> None:
    """Replace a file by a link that leaves the folder."""
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere.safetensors")


class Trap:
    """What would run a command if a pickle of it was loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Return the command."""
        return (exec, ("raise SystemExit(9)",))


def pipe(folder: Path) -> None:
    """Turn a folder into one of another library."""
    for name in ("modules.json", "config.json"):
        (folder / name).unlink()
    (folder / "model_index.json").write_text("{}")


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"

CASES: list[Case] = [
    # Files of weights
    Case("no weights", "bert", lost("model.safetensors")),
    Case("weights that end early", "bert", cut("model.safetensors")),
    Case("weights that are something else", "bert", write("model.safetensors", b"<html>" * 9)),
    Case("an empty file of weights", "bert", write("model.safetensors", b"")),
    Case("pointers of git in place of the files", "bert", write("model.safetensors", POINTER)),
    Case("a shard that is missing", "bert", sharded({"weight_map": {LAYER: "model-1-of-2.safetensors"}})),
    Case("a list of shards that is broken", "bert", sharded({"weights": {}})),
    Case("weights for ONNX alone", "bert", only("onnx/model.onnx")),
    Case("weights for OpenVINO alone", "bert", only("openvino/openvino_model.xml")),
    Case("weights for llama.cpp alone", "bert", only("model-Q4_K_M.gguf")),
    Case("weights for TensorFlow alone", "bert", only("tf_model.h5")),
    Case(
        "a pickle that runs code",
        "bert",
        both(lost("model.safetensors"), write("pytorch_model.bin", pickle.dumps(Trap()))),
    ),
    Case("a pickle of something else", "bert", pickled([1, 2])),
    Case("a training state in place of weights", "bert", pickled({"state_dict": {LAYER: torch.zeros(1)}})),
    Case("a damaged pickle", "bert", both(pickled({}), cut("pytorch_model.bin"))),
    Case("a link that leaves the folder", "bert", link_out),
    # Weights and architecture
    Case("a layer that is missing", "bert", without(LAYER)),
    Case("a layer that is missing, through transformers", "convbert", without(LAYER)),
    Case("more layers than config.json says", "bert", config(num_hidden_layers=1)),
    Case("weights of an adapter among the others", "bert", with_also("encoder.layer.0.lora_A.weight")),
    Case("weights that the architecture does not have", "convbert", with_also("encoder.layer.1.q_norm.weight")),
    Case("weights of another shape", "bert", reshaped("encoder.layer.0.intermediate.dense.weight", 64, 31)),
    Case("attention weights of another shape", "bert", reshaped("encoder.layer.0.attention.self.key.weight", 32, 31)),
    Case("weights of another shape, through transformers", "convbert", reshaped(LAYER, 32, 63)),
    Case("NaN among the weights", "bert", filled(LAYER, float("nan"))),
    Case("infinity among the weights", "convbert", filled(LAYER, float("inf"))),
    Case("attention heads that do not fit", "bert", config(num_attention_heads=5)),
    Case("more layers than could ever be built", "convbert", config(num_hidden_layers=10**12)),
    Case("positions that transformers does not have", "bert", config(position_embedding_type="alibi")),
    Case("an unknown architecture", "bert", config(model_type="never-heard-of")),
    Case("a config.json with a wrong value", "convbert", config(hidden_size="wide")),
    Case("settings of Nomic's code alone", "convbert", config(model_type="nomic_bert", rotary_emb_base=10000)),
    Case("a model of texts and images, such as SigLIP", "bert", siglip),
    Case("quantised for bitsandbytes", "bert", config(quantization_config={"quant_method": "bitsandbytes"})),
    Case("quantised with GPTQ", "bert", config(quantization_config={"quant_method": "gptq", "bits": 4})),
    Case("quantised with AWQ", "bert", config(quantization_config={"quant_method": "awq", "bits": 4})),
    # Tokenizers
    Case("no tokenizer", "bert", lost("tokenizer.json", "vocab.txt")),
    Case("a broken tokenizer.json", "bert", cut("tokenizer.json")),
    Case(
        "BertJapanese",
        "bert",
        both(lost("tokenizer.json"), set_in("tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer")),
    ),
    Case(
        "PhoBERT",
        "bert",
        both(lost("tokenizer.json"), set_in("tokenizer_config.json", tokenizer_class="PhobertTokenizer")),
    ),
    Case("a tokenizer of another model", "bert", reshaped("embeddings.word_embeddings.weight", 200, 32)),
    Case("a static model without tokenizer", "model2vec", lost("tokenizer.json")),
    Case("a static model with another tokenizer", "model2vec", both(reshaped("mapping", 40), reshaped("weights", 40))),
    Case("settings of the tokenizer that are no object", "bert", set_in("sentence_bert_config.json", tokenizer_args=5)),
    Case(
        "an unknown tokenizer of words",
        "words",
        set_in("0_WordEmbeddings/wordembedding_config.json", tokenizer_class="my.Tokenizer"),
    ),
    # Code and packages
    Case(
        "an architecture that is code of the checkpoint",
        "bert",
        config(auto_map={"AutoModel": "modeling_bert.JinaBertModel"}),
    ),
    Case("a module that is code of the checkpoint", "bert", module(0, type="custom_st.Transformer")),
    Case(
        "an adapter without its base model",
        "bert",
        both(lost("config.json", "model.safetensors"), write("adapter_config.json", "{}")),
    ),
    # Modules of sentence-transformers
    Case("a modules.json that is no JSON", "bert", write("modules.json", "[{")),
    Case("a modules.json without modules", "bert", write("modules.json", "[]")),
    Case("a folder that is missing", "bert", module(1, path="9_Pooling")),
    Case("a path that leaves the model", "bert", module(1, path="../other")),
    Case("an unknown module", "bert", module(1, type=f"{OLD}.Never")),
    Case(
        "a sparse encoder (SPLADE)", "bert", module(1, type="sentence_transformers.sparse_encoder.models.SpladePooling")
    ),
    Case("an unknown pooling mode", "bert", set_in("1_Pooling/config.json", pooling_mode="attention")),
    Case("a pooling mode that is no name", "bert", set_in("1_Pooling/config.json", pooling_mode=5)),
    Case("a Dense of another model", "xlm-roberta", lambda folder: checkpoints.write_dense(folder / "2_Dense", 48, 16)),
    Case("a Dense that comes first", "xlm-roberta", module(0, path="2_Dense", type=f"{OLD}.Dense")),
    Case("a router without routes", "router", set_in("router_config.json", structure={})),
    Case(
        "a chat template",
        "bert",
        set_in("sentence_bert_config.json", modality_config={"message": {"method": "forward"}}),
    ),
    Case("another length for queries", "bert", set_in("sentence_bert_config.json", query_length=32)),
    Case(
        "arguments of the tokenizer that change tokens",
        "bert",
        set_in("sentence_bert_config.json", processing_kwargs={"text": {"add_special_tokens": False}}),
    ),
    Case("a head in place of vectors", "bert", set_in("sentence_bert_config.json", transformer_task="fill-mask")),
    Case("a limit of tokens that is no number", "bert", set_in("sentence_bert_config.json", max_seq_length="512")),
    Case(
        "a default prompt that does not exist",
        "bert",
        set_in("config_sentence_transformers.json", default_prompt_name="query2"),
    ),
    Case(
        "a cross-encoder of sentence-transformers",
        "bert",
        set_in("config_sentence_transformers.json", model_type="CrossEncoder"),
    ),
    # Other models
    Case("a cross-encoder, reranker or classifier", "bert", plain(architectures=["BertForSequenceClassification"])),
    Case(
        "a model that chats",
        "bert",
        both(plain(architectures=["Qwen2ForCausalLM"]), write("chat_template.jinja", "{{ x }}")),
    ),
    Case("a folder of another library", "bert", pipe),
]


# Words of other libraries, which change with their versions.
_FOREIGN = re.compile(
    r"(?<=deserializing header: )[^.]+|(?<=never-heard-of` ).+?(?=[.] Fix)|(?<=plain weights: )Py.+?(?=[.] Fix)"
    r"|(?<=cannot be used: )Validation.+?(?=[.] Fix)|(?<=sizes of its weights [(]).+?(?=[)][.] Fix)"
    r"|(?<=text alone [(]).+?(?=[)][.] Fix)|(?<=cannot be loaded: )Expecting.+?(?=[.] Fix)"
    r"|(?<=of its files [(]).+?(?=[)][.] Fix)"
    r"|(?<=as JSON [(]).+?(?=[)][.] Fix)|(?<=is a link to ').+?(?=')|(?<=tokenizer.json cannot be read: ).+?(?=[.] Fix)"
)
_INTRO = """# What is refused

st-spark checks a model on the driver before a job starts, and says all that is wrong with it at once.
`st-spark doctor --model NAME` does the same check, and describes the model. No code of a checkpoint runs.
A test breaks a small checkpoint in each way of this table and expects the message. `MODEL` is the folder of the model,
and … stands for words of another library.

| What is broken | The message |
|---|---|
"""


def message(error: Exception, folder: Path) -> str:
    """Return a message as the page has it."""
    return _FOREIGN.sub("…", str(error).replace(str(folder.resolve()), "MODEL"))


def rows() -> dict[str, str]:
    """Return the messages on the page by what is broken."""
    lines = PAGE.read_text(encoding="utf-8").removeprefix(_INTRO).splitlines()
    cells = (line.strip("| ").split(" | ", 1) for line in lines)
    return {what: says.replace("\\|", "|") for what, says in cells}


def main() -> None:
    """Write the page."""
    page = _INTRO
    with tempfile.TemporaryDirectory() as top:
        for place, case in enumerate(CASES):
            folder = case.write(Path(top, f"{place}", "model"))
            (fault,) = check.examine(folder).faults
            page += f"| {case.what} | {message(fault, folder).replace('|', chr(92) + '|')} |\n"
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
