"""Why a child is where it is, in words.

Law of this room: nothing is explained that was not decided. The words come from the very rule that the core would follow
now, so an explanation cannot drift away from the deed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hubkit.cluster.affinity import show_labels
from hubkit.cluster.converge import Do, Rules, Step
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.members import Members
from hubkit.cluster.placement import Placement
from hubkit.cluster.rows import Want
from hubkit.cluster.store import Store
from hubkit.pids import NodeId, name_of

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a child is, or is not, where it is.

    ``where``: names of the nodes where it runs, is being started, or is parked. ``since``: wall-clock seconds of the last
    change there. ``rule``: a short stable word. ``text``: a sentence. ``view``: names of the nodes that are ready, as seen
    here. ``in_flight``: what is waited for, a phrase each. ``because``: what has a say in its place beyond the distribution, a
    phrase each: where it was put, the labels it needs, the key it shares.
    """

    child: str
    where: tuple[str, ...]
    since: float | None
    rule: str
    text: str
    view: tuple[str, ...]
    in_flight: tuple[str, ...]
    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        """All of it for people, on a line or a few."""
        place = ", ".join(self.where) or "no node"
        return "\n  ".join([f"{self.child} is on {place}: {self.text}", *self.because, *self.in_flight])


_TEXTS = {
    "unwanted": "nobody wants this child",
    "forbidden": "the partition strategy lets nothing run here",
    "stopping": "the copy here is being stopped",
    "elsewhere": "it is the business of another node",
    "granted to a missing node": "it was handed to a node that is out of sight",
    "row lost": "others have removed what this node said about it",
    "outbid": "another node has the better claim",
    "superseded": "another copy has the greater term",
    "not the heir": "it belongs on another node",
    "unplaced": "no ready node can start it",
    "updated": "its spec has changed",
    "outranked": "somebody has had a greater term: it goes on, or is started anew, above that",
    "granted": "it was handed to this node",
    "home": "it is where it belongs",
    "claim": "nobody holds it, and it belongs here",
    "announced": "this node has claimed it",
    "rival claims": "another node claims it as well",
    "vetoed": "the migration strategy has a veto against its move",
    "in line": "it waits for other moves from this node to be over",
    "no copy": "no copy is to stand by here",
    "stands by": "a copy stands by here",
    "to be relieved": "a copy stands by here until those that replace it have its state",
    "warming": "it waits for the copy on its next node to be ready",
    "freezing": "its state is being taken, to be handed over",
    "handing over": "its state is being handed over",
    "no answer": "its next node has not taken its state in time",
    "move failed": "it could not be handed over, which is tried again later",
    "checkpoint": "copies that stand by are given its state",
    "state lost": "it was handed to this node, which has lost its state",
    "not taken over": "nobody has taken it over, and this node has its state",
    "a former holder is missing": "nobody in sight holds it, but somebody out of sight might",
}


def explain(
    child: str, store: Store, ledger: Ledger, members: Members, placement: Placement, rules: Rules, now: float
) -> Explanation:
    """Ask the rules about a child, and put the answer into words."""
    step = rules.decide(child)
    want, runs = ledger.wants.get(child), ledger.runs.get(child, {})
    holders = sorted(node for node, run in runs.items() if run.role == "active")
    rule, text = step.rule, _TEXTS[step.rule]
    heir = None if want is None else placement.heir(child, want)
    if rule == "elsewhere":
        rule, text = ("unplaced", _TEXTS["unplaced"]) if heir is None else (rule, f"it belongs on {name_of(heir)}")
    if want is not None and heir is None and rule in ("unplaced", "home"):
        rows = [ledger.nodes[node] for node in members.ready]
        text = placement.failing.get(child) or placement.obstacle(child, want, rows, "ready node") or _TEXTS["unplaced"]
    since = max((store.rows["run", child, node].stamp.time_ms for node in holders), default=None)
    in_flight = [*_here(child, step, rules, now), *_there(ledger, child, step)]
    if want is not None and heir is not None:
        leaving = [node for node in holders if node != heir and node in members.alive]
        in_flight += [f"to move from {name_of(node)} to {name_of(heir)}" for node in leaving]
        found, copies = len(placement.owners(child, want)), placement.copies
        if found < copies and want.start:
            in_flight.append(f"{copies - found} of {copies} copies wait for more nodes that can run it")
    return Explanation(
        child=child,
        where=tuple(name_of(node) for node in holders),
        since=None if since is None else since / 1000,
        rule=rule,
        text=text,
        view=placement.names(),
        in_flight=tuple(in_flight),
        because=() if want is None else tuple(_because(want)),
    )


def _because(want: Want) -> Iterator[str]:
    """What has a say in its place beyond the distribution."""
    if want.pins:
        yield f"put on {', '.join(want.pins)}"
    asked = want.placement
    if asked is not None and asked.labels:
        yield f"needs the labels {show_labels(asked.labels)}"
    if asked is not None and asked.together is not None:
        yield f"together with others of the key {asked.together!r}"
    if asked is not None and asked.apart is not None:
        yield f"in slot {asked.slot}, apart from others of the key {asked.apart!r}"


def _here(child: str, step: Step, rules: Rules, now: float) -> Iterator[str]:
    """What this node waits for."""
    instance = rules.instances.get(child)
    if instance is not None and instance.stopping is not None:
        yield f"the copy of term {instance.term} here is to stop ({instance.stopping})"
    if step.rule == "announced":
        if rules.quorum.strict:
            yield "claim announced, waiting for acknowledgement of a quorum"
        else:
            left = max(0.0, rules.announced[child][1] - now)
            yield f"claim announced, waiting for acknowledgement of {_list(step.nodes)} for at most {left:.1f} s"
    elif step.rule == "forbidden":
        yield rules.quorum.missing(now)
    elif step.do is Do.REST and step.nodes:
        yield f"waiting for {_list(step.nodes)}"


def _there(ledger: Ledger, child: str, step: Step) -> Iterator[str]:
    """What the rows say is under way."""
    for node, run in sorted(ledger.runs.get(child, {}).items()):
        if run.phase == "starting":
            yield f"being started on {name_of(node)}, term {run.term}"
        elif run.phase == "failed":
            yield f"parked on {name_of(node)}: {run.error}"
        elif run.role == "claiming" and step.rule != "announced":
            yield f"claimed by {name_of(node)}, term {run.term}"
        elif run.role == "released" and run.to is not None and step.rule != "announced":
            yield f"handed by {name_of(node)} to {name_of(run.to)}, term {run.term}"


def _list(nodes: tuple[NodeId, ...]) -> str:
    return ", ".join(name_of(node) for node in nodes)
