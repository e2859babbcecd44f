"""The ``hubkit`` command.

=============  ==================================================================================
`command`      the arguments, and how a failure is told: one line, and an exit code
`run`          ``hubkit run``: a program on a hub, from its import to its drain
`sim`          ``hubkit sim``: a scenario in simulated time, with one seed or many
`scenario`     one seed of it
`campaign`     many of them, in several processes
`ask`          ``hubkit status``, ``children`` and ``tree``: questions to a running node
`operate`      ``hubkit explain``, ``plan``, ``drain`` and ``top``: the same, and a node that leaves
`texts`        what their ``--help`` says
`table`        aligned columns, safe to print
`secrets`      where secrets come from: a file or the environment, never an argument
`output`       what it prints, and whether that could be written
`failure`      what a command raises to end with a message
`demo`         ``hubkit demo``: processes die, and their children live on
=============  ==================================================================================
"""

from hubkit.cli.command import main

__all__ = ["main"]
