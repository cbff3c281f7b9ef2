"""The machine's own Debian source is found, whatever notation it stands in, and only its suite is changed."""

from pathlib import Path

import pytest

from tests.setup import debian

DEB822 = """\
# Debian's installer wrote this
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
SECURITY_ONLY = "deb http://mirror.example/debian-security bookworm-security main\n"


def etc_apt(folder: Path, **files: str) -> Path:
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        place = folder / "sources.list" if name == "list" else folder / "sources.list.d" / f"{name}.sources"
        place.write_text(text, encoding="utf-8")
    return folder


def test_a_deb822_entry_keeps_its_address_and_its_key(tmp_path: Path) -> None:
    entry = debian.machine_source(etc_apt(tmp_path, debian=DEB822))
    assert debian.source_for("forky", entry) == (
        "Types: deb\n"
        "Suites: forky\n"
        "Components: main\n"
        "Uris: http://mirror.example/debian\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )


def test_a_one_line_entry_keeps_its_address_and_its_options(tmp_path: Path) -> None:
    line = "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # ours\n"
    entry = debian.machine_source(etc_apt(tmp_path, list=line))
    assert debian.source_for("trixie", entry) == (
        "Types: deb\n"
        "Suites: trixie\n"
        "Components: main\n"
        "Uris: http://mirror.example/debian\n"
        "Architectures: amd64\n"
        "Signed-By: /k.gpg\n"
    )


def test_a_key_that_is_written_into_the_entry_comes_along_whole(tmp_path: Path) -> None:
    key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY\n -----END PGP PUBLIC KEY BLOCK-----"
    text = f"Types: deb\nURIs: http://m.example/debian\nSuites: stable\nComponents: main\nSigned-By:{key}\n"
    entry = debian.machine_source(etc_apt(tmp_path, debian=text))
    assert key.strip() in debian.source_for("forky", entry)


@pytest.mark.parametrize(
    "text",
    [
        "Enabled: no\n" + DEB822.removeprefix("# Debian's installer wrote this\n"),
        "Types: deb-src\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n",
        "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: contrib\n",
        "Types: deb\nURIs: http://m.example/ubuntu\nSuites: noble\nComponents: main\n",
    ],
    ids=["switched off", "sources only", "without main", "not Debian"],
)
def test_what_cannot_give_debian_packages_is_passed_over(tmp_path: Path, text: str) -> None:
    with pytest.raises(debian.Unavailable, match="put the programs on PATH"):
        debian.machine_source(etc_apt(tmp_path, other=text.split("\n\n", maxsplit=1)[0]))


def test_the_security_archive_alone_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(debian.Unavailable):
        debian.machine_source(
            etc_apt(tmp_path, list=SECURITY_ONLY + "# deb http://m.example/debian sid main\n")
        )


def test_debian_goes_before_a_vendor_who_names_its_suite_after_debian(tmp_path: Path) -> None:
    vendor = "deb https://apt.vendor.example bookworm main\n"
    entry = debian.machine_source(etc_apt(tmp_path, list=vendor, debian=DEB822))
    assert dict(entry)["uris"] == "http://mirror.example/debian"


def test_a_broken_download_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "APT_CACHE", tmp_path / "apt")
    monkeypatch.setattr(debian, "ATTEMPTS", 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(debian.Unavailable):
        debian.unpack("forky", ("prometheus",), tmp_path / "parts" / "forky")
    assert list((tmp_path / "parts").iterdir()) == []
