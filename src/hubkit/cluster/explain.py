"""Why a child is where it is, in words.

Law of this room: nothing is explained that was not decided. The words come from the very rule that the core would follow
now, so an explanation cannot drift away from the deed.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.cluster.converge import Do, Rules, Step
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.placement import Placement
from hubkit.cluster.store import Store
from hubkit.pids import NodeId, name_of

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a child is, or is not, where it is.

    ``where``: names of the nodes where it runs, is being started, or is parked. ``since``: wall-clock seconds of the last
    change there. ``rule``: a short stable word. ``text``: a sentence. ``view``: names of the nodes that are ready, as seen
    here. ``in_flight``: what is waited for, a phrase each.
    """

    child: str
    where: tuple[str, ...]
    since: float | None
    rule: str
    text: str
    view: tuple[str, ...]
    in_flight: tuple[str, ...]


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
    "outranked": "somebody has had a greater term: it is started anew above that",
    "granted": "it was handed to this node",
    "home": "it is where it belongs",
    "claim": "nobody holds it, and it belongs here",
    "announced": "this node has claimed it",
    "rival claims": "another node claims it as well",
    "a former holder is missing": "nobody in sight holds it, but somebody out of sight might",
}


def explain(child: str, store: Store, ledger: Ledger, rules: Rules, placement: Placement, now: float) -> Explanation:
    """Ask the rules about a child, and put the answer into words."""
    step = rules.decide(child)
    want, runs = ledger.wants.get(child), ledger.runs.get(child, {})
    holders = sorted(node for node, run in runs.items() if run.role == "active")
    rule, text = step.rule, _TEXTS[step.rule]
    heir = None if want is None else placement.heir(child, want)
    if rule == "elsewhere":
        rule, text = ("unplaced", _TEXTS["unplaced"]) if heir is None else (rule, f"it belongs on {name_of(heir)}")
    stamps = [store.rows["run", child, node].stamp for node in holders]
    return Explanation(
        child=child,
        where=tuple(name_of(node) for node in holders),
        since=max((stamp.time_ms for stamp in stamps), default=None) and max(stamp.time_ms for stamp in stamps) / 1000,
        rule=rule,
        text=text,
        view=placement.names(),
        in_flight=tuple(_in_flight(child, step, ledger, rules, heir, now)),
    )


def _in_flight(child: str, step: Step, ledger: Ledger, rules: Rules, heir: NodeId | None, now: float) -> list[str]:
    phrases = []
    instance = rules.instances.get(child)
    if instance is not None and instance.stopping is not None:
        phrases.append(f"the copy of term {instance.term} here is to stop ({instance.stopping})")
    if step.rule == "announced":
        left = max(0.0, rules.announced[child][1] - now)
        phrases.append(f"claim announced, waiting for acknowledgement of {_list(step.nodes)} for at most {left:.1f} s")
    elif step.do is Do.REST and step.nodes:
        phrases.append(f"waiting for {_list(step.nodes)}")
    for node, run in sorted(ledger.runs.get(child, {}).items()):
        if run.phase == "starting":
            phrases.append(f"being started on {name_of(node)}, term {run.term}")
        elif run.phase == "failed":
            phrases.append(f"parked on {name_of(node)}: {run.error}")
        elif run.role == "claiming" and step.rule != "announced":
            phrases.append(f"claimed by {name_of(node)}, term {run.term}")
        elif run.role == "released" and run.to is not None:
            phrases.append(f"handed by {name_of(node)} to {name_of(run.to)}, term {run.term}")
        elif run.role == "active" and heir is not None and node != heir and node == min(ledger.runs[child]):
            phrases.append(f"to move from {name_of(node)} to {name_of(heir)}")
    return phrases


def _list(nodes: tuple[NodeId, ...]) -> str:
    return ", ".join(name_of(node) for node in nodes)
