"""The python_daemon of jobs with a model: it also loads the libraries that read a checkpoint."""

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast  # noqa: F401

import st_spark.embedding.worker
import st_spark.model.encoder  # noqa: F401
from st_spark.steps.python_daemon import serve

if __name__ == "__main__":
    serve()
