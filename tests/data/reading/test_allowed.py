"""That a form's paths and addresses lead only to what the deployment allows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sentiflow.data.reading.allowed import AllowedSources, check_output_place
from sentiflow.data.reading.listing import list_source_files
from sentiflow.errors import SourceError, UsageError
from sentiflow.settings import DataSettings


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder of reviews, with links out of it, beside what is nobody's business."""
    folder = tmp_path / "shop"
    (folder / "days").mkdir(parents=True)
    (folder / "days" / "a.jsonl").write_text("{}\n")
    (folder / "days" / "b.jsonl").write_text("{}\n")
    (tmp_path / "secret.jsonl").write_text("{}\n")
    (tmp_path / "shop-of-others").mkdir()
    (tmp_path / "shop-of-others" / "c.jsonl").write_text("{}\n")
    (folder / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (folder / "away").symlink_to(tmp_path / "shop-of-others")
    return folder


@pytest.mark.parametrize("named", [
    "{shop}", "{shop}/days", "{shop}/days/b.jsonl", "{shop}/days/*.jsonl", "file://{shop}/days",
    "local://{shop}/days/a.jsonl", "{shop}/not-yet.jsonl", "{shop}/./days",
])  # fmt: skip
def test_what_lies_in_an_own_folder_may_be_read(shop: Path, named: str) -> None:
    AllowedSources.of([str(shop)], []).check(named.format(shop=shop))


@pytest.mark.parametrize("named", [
    "/etc/passwd", "file:///etc/passwd", "file:/etc/passwd", "local:///etc/passwd", "/etc/*", "/*",
    "~/x.jsonl", "{shop}/../secret.jsonl", "{shop}/days/../../secret.jsonl",
    "file://{shop}/%2e%2e/secret.jsonl", "{shop}/*/../../secret.jsonl", "{shop}-of-others/c.jsonl",
    "{shop}/link.jsonl", "{shop}/away/c.jsonl", "{shop}*", "relative.jsonl", "",
    "http://169.254.169.254/latest/meta-data", "https://host/", "s3://bucket/reviews.jsonl",
    "simplecache::file:///etc/passwd", "simplecache::file://{shop}/days/a.jsonl",
    "filecache::http://169.254.169.254/x", "tar://x::{shop}/a.tar", "zip://a::file:///etc/a.zip",
    "dir:///etc", "data:,secret", "memory://x", "reference://x", "github://a:b@c/d",
])  # fmt: skip
def test_what_lies_elsewhere_may_not_whatever_it_is_called(
    shop: Path, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    with pytest.raises(SourceError, match="may read its deployment's own sources") as caught:
        AllowedSources.of([str(shop)], []).check(named.format(shop=shop))
    assert "\n" not in str(caught.value)


def test_a_folder_whose_links_lead_out_is_found_out_by_its_files(shop: Path) -> None:
    allowed = AllowedSources.of([str(shop)], [])
    pattern = f"{shop}/*.jsonl"
    allowed.check(pattern)
    with pytest.raises(SourceError):
        allowed.check_files(list_source_files([pattern], DataSettings()))
    allowed.check_files(list_source_files([f"{shop}/days"], DataSettings()))


def test_an_own_source_is_allowed_word_by_word_with_the_folder_it_lies_in(shop: Path) -> None:
    own = ["simplecache::s3://b/x.jsonl", "https://host/reviews/a.jsonl?token=1",
           str(shop / "days/a.jsonl"), "https://top/a.jsonl",
           "s3://bucket/2026/*.jsonl"]  # fmt: skip
    allowed = AllowedSources.of(own, [])
    for named in (
        *own,
        "https://host/reviews/b.jsonl",
        f"{shop}/days/b.jsonl",
        "s3://bucket/2026/x",
    ):
        allowed.check(named)
    for named in (
        "simplecache::s3://b/y.jsonl", "https://host/other/a.jsonl", "https://host/reviews/../x",
        "https://host/reviews/%2e%2e/x", "https://host/reviews/%252e%252e/x", "https://host.evil/reviews/a",
        "http://host/reviews/a.jsonl", "https://host@evil/reviews/a", "https://top/b.jsonl",
        "s3://bucket/2025/x", f"{shop}/link.jsonl", str(shop),
    ):  # fmt: skip
        with pytest.raises(SourceError):
            allowed.check(named)


def test_a_source_at_the_top_of_the_disk_does_not_allow_the_disk() -> None:
    allowed = AllowedSources.of(["/reviews.jsonl"], [])
    allowed.check("/reviews.jsonl")
    with pytest.raises(SourceError):
        allowed.check("/etc/passwd")


def test_further_roots_allow_folders_and_addresses(shop: Path) -> None:
    allowed = AllowedSources.of([], [str(shop), "s3://bucket/reviews/", "https://host"])
    for named in (f"{shop}/days", "s3://bucket/reviews", "s3://bucket/reviews/a", "https://host/a"):
        allowed.check(named)
    for named in ("s3://bucket/reviewsX/a", "s3://bucket", "https://host.evil/a", "http://host/a"):
        with pytest.raises(SourceError):
            allowed.check(named)


def test_no_password_of_an_address_is_told() -> None:
    with pytest.raises(SourceError) as caught:
        AllowedSources.of([], []).check("https://me:s3cret@host/a?token=abc")
    assert "s3cret" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_answers_go_where_they_may_and_nowhere_else(tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    scores.mkdir()
    (scores / "away").symlink_to(tmp_path)
    (scores / "link.csv").symlink_to(tmp_path / "other.csv")
    check_output_place(str(scores / "a.csv"), [scores])
    for named in ("a.csv", str(tmp_path / "a.csv"), f"{scores}/../a.csv", f"{scores}/away/a.csv",
                  f"{scores}/link.csv", "/etc/cron.d/a.csv", os.devnull):  # fmt: skip
        with pytest.raises(UsageError, match=r"data\.output_roots"):
            check_output_place(named, [scores])
