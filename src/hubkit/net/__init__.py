"""Links between nodes: transports, the codec, the handshake, and the mesh over them.

Law of these rooms: they know bytes, ids and lists; nothing of actors, children or hubs.
"""
