"""Names on the wire: one table, filled when classes are defined, read when bytes arrive.

Law of this room: a name from another process is *looked up*, never imported and never resolved with `getattr`; so a peer
can start only what this process has defined and marked. The name of a thing is ``module:qualname``; the module of the
main program is its ``__spec__.name`` (``python -m``) or its file's stem, so that a class has one name whether its file
is run or imported. Classes inside functions have no stable name and are refused for remote use.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hubkit.errors import ConfigurationError, Reject

__all__ = [
    "actor_names",
    "error_name",
    "error_text",
    "find_actor",
    "find_reject",
    "is_local_name",
    "register_actor",
    "wire_name",
]

_actors: dict[str, Any] = {}


def _module_name(module: str) -> str:
    if module != "__main__":
        return module
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        # ``python -m package`` runs package.__main__
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"


def wire_name(thing: Any) -> str:
    """The name of a class or function on the wire: ``module:qualname``."""
    return f"{_module_name(thing.__module__)}:{thing.__qualname__}"


def is_local_name(name: str) -> bool:
    """Whether ``name`` is that of a class or function defined inside a function: not usable from another process."""
    return "<locals>" in name


def register_actor(thing: Any, name: str | None = None) -> str:
    """Enter an actor class or function in the table, and return its wire name.

    The same qualified name defined again (a reloaded module, a test) replaces the old entry; a *fixed* name that
    belongs to another class is an error.
    """
    fixed = name is not None
    name = wire_name(thing) if name is None else name
    if not isinstance(name, str) or not name or len(name) > 200:
        msg = f"the wire name of an actor must be a non-empty str of at most 200 characters, not {name!r}"
        raise ConfigurationError(msg)
    other = _actors.get(name)
    if fixed and other is not None and wire_name(other) != wire_name(thing):
        msg = f"the wire name {name!r} belongs to {wire_name(other)} already: choose another one for {wire_name(thing)}"
        raise ConfigurationError(msg)
    _actors[name] = thing
    return name


def find_actor(name: str) -> Any | None:
    """The actor class or function of this wire name, if this process has defined it."""
    return _actors.get(name)


def actor_names() -> tuple[str, ...]:
    """All wire names that other processes may ask for, sorted."""
    return tuple(sorted(name for name in _actors if not is_local_name(name)))


def find_reject(name: str) -> type[Reject] | None:
    """The subclass of `Reject` of this wire name, if this process has defined it."""
    todo = Reject.__subclasses__()
    while todo:
        cls = todo.pop()
        if wire_name(cls) == name:
            return cls
        todo.extend(cls.__subclasses__())
    return None


def error_name(error: BaseException) -> str:
    """The name of an exception's type for people, and for `hubkit.node.answers.rebuild`: built-in ones are bare."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def error_text(error: BaseException) -> str:
    """What an exception says, such that its type, built with it, says the same: a `KeyError` quotes what it is given.

    Never raises: users' exceptions are told by it where a second one would hide the first, or its caller's answer.
    """
    quoted = isinstance(error, KeyError) and len(error.args) == 1 and isinstance(error.args[0], str)
    try:
        return str(error.args[0]) if quoted else str(error)
    except Exception as failure:
        return f"(its str raised {type(failure).__name__})"
