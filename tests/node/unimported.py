"""A module that nobody imports: an actor that must not come to life because a peer names it."""

from __future__ import annotations

import hubkit


class Sleeping(hubkit.Actor):
    """An actor that this process has never heard of."""
