"""Router (formerly Asym): different modules for different tasks, for example for queries and for documents."""

import ast
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from st_spark.errors import InputError, ModelError

if TYPE_CHECKING:
    from st_spark.model.checkpoint.module_spec import ModuleSpec
    from st_spark.model.modules.interfaces import Module

Key = tuple[str | None, str | None]

_FIX = "copy or download the model again: its router config is broken."


class Router:
    """Chooses modules by task and modality.

    Args:
        routes: The modules of each route.
        parameters: default_route, allow_empty_key and route_mappings of its config.

    Raises:
        ModelError: The parameters name a route that does not exist, or a mapping cannot be read.
    """

    def __init__(self, routes: "Mapping[str, Sequence[Module]]", parameters: Mapping[str, Any]) -> None:
        self.routes = routes
        default = parameters.get("default_route")
        first = next(iter(routes)) if parameters.get("allow_empty_key", True) else None
        self.default = first if default is None else default
        self.mappings = _mappings(parameters.get("route_mappings") or {})
        for route in {*self.mappings.values(), self.default} - {None}:
            if route not in routes:
                raise ModelError(f"a router names the route {route!r}, which does not exist.", _FIX)

    def choose(self, task: str | None, modality: str = "text") -> "Sequence[Module]":
        """Return the modules for a task ("query", "document" or another of the model) and a modality.

        Raises:
            InputError: There is no route for them.
        """
        for key in ((task, modality), (task, None), (None, modality), (None, None)):
            if key in self.mappings:
                return self.routes[self.mappings[key]]
        route = task or (modality if modality in self.routes else self.default)
        if route is None:
            raise InputError("the model needs a task, and none was given.", f"give {self._tasks()}.")
        if route not in self.routes:
            raise InputError(f"the model has no route for the task {task!r}.", f"give {self._tasks()}.")
        return self.routes[route]

    def typical(self) -> "Sequence[Module]":
        """Return the modules of the default route, or of the first route if there is no default."""
        return next(iter(self.routes.values())) if self.default is None else self.routes[self.default]

    def _tasks(self) -> str:
        names = dict.fromkeys([*self.routes, *(task for task, _ in self.mappings if task)])
        return "task=" + " or ".join(map(repr, names))


def check_task(modules: "Sequence[ModuleSpec]", task: str | None) -> None:
    """Raise InputError if a router of a model has no route for the task (or None). The model need not be loaded."""
    for module in modules:
        if module.kind in ("Router", "Asym"):
            routes: dict[str, Sequence[Module]] = dict.fromkeys(module.config["structure"], ())
            Router(routes, module.config.get("parameters", {})).choose(task)


def _mappings(stored: Mapping[str, str]) -> dict[Key, str]:
    """Return routes by (task, modality), None for any; the stored keys look like "('query', None)"."""
    mappings = {}
    for text, route in stored.items():
        try:
            task, modality = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError) as error:
            raise ModelError(f"the route mapping {text!r} cannot be read.", _FIX) from error
        mappings[task, modality] = route
    return mappings
