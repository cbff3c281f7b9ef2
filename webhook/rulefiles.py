"""Where the files are that come with this service, in an installed wheel and in a checkout."""

from pathlib import Path

_CHECKOUT = Path(__file__).parents[1]


def folder() -> Path:
    """The folder with `*.rules.yml`, `runbooks/` and `VERSION`."""
    packaged = Path(__file__).with_name("_rules")
    return packaged if packaged.is_dir() else _CHECKOUT / "rules"


def deployed(name: str) -> Path | None:
    """A configuration of a checkout's deploy/; None in an installed wheel, which has none."""
    file = _CHECKOUT / "deploy" / name
    return file if file.is_file() else None


def runbooks() -> dict[str, str]:
    """Markdown by runbook name."""
    pages = sorted((folder() / "runbooks").glob("*.md"))
    return {page.stem: page.read_text("utf-8") for page in pages if page.stem != "README"}
