"""The file store: whole files or none, and no file id leads out of it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrq.errors import FileNotFound, InvalidFileId, PermanentError, SettingsError, UsageError
from ocrq.files import FileStore, check_file_id

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE_IDS = [
    "",
    ".",
    "..",
    "../secret",
    "a/../../secret",
    "a/..",
    "/etc/passwd",
    "a//b",
    "a/",
    "./a",
    "a\\..\\b",
    "a\0b",
    "a\nb",
    "a\n",
    ".hidden",
    "-rf",
    "%2e%2e/secret",
    "~root",
    "a b",
    "ä",
    "file:///etc/passwd",
    "s3://b/x",
    "a" * 129,
    "/".join(["a"] * 17),
]


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    """A store of each kind; fsspec's memory filesystem stands for every remote one."""
    return FileStore(tmp_path / "store" if request.param == "local" else f"memory://{tmp_path.name}/store")


@pytest.fixture
def local(tmp_path: Path) -> FileStore:
    """A local store in `tmp_path / "store"`, and a secret beside it."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "store").mkdir()
    return FileStore(tmp_path / "store")


def content(store: FileStore, file_id: str) -> bytes:
    """The whole file."""
    with store.open(file_id) as file:
        return file.read()


def test_what_is_put_can_be_read(store: FileStore) -> None:
    """Bytes and files come back as they were, from a seekable file, under different ids."""
    first, second = store.put(b"one"), store.put(io.BytesIO(b"two"), name="Scan.PDF")
    assert first != second
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert re.fullmatch(r"[0-9a-f]{32}\.pdf", second)
    with store.open(first) as file:
        assert file.read() == b"one"
        assert file.seek(1) == 1
        assert file.read() == b"ne"
    assert (store.size(second), store.exists(second)) == (3, True)


@pytest.mark.parametrize("name", ["x.p\ndf", "x.", "x", ".pdf", "a.b/c", "x.ABCDEFGHI", "x.../..", "a.p\0", "x.é"])
def test_an_extension_is_taken_only_when_plain(local: FileStore, name: str) -> None:
    """A hostile or odd file name leaves no trace in the id."""
    assert re.fullmatch(r"[0-9a-f]{32}", local.put(b"", name=name))


def test_delete(store: FileStore) -> None:
    """Deleting says whether the file was there, and is no error when it was not."""
    file_id = store.put(b"x")
    assert store.delete(file_id) is True
    assert store.delete(file_id) is False
    assert store.exists(file_id) is False


def test_a_missing_file_names_store_and_id(store: FileStore) -> None:
    """The error says which store was asked for which id; a folder is no file."""
    with pytest.raises(FileNotFound, match=r"no file 'a/b\.png' in the store .*store"):
        store.open("a/b.png")
    with pytest.raises(FileNotFound):
        store.size("nothing")


def test_foreign_ids_with_folders(tmp_path: Path) -> None:
    """Other platforms sort files into folders; the folders themselves are no files."""
    (tmp_path / "2024" / "10").mkdir(parents=True)
    (tmp_path / "2024" / "10" / "x.pdf").write_bytes(b"pdf")
    (tmp_path / "plain").write_bytes(b"")
    store = FileStore(f"file://{tmp_path}")
    assert content(store, "2024/10/x.pdf") == b"pdf"
    for wrong in ("2024/10", "2024", "plain/x", "2024/11/x.pdf"):
        with pytest.raises(FileNotFound):
            store.open(wrong)
    assert store.delete("plain/x") is False


@pytest.mark.parametrize("file_id", HOSTILE_IDS)
def test_hostile_ids_are_refused(store: FileStore, file_id: str) -> None:
    """Nothing but plain relative names is a file id; the error is permanent, so no retry repeats the attempt."""
    calls: list[Callable[[str], Any]] = [store.open, store.exists, store.size, store.delete]
    for call in calls:
        with pytest.raises(InvalidFileId) as caught:
            call(file_id)
        assert isinstance(caught.value, PermanentError)
        assert str(caught.value).isprintable()


@given(st.text())
def test_an_accepted_id_stays_inside(file_id: str) -> None:
    """Whatever text is accepted, joined to a folder it is a path below that folder."""
    try:
        check_file_id(file_id)
    except InvalidFileId:
        return
    assert os.path.normpath(f"/store/{file_id}") == f"/store/{file_id}"


def test_links_are_not_followed(local: FileStore, tmp_path: Path) -> None:
    """Neither a link to a file, nor through a folder, nor one that stays inside: the store has no links."""
    store = tmp_path / "store"
    (store / "inside").write_text("x")
    (store / "file").symlink_to(tmp_path / "secret")
    (store / "folder").symlink_to(tmp_path)
    (store / "again").symlink_to(store / "inside")
    for file_id in ("file", "folder/secret", "again"):
        with pytest.raises(InvalidFileId, match="symbolic link"):
            local.open(file_id)
        with pytest.raises(InvalidFileId, match="symbolic link"):
            local.exists(file_id)
    with pytest.raises(InvalidFileId):
        local.delete("folder/secret")
    assert local.delete("file") is True
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_link_swapped_in_between_check_and_use(local: FileStore, tmp_path: Path) -> None:
    """While a folder in the store is replaced by a link and back, as fast as possible, nothing from outside is read."""
    store, outside = tmp_path / "store", tmp_path / "outside"
    (store / "d").mkdir()
    (store / "d" / "x").write_text("inside")
    outside.mkdir()
    (outside / "x").write_text("secret")
    (store / "link").symlink_to(outside)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for name in ("d", "link"):
                (store / name).rename(store / f"{name}.tmp")
            (store / "d.tmp").rename(store / "link")
            (store / "link.tmp").rename(store / "d")

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for _ in range(3000):
            try:
                with local.open("d/x") as file:
                    seen.add(file.read())
            except (FileNotFound, InvalidFileId) as error:
                seen.add(type(error).__name__.encode())
    finally:
        done.set()
        thread.join()
    assert b"secret" not in seen
    assert b"inside" in seen


def test_a_pipe_does_not_hang(local: FileStore, tmp_path: Path) -> None:
    """A pipe or a device in the store is refused at once."""
    os.mkfifo(tmp_path / "store" / "pipe")
    with pytest.raises(InvalidFileId, match="not a regular file"):
        local.open("pipe")


class Breaks(io.BytesIO):
    """A source that breaks after its first chunk."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise OSError("the disk broke")
        return super().read(size)


