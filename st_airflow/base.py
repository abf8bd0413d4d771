"""JobOperator: runs a job of st_spark with spark-submit and returns its result."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.configuration import conf as settings
from airflow.sdk.definitions.asset import AssetRef
from airflow.sdk.exceptions import AirflowException
from airflow.sdk.log import mask_secret

from st_airflow import arguments, assets, connection, failures, package, quality_gate, results, templates
from st_airflow.links import ReportLink
from st_airflow.process import kill_with_parent
from st_spark.errors import PlatformError, StSparkError, mask_secrets
from st_spark.specs.base import Job

if TYPE_CHECKING:
    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import OperatorPartial
    from jinja2 import Environment


class JobOperator(SparkSubmitOperator):
    """Base of the operators. A subclass names its job, whose fields become keyword arguments.

    spark-submit sends st_spark to the cluster, which needs only its third-party packages. The Spark connection says
    where the job runs: local, standalone, YARN or Kubernetes. The return value is the result of the job: counts and
    paths. If a task is retried after its job has finished, it returns the result of that job.

    Args:
        fail_if: The quality check: metrics of the result and conditions that they must not meet, such as
            {"truncated": "> 5%"}. If one is met, the task fails without a retry. The table is written then, but the
            asset is not updated.
        result_path: The file for the result; the driver and this worker must both reach it. By default a file below
            the option `results` of the section st_spark.
        result_conn_id: The connection to read the result with, if it is in an object store that needs one.
        outlets: Assets to update, with the result as their extra. By default the output table, if it is an absolute
            path, a URI or a catalog name, and no template. An AssetAlias becomes the asset of the output table.
        kwargs: The fields of the job, and all arguments of SparkSubmitOperator except application and
            application_args.
    """

    kind: ClassVar[type[Job]]
    operator_extra_links = (ReportLink(),)
    template_fields: Sequence[str] = ("job", "fail_if", "result_path", *SparkSubmitOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"job": "json", "fail_if": "json"}
    ui_color = "#e8f1f8"

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Give each operator the signature of its job, which Airflow reads."""
        super().__init_subclass__(**kwargs)
        if "kind" not in vars(cls) or "__init__" in vars(cls):
            return

        def __init__(self: JobOperator, **kwargs: Any) -> None:  # noqa: ANN401, N807
            JobOperator.__init__(self, **kwargs)

        __init__.__signature__ = arguments.signature(cls.kind)  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[method-assign]
        cls.__doc__ = f"{cls.__doc__}\n\nArgs:\n{arguments.docstring(cls.kind)}\n    kwargs: See JobOperator.\n"

    def __init__(
        self,
        *,
        fail_if: Mapping[str, str] | None = None,
        result_path: str | None = None,
        result_conn_id: str | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        # Most values are checked when the task runs: here they may be templates.
        job = {name: kwargs.pop(name) for name in arguments.names(self.kind) if name in kwargs}
        arguments.check_no_secrets({**job, "result_path": result_path})
        super().__init__(**{"name": "{{ ti.dag_id }}.{{ ti.task_id }}", **kwargs})
        self.job = job
        self.fail_if = fail_if
        self.result_path = result_path
        self.result_conn_id = result_conn_id
        self.report = ""
        self.result: dict[str, Any] | None = None
        self._is_retry = False
        if "outlets" not in kwargs and not self.outlets:
            self.outlets = assets.of_output(job)

    @classmethod
    def partial(cls, **kwargs: Any) -> "OperatorPartial":  # noqa: ANN401
        """Begin a mapped task; see BaseOperator.partial(). Airflow makes it before there is an operator."""
        job = {name: value for name, value in kwargs.items() if name in arguments.names(cls.kind)}
        arguments.check_no_secrets(kwargs)
        if found := assets.of_output(job):
            kwargs.setdefault("outlets", found)
        # Airflow waits for the outputs of other tasks if it finds them in a template field. This one is filled later.
        return super().partial(**{**kwargs, "application_args": list(job.values())})

    def render_template(
        self,
        content: Any,  # noqa: ANN401
        context: "Context",
        jinja_env: "Environment | None" = None,
        seen_oids: set[int] | None = None,
    ) -> Any:  # noqa: ANN401
        """Render a template, as text if it is one (see templates.render), and hide secrets from logs and pages."""
        if isinstance(content, str) and id(content) not in (seen_oids or ()):
            value = templates.render((jinja_env or self.get_template_env()).from_string(content), context)
        else:
            value = super().render_template(content, context, jinja_env, seen_oids)
        if isinstance(value, str) and mask_secrets(value) != value:
            mask_secret(value)
        return value

    def execute(self, context: "Context") -> dict[str, Any]:  # type: ignore[override]
        """Run the job unless an earlier try has finished it, check its result, and update the assets."""
        try:
            arguments.check_no_secrets({**self.job, "result_path": self.result_path})
            job = arguments.job(self.kind, self.job)
            conditions = quality_gate.parse(self.fail_if, job)
            aliases = [each for each in self.outlets if isinstance(each, AssetAlias)]
            table = assets.table(str(getattr(job, "output", ""))) if aliases else None
            self._prepare(job, context)
            self.result = self._finished() or self._run(context)
            quality_gate.check(conditions, self.result)
        except StSparkError as error:
            raise failures.final(error) from None
        events: Any = context["outlet_events"]
        for alias in aliases:
            events[alias].add(table, extra=self.result)
        for asset in self.outlets:
            if isinstance(asset, Asset | AssetRef):
                events[asset].extra = self.result
        return self.result

    def on_kill(self) -> None:
        """Kill the Spark application if there is one."""
        if self._hook is not None:
            super().on_kill()

    def is_job_succeeded(self, status: str) -> bool:
        """Return whether a job of an earlier try has succeeded. A task that was cleared runs again in any case."""
        return self._is_retry and super().is_job_succeeded(status)

    def poll_until_complete(self, external_id: Any, context: "Context") -> None:  # noqa: ANN401
        """Wait for the end of the job. on_kill() must know its id, also if an earlier try has started it."""
        if self._hook is not None and self._yarn_track_via_rm_api:
            self._hook._yarn_application_id = external_id
        super().poll_until_complete(external_id, context)

    def get_openlineage_facets_on_complete(self, task_instance: object) -> "OperatorLineage[Any, Any]":
        """Return the lineage for OpenLineage."""
        from st_airflow import lineage

        return lineage.of(arguments.job(self.kind, self.job), self.result)

    def _prepare(self, job: Job, context: "Context") -> None:
        """Check the connection, and set what spark-submit runs."""
        connection.require(self._conn_id)
        try:
            hook = super()._get_hook()
        except ValueError as error:
            raise failures.refused(error) from None
        if not self.result_path:
            folder = results.default_folder(remote=hook._connection["deploy_mode"] == "cluster")
            self.result_path = f"{folder}/{results.name(_keys(context), job.to_json())}"
        ti: Any = context["ti"]
        # Airflow goes on counting tries after a task was cleared. The result from before that is not ours.
        self._is_retry = ti.try_number > ti.max_tries - (self.retries or 0) + 1
        if not self._is_retry:
            results.prepare(self.result_path, self.result_conn_id)
        connection.check(self._conn_id, hook._connection, self.env_vars)
        files = package.build()
        self.application = str(files.script)
        self.py_files = ",".join(filter(None, [str(files.package), self.py_files]))
        self.application_args = [*job.to_argv(), f"--result={self.result_path}"]
        self.report = self.result_path

    def _finished(self) -> dict[str, Any] | None:
        """Return the result of an earlier try whose job finished although its worker was lost."""
        result = self._read() if self._is_retry else None
        if result is None or "error" in result:
            return None
        self.log.info("An earlier try has finished this job: %s", self.result_path)
        return self._set_report(result)

    def _run(self, context: "Context") -> dict[str, Any]:
        try:
            super().execute(context)
        except (AirflowException, RuntimeError) as error:  # RuntimeError: a driver on the cluster has failed
            raise failures.explain(error, self._read()) from None
        except StSparkError:
            raise
        except ValueError as error:
            raise failures.refused(error) from None
        # The return value of super() is not the result: it is None, or the state of a job that was found again.
        result = self._read()
        if result is None:
            raise PlatformError(
                f"The job has finished, but there is no result at {self.result_path}.",
                "set `results` in the section [st_spark] to a folder that the Spark driver and this worker both reach.",
            )
        if "error" in result:
            raise failures.from_result(result)
        return self._set_report(result)

    def _get_hook(self) -> "SparkSubmitHook":
        """Return the provider's hook. Its spark-submit ends with this task, and starts without an older result."""
        hook = super()._get_hook()
        submit, path = hook.submit, str(self.result_path)

        def submit_alone(application: str = "", **kwargs: Any) -> str | None:  # noqa: ANN401
            results.prepare(path, self.result_conn_id)
            return submit(application, **{"preexec_fn": kill_with_parent(), **kwargs})

        hook.submit = submit_alone  # type: ignore[method-assign]
        return hook

    def _read(self) -> dict[str, Any] | None:
        return results.read(str(self.result_path), self.result_conn_id)

    def _set_report(self, result: dict[str, Any]) -> dict[str, Any]:
        """Set the target of the link Report to the page of the application, if one is configured."""
        page, application = settings.get("st_spark", "report_url", fallback=None), result["spark"]["application"]
        if page and application:
            self.report = str(page).replace("{application}", application)
        return result


def _keys(context: "Context") -> list[str]:
    """Return what identifies a task of a run."""
    ti: Any = context["ti"]
    mapped = [str(ti.map_index)] if ti.map_index is not None and ti.map_index >= 0 else []
    return [ti.dag_id, ti.run_id, ti.task_id, *mapped]
