"""Where the alerting rules and runbooks are, in an installed wheel and in a checkout."""

from pathlib import Path


def folder() -> Path:
    """The folder with `*.rules.yml`, `runbooks/` and `VERSION`."""
    packaged = Path(__file__).with_name("_rules")
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "rules"


def runbooks() -> dict[str, str]:
    """Markdown by runbook name."""
    pages = sorted((folder() / "runbooks").glob("*.md"))
    return {page.stem: page.read_text("utf-8") for page in pages if page.stem != "README"}
