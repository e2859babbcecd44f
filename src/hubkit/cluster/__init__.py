"""The pure heart of a hub: one replicated map, and the rules that bring what runs in line with it.

Law of this floor: nothing here waits, sends, sleeps, draws lots or reads a clock. Inputs come in with the time as an
argument, effects go out as values; whoever holds the core performs them. From the bottom up:

* `stamps`, `rows`, `store`: the map, and its join;
* `liveness`: who is there;
* `sync`, `replication`: how maps become equal over links;
* `policy`, `placement`, `members`, `membership`: who takes part, and who belongs where;
* `ledger`: what the rows say, child by child;
* `converge`: the rules; `reconciler`: the steps they ask for;
* `core`: all of it behind one door; `effects`: what comes out of it; `explain`: why a child is where it is.
"""
