"""A Unix socket to listen on: its file is made at the start and goes at the end."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

# How long the owner of a socket file may take to accept. It is on this machine, so one that takes longer is there, but stuck.
PROBE_S = 1.0


class UnixSocket:
    """The socket at `path`; whoever may write to the file may connect, so `mode` says who that is."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._mode = mode
        # Which file is ours: by the time we leave, another process may have put its own there.
        self._file: tuple[int, int] | None = None

    def open(self) -> socket.socket:
        """A bound socket, not listening yet. What a dead process has left at the path is replaced.

        Raises `OSError` where a live process listens there, where the file is no socket, or where the directory refuses.
        """
        self._clear_way()
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.bind(os.fspath(self.path))
            # Before anyone can connect: until it listens, everybody is refused.
            self.path.chmod(self._mode)
            status = self.path.lstat()
        except OSError as error:
            opened.close()
            raise OSError(error.errno, f"cannot listen: {error.strerror or error}", str(self.path)) from error
        self._file = (status.st_dev, status.st_ino)
        return opened

    def remove(self) -> None:
        """Take the file away, if it is still the one that `open` made."""
        try:
            status = self.path.lstat()
            if (status.st_dev, status.st_ino) == self._file:
                self.path.unlink()
        except OSError:
            pass  # somebody else has taken it away, or the directory: there is nothing left to do
        self._file = None

    def _clear_way(self) -> None:
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(status.st_mode):
            raise OSError(errno.EEXIST, "there is a file that is no socket", str(self.path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(PROBE_S)
            try:
                probe.connect(os.fspath(self.path))
            except ConnectionRefusedError:
                self.path.unlink(missing_ok=True)
                return
            except FileNotFoundError:
                return
            except OSError as error:
                # Full, stuck, or not ours to ask. Whatever it is, it is not dead.
                raise OSError(errno.EADDRINUSE, f"the socket may be in use: {error.strerror or error}", str(self.path)) from error
        raise OSError(errno.EADDRINUSE, "another process listens on the socket", str(self.path))
