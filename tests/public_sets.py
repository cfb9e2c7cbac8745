"""Files as public sets of reviews have them, made of invented texts: only their form is theirs.

Each is built from its description: its columns, their order and types, how it is quoted, what is
missing in it, and what its makers call its files.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

ROWS: Final = 1_600

_THINGS: Final = ("soup", "room", "cable", "flight", "update", "clerk", "price", "screen")
_GOOD: Final = ("lovely", "quick", "spotless", "friendly", "worth it")
_BAD: Final = ("awful", "rude", "broken", "stale", "a waste")
_FIRST_DAY: Final = datetime(2014, 1, 1, 9, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Invented:
    """One review.

    Attributes:
        number: 0, 1, 2, …
        stars: 1 to 5.
        text: with quotes, commas and line breaks here and there.
        at: when it was written.
    """

    number: int
    stars: int
    text: str
    at: datetime

    @property
    def seconds(self) -> int:
        """Since 1970."""
        return int(self.at.timestamp())

    @property
    def is_good(self) -> bool:
        """Whether it has more than three stars."""
        return self.stars > 3


def invent(rows: int = ROWS, breaks: bool = True) -> list[Invented]:
    """Return reviews; without breaks no text has a line break in it."""
    draw = random.Random(20181)
    reviews = []
    for number in range(rows):
        stars = draw.choice((1, 1, 2, 3, 4, 5, 5))
        words = _GOOD if stars > 3 else _BAD
        parts = [f"the {draw.choice(_THINGS)} was {draw.choice(words)}" for _ in range(4)]
        text = f"Visit {number}: " + ", ".join(parts) + "."
        if number % 7 == 0:
            text += ' They call it "fresh", I do not.'
        if number % 11 == 0:
            text += "\n\nSecond part: same again." if breaks else " Second part: same again."
        reviews.append(Invented(number, stars, text, _FIRST_DAY + timedelta(hours=31 * number)))
    return reviews


def _write_json(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)


def _write_csv(
    path: Path, rows: Sequence[Sequence[Any]], encoding: str = "utf-8", **dialect: Any
) -> None:
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, **dialect).writerows(rows)


def write_yelp(folder: Path) -> None:
    _write_json(
        folder / "yelp_academic_dataset_review.json",
        [
            {
                "review_id": f"{one.number:022}", "user_id": f"u{one.number % 97:021}",
                "business_id": f"b{one.number % 31:021}", "stars": float(one.stars),
                "useful": one.number % 3, "funny": 0, "cool": 0, "text": one.text,
                "date": f"{one.at:%Y-%m-%d %H:%M:%S}",
            }
            for one in invent()
        ],
    )  # fmt: skip


def write_yelp_polarity(folder: Path) -> None:
    """Two columns without names, all quoted; a line break is written as backslash and n."""
    _write_csv(
        folder / "train.csv",
        [(2 if one.is_good else 1, one.text.replace("\n", "\\n")) for one in invent()],
        quoting=csv.QUOTE_ALL,
        lineterminator="\n",
    )


def write_amazon_2014(folder: Path) -> None:
    _write_json(
        folder / "reviews_Musical_Instruments_5.json.gz",
        [
            {
                "reviewerID": f"A{one.number % 211:013}", "asin": f"B{one.number % 41:09}",
                "reviewerName": f"Player {one.number % 211}", "helpful": [one.number % 3, 3],
                "reviewText": one.text, "overall": float(one.stars), "summary": "As it says",
                "unixReviewTime": one.seconds, "reviewTime": f"{one.at:%m %d, %Y}",
            }
            for one in invent()
        ],
    )  # fmt: skip


def write_amazon_2018(folder: Path) -> None:
    """A vote is a text, and missing where there is none; so is the text of a few."""
    rows = []
    for one in invent():
        row = {
            "overall": float(one.stars), "vote": str(one.number % 5), "verified": True,
            "reviewTime": f"{one.at:%m %d, %Y}", "reviewerID": f"A{one.number % 211:013}",
            "asin": f"B{one.number % 41:09}", "style": {"Size:": " Full"},
            "reviewerName": f"Player {one.number % 211}", "reviewText": one.text,
            "summary": "As it says", "unixReviewTime": one.seconds,
        }  # fmt: skip
        if one.number % 2:
            del row["vote"], row["style"]
        if one.number % 160 == 5:
            del row["reviewText"]
        rows.append(row)
    _write_json(folder / "Musical_Instruments.json.gz", rows)


def write_amazon_2023(folder: Path) -> None:
    _write_json(
        folder / "All_Beauty.jsonl.gz",
        [
            {
                "rating": float(one.stars), "title": "As it says", "text": one.text, "images": [],
                "asin": f"B{one.number % 41:09}", "parent_asin": f"B{one.number % 37:09}",
                "user_id": f"A{one.number % 211:027}", "timestamp": one.seconds * 1000 + 923,
                "helpful_vote": one.number % 4, "verified_purchase": True,
            }
            for one in invent()
        ],
    )  # fmt: skip


def write_amazon_fine_food(folder: Path) -> None:
    header = (
        "Id", "ProductId", "UserId", "ProfileName", "HelpfulnessNumerator",
        "HelpfulnessDenominator", "Score", "Time", "Summary", "Text",
    )  # fmt: skip
    rows = [
        (one.number + 1, f"B{one.number % 41:09}", f"A{one.number % 211:013}", "cook", 1, 2,
         one.stars, one.seconds, "As it says", one.text)
        for one in invent()
    ]  # fmt: skip
    _write_csv(folder / "Reviews.csv", [header, *rows], lineterminator="\n")


def write_imdb(folder: Path) -> None:
    rows = [
        (one.text.replace("\n", "<br />"), "positive" if one.is_good else "negative")
        for one in invent()
    ]
    _write_csv(folder / "IMDB Dataset.csv", [("review", "sentiment"), *rows])


def write_sentiment140(folder: Path) -> None:
    """Without names, all quoted, Latin-1, and dates as Twitter wrote them."""
    pacific = timezone(timedelta(hours=-7))
    rows = [
        (4 if one.is_good else 0, 1467810369 + one.number,
         one.at.astimezone(pacific).strftime("%a %b %d %H:%M:%S PDT %Y"), "NO_QUERY",
         f"user{one.number % 211}", f"{one.text} caf\xe9")
        for one in invent(breaks=False)
    ]  # fmt: skip
    _write_csv(
        folder / "training.1600000.processed.noemoticon.csv", rows, "latin-1",
        quoting=csv.QUOTE_ALL, lineterminator="\n",
    )  # fmt: skip


def write_airline_tweets(folder: Path) -> None:
    header = (
        "tweet_id", "airline_sentiment", "airline_sentiment_confidence", "negativereason",
        "negativereason_confidence", "airline", "airline_sentiment_gold", "name",
        "negativereason_gold", "retweet_count", "text", "tweet_coord", "tweet_created",
        "tweet_location", "user_timezone",
    )  # fmt: skip
    rows = []
    for one in invent():
        mood = "neutral" if one.stars == 3 else "positive" if one.is_good else "negative"
        at = one.at.astimezone(timezone(timedelta(hours=-8)))
        rows.append(
            (570306133677760513 + one.number, mood, 1.0, "", "", f"Airline {one.number % 6}", "",
             f"flyer{one.number % 211}", "", 0, one.text, "", f"{at:%Y-%m-%d %H:%M:%S} -0800",
             "Somewhere", "Eastern Time (US & Canada)")
        )  # fmt: skip
    _write_csv(folder / "Tweets.csv", [header, *rows], lineterminator="\n")


def write_google_play(folder: Path) -> None:
    header = (
        "reviewId", "userName", "userImage", "content", "score", "thumbsUpCount",
        "reviewCreatedVersion", "at", "replyContent", "repliedAt", "appVersion", "appId",
    )  # fmt: skip
    rows = [
        (f"{one.number:08x}-0000-4000-8000-000000000000", f"User {one.number % 211}",
         "https://play-lh.example/a", one.text, one.stars, 0, "4.2.1",
         f"{one.at:%Y-%m-%d %H:%M:%S}", "", "", "4.2.1", f"com.example.app{one.number % 7}")
        for one in invent()
    ]  # fmt: skip
    _write_csv(folder / "google_play_reviews.csv", [header, *rows])


def _write_hugging_face(path: Path, names: list[str], label: Callable[[Invented], int]) -> None:
    """Write Parquet with the classes' names in its metadata, as `datasets` does."""
    reviews = invent()
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": names, "_type": "ClassLabel"},
    }
    table = pa.table(
        {"text": [one.text for one in reviews], "label": [label(one) for one in reviews]},
        schema=pa.schema([("text", pa.string()), ("label", pa.int64())]),
    )
    described = json.dumps({"info": {"features": features}})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": described}), path)


