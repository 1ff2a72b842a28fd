r"""Validates remote file names, and names temporary files. Performs no I/O.

A remote name is used literally or refused, never rewritten. Names that lead elsewhere, mislead readers, or are
reserved by us are refused everywhere. Names that only Windows cannot hold are refused there, and with
``portable_names``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from wbfiles_async.errors import UnsafePathError

__all__ = [
    "MARK_NAME",
    "STAGING_NAME",
    "STATE_NAME",
    "collision_key",
    "is_ours",
    "is_temporary",
    "local_parts",
    "part_name",
    "reason_against",
    "reason_on_windows",
    "temporary_name",
]

STATE_NAME: Final = ".wbfiles-state"
"""The file below a root with the cache of verified files."""

MARK_NAME: Final = ".wbfiles-run"
"""The mark of a mirrored run's folder."""

# The limit of ext4, XFS, NTFS and APFS; UTF-8 is never shorter than the UTF-16 that NTFS counts.
_LONGEST_COMPONENT: Final = 255  # bytes
# Linux allows paths of 4,095 bytes; this leaves a kilobyte for the root.
_LONGEST_NAME: Final = 3072  # bytes
# shutil.rmtree and os.walk of Python 3.11 give up on trees of a thousand folders.
_DEEPEST_NAME: Final = 255  # folders

# Source: "Naming Files, Paths, and Namespaces", Microsoft; "/" is the separator.
_RESERVED_CHARACTERS: Final = frozenset('<>:"|?*\\')
_SHOWN_CHARACTERS: Final = " ".join(sorted(_RESERVED_CHARACTERS))
_DEVICES: Final = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"}
)

# Short names of NTFS and vfat for longer names, such as PROGRA~1.
_SHORT_NAME: Final = re.compile(r"(?=[^.]{3,8}(?:\.|$))[^.~]{1,6}~[0-9]{1,6}(?:\.[^.]{0,3})?")

