"""Creates the context that verifies servers' certificates. Reads files; takes tens of milliseconds."""

from __future__ import annotations

import os
import re
import ssl
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import certifi

__all__ = ["CertificatesError", "create_ssl_context"]

_BUNDLE_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# File names of certificates in a folder for OpenSSL. Source: openssl-rehash(1).
_HASHED_NAME: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")

_SYSTEM_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # later ones
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, BSD
)
"""Systems' files of authorities: a Python that was built elsewhere looks for them in other locations.
Source: Go's crypto/x509, root_linux.go."""


class CertificatesError(ValueError):
    """The certificate authorities that a variable names cannot be read.

    Attributes:
        source: The variable.
        path: Its value, or the relevant part of it.
        reason: What is wrong.
    """

    def __init__(self, source: str, path: str, reason: str) -> None:
        super().__init__(source, path, reason)
        self.source, self.path, self.reason = source, path, reason

    def __str__(self) -> str:
        return (
            f"{self.source} names {self.path}, which cannot be read as certificate authorities: {self.reason}. Correct "
            "it, or remove it to use the authorities of this system"
        )


def create_ssl_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Create the context that verifies servers' certificates and names.

    ``SSL_CERT_FILE`` (certificates in PEM form) and ``SSL_CERT_DIR`` (a folder, or several, prepared by ``openssl
    rehash``) replace the system's authorities, as they do for OpenSSL; else ``REQUESTS_CA_BUNDLE`` or
    ``CURL_CA_BUNDLE`` (a file or a folder) does, as for requests. If no variable is set, macOS and Windows verify
    certificates themselves, with their administrators' settings. Other systems use their authorities, or those of
    certifi if there are none (small containers).

    Args:
        environ: The variables.

    Raises:
        CertificatesError: A variable names something that cannot be read as certificates.
    """
    bundle = next((name for name in _BUNDLE_VARIABLES if environ.get(name)), "")
    file_variable, folder_variable = "SSL_CERT_FILE", "SSL_CERT_DIR"
    file, folders = environ.get(file_variable), environ.get(folder_variable)
    if not file and not folders:
        if not bundle:
            return _system_context()
        file_variable = folder_variable = bundle
        is_folder = os.path.isdir(environ[bundle])  # noqa: PTH112  # Path's may raise
        file, folders = (None, environ[bundle]) if is_folder else (environ[bundle], None)
    # OpenSSL silently accepts a folder without certificates, and then trusts no certificate.
    for folder in (folders or "").split(os.pathsep):
        if folder and not _holds_authorities(folder):
            raise CertificatesError(folder_variable, folder, "it is no folder that `openssl rehash` has prepared")
    try:
        if file and not stat.S_ISREG(os.stat(file).st_mode):  # reading a pipe or a device may never end
            raise CertificatesError(file_variable, file, "it is no file")
        return ssl.create_default_context(cafile=file or None, capath=folders or None)
    except OSError as error:
        raise CertificatesError(file_variable, file or "", _reason(error)) from error


def _system_context() -> ssl.SSLContext:
    if sys.platform in ("darwin", "win32"):
        import truststore  # declared for these systems

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    folder = ssl.get_default_verify_paths().capath
    # A folder's certificates are loaded lazily, and not counted before.
    if not context.cert_store_stats()["x509"] and not (folder and _holds_authorities(folder)):
        bundles = [bundle for bundle in _SYSTEM_BUNDLES if os.path.isfile(bundle)]  # noqa: PTH113  # Path's may raise
        context.load_verify_locations(next(iter(bundles), None) or certifi.where())
    return context


def _holds_authorities(folder: str) -> bool:
    try:
        return any(_HASHED_NAME.fullmatch(entry.name) for entry in Path(folder).iterdir())
    except OSError:
        return False


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "it holds no certificates in PEM form, or damaged ones"
    return error.strerror or str(error)
