# Airflow and Spark in separate Python environments.
#
#   docker build --file docker/spark.Dockerfile --tag st-spark .
#   docker build --file docker/airflow.Dockerfile --tag st-spark-airflow .
ARG SPARK=st-spark
# hadolint ignore=DL3006
FROM ${SPARK}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
USER 0
WORKDIR /opt/build
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY st_spark st_spark
COPY st_airflow st_airflow
# st-spark without its dependencies: spark-submit runs in Spark's environment.
RUN export PIP_CONSTRAINT=/opt/build/constraints.txt \
 && python3 -m venv /opt/airflow \
 && /opt/airflow/bin/pip install --no-cache-dir \
      apache-airflow apache-airflow-providers-apache-spark apache-airflow-providers-postgres \
 && /opt/airflow/bin/pip install --no-cache-dir --no-deps .

ENV AIRFLOW_HOME=/opt/airflow/home \
    PATH=/opt/airflow/bin:/opt/st-spark/bin:$PATH
COPY dags /opt/airflow/dags
RUN mkdir --parents "${AIRFLOW_HOME}/logs" \
 && chown --recursive 185:0 "${AIRFLOW_HOME}"
USER 185
WORKDIR /opt/work
CMD ["airflow", "version"]
