"""Where settings come from, which one wins, and what a wrong one says."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ocrq.errors import SettingsError
from ocrq.settings import Settings, explain, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an empty pyproject.toml, so that none above it counts."""
    (tmp_path / "pyproject.toml").write_text("")
    return tmp_path


def load(folder: Path, overrides: Mapping[str, object] | None = None, /, **environ: str) -> Settings:
    """The settings of a process in `folder`."""
    return load_settings(overrides, environ=environ, start_dir=folder)


def origins(settings: Settings) -> dict[str, str]:
    """Name to origin."""
    return {row.name: row.origin for row in explain(settings)}


def test_defaults(folder: Path) -> None:
    """With nothing said every setting has its documented default, and says so."""
    settings = load(folder)
    assert settings == Settings(data_dir=settings.data_dir)
    assert settings.data_dir.is_absolute()
    assert settings.files_location == str(settings.data_dir / "files")
    assert set(origins(settings).values()) == {"default"}
    assert (settings.lease_seconds, settings.max_pixels, settings.namespace) == (30.0, 50_000_000, "ocr")


def test_precedence(folder: Path) -> None:
    """Command line over environment over pyproject.toml over default; each value knows its origin."""
    pyproject = folder / "pyproject.toml"
    pyproject.write_text("[tool.ocrq]\nmax_pages = 7\nfairness = 7\nconcurrency = 7\n")
    settings = load(
        folder, {"max_pages": 5, "fairness": None, "max_tasks": None}, OCRQ_MAX_PAGES="6", OCRQ_FAIRNESS="6"
    )
    assert (settings.max_pages, settings.fairness, settings.concurrency, settings.max_tasks) == (5, 6, 7, 0)
    found = origins(settings)
    assert found["max_pages"] == "command line"
    assert found["fairness"] == "environment OCRQ_FAIRNESS"
    assert found["concurrency"] == f"[tool.ocrq] of {pyproject}"
    assert found["max_tasks"] == "default"


def test_nearest_pyproject_upwards(folder: Path) -> None:
    """The nearest pyproject.toml counts, found from a folder below it; relative paths count from its folder."""
    (folder / "pyproject.toml").write_text('[tool.ocrq]\ndata_dir = "data"\nfiles_url = "scans"\n')
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    settings = load(below)
    assert settings.data_dir == folder / "data"
    assert settings.files_location == str(folder / "scans")
    (below / "pyproject.toml").write_text("[project]\n")
    assert load(below).files_url is None


def test_redis_url_of_the_platform(folder: Path) -> None:
    """REDIS_URL is understood, OCRQ_REDIS_URL is stronger, an empty variable counts as not set."""
    assert load(folder, REDIS_URL="redis://a").redis_url == "redis://a"
    assert load(folder, REDIS_URL="redis://a", OCRQ_REDIS_URL="redis://b").redis_url == "redis://b"
    assert load(folder, REDIS_URL="redis://a", OCRQ_REDIS_URL="").redis_url == "redis://a"
    assert load(folder, {"redis_url": "unix:///s"}, REDIS_URL="no url at all").redis_url == "unix:///s"


def test_secret_from_a_file(folder: Path) -> None:
    """OCRQ_REDIS_URL_FILE names a file with the URL; both at once, or a missing file, is an error."""
    (folder / "secret").write_text("redis://u:S3CRET@h\n")
    settings = load(folder, OCRQ_REDIS_URL_FILE="secret", REDIS_URL="redis://weaker")
    assert settings.redis_url == "redis://u:S3CRET@h"
    assert origins(settings)["redis_url"] == "file secret (OCRQ_REDIS_URL_FILE)"
    with pytest.raises(SettingsError, match="both OCRQ_REDIS_URL and OCRQ_REDIS_URL_FILE"):
        load(folder, OCRQ_REDIS_URL_FILE="secret", OCRQ_REDIS_URL="redis://x")
    with pytest.raises(SettingsError, match=r"OCRQ_REDIS_URL_FILE: cannot read .*nowhere"):
        load(folder, OCRQ_REDIS_URL_FILE="nowhere")


def test_secrets_are_masked(folder: Path) -> None:
    """Neither `explain` nor the repr nor an error shows a password."""
    settings = load(folder, OCRQ_REDIS_URL="redis://u:S3CRET@h")
    assert "S3CRET" not in repr(settings)
    assert "S3CRET" not in repr(explain(settings))
    assert next(row.value for row in explain(settings) if row.name == "redis_url") == "redis://u:***@h"
    for wrong in ("http://u:S3CRET@h", "u:S3CRET@h", "S3CRET", "redis//:S3CRET@h", "x" * 300 + "://u:S3CRET@h"):
        with pytest.raises(SettingsError) as caught:
            load(folder, OCRQ_REDIS_URL=wrong)
        assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"OCRQ_MAX_PAGE": "1"}, "unknown environment variable 'OCRQ_MAX_PAGE'; did you mean OCRQ_MAX_PAGES?"),
        ({"OCRQ_REDISURL": "1"}, "did you mean OCRQ_REDIS_URL?"),
        ({"OCRQ_COMPLETELY_ELSE": "1"}, "`ocrq config` lists all settings"),
        ({"OCRQ_MAX_PAGES_FILE": "1"}, "did you mean"),
    ],
)
def test_unknown_variable(folder: Path, given: dict[str, str], hint: str) -> None:
    """An OCRQ_ variable that is no setting is an error with the closest name."""
    with pytest.raises(SettingsError) as caught:
        load(folder, None, **given)
    assert hint in str(caught.value)


