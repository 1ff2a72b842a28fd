"""A place in an object store for a plan and its reports. Blocking; needs obstore."""

from __future__ import annotations

from contextlib import suppress

import attrs
import obstore
from obstore.store import ObjectStore

from wbfiles_async._bucket.failures import is_missing, store_failure
from wbfiles_async.errors import ObjectStoreError

__all__ = ["BucketPlace"]


@attrs.frozen
class BucketPlace:
    """See ``Place``."""

    _store: ObjectStore
    url: str

    def read(self, name: str) -> bytes | None:
        """Return an object's content; ``None`` if there is none."""
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except Exception as error:
            if is_missing(type(error).__name__, str(error)):
                return None
            raise self._failure(error, name) from None

    def write(self, name: str, data: bytes) -> None:
        """Write an object with one request."""
        try:
            obstore.put(self._store, name, data, use_multipart=False)
        except Exception as error:
            raise self._failure(error, name) from None

    def remove(self, name: str) -> None:
        """Remove an object if it exists."""
        with suppress(Exception):  # leftovers of an earlier attempt are harmless
            obstore.delete(self._store, name)

    def names(self) -> list[str]:
        """Return the names of the objects, without those in subfolders."""
        try:
            found = obstore.list_with_delimiter(self._store)["objects"]
        except Exception as error:
            raise self._failure(error, "") from None
        return [each["path"].rpartition("/")[2] for each in found]

    def _failure(self, error: Exception, name: str) -> ObjectStoreError:
        return store_failure(error, name=name, url=self.url)
