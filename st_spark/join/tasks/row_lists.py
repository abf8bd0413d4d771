"""Find the inverted list of each row of a table, and the file that the list lies in."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from st_spark.join.tasks.vector_column import read_vectors
from st_spark.topk.coarse_quantizer import CoarseQuantizer
from st_spark.topk.scores import Places

# The fields of the result.
LIST, FILE = "list", "file"
KIND = pa.struct([(LIST, pa.int32()), (FILE, pa.int32())])


@dataclass(frozen=True)
class RowLists:
    """Assigns vectors to lists. Lists that follow each other share a file."""

    quantizer: CoarseQuantizer
    file: Places  # [lists] the number of the file of each list

    def __call__(self, columns: Iterator[pa.Array]) -> Iterator[pa.Array]:
        """Yield for each column of vectors LIST and FILE; null for a vector that cannot be compared."""
        for column in columns:
            vectors = read_vectors(column, self.quantizer.centroids.shape[1], self.quantizer.score)
            lists = np.zeros(len(column), np.int32)
            lists[vectors.kept] = self.quantizer.assign(vectors.matrix)
            files = self.file[lists].astype(np.int32)
            parts = [pa.array(lists), pa.array(files)]
            yield pa.StructArray.from_arrays(parts, fields=list(KIND), mask=pa.array(~vectors.kept))
