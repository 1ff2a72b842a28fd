from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._graphql.path_uri import path_uri

FILE = "https://api.wandb.ai/files/e/p/r/x"


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("bkt.s3.amazonaws.com", "bkt"),
        ("bkt.s3.amazonaws.com:443", "bkt"),
        ("BKT.S3.AMAZONAWS.COM", "bkt"),
        ("bkt.s3.us-west-2.amazonaws.com", "bkt"),
        ("bkt.s3-us-west-2.amazonaws.com", "bkt"),
        ("bkt.s3-external-1.amazonaws.com", "bkt"),
        ("bkt.s3.dualstack.eu-central-1.amazonaws.com", "bkt"),
        ("bkt.s3-accelerate.amazonaws.com", "bkt"),
        ("bkt.s3-accelerate.dualstack.amazonaws.com", "bkt"),
        ("bkt.s3-fips.us-gov-west-1.amazonaws.com", "bkt"),
        ("bkt.s3-fips-us-gov-west-1.amazonaws.com", "bkt"),
        ("bkt.s3-fips.dualstack.us-east-1.amazonaws.com", "bkt"),
        ("bkt.s3.cn-north-1.amazonaws.com.cn", "bkt"),
        ("a.dotted.bkt.s3.amazonaws.com", "a.dotted.bkt"),
        ("logs.s3.us-east-1.s3.us-east-1.amazonaws.com", "logs.s3.us-east-1"),
    ],
)
def test_virtual_hosted_url_has_bucket_and_key(host: str, bucket: str) -> None:
    assert path_uri(FILE, f"https://{host}/a/b.txt?X-Amz-Signature=0") == f"s3://{bucket}/a/b.txt"


@pytest.mark.parametrize(
    "host",
    [
        "s3.amazonaws.com",
        "s3.us-west-2.amazonaws.com",
        "s3-us-west-2.amazonaws.com",
        "s3.dualstack.us-west-2.amazonaws.com",
        "s3.cn-northwest-1.amazonaws.com.cn",
    ],
)
def test_path_style_url_has_bucket_and_key(host: str) -> None:
    assert path_uri(FILE, f"https://{host}/My_old.bkt/a/b.txt?sig=0") == "s3://My_old.bkt/a/b.txt"


def test_key_is_decoded_and_a_plus_stays_a_plus() -> None:
    assert path_uri(FILE, "https://bkt.s3.amazonaws.com//a%20b+c%2Bd/%C3%A9?x=1#y") == "s3://bkt//a b+c+d/é"


def test_reference_has_its_own_uri() -> None:
    assert path_uri("gs://bkt/key", "gs://bkt/key") == "gs://bkt/key"


@pytest.mark.parametrize(
    "direct_url",
    [
        None,
        "",
        "s3://bkt/key",
        "https://evil.com/s3.amazonaws.com/x",
        "https://evil.com/?bkt.s3.amazonaws.com/x",
        "https://bkt.s3.amazonaws.com@evil.com/x",
        "https://user@bkt.s3.amazonaws.com/x",
        "https://bkt.s3.amazonaws.com.evil.com/x",
        "https://bkts3.amazonaws.com/x",
        "https://bkt.s3xamazonaws.com/x",
        "https://bkt.s3.amazonaws.com:8443/x",
        "https://bkt.s3.amazonaws.com",
        "https://bkt.s3.amazonaws.com/",
        "https://bkt.s3.amazonaws.com/%ff",
        "https://s3.amazonaws.com/bkt",
        "https://s3.amazonaws.com/bkt/",
        "https://s3.amazonaws.com/a/b",
        "https://ap-123456789012.s3-accesspoint.us-east-1.amazonaws.com/x",
        "https://bkt.s3-website-us-east-1.amazonaws.com/x",
        "https://lambda.us-east-1.amazonaws.com/x",
        "https://storage.googleapis.com/bkt/x",
        "https://acct.blob.core.windows.net/c/x",
        "https://[bad/x",
        "https://bkt.s3.amazonaws.com/a\nb",
    ],
)
def test_objects_outside_s3_have_no_uri(direct_url: str | None) -> None:
    assert path_uri(FILE, direct_url) == ""


def test_no_urls_have_no_uri() -> None:
    assert path_uri(None, None) == ""


@pytest.mark.parametrize("host", ["bkt.s3.amazonaws.com", "bkt.s3.us-west-2.amazonaws.com"])
def test_plain_urls_agree_with_wandb(host: str) -> None:
    from wandb.apis.public.utils import parse_s3_url_to_s3_uri

    url = f"https://{host}/a/b.txt?X-Amz-Signature=0"
    assert path_uri(FILE, url) == parse_s3_url_to_s3_uri(url)


@given(st.text(), st.text(alphabet="abs3.-@:/?#%amzonw"))
def test_only_amazon_hosts_have_an_s3_uri(url: str, rest: str) -> None:
    for direct in (url, f"https://evil.example/{rest}", f"https://{rest}.evil.example/x"):
        assert not path_uri(FILE, direct).startswith("s3://")
