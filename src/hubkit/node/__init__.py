"""The node: one process in the mesh, and the exchange of requests between its actors and those of others. Floor 4."""
