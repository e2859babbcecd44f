"""The scenarios of the tests of `hubkit sim`: a module `play`, in the directory that the command is run in."""

PLAY = '''
import os
import signal
import sys

import trio
import hubkit

class Counter(hubkit.Actor):
    """It is there."""

async def main(sim):
    a, b = [await sim.start_hub("shop", node=name) for name in "ab"]
    await a.start_children([hubkit.child(f"c{n}", Counter) for n in range(4)])
    await sim.settled(within=30)
    if sim.plan is not None:
        await sim.play()
        await sim.settled(within=60)
    sim.check()

async def bare(sim):
    """No hub at all: quick."""
    print("said by seed", sim.seed)
    await sim.sleep(sim.seed + 1)

async def unlucky(sim):
    await sim.sleep(1)
    if sim.seed in (11, 12, 17):
        raise ValueError(f"unlucky {sim.seed}\\x1b[31m")

async def uneven(sim):
    """Of two that fail, the smaller one takes longer."""
    await sim.sleep(1)
    if sim.seed == 2:
        sum(range(30_000_000))
    assert sim.seed not in (2, 3), "this one"

async def overlapping(sim):
    one, two = [await sim.start_hub("shop", node=name) for name in "ab"]
    await one.start_children([hubkit.child("c", Counter)])
    sim.partition({"a"}, {"b"})
    await sim.sleep(20)
    sim.heal()
    await sim.settled(within=60)

async def dies(sim):
    await sim.sleep(1)
    if sim.seed == 1:
        os._exit(7)
    if sim.seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)

runs = 0

async def drifts(sim):
    global runs
    runs += 1
    await sim.start_hub("shop", node="a")
    sim.note(f"run {runs}" if runs > 1 else "the first")

async def doomed(sim):
    await drifts(sim)
    raise AssertionError(f"run {runs}")

async def fickle(sim):
    global runs
    runs += 1
    await sim.sleep(1)
    assert runs < 2, "not again"

async def lazy(sim):
    global runs
    runs += 1
    await sim.sleep(runs)

async def heals_itself(sim):
    """It fails in a process of its own, and nowhere else."""
    await sim.sleep(1)
    assert __import__("multiprocessing").parent_process() is None, "only there"

async def leaves(sim):
    sys.exit(3)

async def grouped(sim):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sim.sleep, 1)
        nursery.start_soon(look_up)

async def look_up():
    {}["x"]

async def inner(sim):
    hubkit.child("", Counter)

async def forever(sim):
    print("begun", flush=True)
    while True:
        await sim.sleep(0.001)

async def two(sim, other):
    pass

async def three(sim, other, another):
    pass

async def stuck(sim):
    await trio.sleep_forever()

def plain(sim):
    pass
'''

#: Tests that are scenarios as well: a file `tests/test_play.py`, below that directory.
TESTS = '''
import math
import hubkit
from hypothesis import given, settings, strategies as st
from hubkit.testing import FaultPlan, monotonic_terms, simulated, single_owner
from hubkit.testing.strategies import fault_plans

class Counter(hubkit.Actor):
    """It is there."""

async def scenario(sim, plan: FaultPlan):
    one, two = [await sim.start_hub("shop", node=name) for name in plan.nodes]
    await one.start_children([hubkit.child("c", Counter)])
    await sim.play(plan)

told = dict(network={"latency": 0.02}, checkers=[single_owner(2.5)], limit=50.0)

@simulated(seeds=1, **told)
async def test_simulated(sim, plan: "FaultPlan | None" = None):
    assert plan is sim.plan
    await scenario(sim, sim.plan)

@settings(deadline=None)
@given(disaster=fault_plans(2))
@simulated(seeds=1, **told)
async def test_given(sim, disaster):
    await scenario(sim, disaster)

@given(plan=fault_plans(2), number=st.integers())
@simulated
async def test_more(sim, plan, number):
    pass

@simulated(network="websocket")
async def test_real(sim):
    pass

async def annotated(sim, number=3, plan: FaultPlan = None, *rest, **more):
    assert (number, rest, more) == (3, (), {})
    assert plan is sim.plan

async def guessed(sim, number=3, *, what):
    assert what is sim.plan
'''
