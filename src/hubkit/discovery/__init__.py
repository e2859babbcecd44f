"""Where other nodes may be, when nobody can write their addresses down: values for ``join=``.

Law of this room: a discovery only says which URLs are worth dialling. Who answers there must prove that it knows the
secret, as everybody; so a wrong answer costs a dial, and a right one that comes late costs nothing but time.

* `DNS`: the addresses of a name (a headless service of Kubernetes is one), or what its SRV records say;
* `File`: a file with one URL a line, read again when it changes;
* `Multicast`: what other nodes announce on the local network.

A discovery of your own is any object with the one method of `hubkit.Discovery`. ``join`` takes one of them, or a list
in which URLs, discoveries and their spellings (``dns://shop.internal:4040``, ``srv://_hubkit._tcp.shop.internal``,
``file:///etc/nodes``, ``multicast://239.255.40.40:4040``) may stand side by side.
"""

from __future__ import annotations

from hubkit.discovery.file import File
from hubkit.discovery.multicast import Multicast
from hubkit.discovery.records import DNS

__all__ = ["DNS", "File", "Multicast"]
