"""The commands of `./dev`, and what each of them needs first.

Standard library only: this runs before anything is installed.
"""

import sys

from tests import parts
from tests.setup import debian, environment, programs, suite
from tests.setup.progress import step


def main(usage: str, words: list[str]) -> int:
    """Run one command; return the exit status. 2 means that the command was not understood."""
    commands = {
        "demo": demo,
        "test": test,
        "parts": show_parts,
        "picture": picture,
        "rules": generated,
        "docs": generated,
        "bench": bench,
        "lock": lock,
    }
    command = commands.get(words[0]) if words else None
    if command is None:
        asked_for_help = words[:1] in (["help"], ["-h"], ["--help"])
        print(usage.strip(), file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    try:
        return command(words[1:])
    except (environment.Failed, debian.Unavailable) as error:
        print(f"./dev {words[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def demo(arguments: list[str]) -> int:
    ready_for_demo()
    environment.enter("tests.demo", arguments)


def picture(arguments: list[str]) -> int:
    ready_for_demo()
    environment.enter("tests.demo.picture", arguments)


def test(arguments: list[str]) -> int:
    install_dependencies()
    missing = bring_parts(parts.GENERATIONS)
    missing |= programs.bring()
    return suite.run(arguments, missing)


def generated(arguments: list[str]) -> int:
    install_dependencies()
    environment.enter("tests.rules.generate", arguments)


def bench(arguments: list[str]) -> int:
    install_dependencies()
    missing = bring_parts((parts.GENERATIONS[0], parts.GENERATIONS[-1]))
    if missing:
        raise debian.Unavailable("; ".join(missing.values()))
    environment.enter("tests.benchmarks", arguments)


def show_parts(_: list[str]) -> int:
    missing = bring_parts(parts.GENERATIONS)
    for name in parts.GENERATIONS:
        if name in missing:
            print(f"{name:9} {missing[name]}")
            continue
        for path, version in debian.versions(name).items():
            print(f"{name:9} {version:12} {path}")
    return 1 if missing else 0


def lock(options: list[str]) -> int:
    with step("Renewing the lock files"):
        environment.renew_lock_files(options)
    return 0


def ready_for_demo() -> None:
    """Bring what the demo needs: nothing of Prometheus where PATH has all of it.

    Raises:
        environment.Failed, debian.Unavailable: it could not be brought.
    """
    install_dependencies()
    newest = parts.GENERATIONS[-1]
    if len(parts.on_path()) < len(parts.PROGRAMS):
        missing = bring_parts((newest,))
        if missing:
            raise debian.Unavailable(missing[newest])


def install_dependencies() -> None:
    with step("Python packages") as words:
        words.append(environment.ensure())


def bring_parts(suites: tuple[str, ...]) -> dict[str, str]:
    """Bring the real parts; return the suites that could not be brought, each with the reason."""
    with step(f"Prometheus and Alertmanager from Debian ({', '.join(suites)})") as words:
        missing = debian.bring(suites)
        words.append("could not be brought: " + ", ".join(missing) if missing else "ready")
    return missing
