"""Uploads are counted while they stream in: what is too large is refused before the rest of it has arrived."""

from typing import Any

from django.core.files.uploadhandler import FileUploadHandler

from core.errors import TooLarge

# The largest file an agent may upload (contract/inkbox.md, section 9).
UPLOAD_LIMIT = 10 * 1024 * 1024


class BoundedUploadHandler(FileUploadHandler):
    """First of Django's upload handlers: raises `TooLarge` once the files of a request exceed `UPLOAD_LIMIT`.

    The length a client declares is not believed; Django's own handlers would write any length to disk.
    """

    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self.received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self.received += len(raw_data)
        if self.received > UPLOAD_LIMIT:
            raise TooLarge(f"The file is larger than {UPLOAD_LIMIT // 1024**2} MiB.")
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