def write_rotten_tomatoes(folder: Path) -> None:
    """A clone of a data set of Hugging Face: its card and its metadata lie beside the data."""
    clone = folder / "rotten_tomatoes"
    clone.mkdir()
    (clone / "README.md").write_text("---\ndataset_info:\n---\n")
    (clone / ".gitattributes").write_text("*.parquet filter=lfs\n")
    path = clone / "data" / "train-00000-of-00001.parquet"
    _write_hugging_face(path, ["neg", "pos"], lambda one: int(one.is_good))


def write_yelp_full(folder: Path) -> None:
    """The five stars as classes 0 to 4."""
    names = ["1 star", "2 star", "3 stars", "4 stars", "5 stars"]
    path = folder / "yelp_review_full" / "test-00000-of-00001.parquet"
    _write_hugging_face(path, names, lambda one: one.stars - 1)


def write_spark(folder: Path) -> None:
    """A folder of parts: marks of the job beside them, quotes within texts behind a backslash."""
    output = folder / "reviews_export"
    output.mkdir()
    (output / "_SUCCESS").touch()
    (output / "._SUCCESS.crc").write_bytes(b"crc\0\0\0\2\0\0\0\0\0")
    reviews = invent()
    for part in range(4):
        name = f"part-{part:05}-8b1a9953-c461-4a0f-8d2c-1d2a3b4c5d6e-c000.csv"
        mine = reviews[part::4]
        lines = ["review_id,stars,text,date"]
        for one in mine:
            quoted = one.text.replace('"', '\\"')
            lines.append(f'r{one.number},{one.stars},"{quoted}",{one.at:%Y-%m-%d}')
        (output / name).write_text("\n".join(lines) + "\n")
        (output / f".{name}.crc").write_bytes(b"crc\0\0\0\2\0\0\0\0\0")


