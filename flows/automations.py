"""Make the automations by which Prefect's own server notices what no worker can tell.

They are found again by name: a second time changes them, and one that is not wanted any more
goes. Whether a person switched one off is left as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.maintenance import CLOSED_MESSAGE
from sentiflow.errors import UsageError
from sentiflow.settings import NoticeKind, Settings, read_webhook_url

if TYPE_CHECKING:
    from prefect.events.actions import ActionTypes

DEAD_RUNS: Final = "Sentiflow: runs that stopped saying that they live"
CRASHED_RUNS: Final = "Sentiflow: runs that crashed"
LATE_NIGHTS: Final = "Sentiflow: nights that no worker started"
WEBHOOK_BLOCK: Final = "sentiflow-notices"

_FLOWS: Final = [
    "retrain", "maintenance", "promote", "roll-back", "release-hold", "adopt", "revert", "score",
]  # fmt: skip
_ENDS: Final = {
    f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Cancelled", "Crashed")
}
_HEARTBEAT: Final = "prefect.flow-run.heartbeat"
# Six heartbeats of 30 s: a restart of Prefect's server must not pass for a death.
_SILENT_SECONDS: Final = 180
_CRASHED_TITLE: Final = "Sentiflow: a run crashed"
_CRASHED_TEXT: Final = (
    "Run {{ flow_run.name }} of {{ flow.name }} crashed: its process is gone. Of a night the next "
    "one or maintenance says what came of it, if its machine is up. What it left is kept."
)
_LATE_TITLE: Final = "Sentiflow: a night did not start in time"
_LATE_TEXT: Final = (
    "Night {{ flow_run.name }} did not start: no worker has taken it for %g minutes. "
    "Is one running for its work pool?"
)


@dataclass(frozen=True)
class Message:
    """What Prefect's server tells; `text` is one of its templates."""

    kind: NoticeKind
    title: str
    text: str


def make_automations(client: SyncPrefectClient, settings: Settings) -> list[str]:
    """Make Prefect's server notice dead runs, and nights that no worker starts.

    Args:
        client: Prefect's server.
        settings: notices.block and schedule.late_minutes are used; the webhook's address comes
            from SENTIFLOW_WEBHOOK_URL.

    Returns:
        The names of the automations there are now.

    Raises:
        UsageError: notices.block names no block of this server.
    """
    late_minutes, kinds = settings.schedule.late_minutes, settings.notices.kinds
    tell_crashed = Message("failed", _CRASHED_TITLE, _CRASHED_TEXT)
    tell_late = Message("late", _LATE_TITLE, _LATE_TEXT % (2 * late_minutes))
    block = _look_up_block(client, settings.notices.block) if settings.notices.block else None
    webhook = _keep_webhook(client)
    crashed_actions, late_actions = (
        _make_notifications(message, settings.model.name, block, webhook)
        if message.kind in kinds else []
        for message in (tell_crashed, tell_late)
    )  # fmt: skip
    wanted = [watch_dead_runs()]
    if crashed_actions:
        wanted.append(watch_crashed_runs(crashed_actions))
    if late_actions:
        wanted.append(watch_late_nights(late_minutes, late_actions))
    names = [automation.name for automation in wanted]
    for automation in wanted:
        _apply(client, automation)
    for name in {DEAD_RUNS, CRASHED_RUNS, LATE_NIGHTS} - set(names):
        for old in client.read_automations_by_name(name):
            client.delete_automation(old.id)
    return names


def watch_dead_runs() -> AutomationCore:
    """Return the automation that calls a run crashed when its heartbeats end.

    It tells nobody: Prefect holds back the events of a run that was scheduled minutes before it
    started, so its end may be seen too late. Of a run that has ended it changes nothing.
    """
    return AutomationCore(
        name=DEAD_RUNS,
        description="A run whose process and worker are gone would hold its slot for ever.",
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={
                _HEARTBEAT,
                "prefect.flow-run.Paused",
                "prefect.flow-run.Suspended",
                *_ENDS,
            },
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            match_related=_match_flows(_FLOWS),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=_SILENT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No heartbeat for {_SILENT_SECONDS} s: its process is gone.",
            )
        ],
    )


def watch_crashed_runs(actions: list[ActionTypes]) -> AutomationCore:
    """Return the automation that tells of a run that crashed, by its worker or by its silence.

    A sweep tells more of a night, but needs its lease and a worker: one that died before it took
    the lease, and one whose machine is gone, are told here only.
    """
    return AutomationCore(
        name=CRASHED_RUNS,
        description="Told at once; what came of a night is told by the next one or maintenance.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Crashed"},
            match={
                "prefect.resource.id": ["prefect.flow-run.*"],
                "prefect.state-message": [f"!{CLOSED_MESSAGE}"],
            },
            match_related=_match_flows(_FLOWS),
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=actions,
    )


def watch_late_nights(late_minutes: float, actions: list[ActionTypes]) -> AutomationCore:
    """Return the automation that tells of a night which no worker starts.

    Maintenance tells of late nights after `late_minutes`. Without a worker there is no
    maintenance either: then the server itself tells, after twice as long.
    """
    return AutomationCore(
        name=LATE_NIGHTS,
        description="What maintenance would tell earlier, if a worker ran it.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Late"},
            expect={"prefect.flow-run.Running", *_ENDS},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            match_related=_match_flows(["retrain"]),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(minutes=2 * late_minutes),
        ),
        actions=actions,
    )


def _match_flows(names: list[str]) -> dict[str, Any]:
    return {"prefect.resource.role": "flow", "prefect.resource.name": names}


def _apply(client: SyncPrefectClient, automation: AutomationCore) -> None:
    first, *others = [*client.read_automations_by_name(automation.name), None]
    if first is None:
        client.create_automation(automation)
        return
    client.update_automation(first.id, automation.model_copy(update={"enabled": first.enabled}))
    for copy in others:
        if copy is not None:
            client.delete_automation(copy.id)


def _make_notifications(
    message: Message, model: str, block: UUID | None, webhook: UUID | None
) -> list[ActionTypes]:
    actions: list[ActionTypes] = []
    if block is not None:
        actions.append(
            SendNotification(block_document_id=block, subject=message.title, body=message.text)
        )
    if webhook is not None:
        # The keys of notices/messages.py, so that a receiver need know one form only.
        payload = json.dumps(
            {"text": message.text, "kind": message.kind, "title": message.title, "model": model,
             "night": None, "version": None, "reasons": [message.text], "link": None}
        )  # fmt: skip
        actions.append(CallWebhook(block_document_id=webhook, payload=payload))
    return actions


def _look_up_block(client: SyncPrefectClient, block: str) -> UUID:
    kind, _, name = block.partition("/")
    try:
        return client.read_block_document_by_name(name, kind).id
    except ObjectNotFound:
        raise UsageError(
            "notices.block must name a notification block of this Prefect server, as "
            f"type/name. Received: {block!r}. Make it in Prefect's UI under Blocks."
        ) from None


def _keep_webhook(client: SyncPrefectClient) -> UUID | None:
    """Keep the address where Prefect encrypts it; the automations hold the block's id only."""
    from prefect.blocks.webhook import Webhook

    url = read_webhook_url()
    if url is None:
        _forget_webhook(client)
        return None
    return cast(UUID, Webhook(url=url).save(WEBHOOK_BLOCK, overwrite=True))


def _forget_webhook(client: SyncPrefectClient) -> None:
    try:
        found = client.read_block_document_by_name(WEBHOOK_BLOCK, "webhook")
    except ObjectNotFound:
        return
    client.delete_block_document(found.id)
