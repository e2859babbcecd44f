"""How discoveries are spelt where only text can be given: on a command line, in a variable, in a list of URLs.

Law of this room: what is spelt wrongly is refused with the form that was expected, before anything is opened.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from hubkit.discovery.file import File
from hubkit.discovery.multicast import Multicast
from hubkit.discovery.protocol import Discovery
from hubkit.discovery.records import DNS
from hubkit.errors import ConfigurationError

__all__ = ["FORMS", "spelt"]

_KINDS = ("dns", "srv", "file", "multicast")

#: One of each, for messages.
FORMS = "ws://host:port, dns://name:port, srv://name, file:///path or multicast://group:port"


def spelt(text: str) -> Discovery | None:
    """The discovery that ``text`` spells; `None` if it does not begin like one. Raises `ConfigurationError`. Example::

    assert spelt("dns://shop.internal:4040") == DNS("shop.internal", 4040)
    """
    kind, plus, over = text.partition(":")[0].partition("+")
    if kind not in _KINDS:
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _misspelt(text, str(error)) from None
    if plus and (over not in ("ws", "wss") or kind not in ("dns", "srv")):
        raise _misspelt(text, "only dns and srv can have +ws or +wss")
    if kind == "file":
        return _file(text, parts.netloc, parts.path, parts.query + parts.fragment)
    more = kind != "multicast" and (parts.query or parts.path.strip("/"))
    if parts.username is not None or parts.fragment or more:
        raise _misspelt(text, "there is more in it than a host and a port")
    if (port is None) != (kind == "srv"):
        raise _misspelt(text, "the records have the ports" if kind == "srv" else "it has no port")
    if kind != "multicast":
        return DNS(host, port, secure=over == "wss")
    assert port is not None
    return _multicast(text, host, port, parts.path.strip("/"), parts.query)


def _file(text: str, host: str, path: str, more: str) -> File:
    if host not in ("", "localhost") or not path or more:
        raise _misspelt(text, "a path must follow, as in file:///etc/nodes or file:nodes")
    return File(unquote(path))


def _multicast(text: str, group: str, port: int, cluster: str, query: str) -> Multicast:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not set(options) <= {"interface"}:
        raise _misspelt(text, "only ?interface=ADDRESS has a meaning")
    found = Multicast(group, port, interface=options.get("interface"))
    return Multicast(group, port, unquote(cluster), interface=found.interface) if cluster else found


def _misspelt(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"each of join must be {FORMS}; {text!r:.200} is not: {why}")
