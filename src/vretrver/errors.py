"""Every error that vretrver raises on purpose; what is not here is a bug.

    VretrverError
    |-- InvalidInput (ValueError)        an argument, a query or a file's content is not usable
    |   |-- ImageError                   a picture cannot be opened, or is over a cap
    |   `-- RecordError                  a trace, listing or label file does not parse
    |-- MissingPath (FileNotFoundError)  a path that was named does not exist
    |-- MissingExtra (ImportError)       an optional dependency is not installed
    |-- IndexMismatch                    an index was built by another version or embedder
    |-- StorageError (OSError)           the disk is full, read-only or locked by another writer
    |-- PolicyError (RuntimeError)       the agent's model failed; lands on the trace, never loses a ranking
    `-- ToolError (ValueError)           a tool call is not valid; its message is what the model hears

A message says what came, what is allowed and what to do.
"""


class VretrverError(Exception):
    """Root of the tree: `except VretrverError` catches every expected failure."""


class InvalidInput(VretrverError, ValueError):
    """An argument, a query or a file's content is not usable."""


class ImageError(InvalidInput):
    """A picture cannot be opened safely: not an image, damaged, or over the byte or pixel cap."""


class RecordError(InvalidInput):
    """A line of a trace, listing or label file does not parse."""


class MissingPath(VretrverError, FileNotFoundError):
    """A path that was named does not exist."""

    def __str__(self) -> str:  # FileNotFoundError would print errno when given two arguments
        return str(self.args[0]) if self.args else ""


class MissingExtra(VretrverError, ImportError):
    """An optional dependency is not installed; the message holds the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'vretrver[{extra}]'")


class IndexMismatch(VretrverError):
    """An index was built by another version of vretrver or by another embedder."""


class StorageError(VretrverError, OSError):
    """The disk is full or read-only, or another process holds the index for writing."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class PolicyError(VretrverError, RuntimeError):
    """The agent's model could not answer."""


class ToolError(VretrverError, ValueError):
    """A tool call is not valid. The message is given to the model, which may try again."""
