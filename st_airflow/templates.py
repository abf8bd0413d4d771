"""Templates in the arguments of an operator."""

from copy import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context
    from jinja2 import Template

_MARKS = ("{{", "{%", "{#")


def is_template(text: str) -> bool:
    """Return whether Jinja changes a text."""
    return any(mark in text for mark in _MARKS)


def render(template: "Template", context: "Context") -> Any:  # noqa: ANN401
    """Render a template. Text stays text: a revision 20231023 is not a number, "1, True" is not a list.

    With render_template_as_native_obj=True, Jinja would read the text as Python. Here the setting keeps its use: a
    template of one expression, such as "{{ params.columns }}", gives the value itself, which may be a list.
    """
    from jinja2 import Undefined

    scope: Any = copy(context)  # as in Airflow's own rendering: values of the context are made when they are used
    scope.update((name, value) for name, value in template.globals.items() if name not in scope)
    nodes: list[Any] = list(template.root_render_func(template.new_context(scope, shared=True)))
    if len(nodes) == 1 and not isinstance(nodes[0], Undefined):  # str() raises the error of an undefined name
        return nodes[0]
    return "".join(str(node) for node in nodes)
