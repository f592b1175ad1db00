"""The broker's transitions as Lua scripts, and the loader that binds their arguments by name. Floor 2.

One file per transition. Its header is read by machine::

    -- First line: what it does.
    -- KEYS leases held            declared keys; a name that `Keys` has is filled in, the others are the caller's
    -- RESTKEYS per lane: ...      any number of further keys
    -- PREFIX data_prefix          what else `Keys` has: beginnings of keys, and keys that must not ring
    -- ARGV slot nonce             the caller's arguments
    -- REST per task: ...          any number of further arguments
    -- RETURNS ...

The loader turns the header into Lua locals of these names (and `REST`, `RESTKEYS`: the first index of the rest), so
that positions are spelled nowhere. What it uses of `lib.lua` stands in front of each script.

Before all others it declares `guard`, a key that is never written. While a Redis Cluster moves the slot key by key, a
script that touches a key which has gone already breaks off in its middle; one that declares a key which is missing is
refused as a whole (TRYAGAIN), and that is what callers can repeat.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from ..keys import Keys

Arg = str | bytes | int | float

_HEADER = re.compile(r"^-- (KEYS|RESTKEYS|PREFIX|ARGV|REST)\b(.*)$", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (\w+)", re.MULTILINE)
_KEY_NAMES = frozenset(Keys.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Script:
    """One script: its text, and how a call of it is put together."""

    name: str
    source: str
    sha: str
    keys: tuple[str, ...]  #: declared keys that the caller gives
    fixed_keys: tuple[str, ...]  #: declared keys that `Keys` gives; they come first
    prefixes: tuple[str, ...]
    args: tuple[str, ...]
    has_rest_keys: bool
    has_rest: bool
    _fixed: dict[str, tuple[list[Arg], list[Arg]]] = field(default_factory=dict, repr=False, compare=False)

    def call(self, keys: Keys, *, rest_keys: Sequence[str] = (), rest: Iterable[Arg] = (), **named: Arg) -> list[Arg]:
        """The EVALSHA command of one call, as a list of arguments. Raises TypeError for a missing or extra name."""
        fixed = self._fixed.get(keys.namespace)
        if fixed is None:
            fixed = self._fixed[keys.namespace] = (
                [getattr(keys, name) for name in self.fixed_keys],
                [getattr(keys, name) for name in self.prefixes],
            )
        try:
            own_keys = [named[name] for name in self.keys]
            own_args = [named[name] for name in self.args]
        except KeyError as missing:
            raise TypeError(f"{self.name}.lua wants {self.keys + self.args}, {missing} is missing") from None
        if len(named) != len(self.keys) + len(self.args):
            extra = sorted(set(named) - set(self.keys) - set(self.args))
            raise TypeError(f"{self.name}.lua takes {self.keys + self.args}, not {extra}")
        if (rest_keys and not self.has_rest_keys) or (rest and not self.has_rest):
            raise TypeError(f"{self.name}.lua takes no further keys or arguments")
        key_count = len(fixed[0]) + len(own_keys) + len(rest_keys)
        return ["EVALSHA", self.sha, key_count, *fixed[0], *own_keys, *rest_keys, *fixed[1], *own_args, *rest]


@cache
def script(name: str) -> Script:
    """The script of that file name."""
    folder = resources.files(__name__)
    text, library = (folder.joinpath(file).read_text("utf-8") for file in (f"{name}.lua", "lib.lua"))
    return _parse(name, text, library)


def names() -> list[str]:
    """Every transition, by file name."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(name[:-4] for name in files if name.endswith(".lua") and name != "lib.lua")


def _parse(name: str, text: str, library: str) -> Script:
    header: dict[str, str] = dict(_HEADER.findall(text))
    declared = header.get("KEYS", "").split()
    fixed_keys = ("guard", *(key for key in declared if key in _KEY_NAMES))
    keys = tuple(key for key in declared if key not in _KEY_NAMES)
    prefixes = tuple(header.get("PREFIX", "").split())
    args = tuple(header.get("ARGV", "").split())
    unknown = [prefix for prefix in prefixes if prefix not in _KEY_NAMES]
    if unknown:
        raise TypeError(f"{name}.lua: PREFIX names what ocrq.keys.Keys does not have: {unknown}")
    locals_ = _locals("KEYS", fixed_keys + keys, "RESTKEYS" if "RESTKEYS" in header else "")
    locals_ += _locals("ARGV", prefixes + args, "REST" if "REST" in header else "")
    source = _with_library(library, f"{locals_}\n{text}")
    return Script(
        name=name,
        source=source,
        sha=hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(),
        keys=keys,
        fixed_keys=fixed_keys,
        prefixes=prefixes,
        args=args,
        has_rest_keys="RESTKEYS" in header,
        has_rest="REST" in header,
    )


def _with_library(library: str, text: str) -> str:
    """The script behind those paragraphs of the library that it needs: each function costs 0.1 us in every call."""
    for paragraph in reversed(library.split("\n\n")):  # a function uses only those before it
        function = _FUNCTION.search(paragraph)
        if function is None or re.search(rf"\b{function[1]}\b", text):
            text = f"{paragraph}\n\n{text}"
    return text


def _locals(array: str, names_: tuple[str, ...], rest: str) -> str:
    lines = ""
    if names_:
        lines = f"local {', '.join(names_)} = " + ", ".join(f"{array}[{i}]" for i in range(1, len(names_) + 1)) + "\n"
    return lines + (f"local {rest} = {len(names_) + 1}\n" if rest else "")
