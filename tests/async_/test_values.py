"""The objects as values: both spellings, immutable, equal by content, pickled without client and secrets."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from wbfiles_async import (
    Api,
    AsyncApi,
    AsyncFile,
    AsyncRun,
    DeletionReport,
    DownloadReport,
    File,
    FileResult,
    Run,
    UploadReport,
    errors,
)
from wbfiles_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    DestinationExistsError,
    IncompleteDeletionError,
    IncompleteDownloadError,
    IncompleteUploadError,
    IntegrityError,
    LocalReadError,
    LocalWriteError,
    NameCollisionError,
    ObjectChangedError,
    ObjectStoreError,
    PermissionDeniedError,
    RateLimitedError,
    RemoteFileExistsError,
    RemoteFileNotFoundError,
    RunNotFoundError,
    StoreUnavailableError,
    TransferError,
    UnsafePathError,
    UnsupportedReferenceError,
    WBFilesError,
)

KEY = "0123456789abcdef0123456789abcdef01234567"
SIGNATURES = {
    "S3": "X-Amz-Credential=AKIASECRET&X-Amz-Signature=c0ffeec0ffee&X-Amz-Security-Token=tokentoken",
    "GCS": "X-Goog-Credential=robot%40SECRET&X-Goog-Signature=c0ffeec0ffee",
    "Azure": "sv=2024-01-01&se=2026-01-01&sig=c0ffeec0ffee%3D",
    "CloudFront": "Expires=1700000000&Signature=c0ffeec0ffee&Key-Pair-Id=SECRET",
}
SECRETS = (KEY, "c0ffee", "SECRET", "tokentoken")
PLACE = "https://bucket.s3.us-east-1.amazonaws.com/team/project/run/media/a.png"
ATTRIBUTES: Mapping[str, object] = {
    "id": "RmlsZTox",
    "name": "media/a.png",
    "url": "https://api.wandb.ai/files/team/project/run/media/a.png",
    "directUrl": f"{PLACE}?{SIGNATURES['S3']}",
    "sizeBytes": 17,
    "md5": "rL0Y20zC+Fzt72VPzMSk2A==",
    "mimetype": "image/png",
    "updatedAt": "2026-01-01T00:00:00Z",
}
SPELLINGS = {"direct_url": "directUrl", "size_bytes": "sizeBytes", "updated_at": "updatedAt", "path_uri": "pathUri"}
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

protocols = pytest.mark.parametrize("protocol", PROTOCOLS)
kinds = pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])


@pytest.fixture
def async_api() -> AsyncApi:
    return AsyncApi(api_key=KEY, base_url="https://api.wandb.ai")


@pytest.fixture
def api() -> Iterator[Api]:
    with Api(api_key=KEY, base_url="https://api.wandb.ai") as api:
        yield api


@pytest.fixture
def make(api: Api, async_api: AsyncApi, blocking: bool) -> Make:
    return Make(api if blocking else async_api)


@attrs.frozen
class Make:
    """Makes files of one client, blocking or async."""

    client: Api | AsyncApi

    def run(self, path: str = "team/project/run") -> Run | AsyncRun:
        return self.client.run(path)

    def file(self, changes: Mapping[str, object] | None = None, *, run: str = "team/project/run") -> File | AsyncFile:
        attributes = {**ATTRIBUTES, **(changes or {})}
        if isinstance(self.client, Api):
            return File(self.client, attributes, self.client.run(run))
        return AsyncFile(self.client, attributes, self.client.run(run))

    def file_alone(self) -> File | AsyncFile:
        return File(None, ATTRIBUTES) if isinstance(self.client, Api) else AsyncFile(None, ATTRIBUTES)


@kinds
class TestFile:
    def test_has_the_values_of_the_server(self, make: Make) -> None:
        file = make.file()
        given = {name: getattr(file, name) for name in ATTRIBUTES}
        assert given == ATTRIBUTES
        assert file.size == 17
        assert file.run == make.run()

    @pytest.mark.parametrize(("snake", "camel"), SPELLINGS.items())
    def test_has_each_attribute_in_both_spellings(self, make: Make, snake: str, camel: str) -> None:
        file = make.file()
        assert getattr(file, snake) == getattr(file, camel)
        assert getattr(file, snake)

    def test_has_length_0_where_it_is_unknown(self, make: Make) -> None:
        file = make.file({"sizeBytes": None})
        assert (file.size, file.size_bytes) == (0, None)

    @pytest.mark.parametrize("name", ["name", "size", "sizeBytes", "run", "_attributes", "_client", "something"])
    def test_cannot_be_changed(self, make: Make, name: str) -> None:
        file = make.file()
        with pytest.raises(AttributeError):
            setattr(file, name, "else")
        with pytest.raises(AttributeError):
            delattr(file, name)
        assert file == make.file()

    @pytest.mark.parametrize("name", ["id", "name", "sizeBytes", "md5", "mimetype", "updatedAt", "url", "directUrl"])
    def test_differs_if_an_attribute_differs(self, make: Make, name: str) -> None:
        other = 18 if name == "sizeBytes" else "https://elsewhere.example/b"
        assert make.file({name: other}) != make.file()

    def test_differs_in_another_run(self, make: Make) -> None:
        assert make.file(run="team/project/other") != make.file()

    def test_is_the_same_with_another_signature(self, make: Make) -> None:
        same = make.file({"directUrl": f"{PLACE}?X-Amz-Signature=another"})
        assert same == make.file()
        assert {same, make.file()} == {same}

    def test_is_the_same_with_another_client(self, make: Make) -> None:
        file = make.file()
        assert pickle.loads(pickle.dumps(file)) == file

    def test_is_not_equal_to_other_types(self, make: Make) -> None:
        assert make.file() != ATTRIBUTES

    @protocols
    def test_pickles_without_client_and_signatures(self, make: Make, protocol: int) -> None:
        file = make.file()
        copy: File | AsyncFile = pickle.loads(pickle.dumps(file, protocol))
        assert type(copy) is type(file)
        assert copy == file
        assert hash(copy) == hash(file)
        assert (copy.name, copy.size, copy.md5, copy.run) == (file.name, file.size, file.md5, file.run)
        assert (copy.direct_url, copy.path_uri) == (PLACE, file.path_uri)
        assert copy._client is None
        assert copy.run is not None
        assert copy.run._client is None

    @pytest.mark.fault(110)
    @pytest.mark.parametrize("store", SIGNATURES)
    @protocols
    def test_pickles_without_secrets(self, make: Make, store: str, protocol: int) -> None:
        signed = f"{PLACE}?{SIGNATURES[store]}"
        pickled = pickle.dumps(make.file({"url": signed, "directUrl": signed}), protocol)
        assert [secret for secret in SECRETS if secret.encode() in pickled] == []

    def test_pickles_the_uri_of_a_reference_as_it_is(self, make: Make) -> None:
        uri = "s3://bucket/a.png?versionId=7"
        copy = pickle.loads(pickle.dumps(make.file({"url": uri, "directUrl": uri})))
        assert copy.path_uri == uri

    def test_pickles_without_a_run(self, make: Make) -> None:
        copy = pickle.loads(pickle.dumps(make.file_alone()))
        assert copy == make.file_alone()
        assert copy.run is None

    @pytest.mark.fault(110)
    def test_shows_its_name_and_no_secret(self, make: Make) -> None:
        shown = repr(make.file())
        assert shown == f"<{type(make.file()).__name__} team/project/run: media/a.png (image/png, 17 B)>"


def test_async_and_blocking_files_are_different_values() -> None:
    assert AsyncFile(None, ATTRIBUTES) != File(None, ATTRIBUTES)


@pytest.mark.parametrize("call", ["fetch", "download", "read_bytes", "read_text", "delete", "refresh"])
def test_pickled_file_says_that_it_has_no_client(api: Api, call: str, tmp_path: Path) -> None:
    file: File = pickle.loads(pickle.dumps(File(api, ATTRIBUTES, api.run("team/project/run"))))
    arguments = [tmp_path] if call in ("fetch", "download") else []
    with pytest.raises(ConfigurationError, match="has no client"):
        getattr(file, call)(*arguments)


@kinds
class TestRun:
    def test_has_its_path(self, make: Make) -> None:
        run = make.run()
        assert (run.entity, run.project, run.id, run.path) == ("team", "project", "run", ["team", "project", "run"])

    @pytest.mark.parametrize("name", ["entity", "project", "id", "path", "something"])
    def test_cannot_be_changed(self, make: Make, name: str) -> None:
        run = make.run()
        with pytest.raises(AttributeError):
            setattr(run, name, "else")
        assert run == make.run()

    def test_is_equal_by_its_path(self, make: Make) -> None:
        assert make.run() == make.run("team/project/runs/run")
        assert {make.run(), make.run()} == {make.run()}
        assert make.run() != make.run("team/project/other")
        assert make.run() != "team/project/run"

    @protocols
    def test_pickles_without_its_client(self, make: Make, protocol: int) -> None:
        pickled = pickle.dumps(make.run(), protocol)
        copy = pickle.loads(pickled)
        assert type(copy) is type(make.run())
        assert copy == make.run()
        assert copy.path == ["team", "project", "run"]
        assert copy._client is None
        assert KEY.encode() not in pickled

    def test_shows_its_path(self, make: Make) -> None:
        assert repr(make.run()) == f"<{type(make.run()).__name__} team/project/run>"


def test_pickled_run_says_that_it_has_no_client(api: Api) -> None:
    run: Run = pickle.loads(pickle.dumps(api.run("team/project/run")))
    with pytest.raises(ConfigurationError, match="has no client"):
        run.file("a")


@kinds
class TestClient:
    @protocols
    def test_does_not_pickle(self, make: Make, protocol: int) -> None:
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(make.client, protocol)

    def test_shows_its_server_and_no_key(self, make: Make) -> None:
        assert repr(make.client) == f"<{type(make.client).__name__} https://api.wandb.ai>"

    def test_shows_no_secret_through_a_listing(self, make: Make) -> None:
        files = make.run().files(match={"direct_url": f"{PLACE}?{SIGNATURES['S3']}"})
        assert repr(files) == f"<{type(files).__name__} of team/project/run>"


RESULT = FileResult(
    name="a.png",
    status="failed",
    path=Path("there/a.png"),
    size=17,
    error=IntegrityError("a.png: not what the server states", name="a.png", expected="00", actual="01"),
)
REPORT = DownloadReport(
    root=Path("there"), files=3, downloaded=1, kept=1, failed=1, bytes=17, verified=2, parts=4, seconds=1.5,
    failures=(RESULT,),
)  # fmt: skip
SENT = UploadReport(run="team/project/run", files=2, uploaded=1, failed=1, bytes=17, seconds=1.5, failures=(RESULT,))
LEFT = DeletionReport(files=3, deleted=2, failed=1, bytes=34, seconds=1.5, failures=(RESULT,))


@attrs.frozen
class Expectation:
    """An error as the library raises it, and the builtins as which it can be caught."""

    error: WBFilesError
    builtins: tuple[type[Exception], ...]

    def __str__(self) -> str:
        return type(self.error).__name__


EXPECTATIONS = (
    Expectation(WBFilesError("something"), ()),
    Expectation(ConfigurationError("base_url is no URL"), (ValueError,)),
    Expectation(AuthenticationError("the key was not accepted"), (PermissionError, OSError)),
    Expectation(PermissionDeniedError("a.png: the store refuses"), (PermissionError, OSError)),
    Expectation(RunNotFoundError("not found", run="team/project/run"), (LookupError,)),
    Expectation(RemoteFileNotFoundError("gone", name="a.png", run="team/project/run"), (FileNotFoundError, OSError)),
    Expectation(RemoteFileExistsError("there", name="a.png", run="team/project/run"), (FileExistsError, OSError)),
    Expectation(ApiError("the API failed", status=502, messages=("upstream", "is away")), ()),
    Expectation(RateLimitedError("slow down", messages=("rate limit exceeded",), retry_after=2.5), (ApiError,)),
    Expectation(DestinationExistsError("there", path=Path("there/a.png")), (FileExistsError, ValueError, OSError)),
    Expectation(UnsafePathError("leads outside", name="../a.png"), (ValueError,)),
    Expectation(NameCollisionError("one file with a.PNG", name="a.png", other="a.PNG"), (UnsafePathError, ValueError)),
    Expectation(UnsupportedReferenceError("a reference", uri="gs://bucket/a.png"), (ValueError,)),
    Expectation(TransferError("broke", name="a.png", host="bucket.example", offset=5), (OSError,)),
    Expectation(
        IntegrityError("wrong", name="a.png", host="bucket.example", offset=17, expected="00", actual="01"),
        (TransferError, OSError),
    ),
    Expectation(ObjectChangedError("changed", name="a.png", host="bucket.example", offset=5), (TransferError, OSError)),
    Expectation(
        StoreUnavailableError("down", name="a.png", host="bucket.example", retry_after=5.0), (TransferError, OSError)
    ),
    Expectation(LocalWriteError("the disk is full", errno=28, path=Path("there/a.png")), (OSError,)),
    Expectation(LocalReadError("it is a pipe", errno=None, path=Path("there/a.png")), (OSError,)),
    Expectation(
        ObjectStoreError("no", url="s3://bucket", name="a.png", code="NoSuchBucket", concerns_all=True), (OSError,)
    ),
    Expectation(IncompleteUploadError("1 of 2 files failed", report=SENT), ()),
    Expectation(IncompleteDownloadError("1 of 3 files failed", report=REPORT), ()),
    Expectation(IncompleteDeletionError("1 of 3 files is left", report=LEFT), ()),
)

every_error = pytest.mark.parametrize("expected", EXPECTATIONS, ids=str)


class TestErrors:
    def test_all_error_classes_are_covered(self) -> None:
        assert {str(expected) for expected in EXPECTATIONS} == set(errors.__all__)

    @every_error
    def test_are_also_builtin_exceptions(self, expected: Expectation) -> None:
        assert isinstance(expected.error, (WBFilesError, *expected.builtins))
        for builtin in expected.builtins:
            assert isinstance(expected.error, builtin)

    @every_error
    def test_show_only_their_message(self, expected: Expectation) -> None:
        error = expected.error
        assert str(error) == error.message
        assert error.args == (error.message,)

    @every_error
    @protocols
    def test_pickle_with_all_attributes(self, expected: Expectation, protocol: int) -> None:
        error = expected.error
        copy = pickle.loads(pickle.dumps(error, protocol))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert copy.args == error.args
        assert known(copy) == known(error)

    def test_pickle_with_their_notes(self) -> None:
        error = TransferError("broke", name="a.png")
        error.add_note("Gave up after 8 attempts in 3.0 s.")
        assert pickle.loads(pickle.dumps(error)).__notes__ == ["Gave up after 8 attempts in 3.0 s."]

    def test_keep_the_errno(self) -> None:
        copy = pickle.loads(pickle.dumps(LocalWriteError("full", errno=28, path=Path("a"))))
        assert copy.errno == 28


def known(value: object) -> object:
    """The contents of a value, with those of errors, which compare by identity."""
    if isinstance(value, WBFilesError):
        return type(value), getattr(value, "errno", None), {name: known(it) for name, it in vars(value).items()}
    if isinstance(value, FileResult | DownloadReport | UploadReport | DeletionReport):
        return {field.name: known(getattr(value, field.name)) for field in attrs.fields(type(value))}
    return [known(it) for it in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("value", [RESULT, REPORT, SENT, LEFT], ids=lambda value: type(value).__name__)
@protocols
def test_results_pickle_with_their_errors(value: object, protocol: int) -> None:
    assert known(pickle.loads(pickle.dumps(value, protocol))) == known(value)


@pytest.mark.parametrize("value", [RESULT, REPORT, SENT, LEFT], ids=lambda value: type(value).__name__)
def test_results_cannot_be_changed(value: FileResult | DownloadReport | UploadReport | DeletionReport) -> None:
    for field in attrs.fields(type(value)):
        with pytest.raises(AttributeError):
            setattr(value, field.name, None)


THERE = Path("there")


class TestReport:
    @pytest.mark.parametrize(
        ("report", "text"),
        [
            (DownloadReport(root=THERE), "No files."),
            (
                DownloadReport(root=THERE, files=5, downloaded=3, kept=2, verified=5, bytes=2048, seconds=0.5),
                "3 files, 2.0 KiB in 0.5 s, 2 files already there, all verified, in there",
            ),
            (
                DownloadReport(
                    root=THERE, files=1, downloaded=1, bytes=36 << 20, resumed=1, resumed_bytes=24 << 20, seconds=1.4
                ),
                "1 file, 36.0 MiB, 24.0 MiB of it resumed, 12.0 MiB in 1.4 s, none verified, in there",
            ),
            (
                DownloadReport(root=THERE, files=9, downloaded=1, failed=1, skipped=7, bytes=5, seconds=125.0),
                "1 file, 5 B in 2 min 05 s, none verified, in there, 1 failed, 7 not started",
            ),
            (
                DownloadReport(root=THERE, files=3, planned=2, kept=1, bytes=5),
                "2 files, 5 B, would be downloaded, 1 file already there",
            ),
            (DownloadReport(root=THERE, files=1200, failed=1200), "1,200 failed"),
        ],
    )
    def test_str_is_one_line(self, report: DownloadReport, text: str) -> None:
        assert str(report) == text

    def test_repr_omits_individual_failures(self) -> None:
        shown = repr(attrs.evolve(REPORT, failures=(RESULT,) * 1000))
        assert "downloaded=1, kept=1" in shown
        assert "failures=<1000 listed>" in shown
        assert len(shown) < 300

    def test_rate_is_known_if_time_has_passed(self) -> None:
        assert attrs.evolve(REPORT, bytes=300, seconds=1.5).rate == 200
        assert attrs.evolve(REPORT, bytes=300, resumed_bytes=150, seconds=1.5).rate == 100
        assert attrs.evolve(REPORT, seconds=0.0).rate == 0
        assert attrs.evolve(REPORT, downloaded=0, planned=1).rate == 0
