"""The frame around a stand-in's page: no outside assets, light and dark, reloads itself."""

import html
from datetime import UTC, datetime

RELOAD_SECONDS = 2

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="{reload}">
<title>{title}</title>
<style>
:root {{ --page: #fff; --ink: #1d1c1d; --soft: #5f5e60; --line: #dddddd; --panel: #f7f7f8; --link: #1264a3;
  --red: #c9252d; --amber: #9a6700; --green: #1a7f37; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --page: #1a1d21; --ink: #e8e8e8; --soft: #a8abad; --line: #3b3f44; --panel: #222529; --link: #4ea1e0;
    --red: #ff6b6b; --amber: #e3b341; --green: #56d364; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--page); color: var(--ink); font: 15px/1.47 system-ui, sans-serif; }}
a {{ color: var(--link); text-decoration: none; }}
a:hover, a:focus {{ text-decoration: underline; }}
h1 {{ font-size: 18px; margin: 0; }}
p {{ margin: 0; }}
.soft {{ color: var(--soft); font-size: 13px; }}
code, pre {{ font: 13px/1.5 ui-monospace, monospace; background: var(--panel); border: 1px solid var(--line);
  border-radius: 4px; overflow-wrap: anywhere; }}
code {{ padding: 1px 4px; }}
pre {{ padding: 8px; margin: 4px 0; white-space: pre-wrap; }}
{style}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def frame(*, title: str, style: str, body: str) -> str:
    """A whole page. `style` and `body` are HTML already; `title` is text."""
    return _FRAME.format(title=escape(title), style=style, body=body, reload=RELOAD_SECONDS)


def escape(value: object) -> str:
    return html.escape(str(value))


def link(url: object, label: object) -> str:
    """A link, or only its text where the address is not one that a browser may be sent to."""
    if str(url).startswith(("http://", "https://")):
        return f'<a href="{escape(url)}">{escape(label)}</a>'
    return escape(label)


def clock(unix_seconds: float) -> str:
    """The time of day in UTC, to the second."""
    return datetime.fromtimestamp(unix_seconds, tz=UTC).strftime("%H:%M:%S")
