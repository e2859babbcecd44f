"""Orders: what an actor's own task does between two messages."""

from __future__ import annotations

import warnings

from hubkit.actors.standing import Standing


def test_who_has_ended_takes_no_orders_and_nothing_is_left_of_them() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("done")

    cell = Standing(10)
    assert cell.closed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cell.order(work)
        assert not cell.queue
        assert not cell.orders
    assert not done
