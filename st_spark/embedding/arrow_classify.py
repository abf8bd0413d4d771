"""Zero-shot classification: Arrow strings or images -> the most similar of a list of labels. Knows nothing of Spark."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from st_spark.embedding.arrow_batches import Columns
from st_spark.embedding.arrow_encode import COUNTED, DUPLICATE, PROBLEM, VECTOR, Embedder, EncodeOptions, encode_arrays
from st_spark.errors import InputError

CLASS = (pa.field("label", pa.string()), pa.field("score", pa.float32()), pa.field("scores", VECTOR))


@dataclass(frozen=True)
class Labels:
    """The labels to choose from.

    Args:
        names: One or more different, non-blank strings, in the order of the scores.
        template: The text that the model reads of a label, with "{}" in its place.

    Raises:
        InputError: No label, a blank one, one that stands twice, something else than a str; or no "{}".
    """

    names: tuple[str, ...]
    template: str = "{}"

    def __post_init__(self) -> None:
        """Checks them."""
        if not self.names:
            raise InputError("There are no labels.", "give one or more, as a list of str.")
        odd = [name for name in self.names if not isinstance(name, str) or not name.strip()]
        if odd:
            raise InputError(f"The label {odd[0]!r} says nothing.", "give each label as a str with a word in it.")
        twice = [name for i, name in enumerate(self.names) if name in self.names[:i]]
        if twice:
            raise InputError(f"The label {twice[0]!r} stands twice.", "give each label once.")
        if "{}" not in self.template:
            raise InputError(
                f"The template {self.template!r} has no place for the label.", "write {} there: 'a photo of a {}'."
            )

    @property
    def texts(self) -> list[str]:
        """What the model reads of them."""
        return [self.template.replace("{}", name) for name in self.names]


class Classifier:
    """The labels' vectors, made when the first input is there.

    Args:
        model: What encodes the inputs.
        labels: The labels.
        label_model: What encodes them, where it is another model of the same space.
    """

    def __init__(self, model: Embedder, labels: Labels, label_model: Embedder | None = None) -> None:
        self.model, self.labels, self.label_model = model, labels, label_model or model

    @cached_property
    def label_vectors(self) -> npt.NDArray[np.float32]:
        """[labels, dim], of length 1."""
        made = self.label_model.embed(
            self.labels.texts, prompt=None, prompt_name=None, normalize_embeddings=True, truncate_dim=None
        )
        return made.vectors

    def scores(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Cosines of vectors of length 1, [n, dim], to each label, [n, labels].

        Raises:
            InputError: The vectors of the labels have another size.
        """
        if vectors.shape[1] != self.label_vectors.shape[1]:
            raise InputError(
                f"The labels have vectors of {self.label_vectors.shape[1]} values, the inputs of {vectors.shape[1]}.",
                "choose a label_model that was made for the space of the model.",
            )
        return vectors @ self.label_vectors.T


def classify_arrays(
    classifier: Classifier, batches: Iterator[pa.Array | Columns], options: EncodeOptions
) -> Iterator[pa.Array]:
    """Classifies a stream of Arrow arrays.

    Args:
        classifier: The models and the labels.
        batches: As for `encode_arrays`.
        options: How to encode; `counts` adds the fields n_tokens, truncated, (for images) problem and duplicate.

    Yields:
        Arrays of struct<label, score, scores>, in the order of the rows. The scores are cosine similarities, in the
        order of the labels; label and score are those of the best (the first of equals). A null gives null. An image
        that cannot be read gives a struct of nulls. A vector of zeros, or with NaN, is like no label: its label is
        null.

    Raises:
        InputError: A column does not hold strings (or images).
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
    columns = [
        pa.array(classifier.labels.names).take(pa.array(label, pa.int64(), mask=label < 0)),
        pa.array(score, pa.float32(), mask=~present),
        pa.ListArray.from_arrays(pa.array(offsets), pa.array(scores.reshape(-1)), type=VECTOR, mask=pa.array(~present)),
    ]
    more = [encoded.field(place) for place in range(1, encoded.type.num_fields)] if options.counts else []
    return pa.StructArray.from_arrays([*columns, *more], fields=list(class_type(options)), mask=encoded.is_null())


def class_type(options: EncodeOptions) -> pa.DataType:
    """The Arrow type of the output."""
    more: Sequence[pa.Field] = ()
    if options.counts:
        more = [*COUNTED, *([PROBLEM] if options.images else []), DUPLICATE]
    return pa.struct([*CLASS, *more])