def test_a_source_that_breaks_leaves_nothing(local: FileStore, tmp_path: Path) -> None:
    """A file is there as a whole or not at all, and no rest of it stays behind."""
    with pytest.raises(OSError, match="the disk broke"):
        local.put(Breaks(b"x" * 10))
    assert list((tmp_path / "store").iterdir()) == []


def test_a_source_that_breaks_leaves_nothing_remotely(tmp_path: Path) -> None:
    """So it is in a remote store."""
    import fsspec

    with pytest.raises(OSError, match="the disk broke"):
        FileStore(f"memory://{tmp_path.name}").put(Breaks(b"x" * 10))
    assert fsspec.filesystem("memory").ls(f"/{tmp_path.name}") == []


def test_a_file_opened_as_text_is_a_usage_error(local: FileStore) -> None:
    """The message says how to open it."""
    wrong: Any = io.StringIO("text")
    with pytest.raises(UsageError, match="binary mode"):
        local.put(wrong)


def test_large_files_are_streamed(local: FileStore) -> None:
    """A file larger than the memory that `put` takes: it is read in pieces of at most 1 MiB."""

    class Endless(io.RawIOBase):
        left = 40

        def read(self, size: int = -1, /) -> bytes:
            assert 0 < size <= 1 << 20
            self.left -= 1
            return b"\0" * size if self.left >= 0 else b""

    endless: Any = Endless()
    assert local.size(local.put(endless)) == 40 << 20


def test_the_folder_is_the_users_own(tmp_path: Path) -> None:
    """A store that ocrq makes is closed to other users; the store itself may be reached by a link."""
    store = FileStore(tmp_path / "a" / "store")
    store.put(b"x")
    assert (tmp_path / "a" / "store").stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "a" / "store")
    linked = FileStore(tmp_path / "link")
    assert content(linked, linked.put(b"y")) == b"y"


def test_a_store_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown scheme, or one whose package is missing, is a settings error that names it and no secret."""
    with pytest.raises(SettingsError, match="files_url nosuch://x"):
        FileStore("nosuch://x")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SettingsError, match="s3fs") as caught:
        FileStore("s3://key:S3CRET@bucket/folder")
    assert "S3CRET" not in str(caught.value)


def test_a_local_store_needs_no_fsspec() -> None:
    """It is imported for other places only."""
    code = "import sys, ocrq.files; ocrq.files.FileStore('/x'); sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_relative_path_is_fixed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store named by a relative path stays where it was, whatever folder the process goes to."""
    monkeypatch.chdir(tmp_path)
    store = FileStore("store")
    file_id = store.put(b"x")
    monkeypatch.chdir("/")
    assert store.exists(file_id)
    assert Path(tmp_path / "store" / file_id).is_file()
