"""One base error; every message says what is wrong, with which value, and the cure."""


class StSparkError(Exception):
    """Base of all errors that st-spark raises on purpose.

    Args:
        problem: What is wrong, with the value and the place.
        cure: What the reader can do about it.
    """

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem, cure)  # both as args, so that the error survives pickling to the driver
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        """One line: the problem, then the cure."""
        return f"{self.problem} Cure: {self.cure}"


class ModelError(StSparkError):
    """A model that cannot be found, read or trusted."""


class InputError(StSparkError, ValueError):
    """Data or an argument that no work can start from."""


class TableError(StSparkError):
    """A table that cannot be read or written as asked."""


class SpecError(StSparkError, ValueError):
    """A job specification that contradicts itself or misses something."""


class PlatformError(StSparkError):
    """Something missing around us: Java, a package of the workers, a jar, a device."""
