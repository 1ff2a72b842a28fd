"""Settings: sources of each value, and refusals."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import wandb

from wbfiles_async import __version__
from wbfiles_async._options import TransferOptions
from wbfiles_async._settings import Settings, expand_home, load_settings
from wbfiles_async._wandb_settings import WITHOUT_EFFECT
from wbfiles_async.errors import ConfigurationError


@attrs.define
class Machine:
    """A home folder, a current folder and an environment of their own."""

    home: Path
    folder: Path
    environ: dict[str, str] = attrs.field(factory=dict)

    def load(
        self,
        overrides: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
        base_url: str | None = None,
        entity: str | None = None,
        project: str | None = None,
    ) -> Settings:
        return load_settings(
            overrides,
            timeout=timeout,
            base_url=base_url,
            entity=entity,
            project=project,
            environ=self.environ,
            home=self.home,
            folder=self.folder,
        )

    def write_user_file(self, text: str) -> Path:
        return _write(self.home / ".config/wandb/settings", text)

    def write_folder_file(self, text: str) -> Path:
        return _write(self.folder / "wandb/settings", text)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    folder = tmp_path / "work"
    folder.mkdir()
    return Machine(tmp_path / "home", folder)


class TestSources:
    def test_defaults_without_any_source(self, machine: Machine) -> None:
        assert machine.load() == Settings(
            base_url="https://api.forge.coreweave.com",
            entity=None,
            project=None,
            timeout=19.0,
            user_agent=f"wbfiles-async/{__version__}",
        )

    def test_later_sources_override_earlier_ones(self, machine: Machine) -> None:
        seen: list[str | None] = []
        machine.write_user_file("[default]\nentity = user-file\n")
        seen.append(machine.load().entity)
        machine.write_folder_file("[default]\nentity = folder-file\n")
        seen.append(machine.load().entity)
        machine.environ["WANDB_ENTITY"] = "environment"
        seen.append(machine.load().entity)
        seen.append(machine.load({"entity": "overrides"}).entity)
        seen.append(machine.load({"entity": "overrides"}, entity="argument").entity)
        assert seen == ["user-file", "folder-file", "environment", "overrides", "argument"]

    @pytest.mark.parametrize("source", ["user file", "environment", "overrides", "argument"])
    def test_every_name_can_come_from_every_trusted_source(self, machine: Machine, source: str) -> None:
        url, entity, project = "http://wandb.local:8080", "team", "vision"
        if source == "user file":
            machine.write_user_file(f"[default]\nbase_url={url}\nentity={entity}\nproject={project}\n")
            settings = machine.load()
        elif source == "environment":
            machine.environ |= {"WANDB_BASE_URL": url, "WANDB_ENTITY": entity, "WANDB_PROJECT": project}
            settings = machine.load()
        elif source == "overrides":
            settings = machine.load({"base_url": url, "entity": entity, "project": project})
        else:
            settings = machine.load(base_url=url, entity=entity, project=project)
        assert (settings.base_url, settings.entity, settings.project) == (url, entity, project)

    def test_config_dir_replaces_the_users_folder(self, machine: Machine) -> None:
        machine.write_user_file("[default]\nentity = not-this\n")
        _write(machine.home / "elsewhere/settings", "[default]\nentity = this\n")
        machine.environ["WANDB_CONFIG_DIR"] = "~/elsewhere"
        assert machine.load().entity == "this"

    @pytest.mark.parametrize("empty", ["", "  "])
    def test_empty_value_counts_as_not_set(self, machine: Machine, empty: str) -> None:
        machine.write_user_file("[default]\nentity = team\n")
        machine.environ |= {"WANDB_ENTITY": empty, "WANDB_BASE_URL": empty, "WANDB_HTTP_TIMEOUT": empty}
        settings = machine.load({"entity": empty}, entity=empty)
        assert settings.entity == "team"
        assert settings.base_url == "https://api.forge.coreweave.com"
        assert settings.timeout == 19.0

    def test_unreadable_home_is_skipped_with_a_warning(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = machine.home / ".config/wandb/settings"
        path.mkdir(parents=True)  # opening it fails even for root, unlike a file without permissions
        machine.environ["WANDB_ENTITY"] = "team"
        assert machine.load().entity == "team"
        assert str(path) in caplog.text

    def test_file_in_place_of_the_wandb_folder_is_not_a_settings_file(self, machine: Machine) -> None:
        (machine.folder / "wandb").write_text("a script")
        assert machine.load().entity is None

    def test_percent_signs_are_parsed_as_by_wandb(self, machine: Machine) -> None:
        machine.write_user_file("[default]\nproject = 50%%\n")
        assert machine.load().project == "50%"

    def test_byte_order_mark_does_not_matter(self, machine: Machine) -> None:
        machine.write_user_file("\ufeff[default]\nentity = team\n")
        assert machine.load().entity == "team"

    def test_other_sections_and_keys_do_not_matter(self, machine: Machine) -> None:
        machine.write_user_file("[other]\nentity = x\n[default]\nmode = %broken\nentity = team\n")
        assert machine.load().entity == "team"

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("entity = 5ecret\n", "line 1"),
            ("[default]\nentity = team\n5ecret\n", "line 3"),
            ("[default]\nentity = a\nentity = 5ecret\n", "line 3"),
            ("[default]\n[default]\n", "line 2"),
            ("[default]\nentity = 5ecret%\n", "at entity"),
        ],
    )
    def test_malformed_file_is_located_without_quoting(self, machine: Machine, text: str, place: str) -> None:
        path = machine.write_user_file(text)
        with pytest.raises(ConfigurationError) as caught:
            machine.load()
        assert str(path) in str(caught.value)
        assert place in str(caught.value)
        assert "5ecret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    @pytest.mark.fault(123)
    @pytest.mark.parametrize("kind", ["/dev/zero", "pipe", "folder"])
    def test_special_file_is_skipped_with_a_warning(
        self, machine: Machine, caplog: pytest.LogCaptureFixture, kind: str
    ) -> None:
        path = machine.folder / "wandb/settings"
        path.parent.mkdir()
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case device:
                path.symlink_to(device)
        assert machine.load().entity is None
        assert f"{path} cannot be read and is not used: it is not a regular file" in caplog.text

    @pytest.mark.fault(123)
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[default]\nentity = team\n" + "# " * 40_000, "longer than 65,536 bytes"),
            ("[default]\nteam = x\nentity = %(team)s\n", "at entity"),
            (
                "[default]\na0 = x\n"
                + "".join(f"a{n} = {f'%(a{n - 1})s' * 10}\n" for n in range(1, 10))
                + "entity = %(a9)s",
                "at entity",
            ),
        ],
        ids=["long", "reference", "references that multiply"],
    )
    def test_oversized_file_is_refused(self, machine: Machine, text: str, reason: str) -> None:
        machine.write_folder_file(text)
        with pytest.raises(ConfigurationError, match=reason):
            machine.load()

    def test_binary_file_is_named(self, machine: Machine) -> None:
        path = machine.write_user_file("")
        path.write_bytes(b"\xff\xfe[\x00")
        with pytest.raises(ConfigurationError, match=r"settings is not UTF-8"):
            machine.load()

    def test_reads_files_as_wandb_does(self, machine: Machine) -> None:
        from wandb.sdk.lib.settings_file import SettingsFiles

        user, folder = machine.home / ".config/wandb/settings", machine.folder / "wandb/settings"
        theirs = SettingsFiles(global_settings=user, local_settings=folder)
        theirs.set("base_url", "http://wandb.local", globally=True)
        theirs.set("entity", "global-team", globally=True)
        theirs.set("entity", "team")
        theirs.set("project", "täst project")
        theirs.save()
        ours = machine.load()
        read_back = SettingsFiles(global_settings=user, local_settings=folder).all()
        assert read_back == {"base_url": ours.base_url, "entity": ours.entity, "project": ours.project}


class TestBaseUrl:
    @pytest.mark.fault(111)
    def test_project_folder_never_chooses_the_server(self, machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
        machine.write_folder_file("[default]\nbase_url = https://evil.example\nproject = vision\n")
        settings = machine.load()
        assert settings.base_url == "https://api.forge.coreweave.com"
        assert settings.project == "vision"
        assert "https://evil.example" in caplog.text

    def test_project_folder_with_the_same_server_is_silent(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        machine.write_folder_file("[default]\nbase_url = https://wandb.corp/\n")
        with caplog.at_level(logging.DEBUG):
            machine.load(base_url="https://wandb.corp")
        assert not caplog.records

    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("https://api.wandb.ai", "https://api.wandb.ai"),
            ("https://api.wandb.ai/", "https://api.wandb.ai"),
            ("https://api.forge.coreweave.com///", "https://api.forge.coreweave.com"),
            ("https://forge.coreweave.com/api/wandb", "https://api.forge.coreweave.com"),
            ("https://forge.coreweave.com/api/wandb/", "https://api.forge.coreweave.com"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://[::1]:8080/wandb", "http://[::1]:8080/wandb"),
            ("https://acme.wandb.io", "https://acme.wandb.io"),
            ("  https://wandb.corp \n", "https://wandb.corp"),
        ],
    )
    def test_accepts_and_normalizes(self, machine: Machine, given: str, meant: str) -> None:
        assert machine.load(base_url=given).base_url == meant

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ("https://wandb.ai", "its API"),
            ("https://app.wandb.ai", "its API"),
            ("https://forge.coreweave.com", "its API"),
            ("https://forge.coreweave.com/wandb", "its API"),
            ("http://api.wandb.ai", "use https"),
            ("http://API.WANDB.AI.", "use https"),
            ("http://api.forge.coreweave.com", "use https"),
            ("http://forge.coreweave.com/api/wandb", "use https"),
            ("wandb.corp", "http or https"),
            ("ftp://wandb.corp", "http or https"),
            ("https://", "http or https"),
            ("https://wandb.corp:port", "not a URL"),
            ("https://[::1", "not a URL"),
            ("https://wandb.corp\\@evil.example", "backslash"),
            ("https://wandb .corp", "space"),
            ("https://wandb.\tcorp", "control"),
        ],
    )
    def test_refuses(self, machine: Machine, given: str, reason: str) -> None:
        with pytest.raises(ConfigurationError, match=reason):
            machine.load(base_url=given)

    @pytest.mark.parametrize(
        "given",
        [
            "https://user:5ecret@wandb.corp",
            "https://user:pa?5ecret@wandb.corp",
            "https://wandb.corp?key=5ecret",
            "https://wandb.corp?key=a@5ecret",
            "https://wandb.corp/#5ecret",
            "user:5ecret@wandb.corp",
            "ftp://user:5ecret@wandb.corp",
            "https://user:5ecret @wandb.corp",
        ],
    )
    def test_refuses_url_with_a_secret_without_showing_it(self, machine: Machine, given: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            machine.load(base_url=given)
        assert "5ecret" not in str(caught.value)

    def test_error_says_where_the_url_came_from(self, machine: Machine) -> None:
        machine.environ["WANDB_BASE_URL"] = "wandb.corp"
        with pytest.raises(ConfigurationError, match="WANDB_BASE_URL"):
            machine.load()

    @pytest.mark.parametrize(
        "url",
        [
            "https://api.wandb.ai",
            "https://api.wandb.ai/",
            "http://api.wandb.ai",
            "https://wandb.ai",
            "https://api.forge.coreweave.com",
            "https://forge.coreweave.com/api/wandb/",
            "https://forge.coreweave.com/wandb",
            "http://localhost:8080/",
            "wandb.corp",
            "ftp://wandb.corp",
        ],
    )
    def test_accepts_and_normalizes_as_wandb(self, machine: Machine, url: str) -> None:
        from wandb.sdk.lib.wbauth import HostUrl

        def theirs() -> str | None:
            try:
                return HostUrl(url).url
            except ValueError:
                return None

        def ours() -> str | None:
            try:
                return machine.load(base_url=url).base_url
            except ConfigurationError:
                return None

        assert ours() == theirs()


class TestOverrides:
    def test_unrelated_wandb_settings_have_no_effect(self, machine: Machine) -> None:
        assert machine.load({"organization": "org", "run": "abc"}) == machine.load()

    def test_unknown_key_error_lists_the_valid_ones(self, machine: Machine) -> None:
        with pytest.raises(ConfigurationError, match=r"'entitiy'; use base_url, entity, project, user_agent"):
            machine.load({"entitiy": "team"})

    def test_none_counts_as_not_set(self, machine: Machine) -> None:
        overrides: dict[str, object] = {"entity": None, "project": "vision"}
        settings = machine.load(overrides)  # type: ignore[arg-type]  # what untyped callers pass
        assert (settings.entity, settings.project) == (None, "vision")

    def test_non_text_value_is_refused(self, machine: Machine) -> None:
        overrides: dict[str, object] = {"entity": 5}
        with pytest.raises(ConfigurationError, match="must be a string, not int"):
            machine.load(overrides)  # type: ignore[arg-type]  # what untyped callers pass

    def test_user_agent_can_be_set(self, machine: Machine) -> None:
        assert machine.load({"user_agent": "etl/1.0"}).user_agent == "etl/1.0"

    @pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "bücher"])
    def test_user_agent_that_would_break_the_header_is_refused(self, machine: Machine, text: str) -> None:
        with pytest.raises(ConfigurationError, match="user_agent"):
            machine.load({"user_agent": text})


class TestTimeout:
    def test_argument_wins_over_the_environment(self, machine: Machine) -> None:
        machine.environ["WANDB_HTTP_TIMEOUT"] = "7.5"
        assert machine.load().timeout == 7.5
        assert machine.load(timeout=3).timeout == 3

    @pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
    def test_unusable_variable_is_named(self, machine: Machine, text: str) -> None:
        machine.environ["WANDB_HTTP_TIMEOUT"] = text
        with pytest.raises(ConfigurationError, match=f"WANDB_HTTP_TIMEOUT .*'{text}'"):
            machine.load()

    @pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True])
    def test_unusable_argument_is_refused(self, machine: Machine, seconds: float) -> None:
        with pytest.raises(ConfigurationError, match="timeout"):
            machine.load(timeout=seconds)

    def test_default_is_the_one_of_wandb(self, machine: Machine) -> None:
        from wandb import Api

        assert machine.load().timeout == Api._HTTP_TIMEOUT


class TestTransferOptions:
    def test_is_immutable(self) -> None:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            TransferOptions().connections = 1  # type: ignore[misc]  # that it is refused is the point

    @pytest.mark.parametrize("name", ["connections", "part_size", "stall_bytes", "attempts"])
    @pytest.mark.parametrize("value", [0, -1, 1.5, "8", True, None])
    def test_counts_are_whole_numbers_from_1(self, name: str, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=rf"TransferOptions\.{name} "):
            attrs.evolve(TransferOptions(), **{name: value})

    @pytest.mark.parametrize("value", [0, -1, 1.5, "8", True])
    def test_rate_limit_is_a_positive_integer_or_none(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"TransferOptions\.limit_rate "):
            TransferOptions(limit_rate=value)
        assert TransferOptions(limit_rate=1).limit_rate == 1
        assert TransferOptions().limit_rate is None

    @pytest.mark.parametrize("name", ["connect_timeout", "stall_seconds", "time_budget"])
    @pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "8", True, None])
    def test_times_are_finite_and_above_0(self, name: str, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=rf"TransferOptions\.{name} "):
            attrs.evolve(TransferOptions(), **{name: value})

    @pytest.mark.parametrize("name", ["verify", "durable"])
    @pytest.mark.parametrize("value", [0, 1, "no", None])
    def test_switches_are_true_or_false(self, name: str, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=rf"TransferOptions\.{name} "):
            attrs.evolve(TransferOptions(), **{name: value})

    def test_whole_seconds_and_the_smallest_values_are_taken(self) -> None:
        options = TransferOptions(
            connections=1, part_size=1 << 16, stall_bytes=1, attempts=1, time_budget=1, stall_seconds=0.01
        )
        assert (options.part_size, options.time_budget, options.stall_seconds) == (1 << 16, 1, 0.01)

    def test_every_option_is_documented(self) -> None:
        text = TransferOptions.__doc__ or ""
        assert [field.name for field in attrs.fields(TransferOptions) if f"\n        {field.name}: " not in text] == []


@pytest.mark.parametrize(
    ("path", "expanded"),
    [("~", "/home/me"), ("~/a/b", "/home/me/a/b"), ("/a/~", "/a/~"), ("a", "a"), ("~other/a", "~other/a")],
)
def test_only_a_leading_tilde_means_home(path: str, expanded: str) -> None:
    assert expand_home(path, Path("/home/me")) == Path(expanded)


class TestIneffectiveWandbSettings:
    """Settings of W&B's client without effect here cause a warning that names the equivalent."""

    @pytest.mark.parametrize(
        ("variable", "value", "instead"),
        [
            ("WANDB_INSECURE_DISABLE_SSL", "true", "SSL_CERT_FILE"),
            ("WANDB_HTTP_PROXY", "http://proxy", "HTTP_PROXY"),
            ("WANDB_HTTPS_PROXY", "http://proxy", "HTTPS_PROXY"),
            ("WANDB__PROXIES", '{"https": "http://proxy"}', "HTTPS_PROXY"),
            ("WANDB_X_EXTRA_HTTP_HEADERS", "{}", "http_client=httpx.AsyncClient(headers=...)"),
            ("WANDB__EXTRA_HTTP_HEADERS", "{}", "http_client=httpx.AsyncClient(headers=...)"),
            ("WANDB_X_GRAPHQL_TIMEOUT_SECONDS", "60", "WANDB_HTTP_TIMEOUT"),
            ("WANDB_X_GRAPHQL_RETRY_MAX", "3", "TransferOptions(attempts=...)"),
            ("WANDB_X_FILE_TRANSFER_RETRY_MAX", "3", "TransferOptions(attempts=...)"),
            ("WANDB_X_FILE_TRANSFER_TIMEOUT_SECONDS", "3", "TransferOptions(stall_seconds=...)"),
        ],
    )
    def test_variable_is_reported_with_its_replacement(
        self, machine: Machine, caplog: pytest.LogCaptureFixture, variable: str, value: str, instead: str
    ) -> None:
        machine.environ[variable] = value
        machine.load()
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage().startswith(f"{variable} has no effect here: ")
        assert instead in record.getMessage()
        assert "proxy/" not in record.getMessage()

    def test_line_of_a_settings_file_is_reported(self, machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
        path = machine.write_user_file("[default]\nentity = team\ninsecure_disable_ssl = True\n")
        assert machine.load().entity == "team"
        assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
            f"insecure_disable_ssl in settings file {path} has no effect here"
        ]

    @pytest.mark.parametrize("value", ["", "0", "false", "No", "off"])
    def test_disabled_setting_is_not_reported(
        self, machine: Machine, caplog: pytest.LogCaptureFixture, value: str
    ) -> None:
        machine.environ["WANDB_INSECURE_DISABLE_SSL"] = value
        machine.write_folder_file(f"[default]\ninsecure_disable_ssl = {value}\n")
        machine.load()
        assert not caplog.records

    def test_injected_client_suppresses_the_warning(self, machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
        machine.environ["WANDB_INSECURE_DISABLE_SSL"] = "true"
        load_settings(
            None,
            timeout=None,
            base_url=None,
            entity=None,
            project=None,
            environ=machine.environ,
            home=machine.home,
            folder=machine.folder,
            own_client=False,
        )
        assert not caplog.records

    def test_every_name_is_one_of_wandb(self) -> None:
        names = set(wandb.Settings.model_fields)
        assert set(WITHOUT_EFFECT) <= names
