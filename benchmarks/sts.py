"""Scores on five STS tasks against the published ones: `st-spark embed`, then Spearman correlation of the cosines.

python -m benchmarks.sts [--data ../shared/data/sts.parquet] [--dtype auto]
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.encoders import MODEL
from benchmarks.race import parser, table
from benchmarks.vectors import DATA

if TYPE_CHECKING:
    import pandas as pd

# Spearman x 100 of all-MiniLM-L6-v2, from MTEB's table.
PUBLISHED = {"SICK-R": 77.58, "STS13": 80.60, "STS14": 75.59, "STS15": 85.39, "STS16": 78.99}


def main() -> None:
    """Embed the sentences and print our scores beside the published ones."""
    options = parser(__doc__)
    options.add_argument("--data", type=Path, default=DATA / "sts.parquet")
    options.add_argument("--dtype", default="auto")
    given = options.parse_args()
    if not given.data.exists():
        print(f"{given.data} is missing. Fix: name a file of task, sentence1, sentence2 and score with --data.")
        return
    import pandas as pd

    scores = spearman(pd.read_parquet(given.data), given.dtype)
    rows = [
        [task, f"{scores[task]:.2f}", f"{PUBLISHED[task]:.2f}", f"{scores[task] - PUBLISHED[task]:+.2f}"]
        for task in PUBLISHED
    ]
    print(table([f"all-MiniLM-L6-v2, {given.dtype}", "st-spark", "published", "difference"], rows))
    most = 0.3 if given.dtype == "int8" else 0.05
    if any(abs(scores[task] - PUBLISHED[task]) > most for task in PUBLISHED):
        sys.exit(f"A score differs from the published one by more than {most}.")


def spearman(pairs: "pd.DataFrame", dtype: str) -> dict[str, float]:
    """Return the rank correlation x 100 of cosine and human score, by task."""
    import numpy as np
    import pandas as pd
    from scipy.stats import spearmanr

    texts = pd.DataFrame({"text": pd.unique(pd.concat([pairs["sentence1"], pairs["sentence2"]]))})
    with tempfile.TemporaryDirectory() as folder:
        texts.to_parquet(f"{folder}/texts.parquet")
        embed = [str(Path(sys.executable).parent / "st-spark"), "embed", "--input", f"{folder}/texts.parquet"]
        embed += ["--text-column", "text", "--model", MODEL, "--dtype", dtype]
        subprocess.run([*embed, "--output", f"{folder}/embedded"], check=True)
        embedded = pd.read_parquet(f"{folder}/embedded").set_index("text")["embedding"]
    left, right = (np.stack(embedded.loc[pairs[side]].to_list()) for side in ("sentence1", "sentence2"))
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    found = pairs.assign(cosine=(left * right).sum(axis=1) / norms)
    return {str(task): 100 * spearmanr(part["cosine"], part["score"])[0] for task, part in found.groupby("task")}


if __name__ == "__main__":
    main()
