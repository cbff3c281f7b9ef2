"""Debian's Alertmanager, run from where it was unpacked instead of where a package manager would install it.

Upstream compiles its templates and its page in; Debian's build reads them from one absolute path, and refuses to start
where that is missing. Installing them needs root and changes the machine. So the program is copied with that one path
made relative, in the same number of bytes, and started in the folder it was unpacked to. All else is Debian's build.
"""

import os
from pathlib import Path

_ASSETS = b"/usr/share/prometheus/alertmanager"
_RELATIVE = _ASSETS.removeprefix(b"/") + b"/"
_TEMPLATE = "usr/share/prometheus/alertmanager/default.tmpl"


def startable(alertmanager: Path) -> tuple[Path, Path | None]:
    """The program to start, and the folder to start it in (None: any).

    An installed program, and one that brings its templates along, comes back as it is.
    """
    root = alertmanager.resolve().parents[2]
    if Path("/", _TEMPLATE).exists() or not (root / _TEMPLATE).exists():
        return alertmanager, None
    moved = alertmanager.with_name(f"{alertmanager.name}.unpacked")
    if not moved.exists() or moved.stat().st_mtime < alertmanager.stat().st_mtime:
        # Written aside and renamed: another run may be starting the same one now.
        aside = moved.with_name(f"{moved.name}.{os.getpid()}")
        aside.write_bytes(alertmanager.read_bytes().replace(_ASSETS, _RELATIVE))
        aside.chmod(0o755)
        aside.replace(moved)
    return moved, root
