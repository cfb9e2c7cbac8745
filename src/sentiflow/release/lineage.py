"""Say what may be compared with what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sentiflow.data.splitting import NORMALIZER_VERSION
from sentiflow.errors import LineageError
from sentiflow.files import digest_json
from sentiflow.settings import SAMPLE_MODEL_NAME, DataSettings, Settings
from sentiflow.settings.notations import USUAL_LABELS, USUAL_SCALE, fold_label

TAG_PREFIX: Final = "sentiflow.lineage."

# Keys that came later than the others. Where a model's tags lack one, or it is empty, its nights
# were as the default still is; so it is no key then, and the digest is the one it always was.
_LATER: Final = {"data.labels": USUAL_LABELS, "data.stars_scale": USUAL_SCALE}
_SHOWN_CHARACTERS: Final = 200


@dataclass(frozen=True)
class Lineage:
    """The registered model's name and everything that must be equal for a comparison.

    Attributes:
        name: the registered model's name.
        keys: setting → value, both as text; a difference in any is another lineage.
    """

    name: str
    keys: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """Short identity of name and keys."""
        return digest_json([self.name, *self.keys])[:16]

    def as_tags(self) -> dict[str, str]:
        """Return the tags stored on every version and on the registered model.

        Those of another lineage that the model was in before are overwritten, so every key is
        there.
        """
        later = {TAG_PREFIX + key: "" for key in _LATER}
        tags = later | {TAG_PREFIX + key: value for key, value in self.keys}
        return {"sentiflow.lineage": self.digest, **tags}


def describe_lineage(settings: Settings, is_sample: bool) -> Lineage:
    """Return the lineage that a night with these settings belongs to.

    The embedded sample is always `sentiflow-sample`, and a category has a model of its own
    (`sentiflow-restaurants`), so that neither can meet the champion of all reviews.

    Args:
        settings: all settings.
        is_sample: whether the embedded sample is the source.
    """
    category = settings.data.category
    name = settings.model.name
    if is_sample:
        name = SAMPLE_MODEL_NAME
    elif category is not None:
        name = f"{name}-{re.sub('[^a-z0-9]+', '-', category.lower()).strip('-')}"
    keys = {
        "data.positive_above": f"{settings.data.positive_above:g}",
        "data.neutral": settings.data.neutral,
        "data.category": category or "",
        "data.target": "label" if settings.data.columns.label else "stars",
        "split.test_share": f"{settings.split.test_share:g}",
        "split.validation_share": f"{settings.split.validation_share:g}",
        "normalizer": NORMALIZER_VERSION,
    }
    keys |= _describe_later(settings.data)
    return Lineage(name=name, keys=tuple(sorted(keys.items())))


def _describe_later(data: DataSettings) -> dict[str, str]:
    """Return the later keys that are not as they always were, of those that decide labels."""
    if data.columns.label is None:
        return {} if data.stars_scale == USUAL_SCALE else {"data.stars_scale": data.stars_scale}
    if data.labels == USUAL_LABELS:
        return {}
    if isinstance(data.labels, str):
        return {"data.labels": data.labels}
    written = "; ".join(
        f"{name}: {', '.join(sorted(set(map(fold_label, labels))))}"
        for name, labels in data.labels
        if labels
    )
    # MLflow keeps so many characters of a tag.
    if len(written) > _SHOWN_CHARACTERS:
        written = f"{written[:_SHOWN_CHARACTERS]}… ({digest_json(written)[:16]})"
    return {"data.labels": written}


def check_lineage(tonight: Lineage, tags: dict[str, str]) -> None:
    """Make sure that tonight's lineage is the one the registered model is in.

    Args:
        tonight: the night's lineage.
        tags: the registered model's tags; empty for a name that is not registered yet.

    Raises:
        LineageError: a key differs; the message names it.
    """
    if not any(key.startswith(TAG_PREFIX) for key in tags):
        return
    changes = [
        f"{key} is {value or _LATER.get(key, 'none')} "
        f"and was {tags.get(TAG_PREFIX + key) or _LATER.get(key, 'none')}"
        for key, value in sorted({**dict.fromkeys(_LATER, ""), **dict(tonight.keys)}.items())
        if tags.get(TAG_PREFIX + key, "") != value
    ]
    if changes:
        raise LineageError(
            f"A night must have the label rule, filter and split of the model {tonight.name}, or "
            f"its models cannot be compared. Received: {'; '.join(changes)}. Set it back, give "
            "the model another name with --set model.name=…, or start a new lineage without a "
            "champion with --new-lineage --reason …"
        )
