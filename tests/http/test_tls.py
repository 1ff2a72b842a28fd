"""The trusted certificate authorities, from environment variables."""

from __future__ import annotations

import os
import pickle
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import certifi
import pytest
import trustme
import truststore

from wbfiles_async._http import tls
from wbfiles_async._http.tls import CertificatesError, create_ssl_context

HASH = "0123abcd.0"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two authorities, and a file that is none."""
    folder = tmp_path_factory.mktemp("authorities")
    for name in ("one", "two"):
        trustme.CA(organization_name=f"authority {name}").cert_pem.write_to_path(folder / f"{name}.pem")
    (folder / "hashed").mkdir()
    (folder / "hashed" / HASH).write_bytes((folder / "one.pem").read_bytes())
    (folder / "text").write_text("no certificate")
    whole = (folder / "one.pem").read_bytes()
    (folder / "cut").write_bytes(whole[: len(whole) // 2])
    (folder / "damaged").write_bytes(whole.replace(b"MI", b"AA", 1))
    os.mkfifo(folder / "pipe")
    return folder


def names(context: ssl.SSLContext) -> set[str]:
    """Which of the two authorities were loaded."""
    loaded = context.get_ca_certs(binary_form=True)
    return {name for name in ("one", "two") if any(f"authority {name}".encode() in found for found in loaded)}


def places(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    return {name: os.pathsep.join(str(folder / part) for part in value.split(":")) for name, value in variables.items()}


def test_servers_are_checked() -> None:
    context = create_ssl_context({})
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SSL_CERT_FILE": "one.pem"}, {"one"}),
        ({"REQUESTS_CA_BUNDLE": "one.pem"}, {"one"}),
        ({"CURL_CA_BUNDLE": "one.pem"}, {"one"}),
        ({"REQUESTS_CA_BUNDLE": "one.pem", "CURL_CA_BUNDLE": "two.pem"}, {"one"}),
        ({"SSL_CERT_FILE": "one.pem", "REQUESTS_CA_BUNDLE": "two.pem"}, {"one"}),
        ({"SSL_CERT_FILE": "one.pem", "REQUESTS_CA_BUNDLE": "missing"}, {"one"}),
        ({"SSL_CERT_FILE": "one.pem", "SSL_CERT_DIR": "hashed"}, {"one"}),
        # Folders are read when a server's certificate is checked.
        ({"SSL_CERT_DIR": "hashed"}, set()),
        ({"SSL_CERT_DIR": "hashed:hashed"}, set()),
        ({"REQUESTS_CA_BUNDLE": "hashed"}, set()),
    ],
)
def test_authorities_of_variables(authorities: Path, variables: Mapping[str, str], expected: set[str]) -> None:
    assert names(create_ssl_context(places(authorities, variables))) == expected


@pytest.mark.parametrize("variable", ["SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_server_trusted_by_a_folder(tmp_path: Path, variable: str) -> None:
    authority = trustme.CA()
    hashed = tmp_path / f"{subject_hash(authority, tmp_path)}.0"
    authority.cert_pem.write_to_path(hashed)
    shake_hands(create_ssl_context({variable: str(tmp_path)}), authority)
    other = trustme.CA()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(create_ssl_context({variable: str(tmp_path)}), other)


@pytest.mark.parametrize(
    ("variable", "name", "reason"),
    [
        ("SSL_CERT_FILE", "missing", "No such file or directory"),
        ("SSL_CERT_FILE", "hashed", "it is no file"),
        ("SSL_CERT_FILE", "pipe", "it is no file"),
        ("SSL_CERT_FILE", "text", "it holds no certificates in PEM form"),
        ("SSL_CERT_FILE", "cut", "it holds no certificates in PEM form"),
        ("SSL_CERT_FILE", "damaged", "it holds no certificates in PEM form"),
        ("REQUESTS_CA_BUNDLE", "missing", "No such file or directory"),
        ("CURL_CA_BUNDLE", "text", "it holds no certificates in PEM form"),
        ("SSL_CERT_DIR", "missing", "it is no folder that `openssl rehash` has prepared"),
        ("SSL_CERT_DIR", "one.pem", "it is no folder"),
        ("SSL_CERT_DIR", ".", "it is no folder"),
        ("REQUESTS_CA_BUNDLE", ".", "it is no folder"),
    ],
)
def test_unreadable_authorities(authorities: Path, variable: str, name: str, reason: str) -> None:
    path = str(authorities / name)
    with pytest.raises(CertificatesError) as caught:
        create_ssl_context({variable: path})
    error = caught.value
    assert (error.source, error.path) == (variable, path)
    assert error.reason.startswith(reason)
    assert str(error).startswith(f"{variable} names {path}, which cannot be read as certificate authorities: {reason}")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_one_of_several_folders_is_missing(authorities: Path) -> None:
    missing = str(authorities / "missing")
    with pytest.raises(CertificatesError) as caught:
        create_ssl_context({"SSL_CERT_DIR": os.pathsep.join([str(authorities / "hashed"), missing])})
    assert caught.value.path == missing


@pytest.mark.parametrize("variables", [{}, {"SSL_CERT_FILE": "", "SSL_CERT_DIR": "", "REQUESTS_CA_BUNDLE": ""}])
def test_authorities_of_the_system(
    authorities: Path, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]
) -> None:
    # OpenSSL's own variables change the system's locations.
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities / "two.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(authorities / "missing"))
    assert names(create_ssl_context(variables)) == {"two"}
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(authorities / "hashed"))
    assert names(create_ssl_context(variables)) == set(), "a folder that is there, read when it is needed"


@pytest.mark.parametrize("folder", ["missing", "."])
def test_system_without_authorities(authorities: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(authorities / folder))
    monkeypatch.setattr(tls, "_SYSTEM_BUNDLES", (str(authorities / "missing"),))
    bundled = ssl.create_default_context(cafile=certifi.where())
    assert create_ssl_context({}).get_ca_certs() == bundled.get_ca_certs()


def test_relocated_python_finds_system_authorities(authorities: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(authorities / "missing"))
    monkeypatch.setattr(tls, "_SYSTEM_BUNDLES", tuple(str(authorities / name) for name in ("missing", "one.pem")))
    assert names(create_ssl_context({})) == {"one"}


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_macos_and_windows_verify_certificates_themselves(
    authorities: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    context = create_ssl_context({})
    assert isinstance(context, truststore.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert names(create_ssl_context({"SSL_CERT_FILE": str(authorities / "one.pem")})) == {"one"}


def subject_hash(authority: trustme.CA, folder: Path) -> str:
    """The name under which OpenSSL looks an authority up; skips if the command is missing."""
    file = folder / "authority.pem"
    authority.cert_pem.write_to_path(file)
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("needs the command openssl")
    file.unlink()
    return done.stdout.strip()


def shake_hands(context: ssl.SSLContext, authority: trustme.CA) -> None:
    """Connect to a server of that authority, in memory."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("server.test").configure_cert(served)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname="server.test")
    server = served.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