@dataclass(frozen=True)
class PublicSet:
    """A set, and what there is in it.

    Attributes:
        source: its file or folder.
        write: writes it into a folder.
        rejected: rows without what a review needs.
        left_out: neutral ones, which its command leaves out.
    """

    source: str
    write: Callable[[Path], None]
    rejected: int = 0
    left_out: int = 0

    def count(self) -> dict[str, int]:
        """Return the rows as `sentiflow check` counts them."""
        reviews = invent()
        positive = sum(one.is_good for one in reviews)
        if self.rejected:
            positive = sum(one.is_good for one in reviews if one.number % 160 != 5)
        taken = ROWS - self.rejected - self.left_out
        return {
            "read": ROWS,
            "rejected": self.rejected,
            "superseded": 0,
            "left_out": self.left_out,
            "taken": taken,
            "positive": positive,
            "negative": taken - positive,
        }


PUBLIC_SETS: Final = {
    "Yelp Open Dataset": PublicSet("yelp_academic_dataset_review.json", write_yelp),
    "Yelp polarity (CSV)": PublicSet("train.csv", write_yelp_polarity),
    "Yelp full (Hugging Face)": PublicSet("yelp_review_full", write_yelp_full),
    "Amazon 2014": PublicSet("reviews_Musical_Instruments_5.json.gz", write_amazon_2014),
    "Amazon 2018": PublicSet("Musical_Instruments.json.gz", write_amazon_2018, rejected=10),
    "Amazon 2023": PublicSet("All_Beauty.jsonl.gz", write_amazon_2023),
    "Amazon fine food (Kaggle)": PublicSet("Reviews.csv", write_amazon_fine_food),
    "IMDB (Kaggle)": PublicSet("IMDB Dataset.csv", write_imdb),
    "Sentiment140": PublicSet("training.1600000.processed.noemoticon.csv", write_sentiment140),
    "Airline tweets (Kaggle)": PublicSet(
        "Tweets.csv", write_airline_tweets, left_out=sum(one.stars == 3 for one in invent())
    ),
    "Google Play (google-play-scraper)": PublicSet("google_play_reviews.csv", write_google_play),
    "Rotten Tomatoes (Hugging Face)": PublicSet("rotten_tomatoes", write_rotten_tomatoes),
    "A folder that Spark wrote": PublicSet("reviews_export", write_spark),
}