def test_unknown_key_and_option(folder: Path) -> None:
    """So is an unknown key in the file or an unknown option."""
    with pytest.raises(SettingsError, match=r"unknown option 'lease'; did you mean lease_seconds\?"):
        load(folder, {"lease": 1})
    (folder / "pyproject.toml").write_text("[tool.ocrq]\nmax-pages = 1\n")
    with pytest.raises(SettingsError, match=r"unknown key in \[tool.ocrq\] of .*did you mean max_pages\?"):
        load(folder)


def test_variables_of_others_are_left_alone(folder: Path) -> None:
    """What Kubernetes sets for a service named ocrq or ocrq-redis is no misspelt setting."""
    load(
        folder,
        OCRQ_SERVICE_HOST="10.0.0.1",
        OCRQ_SERVICE_PORT_HTTP="80",
        OCRQ_PORT="tcp://10.0.0.1:80",
        OCRQ_PORT_80_TCP_ADDR="10.0.0.1",
        OCRQ_REDIS_PORT="tcp://10.0.0.2:6379",
        OCRQ_REDIS_PORT_6379_TCP="tcp://10.0.0.2:6379",
        OCRQ_REDIS_SERVICE_HOST="10.0.0.2",
        OCRQ_TEST_URL="redis://x",
    )


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_bytes", "100MB", 100_000_000),
        ("max_bytes", "64MiB", 64 * 2**20),
        ("max_bytes", "1.5 kib", 1536),
        ("max_bytes", "1_000", 1000),
        ("max_pixels", "50_000_000", 50_000_000),
        ("lease_seconds", "2.5", 2.5),
        ("timeout_seconds", "1_000", 1000.0),
        ("namespace", "{ocr}", "{ocr}"),
        ("time_unit", "ms", "ms"),
        ("processes", " 4 ", 4),
    ],
)
def test_values_from_text(folder: Path, name: str, text: str, value: object) -> None:
    """Numbers take underscores, sizes take units."""
    assert getattr(load(folder, None, **{f"OCRQ_{name.upper()}": text}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_pages", 0),
        ("max_pages", True),
        ("max_pages", 1.5),
        ("max_pages", "1_"),
        ("max_pages", "9" * 5000),
        ("max_pages", "٣"),
        ("max_bytes", "64XB"),
        ("max_bytes", "5i"),
        ("max_bytes", -1),
        ("lease_seconds", "nan"),
        ("lease_seconds", "inf"),
        ("lease_seconds", 0.1),
        ("lease_seconds", []),
        ("namespace", "ocr:x"),
        ("namespace", "{ocr"),
        ("namespace", "{a}{b}"),
        ("namespace", "ocr\n"),
        ("namespace", ""),
        ("namespace", "x" * 65),
        ("time_unit", "us"),
        ("log_format", []),
        ("redis_url", "ftp://x"),
        ("redis_url", "redis://"),
        ("data_dir", "a\0b"),
        ("default_processor", 3),
    ],
)
def test_a_wrong_value_names_setting_value_and_origin(folder: Path, name: str, value: Any) -> None:
    """The message names the setting, the value (shortened) and where it came from."""
    with pytest.raises(SettingsError) as caught:
        load(folder, {name: value})
    message = str(caught.value)
    assert f"setting {name}: expected" in message
    assert "(from command line)" in message
    assert len(message) < 500


@pytest.mark.parametrize("text", ["[tool.ocrq", "tool = 3", "[tool]\nocrq = 3", "\x00"])
def test_an_unreadable_pyproject_is_named(folder: Path, text: str) -> None:
    """A broken file is an error with its path, not a traceback and not silence."""
    (folder / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"\[tool\.ocrq\] of .*pyproject\.toml"):
        load(folder)


def test_process_count(folder: Path) -> None:
    """Unset it is the number of CPUs that this process may use."""
    assert load(folder, {"processes": 3}).process_count == 3
    assert 1 <= load(folder).process_count <= (os.cpu_count() or 1)


def test_importing_settings_loads_nothing_heavy() -> None:
    """The command line imports this module at every start, so neither a TOML reader nor the client comes with it."""
    heavy = "redis", "tomllib", "platformdirs", "difflib", "fsspec", "opentelemetry"
    code = f"import sys, ocrq.settings; sys.exit(' '.join(set({heavy!r}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
