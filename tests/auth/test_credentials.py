"""Credentials: where they are found, what is refused, and what the messages say."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wbfiles_async._auth.credentials import (
    ApiKey,
    Credentials,
    IdentityToken,
    find_credentials,
    missing_credentials,
    refused_credentials,
)
from wbfiles_async.errors import AuthenticationError, ConfigurationError

CLOUD = "https://api.forge.coreweave.com"
LOCAL = "http://wandb.local:8080"
KEYS = {name: name[0] * 40 for name in ("argument", "environment", "netrc", "other")}


@attrs.define
class Machine:
    """A home folder and an environment of their own."""

    home: Path
    environ: dict[str, str] = attrs.field(factory=dict)

    def find(self, base_url: str = LOCAL, api_key: str | None = None) -> Credentials | None:
        return find_credentials(api_key, base_url=base_url, environ=self.environ, home=self.home)

    def key(self, base_url: str = LOCAL, api_key: str | None = None) -> str | None:
        found = self.find(base_url, api_key)
        assert found is None or isinstance(found, ApiKey)
        return found.value if found else None

    def missing(self, base_url: str = LOCAL) -> str:
        return str(missing_credentials(base_url, self.environ, self.home))

    def write_netrc(self, entries: Mapping[str, str], name: str = ".netrc") -> Path:
        lines = [f"machine {machine}\n  login user\n  password {key}\n" for machine, key in entries.items()]
        return self.write(name, "".join(lines))

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.write_text(text)
        return path


@pytest.fixture
def machine(home: Path) -> Machine:
    return Machine(home)


class TestPlaces:
    def test_no_credentials_anywhere_is_none(self, machine: Machine) -> None:
        assert machine.find() is None

    def test_argument_wins_over_environment_and_environment_over_netrc(self, machine: Machine) -> None:
        seen: list[str | None] = []
        machine.write_netrc({"wandb.local:8080": KEYS["netrc"]})
        seen.append(machine.key())
        machine.environ["WANDB_API_KEY"] = KEYS["environment"]
        seen.append(machine.key())
        seen.append(machine.key(api_key=KEYS["argument"]))
        assert seen == [KEYS["netrc"], KEYS["environment"], KEYS["argument"]]

    def test_empty_argument_or_variable_counts_as_missing(self, machine: Machine) -> None:
        machine.environ |= {"WANDB_API_KEY": "", "WANDB_IDENTITY_TOKEN_FILE": "", "NETRC": ""}
        machine.write_netrc({"wandb.local:8080": KEYS["netrc"]})
        assert machine.key(api_key="") == KEYS["netrc"]

    def test_key_and_identity_token_in_the_environment_are_ambiguous(self, machine: Machine) -> None:
        machine.environ |= {"WANDB_API_KEY": KEYS["environment"], "WANDB_IDENTITY_TOKEN_FILE": "/run/token"}
        with pytest.raises(ConfigurationError, match="Both WANDB_API_KEY and WANDB_IDENTITY_TOKEN_FILE"):
            machine.find()

    def test_argument_settles_the_ambiguity(self, machine: Machine) -> None:
        machine.environ |= {"WANDB_API_KEY": KEYS["environment"], "WANDB_IDENTITY_TOKEN_FILE": "/run/token"}
        assert machine.key(api_key=KEYS["argument"]) == KEYS["argument"]

    def test_identity_token_uses_the_cache_of_wandb(self, machine: Machine) -> None:
        machine.environ["WANDB_IDENTITY_TOKEN_FILE"] = "/run/token"
        cache = machine.home / ".config/wandb/credentials.json"
        assert machine.find() == IdentityToken(Path("/run/token"), cache)

    def test_cache_can_be_elsewhere(self, machine: Machine) -> None:
        machine.environ |= {"WANDB_IDENTITY_TOKEN_FILE": "~/token", "WANDB_CREDENTIALS_FILE": "~/c.json"}
        assert machine.find() == IdentityToken(machine.home / "token", machine.home / "c.json")

    def test_relative_identity_token_path_survives_chdir(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        machine.environ["WANDB_IDENTITY_TOKEN_FILE"] = "token"
        found = machine.find()
        assert isinstance(found, IdentityToken)
        assert found.path == tmp_path / "token"


class TestNetrc:
    @pytest.mark.parametrize(
        ("base_url", "entry"),
        [
            (LOCAL, "wandb.local:8080"),
            ("https://wandb.corp/sub/path", "wandb.corp"),
            (CLOUD, "api.forge.coreweave.com"),
            (CLOUD, "api.wandb.ai"),
            ("https://api.wandb.ai", "api.wandb.ai"),
        ],
    )
    def test_finds_the_entry_of_the_server(self, machine: Machine, base_url: str, entry: str) -> None:
        machine.write_netrc({"elsewhere.example": KEYS["other"], entry: KEYS["netrc"]})
        assert machine.key(base_url) == KEYS["netrc"]

    @pytest.mark.fault(111)
    @pytest.mark.parametrize(
        ("base_url", "entry"),
        [
            (LOCAL, "wandb.local"),
            (LOCAL, "wandb.local:8081"),
            ("http://wandb.local", "wandb.local:80"),
            ("https://wandb.corp", "api.wandb.ai"),
            ("https://api.wandb.ai.evil.example", "api.wandb.ai"),
            ("https://evil-api.wandb.ai", "api.wandb.ai"),
        ],
    )
    def test_never_takes_the_entry_of_another_server(self, machine: Machine, base_url: str, entry: str) -> None:
        machine.write_netrc({entry: KEYS["other"]})
        assert machine.find(base_url) is None

    @pytest.mark.fault(111)
    @pytest.mark.parametrize("base_url", [LOCAL, CLOUD, "http://default"])
    def test_never_takes_the_default_entry(self, machine: Machine, base_url: str) -> None:
        machine.write(".netrc", f"default login user password {KEYS['other']}\n")
        assert machine.find(base_url) is None

    def test_clouds_own_entry_wins_over_its_older_name(self, machine: Machine) -> None:
        machine.write_netrc({"api.wandb.ai": KEYS["other"], "api.forge.coreweave.com": KEYS["netrc"]})
        assert machine.key(CLOUD) == KEYS["netrc"]

    def test_variable_replaces_the_usual_places(self, machine: Machine) -> None:
        machine.write_netrc({"wandb.local:8080": KEYS["other"]})
        machine.write_netrc({"wandb.local:8080": KEYS["netrc"]}, "mine")
        machine.environ["NETRC"] = "~/mine"
        assert machine.key() == KEYS["netrc"]
        machine.environ["NETRC"] = "~/absent"
        assert machine.find() is None

    def test_windows_name_is_used_if_the_usual_one_is_absent(self, machine: Machine) -> None:
        machine.write_netrc({"wandb.local:8080": KEYS["other"]}, "_netrc")
        assert machine.key() == KEYS["other"]
        machine.write_netrc({"wandb.local:8080": KEYS["netrc"]}, ".netrc")
        assert machine.key() == KEYS["netrc"]

    def test_only_the_first_file_that_exists_counts(self, machine: Machine) -> None:
        machine.write_netrc({}, ".netrc")
        machine.write_netrc({"wandb.local:8080": KEYS["other"]}, "_netrc")
        assert machine.find() is None

    @pytest.mark.parametrize("base_url", [LOCAL, CLOUD, "https://wandb.corp"])
    def test_finds_what_wandb_login_wrote(
        self, machine: Machine, base_url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from wandb.sdk.lib import wbauth

        wbauth.write_netrc_auth(host="http://before.example", api_key=KEYS["other"])
        wbauth.write_netrc_auth(host=base_url, api_key=KEYS["netrc"])
        assert machine.key(base_url) == KEYS["netrc"] == wbauth.read_netrc_auth(host=base_url)

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("machine a password x\n5ecret\n", "line 3"),
            ("password 5ecret\n", "line 1"),
            ("machine a password x 5ecret", "line 1"),
        ],
    )
    def test_malformed_file_is_skipped_with_a_warning_that_quotes_nothing(
        self, machine: Machine, text: str, place: str
    ) -> None:
        path = machine.write(".netrc", text)
        assert machine.find() is None
        message = machine.missing()
        assert f"{path} cannot be read (malformed in {place})" in message
        assert "5ecret" not in message

    def test_folder_in_place_of_the_file_causes_a_warning(self, machine: Machine) -> None:
        (machine.home / ".netrc").mkdir()
        assert machine.find() is None
        assert ".netrc cannot be read (Is a directory)" in machine.missing()

    def test_malformed_file_is_ignored_if_the_key_is_elsewhere(self, machine: Machine) -> None:
        machine.write(".netrc", "nonsense")
        machine.environ["WANDB_API_KEY"] = KEYS["environment"]
        assert machine.key() == KEYS["environment"]


class TestKeyForm:
    @pytest.mark.parametrize(
        "key", ["a" * 40, "A_9" * 20, "local-" + "a" * 40, "-" + "a" * 40, "eyJh.eyJz.c2ln", "a-" + "b-" * 20]
    )
    def test_accepts(self, key: str) -> None:
        assert ApiKey(key).value == key

    @pytest.mark.parametrize("key", [f" {'a' * 40}\n", f"{'a' * 40}\r\n"])
    def test_strips_quotes_and_blanks(self, key: str) -> None:
        assert ApiKey(key).value == "a" * 40

    @pytest.mark.parametrize(
        ("key", "flaw"),
        [
            ("", "is empty"),
            ("  \n", "is empty"),
            ("5ecret", "has only 6 characters"),
            ("local-5ecret", "has only 6 characters after its prefix"),
            ("a" * 39, "has only 39 characters"),
            ("'" + "5ecret" * 10 + "'", "other characters"),
            ("5ecret " * 10, "other characters"),
            ("5ecretä" * 10, "other characters"),
            ("5ecret\x00" * 10, "other characters"),
            ("eyJh.eyJz.", "other characters"),
        ],
    )
    def test_refuses_with_reason_and_source_but_not_the_key(self, key: str, flaw: str) -> None:
        with pytest.raises(AuthenticationError, match=flaw) as caught:
            ApiKey(key, "WANDB_API_KEY")
        assert "WANDB_API_KEY" in str(caught.value)
        assert "5ecret" not in str(caught.value)

    def test_bad_key_in_netrc_names_the_file(self, machine: Machine) -> None:
        path = machine.write_netrc({"wandb.local:8080": "5ecret"})
        with pytest.raises(AuthenticationError) as caught:
            machine.find()
        assert str(path) in str(caught.value)
        assert "5ecret" not in str(caught.value)

    @given(st.text(st.sampled_from("aZ09_-.'\"/+ é"), min_size=1, max_size=45) | st.from_regex(r"\w{38,42}"))
    @example("a" * 39)
    @example("-" + "a" * 39)
    def test_agrees_with_wandb(self, key: str) -> None:
        from wandb.sdk.lib.wbauth import check_api_key

        # Non-ASCII letters pass wandb's check, against its documentation; we also accept surrounding blanks.
        if key.isascii() and key.strip():
            try:
                ApiKey(key)
            except AuthenticationError:
                assert check_api_key(key.strip())
            else:
                assert check_api_key(key.strip()) is None


class TestSecrecy:
    def test_key_is_not_shown(self) -> None:
        key = ApiKey(KEYS["argument"], "WANDB_API_KEY")
        assert KEYS["argument"] not in f"{key} {key!r}"
        assert "WANDB_API_KEY" in repr(key)

    @pytest.mark.parametrize("store", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_key_is_not_pickled(self, store: object) -> None:
        assert callable(store)
        with pytest.raises(TypeError, match="not pickled"):
            store(ApiKey(KEYS["argument"]))


class TestMissing:
    def test_names_every_source_and_what_it_contained(self, machine: Machine) -> None:
        message = machine.missing()
        assert f"No credentials for {LOCAL}" in message
        assert "no api_key was given" in message
        assert "WANDB_API_KEY is not set" in message
        assert "WANDB_IDENTITY_TOKEN_FILE is not set" in message
        assert f"{machine.home / '.netrc'} does not exist" in message
        assert f"{machine.home / '_netrc'} does not exist" in message

    def test_says_what_to_do(self, machine: Machine) -> None:
        message = machine.missing()
        assert f"get a key from {LOCAL}/authorize and set WANDB_API_KEY" in message
        assert "machine wandb.local:8080 login user password <key>" in message

    def test_advised_netrc_entry_works(self, machine: Machine) -> None:
        advice = machine.missing().partition("netrc file: ")[2]
        machine.write(".netrc", advice.replace("<key>", KEYS["netrc"]))
        assert machine.key() == KEYS["netrc"]

    def test_netrc_without_the_server_differs_from_a_missing_netrc(self, machine: Machine) -> None:
        path = machine.write_netrc({"elsewhere.example": KEYS["other"]})
        message = machine.missing(CLOUD)
        assert f"{path} has no entry for api.forge.coreweave.com or api.wandb.ai" in message
        assert "_netrc" not in message

    def test_entry_without_a_password_is_reported(self, machine: Machine) -> None:
        path = machine.write(".netrc", "machine wandb.local:8080 login user\n")
        assert machine.find() is None
        assert f"{path} has an entry for wandb.local:8080 without a password" in machine.missing()

    @pytest.mark.parametrize(
        ("base_url", "page"),
        [
            (CLOUD, "https://forge.coreweave.com/wandb/authorize"),
            ("https://api.wandb.ai", "https://wandb.ai/authorize"),
            ("https://api.acme.example:8443", "https://app.acme.example:8443/authorize"),
            (LOCAL, "http://wandb.local:8080/authorize"),
        ],
    )
    def test_names_the_page_for_keys(self, machine: Machine, base_url: str, page: str) -> None:
        assert f"get a key from {page} " in machine.missing(base_url)


class TestRefused:
    def test_names_the_source_of_the_key_and_the_page_for_keys(self) -> None:
        message = str(refused_credentials(ApiKey(KEYS["netrc"], "/home/me/.netrc"), LOCAL))
        assert "/home/me/.netrc" in message
        assert f"{LOCAL}/authorize" in message
        assert KEYS["netrc"] not in message

    def test_names_the_source_of_the_identity_token(self) -> None:
        assert "/run/token" in str(refused_credentials(IdentityToken(Path("/run/token")), LOCAL))
