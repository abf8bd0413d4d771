"""Zero-shot classification of Arrow arrays: find the most similar label of each text or image. No Spark here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from st_spark.embedding.arrow_batches import Columns
from st_spark.embedding.arrow_encode import VECTOR, Embedder, EncodeOptions, encode_arrays, output_type
from st_spark.errors import InputError, check_text

# What tables in some formats do not allow in a name of a column.
_UNSAFE = re.compile(r"[\s,;{}()=]+")
_FIELDS = (pa.field("label", pa.string()), pa.field("score", pa.float32()), pa.field("scores", VECTOR))


@dataclass(frozen=True)
class Labels:
    """The labels to choose from.

    Args:
        names: One or more different labels that are not blank. Scores have the same order.
        template: The text that the model reads for a label; "{}" is replaced by the label.
        wide: Whether the output also has a field for each label.

    Raises:
        InputError: There are no labels; a label is blank, repeated or not a str; or the template has no "{}".
    """

    names: tuple[str, ...]
    template: str = "{}"
    wide: bool = False

    def __post_init__(self) -> None:
        """Check the labels."""
        if not self.names:
            raise InputError("There are no labels.", "give one or more, as a list of str.")
        for place, name in enumerate(self.names):
            if not isinstance(name, str):
                raise InputError(f"Label {name!r} is not a str.", "give each label as a str.")
            check_text(f"Label {name!r}", name)
            if not name.strip():
                raise InputError(f"Label {name!r} is blank.", "give each label as a str with a word in it.")
            if name in self.names[:place]:
                raise InputError(f"Label {name!r} is repeated.", "give each label once.")
        check_text("The template", self.template)
        if "{}" not in self.template:
            raise InputError(
                f"The template {self.template!r} has no place for the label.", "write {} there: 'a photo of a {}'."
            )

    @property
    def texts(self) -> list[str]:
        """The texts that the model reads for the labels."""
        return [self.template.replace("{}", name) for name in self.names]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of the labels: "world_politics" for "world politics".

        Raises:
            InputError: Two labels have the same name, or a label has the name of another field.
        """
        columns = tuple(_UNSAFE.sub("_", name.strip()) for name in self.names)
        seen = {each.name: f"the field {each.name!r} of the result" for each in _FIELDS}
        for name, column in zip(self.names, columns, strict=True):
            if other := seen.get(column.lower()):
                raise InputError(
                    f"Label {name!r} needs the column {column!r}, which {other} has already.",
                    "rename the label.",
                )
            seen[column.lower()] = f"the label {name!r}"
        return columns


class Classifier:
    """Compares inputs with labels. The labels are encoded when the first input comes.

    Args:
        model: The model that encodes the inputs.
        labels: The labels.
        label_model: The model that encodes the labels, if it is another one with the same vector space.
    """

    def __init__(self, model: Embedder, labels: Labels, label_model: Embedder | None = None) -> None:
        self.model, self.labels, self.label_model = model, labels, label_model or model

    @cached_property
    def label_vectors(self) -> npt.NDArray[np.float32]:
        """Vectors of the labels, [labels, dim], of length 1."""
        return self.label_model.embed(
            self.labels.texts, prompt=None, prompt_name=None, normalize_embeddings=True, truncate_dim=None
        ).vectors

    def scores(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the cosine of each vector, [n, dim] of length 1, with each label: [n, labels]."""
        if vectors.shape[1] != self.label_vectors.shape[1]:
            raise InputError(
                f"Label vectors have {self.label_vectors.shape[1]} values, input vectors {vectors.shape[1]}.",
                "choose a label_model with the same vector space as the model.",
            )
        return vectors @ self.label_vectors.T


def classify_arrays(
    classifier: Classifier, batches: Iterator[pa.Array | Columns], options: EncodeOptions
) -> Iterator[pa.Array]:
    """Classify a stream of Arrow arrays.

    Args:
        classifier: The models and the labels.
        batches: See encode_arrays().
        options: How to encode. `counts` adds the fields n_tokens, truncated, problem (for images) and duplicate.

    Yields:
        Arrays of struct<label, score, scores>, in the order of the rows. `scores` are cosine similarities, in the
        order of the labels. `label` and `score` are the best of them (the first of equals). Null gives null. An image
        that cannot be read gives a struct of nulls. For a vector of zeros or with a NaN the label is null.
    """
    wanted = replace(options, normalize_embeddings=True, details=True)
    for array in encode_arrays(classifier.model, batches, wanted):
        yield _classified(classifier, array, options)


def _classified(classifier: Classifier, encoded: pa.StructArray, options: EncodeOptions) -> pa.Array:
    vectors = encoded.field(0)
    present = vectors.is_valid().to_numpy(zero_copy_only=False)
    count, size = int(present.sum()), len(classifier.labels.names)
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    matrix = flat.reshape(count, len(flat) // max(count, 1))
    scores = classifier.scores(matrix) if count else np.empty((0, size), np.float32)
    best = scores.argmax(axis=1)
    label, score = np.full(len(present), -1), np.zeros(len(present), np.float32)
    label[present] = np.where(np.isfinite(scores).all(axis=1) & matrix.any(axis=1), best, -1)
    score[present] = scores[np.arange(count), best]
    offsets = np.concatenate(([0], np.cumsum(present * size))).astype(np.int32)
    fields = [
        pa.array(classifier.labels.names).take(pa.array(label, pa.int64(), mask=label < 0)),
        pa.array(score, pa.float32(), mask=~present),
        pa.ListArray.from_arrays(pa.array(offsets), pa.array(scores.reshape(-1)), type=VECTOR, mask=pa.array(~present)),
    ]
    if classifier.labels.wide:
        places = pa.array(np.where(present, np.cumsum(present) - 1, -1), pa.int64(), mask=~present)
        fields += [pa.array(column).take(places) for column in scores.T.copy()]
    fields += [encoded.field(place) for place in range(1, encoded.type.num_fields)] if options.counts else []
    kind = class_type(options, classifier.labels)
    return pa.StructArray.from_arrays(fields, fields=list(kind), mask=encoded.is_null())


def class_type(options: EncodeOptions, labels: Labels | None = None) -> pa.StructType:
    """Return the Arrow type of the output."""
    wide = labels.columns if labels is not None and labels.wide else ()
    counts = list(output_type(options))[1:] if options.counts else ()
    return pa.struct([*_FIELDS, *(pa.field(name, pa.float32()) for name in wide), *counts])
