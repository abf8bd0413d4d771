"""What all operators share: a job of st_spark, run by spark-submit, whose result is the return value."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.configuration import conf as settings
from airflow.sdk.exceptions import AirflowException

from st_airflow import arguments, assets, connection, failures, package, quality_gate, results
from st_airflow.links import ReportLink
from st_airflow.process import dying_with_parent
from st_spark.errors import PlatformError, StSparkError
from st_spark.specs.base import Job

if TYPE_CHECKING:
    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context


class JobOperator(SparkSubmitOperator):
    """Base of the operators: a subclass names its kind of job, whose fields become keyword arguments.

    The job is shipped with spark-submit, so the cluster needs only the third-party packages of st_spark. Where it
    runs is the Spark connection's matter: local, standalone, YARN or Kubernetes. The return value is the job's
    result: counts and paths. A task that is tried again after its job had finished returns the result of that job.

    Args:
        fail_if: The quality gate: metrics of the result, and what they may not be: {"truncated": "> 5%"}. The task
            fails for good when one holds; its table is written then, but no asset is announced.
        result_path: Where the job writes its result, as seen from the driver and from here. By default below the
            option `results` of the section st_spark.
        result_conn_id: The connection that reads the result, where it is an object that needs one.
        outlets: Assets that are announced with the result as their extra; by default the output, where its path is no
            template. An AssetAlias becomes the asset of the table that was written.
        kwargs: The job's fields, and all arguments of SparkSubmitOperator but application and application_args.
    """

    kind: ClassVar[type[Job]]
    operator_extra_links = (ReportLink(),)
    template_fields: Sequence[str] = ("job", "fail_if", "result_path", *SparkSubmitOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"job": "json", "fail_if": "json"}
    ui_color = "#e8f1f8"

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Gives each operator the signature of its job: Airflow looks there for what it may be given."""
        super().__init_subclass__(**kwargs)
        if "kind" not in vars(cls) or "__init__" in vars(cls):
            return

        def __init__(self: JobOperator, **kwargs: Any) -> None:  # noqa: ANN401, N807
            JobOperator.__init__(self, **kwargs)

        __init__.__signature__ = arguments.signature(cls.kind)  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[method-assign]
        cls.__doc__ = f"{cls.__doc__}\n\nArgs:\n{arguments.described(cls.kind)}\n    kwargs: See JobOperator.\n"

    def __init__(
        self,
        *,
        fail_if: Mapping[str, str] | None = None,
        result_path: str | None = None,
        result_conn_id: str | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        # Values are checked when the task runs: here they may still be templates.
        job = {name: kwargs.pop(name) for name in arguments.names(self.kind) if name in kwargs}
        super().__init__(**{"name": "{{ ti.dag_id }}.{{ ti.task_id }}", **kwargs})
        self.job = job
        self.fail_if = fail_if
        self.result_path = result_path
        self.result_conn_id = result_conn_id
        self.report = ""
        self.result: dict[str, Any] | None = None
        where = job.get("output")
        if "outlets" not in kwargs and isinstance(where, str) and "{{" not in where:
            self.outlets = [assets.table(where)]

    def execute(self, context: "Context") -> dict[str, Any]:  # type: ignore[override]
        """Runs the job, or finds that it has run; then holds its result against the gate."""
        try:
            job = arguments.job(self.kind, self.job)
            conditions = quality_gate.parse(self.fail_if, job)
            self._prepare(job, context)
            self.result = self._done(context) or self._run(context)
            quality_gate.check(conditions, self.result)
        except StSparkError as error:
            raise failures.final(error) from None
        self._announce(context, self.result)
        return self.result

    def on_kill(self) -> None:
        """Kills the Spark application, if there is one."""
        if self._hook is not None:
            super().on_kill()

    def get_openlineage_facets_on_complete(self, task_instance: object) -> "OperatorLineage[Any, Any]":
        """What OpenLineage is told."""
        from st_airflow import lineage

        return lineage.of(arguments.job(self.kind, self.job), self.result)

    def _prepare(self, job: Job, context: "Context") -> None:
        """Makes what spark-submit is given; refuses what it could not work with."""
        connection.require(self._conn_id)
        hook = super()._get_hook()
        connection.check(self._conn_id, hook._connection, self.env_vars)
        ship = package.build()
        self.application = str(ship.script)
        self.py_files = ",".join(filter(None, [str(ship.package), self.py_files]))
        if not self.result_path:
            folder = results.default_folder(remote=hook._connection["deploy_mode"] == "cluster")
            self.result_path = f"{folder}/{results.name(_keys(context), job.to_json())}"
        self.application_args = [*job.to_argv(), f"--result={self.result_path}"]
        self.report = self.result_path

    def _done(self, context: "Context") -> dict[str, Any] | None:
        """The result of an earlier try whose job had finished when its worker was lost."""
        ti: Any = context["ti"]
        first = ti.max_tries - (self.retries or 0) + 1  # also after the task was cleared: then tries are counted on
        found = self._read() if ti.try_number > first else None
        if found is None or "error" in found:
            return None
        self.log.info("An earlier try has done this job: %s", self.result_path)
        return self._linked(found)

    def _run(self, context: "Context") -> dict[str, Any]:
        try:
            super().execute(context)
        except AirflowException as error:
            raise failures.explain(error, self._read()) from None
        # Not what it returns: upstream has nothing to return, and something else after it has found the job again.
        found = self._read()
        if found is None:
            raise PlatformError(
                f"The job has ended well, but there is no result at {self.result_path}.",
                "name a folder that the Spark driver and this worker both reach: results in the section [st_spark].",
            )
        if "error" in found:
            raise failures.told(found)
        return self._linked(found)

    def _get_hook(self) -> "SparkSubmitHook":
        """The provider's hook; what it submits dies with this task, and leaves no older result to be mistaken for."""
        hook = super()._get_hook()
        submit, path = hook.submit, str(self.result_path)

        def submit_alone(application: str = "", **kwargs: Any) -> str | None:  # noqa: ANN401
            results.prepare(path, self.result_conn_id)
            return submit(application, **{"preexec_fn": dying_with_parent(), **kwargs})

        hook.submit = submit_alone  # type: ignore[method-assign]
        return hook

    def _read(self) -> dict[str, Any] | None:
        return results.read(str(self.result_path), self.result_conn_id)

    def _linked(self, result: dict[str, Any]) -> dict[str, Any]:
        """Remembers where the application can be looked at."""
        page, application = settings.get("st_spark", "report_url", fallback=None), result["spark"]["application"]
        if page and application:
            self.report = str(page).replace("{application}", application)
        return result

    def _announce(self, context: "Context", result: dict[str, Any]) -> None:
        """Tells each asset the result; an alias becomes the asset of the table that was written."""
        events = context["outlet_events"]
        for outlet in self.outlets:
            if isinstance(outlet, AssetAlias):
                events[outlet].add(assets.table(result["output"]["path"]), extra=result)
            elif isinstance(outlet, Asset):
                events[outlet].extra = result


def _keys(context: "Context") -> list[str]:
    """What names a task of a run."""
    ti: Any = context["ti"]
    mapped = [str(ti.map_index)] if ti.map_index is not None and ti.map_index >= 0 else []
    return [ti.dag_id, ti.run_id, ti.task_id, *mapped]