# Control, format (bidi overrides, invisible ones), surrogate, and the line separators.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Scripts and emoji need these two; HFS+ ignores them in comparisons.
_JOINERS: Final = "\u200c\u200d"
# The other visible-less characters of Unicode's Default_Ignorable_Code_Point, which case-folding ext4 ignores as well.
_IGNORED: Final = re.compile(
    f"[{_JOINERS}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Characters that Windows and vfat drop at the end of each component.
_TRAILING: Final = re.compile(r"[. ]+(?=/|$)")

# Most names match this, which only the rule about devices can forbid.
_PLAIN: Final = re.compile(r"[0-9A-Za-z_-](?:[0-9A-Za-z_.-]{0,200}[0-9A-Za-z_-])?")

_TEMPORARY_SUFFIX: Final = ".wbfiles-part"

STAGING_NAME: Final = _TEMPORARY_SUFFIX
"""The folder for temporary files of a folder on a disk with latency."""


def local_parts(name: str, *, portable: bool = False) -> tuple[str, ...]:
    """Split a remote file name into components that can be used literally below a root.

    Args:
        name: The remote name.
        portable: Whether to refuse names that only Windows cannot hold.

    Raises:
        UnsafePathError: The name breaks a rule; the message says which.
    """
    parts = tuple(name.split("/"))
    if reason := reason_against(name, portable=portable):
        shown = name if len(name) <= 200 else name[:200] + "…"
        raise UnsafePathError(f"the remote file {shown!r} cannot be written as it is named: {reason}", name=name)
    return parts


def reason_against(name: str, *, portable: bool = False) -> str | None:
    """Return why a remote name cannot be used literally below a root; ``None`` if it can.

    Args:
        name: The remote name.
        portable: Whether to refuse names that only Windows cannot hold.
    """
    parts = name.split("/")
    reason = _reason_against_name(name) or next(filter(None, map(_reason_against_component, parts)), None)
    if not reason and portable:
        reason = next(filter(None, map(reason_on_windows, parts)), None)
    return reason


def _reason_against_name(name: str) -> str | None:
    if not name:
        return "the name is empty"
    if name.startswith("/"):
        return "the name is absolute"
    # Surrogates are refused below; here they are only counted.
    if len(name.encode(errors="replace")) > _LONGEST_NAME:
        return f"the name is longer than {_LONGEST_NAME} bytes"
    if name.count("/") > _DEEPEST_NAME:
        return f"the name has more than {_DEEPEST_NAME} folders"
    return None


def _reason_against_component(component: str) -> str | None:
    if _PLAIN.fullmatch(component):
        return None
    if not component:
        return "a folder or the file has an empty name"
    if component in (".", ".."):
        return f"{component!r} would lead to another folder"
    if not component.isprintable() and _has_hidden(component):
        return f"{component!r} contains control or invisible characters"
    if len(component.encode()) > _LONGEST_COMPONENT:
        return f"a folder or the file has a name longer than {_LONGEST_COMPONENT} bytes"
    key = collision_key(component)
    if is_temporary(key):
        return f"names like {component!r} are kept for unfinished downloads"
    if key == MARK_NAME:
        return f"the name {component!r} is kept for folders that mirror runs"
    if key == STATE_NAME:
        return f"the name {component!r} is kept for what is remembered of downloaded files"
    return None


def reason_on_windows(component: str) -> str | None:
    """Return why Windows cannot hold a file of this name, or may confuse it with another one; ``None`` if it can."""
    if not _RESERVED_CHARACTERS.isdisjoint(component):
        return f"{component!r} contains one of the characters {_SHOWN_CHARACTERS}, which Windows reserves"
    if component[-1] in ". ":
        return f"{component!r} ends with a dot or a blank, which Windows drops"
    if component.partition(".")[0].rstrip(" ").upper() in _DEVICES:
        return f"{component!r} is a device on Windows"
    if _SHORT_NAME.fullmatch(component):
        return f"{component!r} may be the short name of another file on Windows"
    return None


def _has_hidden(characters: Iterable[str]) -> bool:
    return any(unicodedata.category(c) in _HIDDEN and c not in _JOINERS for c in characters)


def collision_key(name: str) -> str:
    """Return a key that is equal for all names that some file system treats as the same file.

    It ignores case, canonical composition, ignorable characters, and dots and blanks at the end, as at least one of
    NTFS, vfat, APFS, HFS+ and case-folding ext4 does.

    Source:
        Unicode 15 section 3.13, definition D145 (canonical caseless matching).
    """
    if name.isascii():
        key = name.lower()
    else:
        folded = unicodedata.normalize("NFD", _IGNORED.sub("", name)).casefold()
        key = _IGNORED.sub("", unicodedata.normalize("NFD", folded))
    return _TRAILING.sub("", key)


def is_ours(component: str) -> bool:
    """Return whether a local file is one of ours, not a file of a run."""
    return component in (STATE_NAME, MARK_NAME) or is_temporary(component)


def is_temporary(component: str) -> bool:
    """Return whether a local file's name is that of an unfinished download."""
    return component.startswith(".") and component.endswith(_TEMPORARY_SUFFIX)


def part_name(final: str) -> str:
    """Return the name of the unfinished download of the file ``final``, by which it is found again.

    Args:
        final: The last component of the file's path.
    """
    name = f".{final}{_TEMPORARY_SUFFIX}"
    if len(name.encode()) <= _LONGEST_COMPONENT:
        return name
    return temporary_name(final, hashlib.md5(final.encode(), usedforsecurity=False).hexdigest()[:16])


def temporary_name(final: str, token: str) -> str:
    """Return the name of a temporary sibling of the file ``final``.

    Args:
        final: The last component of the file's path.
        token: Makes the name unique; ASCII without separators, such as ``secrets.token_hex(8)``.

    Returns:
        A hidden name that every system can hold: ``final`` is shortened if the whole would be too long.
    """
    room = _LONGEST_COMPONENT - len(f"..{token}{_TEMPORARY_SUFFIX}")
    shortened = final.encode()[:room].decode(errors="ignore")
    return f".{shortened}.{token}{_TEMPORARY_SUFFIX}"
