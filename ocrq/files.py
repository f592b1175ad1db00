"""The file store: documents under their `file_id`, in a local folder or anywhere fsspec reaches; floor 3.

A file id comes from outside (foreign producers choose their own), so it is data until proven harmless: parts of
`[A-Za-z0-9._-]`, each beginning with a letter or digit, joined by `/`. In a local store every part is opened relative
to the folder before it and never through a symbolic link, so that neither `..` nor a link, not even one put there
between check and use, leads out. A link for the store's own folder is fine.
"""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote

from ocrq.errors import FileNotFound, InvalidFileId, SettingsError, UsageError
from ocrq.text import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_FILE_ID = rf"{_PART}(/{_PART}){{0,15}}"
_LONGEST_ID = 1024
_CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe that somebody put into the store must not hang.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def check_file_id(file_id: str) -> str:
    """`file_id` itself when it can be one, else InvalidFileId."""
    if len(file_id) > _LONGEST_ID or not re.fullmatch(_FILE_ID, file_id):
        shown = ascii(file_id if len(file_id) <= 100 else file_id[:100] + "...")
        raise InvalidFileId(
            f"{shown} is no file id; allowed are up to 16 parts of A-Z a-z 0-9 . _ - (at most 128 characters each,"
            " the first a letter or digit), joined by /"
        )
    return file_id


class FileStore:
    """Puts and opens files; `url` is a path, a `file://` URL or any URL of fsspec's (`s3://bucket/folder`).

    Raises SettingsError when fsspec, or the package that it needs for the URL, is missing.
    """

    def __init__(self, url: str | Path, **options: Any) -> None:
        """`options` go to fsspec's filesystem (credentials, endpoints)."""
        text = os.fspath(url)
        self.url = redact(text)
        scheme, separator, rest = text.partition("://")
        if not separator or scheme in ("file", "local"):
            self._store: _Folder | _Remote = _Folder(Path(unquote(rest) if separator else text).absolute())
        else:
            self._store = _Remote(text, self.url, options)

    def put(self, data: bytes | BinaryIO, *, name: str = "") -> str:
        """Store the bytes, or what is left to read of the file, and return the new file id.

        The id is random (128 bits), with the extension of `name` when that is a plain one. The file is there as a
        whole and on disk when this returns, or not at all.
        """
        source = io.BytesIO(data) if isinstance(data, (bytes, bytearray, memoryview)) else data
        file_id = secrets.token_hex(16) + _extension(name)
        self._store.write(file_id, _chunks(source))
        return file_id

    def open(self, file_id: str) -> BinaryIO:
        """The file for reading, seekable. Raises FileNotFound or InvalidFileId."""
        with self._missing_is_not_found(file_id):
            return self._store.open(check_file_id(file_id))

    def exists(self, file_id: str) -> bool:
        """Whether `open` would find it. Raises InvalidFileId."""
        try:
            self.size(file_id)
        except FileNotFound:
            return False
        return True

    def size(self, file_id: str) -> int:
        """Its length in bytes. Raises FileNotFound or InvalidFileId."""
        with self._missing_is_not_found(file_id):
            return self._store.size(check_file_id(file_id))

    def delete(self, file_id: str) -> bool:
        """Remove it; False when it was not there. Raises InvalidFileId."""
        try:
            self._store.delete(check_file_id(file_id))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    @contextmanager
    def _missing_is_not_found(self, file_id: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise FileNotFound(
                f"no file {file_id!r} in the store {self.url}; was it deleted, or is files_url another one here?"
            ) from None


class _Folder:
    """A local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, file_id: str, chunks: Iterator[bytes]) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self._root, _FOLDER)
        waiting = f".{file_id}.part"  # no file id begins with a dot, so nobody can open it
        try:
            # 0o666 less the umask: a backend under another user may share the folder, whose own mode is the fence
            with os.fdopen(os.open(waiting, _CREATE, 0o666, dir_fd=folder), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.rename(waiting, file_id, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(waiting, dir_fd=folder)
            raise
        finally:
            os.close(folder)

    def open(self, file_id: str) -> BinaryIO:
        with self._folder_of(file_id) as (folder, name):
            descriptor = os.open(name, _READ, dir_fd=folder)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file_id)
        raise InvalidFileId(f"{file_id!r} is not a regular file in the store {self._root}")

    def size(self, file_id: str) -> int:
        with self.open(file_id) as file:
            return os.fstat(file.fileno()).st_size

    def delete(self, file_id: str) -> None:
        with self._folder_of(file_id) as (folder, name):
            os.unlink(name, dir_fd=folder)  # of a link the link itself

    @contextmanager
    def _folder_of(self, file_id: str) -> Iterator[tuple[int, str]]:
        """Descriptor of the folder the file is in, reached without following a link, and the file's name in it."""
        *parts, name = file_id.split("/")
        folder = os.open(self._root, _FOLDER)
        try:
            for part in parts:
                inner = _inner_folder(part, folder)
                os.close(folder)
                folder = inner
            yield folder, name
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise InvalidFileId(
                    f"{file_id!r} goes through a symbolic link in the store {self._root}; links are not followed there"
                ) from None
            raise
        finally:
            os.close(folder)


def _inner_folder(part: str, folder: int) -> int:
    try:
        return os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except NotADirectoryError:
        # Linux says the same of a link and of a plain file.
        if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


class _Remote:
    """Anything else, by fsspec, which is imported when the first such store is made (60 ms)."""

    def __init__(self, url: str, shown: str, options: dict[str, Any]) -> None:
        import fsspec  # noqa: PLC0415

        try:
            self._fs, root = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:
            raise SettingsError(f"files_url {shown}: {error}") from error
        except ValueError as error:
            raise SettingsError(f"files_url {shown} cannot be used: {redact(str(error))}") from error
        self._root = str(root).rstrip("/")

    def write(self, file_id: str, chunks: Iterator[bytes]) -> None:
        path = self._path(file_id)
        self._fs.makedirs(self._root, exist_ok=True)
        try:
            with self._fs.open(path, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
        except BaseException:
            # What has been uploaded so far may be there now, under an id that nobody was told.
            with suppress(Exception):
                self._fs.rm_file(path)
            raise

    def open(self, file_id: str) -> BinaryIO:
        return cast("BinaryIO", self._fs.open(self._path(file_id), "rb"))

    def size(self, file_id: str) -> int:
        found = self._fs.info(self._path(file_id))
        if found["type"] != "file":
            raise IsADirectoryError(file_id)
        return int(found["size"])

    def delete(self, file_id: str) -> None:
        self._fs.rm_file(self._path(file_id))

    def _path(self, file_id: str) -> str:
        return f"{self._root}/{file_id}"


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        if isinstance(chunk, str):  # callers are not all type-checked
            raise UsageError("a file opened as text cannot be stored; open it in binary mode: open(path, 'rb')")
        yield chunk


def _extension(name: str) -> str:
    extension = os.path.splitext(name)[1].lower()  # noqa: PTH122  # `name` is a label, no path of this machine
    return extension if re.fullmatch(r"\.[a-z0-9]{1,8}", extension) else ""
