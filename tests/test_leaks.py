"""The search for secrets after every test finds them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import leaks
import pytest

from wbfiles_async import TransferError

KEY = "s3cr3t-" + "k" * 40
PREAMBLE = f"""
import logging, pickle, subprocess, sys
import pytest
from wbfiles_async import AsyncApi, AsyncFile, TransferError

KEY = {KEY!r}
URL = "https://store.example/a?X-Amz-Signature=" + "0123456789abcdef"

@pytest.fixture
def api():
    return AsyncApi(api_key=KEY)

def test_says_nothing(api):
    logging.getLogger("wbfiles_async").debug("nothing")
    print("nothing", file=sys.stderr)
    with pytest.raises(TransferError):
        raise TransferError("nothing")
    AsyncFile(api, dict(name="a", url=URL))
"""
LEAKS = {
    "log": 'logging.getLogger("wbfiles_async.x").debug("asked %s", KEY)',
    "logged_traceback": """
    try:
        raise TransferError(KEY)
    except TransferError:
        logging.getLogger("wbfiles_async.x").exception("failed")""",
    "stdout": "print(KEY)",
    "stderr": "print(KEY, file=sys.stderr)",
    "read_output": "print(KEY); capsys.readouterr()",
    "child": 'subprocess.run([sys.executable, "-c", f"print({KEY!r})"], capture_output=True)',
    "as_sent": "import base64; print(base64.b64encode(f'api:{KEY}'.encode()).decode())",
    "signature": "print(URL)",
    "bearer": "print('Authorization: Bearer', 'abcdefghijklmnop')",
    "message": "TransferError(f'{KEY} is wrong')",
    "attribute": "TransferError('x', host=URL)",
    "note": "TransferError('x').add_note(URL)",
    "cause": """
    with pytest.raises(TransferError):
        raise TransferError("x") from ValueError(URL)""",
    "context": """
    with pytest.raises(TransferError):
        try:
            raise ValueError(KEY)
        except ValueError:
            raise TransferError("x")""",
    "repr": """
    class Telling(AsyncApi):
        def __repr__(self):
            return KEY
    Telling(api_key=KEY)""",
    "pickle": """
    class Telling(AsyncFile):
        def __reduce__(self):
            return str, (URL,)
    Telling(api, dict(name="a", url=URL))""",
}


@pytest.mark.fault(110)
def test_leaked_secret_fails_its_test_only(tmp_path: Path) -> None:
    tests = [PREAMBLE]
    for name, leak in LEAKS.items():
        body = leak if leak.startswith("\n") else "\n    " + leak
        tests.append(f"def test_{name}(api{', capsys' * (name == 'read_output')}):{body}\n")
        if name == "stdout":
            tests.append(
                '@pytest.mark.shows_secrets("it is what is tested")\n' + tests[-1].replace("stdout", "purpose")
            )
    (tmp_path / "test_inner.py").write_text("\n".join(tests))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "leaks", "-p", "no:cacheprovider", "-rA", "-q", "test_inner.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    with run:  # read directly, since what a test reads with `communicate` is searched too
        output = run.stdout.read()
    outcomes: dict[str, str] = {}
    for line in output.splitlines():
        outcome, found, rest = line.partition(" test_inner.py::test_")
        if found:
            outcomes[rest.partition(" ")[0]] = outcome
    failed = {name for name, outcome in outcomes.items() if outcome == "ERROR"}
    assert failed == set(LEAKS), output
    assert {"says_nothing", "purpose"} <= outcomes.keys()


def test_search_follows_this_test_too() -> None:
    logging.getLogger("wbfiles_async.anything").debug("heard?")
    assert [text for where, text in leaks.current.texts if where == "the log"] == ["wbfiles_async.anything heard?"]
    TransferError("kept?")
    assert [str(error) for error in leaks.current.errors] == ["kept?"]
